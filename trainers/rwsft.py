"""Reward-weighted fine-tuning (arXiv 2506.06964): the log-likelihood of games, weighted by their rewards.

*Refit* weights by the reward. Its bound on the policy's value (section 3 there) needs non-negative rewards, so the
lowest attainable reward is subtracted. *Swift* weights by the reward standardised over the games of the same context,
an episode at given prices. Its weights may be negative, and a context whose games have equal rewards is skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.example import Example
from clarify_env.games.base import Trajectory, View
from clarify_env.options import option
from trainers.evaluation.measure import measure, validate
from trainers.learning.improve import check_update, improve
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.rollouts.grow import check_budget, grow
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.selection.partners import exemplary_turns
from trainers.selection.returns import ScoredMessage, earned, expected

if TYPE_CHECKING:
    from agents.render import Renderer


@dataclass(frozen=True)
class RwsftOptions:
    """Reward-weighted fine-tuning's own options (``rwsft.*``)."""

    weight: str = option("swift", choices=("refit", "swift"))
    """Weight of a game: its reward above the lowest attainable (refit), or standardised over its context (swift)."""
    hindsight: int = option(0, least=0)
    """Training costs at which each group's games are weighed; 0: only those that they were played at, as published."""


def rwsft(
    experiment: Experiment, options: RwsftOptions, rollouts: RolloutOptions, update: UpdateOptions, run: Run
) -> None:
    """Plays ``budget.games`` games with the base model, weights them, fine-tunes on them once, and measures."""
    base = experiment.load_policy()
    check_update(base, update)
    players = experiment.players(base, rollouts.temperature)
    validate(run, experiment, players, iteration=0)
    groups: list[list[Trajectory]] = []
    used = {"games": 0, "generated_tokens": 0}
    for _, games in grow(experiment, rollouts, run, players, 1, experiment.budget.games, used=used):
        groups.append(games)
    examples, skipped = weigh(experiment, options, rollouts, experiment.renderer(base), groups)
    if not run.recorded("weigh", 1):
        run.record("weigh", 1, 1, rows=len(examples), skipped=skipped)
    policy = improve(experiment, update, run, base, examples, 1)
    used["update_tokens"] = update_tokens(examples, update)
    used["gold_labels"] = experiment.gold_labels(games[0].episode_id for games in groups)
    validate(run, experiment, experiment.players(policy, 1.0), iteration=1)
    measure(run, experiment, partial(experiment.players, policy), method=options.weight, budget=used)


def check(experiment: Experiment, rollouts: RolloutOptions) -> None:
    """Refuses a budget of too few games.

    Raises:
        ValueError: A group does not fit the budget.
    """
    check_budget(experiment, rollouts, 1, experiment.budget.games)


def weigh(
    experiment: Experiment,
    options: RwsftOptions,
    rollouts: RolloutOptions,
    renderer: "Renderer",
    groups: Sequence[Sequence[Trajectory]],
) -> tuple[list[Example], int]:
    """Weights all groups at the prices of play or, with ``rwsft.hindsight``, at drawn training prices.

    Returns:
        The examples, and the number of (group, prices) that were skipped because all rewards were equal.
    """
    setup, roles = experiment.setup, experiment.learns
    judged = [role for role in roles if role in setup.game.faults]
    rng = np.random.default_rng([experiment.seed, 1000])
    examples: list[Example] = []
    skipped = 0
    for games in groups:
        exemplary = {
            (turn.view, turn.reply)
            for turn in exemplary_turns(setup, games, judged, renderer.end_ids if judged else ())
        }
        vectors = experiment.plane.draw(options.hindsight, rng) if options.hindsight else [games[0].prices]
        for prices in vectors:
            score = expected if rollouts.marginal else earned
            messages = score(setup, games, prices, roles)
            if options.weight == "refit":
                floor = setup.game.lowest(prices, experiment.max_new_tokens, **setup.options)
                weighed = refit(messages, floor)
            else:
                weighed = swift(messages)
                skipped += not weighed
            # No message of a judged role is made likelier because it earned, if it is at fault.
            weighed = [
                (m, weight)
                for m, weight in weighed
                if weight < 0 or m.view.role not in judged or (m.view, m.reply) in exemplary
            ]
            examples += [Example.of(renderer.encode(m.view), m.reply, weight) for m, weight in weighed if weight]
    return examples, skipped


def refit(messages: Sequence[ScoredMessage], floor: float | None) -> list[tuple[ScoredMessage, float]]:
    """Weights messages by share * (reward - floor).

    The shift keeps the order of games and adds the same likelihood term for each. The lower the floor, the closer the
    update is to imitation of all sampled games.

    Args:
        messages: The messages of a group.
        floor: Lowest attainable reward; ``None``: the lowest of the group.
    """
    lowest = min(message.reward for message in messages) if floor is None else floor
    return [(message, message.share * (message.reward - lowest)) for message in messages]


def swift(messages: Sequence[ScoredMessage]) -> list[tuple[ScoredMessage, float]]:
    """Weights messages by share * (reward - mean) / deviation; returns none if all rewards are equal.

    Mean and deviation are over the first messages of the context's games, one per game and role.
    """
    rewards = np.array([message.reward for message in messages if _opens(message.view)])
    mean, deviation = rewards.mean(), rewards.std()
    if deviation < 1e-9:
        return []
    return [(message, message.share * (message.reward - mean) / deviation) for message in messages]


def _opens(view: View) -> bool:
    return all(message.sender != view.role for message in view.heard)


main: Any = command(rwsft, check=check, tries=True, served=True)

if __name__ == "__main__":
    main()
