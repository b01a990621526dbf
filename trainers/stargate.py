"""STaR-GATE (arXiv 2403.19154): learns to ask questions that make the right answer more likely.

Several games of each episode and reading open with a question. A conversation's score is the log-probability of the
right answer after it under the frozen base model. The base model is fine-tuned on the best conversation of each
reading: on its questions and on the policy's own answers, so that it does not forget to answer. Costs are not used.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.example import Example
from clarify_env.games.agents import Agent
from clarify_env.games.base import Reply, Trajectory, View
from clarify_env.games.setup import Setup
from clarify_env.options import option
from trainers.evaluation.cells import CONTROL
from trainers.evaluation.measure import measure, validate
from trainers.evaluation.scores import gold_logprobs
from trainers.learning.improve import check_update, improve
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.rollouts.grow import check_budget, grow
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.runs.store import write_json

if TYPE_CHECKING:
    from agents.render import Renderer


@dataclass(frozen=True)
class StargateOptions:
    """STaR-GATE's own options (``stargate.*``)."""

    iterations: int = option(1, least=1)
    """Rounds that share the budget; each plays with the last policy and fine-tunes the base model; published: 2."""
    answers: bool = option(True)
    """Learn the policy's own answers after its questions too, so that it does not forget to answer."""


def stargate(
    experiment: Experiment, options: StargateOptions, rollouts: RolloutOptions, update: UpdateOptions, run: Run
) -> None:
    """Plays, scores, selects the best and fine-tunes the base model ``stargate.iterations`` times, then measures.

    The control (the trained model asks, the base model answers) is measured into the folder ``control``.
    """
    base = policy = experiment.load_policy()
    check_update(base, update)
    used = dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, experiment, experiment.players(base, 1.0), iteration=0)
    role = experiment.learns[0]
    scorer: Any = experiment.players(base, 1.0)[role]
    labels: set[tuple[str, int]] = set()
    for iteration in range(1, options.iterations + 1):
        players = experiment.players(policy, rollouts.temperature)
        games: list[Trajectory] = []
        budget = experiment.budget.games // options.iterations
        for _, group in grow(experiment, rollouts, run, players, iteration, budget, used=used):
            games += group
        scores = gold_logprobs(scorer.renderer, scorer.sampler, experiment.learns, experiment.setup, games)
        renderer = experiment.renderer(base)
        examples = [
            example
            for game in best(games, scores)
            for example in examples_of(experiment.setup, renderer, game, role, options.answers)
        ]
        policy = improve(experiment, update, run, base, examples, iteration)
        labels |= {(game.episode_id, game.hidden) for game in games}
        used["update_tokens"] += update_tokens(examples, update)
        validate(run, experiment, experiment.players(policy, 1.0), iteration=iteration)
    used["gold_labels"] = len(labels)

    def control(temperature: float) -> dict[str, Agent]:
        trained, answerer = (experiment.players(p, temperature) for p in (policy, base))
        return trained | {role: FixedAnswerer(trained[role], answerer[role])}

    measure(run, experiment, partial(experiment.players, policy), method="stargate", budget=used)
    aside = copy.copy(run)
    aside.dir = run.dir / CONTROL
    aside.dir.mkdir(exist_ok=True)
    write_json(aside.dir / "config.json", run.identity)
    measure(aside, experiment, control, method="stargate, the base answers", budget=used)


def check(experiment: Experiment, options: StargateOptions, rollouts: RolloutOptions) -> None:
    """Checks that the game has clarifying questions and gold last messages, before any game is played.

    Raises:
        ValueError: The game has none, the learning role is not the one that moves first, or a group does not fit the
            budget.
    """
    game, task = experiment.setup.game, experiment.task
    experiment.learning_role("stargate")
    if "clarify" not in game.actions or game.gold_reply(task.episode("train", 0), 0) is None:
        raise ValueError(f"stargate: game {game.name} has no clarifying questions or no right answers to score")
    experiment.first_mover("stargate")
    games = experiment.budget.games // options.iterations
    check_budget(experiment, rollouts, options.iterations, games, shared_by="stargate.iterations")


def best(games: Sequence[Trajectory], scores: np.ndarray) -> list[Trajectory]:
    """Returns the game of highest score (shape [games]) for each episode and hidden possibility."""
    highest: dict[tuple[str, int], int] = {}
    for index, game in enumerate(games):
        key = game.episode_id, game.hidden
        if key not in highest or scores[index] > scores[highest[key]]:
            highest[key] = index
    return [games[index] for index in highest.values()]


def examples_of(setup: Setup, renderer: "Renderer", game: Trajectory, role: str, answers: bool) -> list[Example]:
    """Converts a game's questions into examples and, with ``answers``, the policy's own answer if it is valid."""
    kinds = set(setup.game.actions) if answers else {"clarify"}
    return [
        Example.of(renderer.encode(turn.view), turn.reply)
        for turn in game.moves((role,))
        if setup.game.kind(turn) in kinds
    ]


class FixedAnswerer:
    """Plays the first message by one agent and all later ones by another, to separate asking from answering.

    Args:
        opener: Agent of the first message.
        answerer: Agent of all later messages; ``eval.gold_logprob`` is measured under it.
    """

    def __init__(self, opener: Agent, answerer: Agent):
        self.opener, self.answerer, self.name = opener, answerer, opener.name

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        replies: list[Any] = [None] * len(views)
        for agent, which in (
            (self.opener, [i for i, view in enumerate(views) if not view.heard]),
            (self.answerer, [i for i, view in enumerate(views) if view.heard]),
        ):
            if which:
                agent_replies = agent.act(
                    [views[i] for i in which],
                    [seeds[i] for i in which],
                    [openings[i] for i in which] if openings else None,
                )
                for index, reply in zip(which, agent_replies, strict=True):
                    replies[index] = reply
        return replies


main: Any = command(stargate, check=check, tries=True)

if __name__ == "__main__":
    main()
