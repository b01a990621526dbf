"""Reward-weighted fine-tuning (arXiv 2506.06964): the log-likelihood of games, weighted by what they earned.

*Refit* weighs by the reward itself; its bound on the policy's value (section 3 there) wants rewards that are not
negative, so the lowest attainable is taken off. *Swift* weighs by the reward standardised over the games of the same
context, a question at given costs; weights may be negative, and contexts whose games all earn the same teach nothing.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from omegaconf import DictConfig

from agents.hf import HFAgent, Row
from clarify_env.costs import Costs
from clarify_env.games.base import Trajectory
from clarify_env.tasks.base import Episode
from trainers.evaluation.measure import measure, task_to_measure, validate
from trainers.learning.update import improve, update_config, update_tokens
from trainers.rollouts.sample import generated_tokens, grow, players
from trainers.runs import run as running
from trainers.runs.run import Run, command
from trainers.selection.returns import Earned, earned, expected


def rwsft(config: DictConfig, run: Run) -> None:
    """Plays ``budget.games`` games with the base model, weighs them, fine-tunes on them once, and measures."""
    running.seed_everything(config.seed)
    update_config(config["update"])
    if config.rwsft.weight not in ("refit", "swift"):
        raise ValueError(f"rwsft.weight must be refit or swift, not {config.rwsft.weight!r}")
    task = task_to_measure(config)
    base, tokenizer = running.load_model(config)
    policy = players(config, task, base, tokenizer, config.sample.temperature)
    validate(run, config, task, policy, iteration=0)
    groups, used = [], {"games": 0, "generated_tokens": 0}
    for episode, games in grow(config, run, task, policy, 1, config.budget.games):
        groups.append((episode, games))
        used["games"] += len(games)
        used["generated_tokens"] += generated_tokens(games)
    rows, skipped = weigh(config, HFAgent(base, tokenizer, style=config.prompts.style), groups)
    if not run.recorded("weigh", 1):
        run.record("weigh", 1, 1, rows=len(rows), skipped=skipped)
    model = improve(config, run, base, tokenizer, rows, 1)
    used["update_tokens"] = update_tokens(rows, update_config(config["update"]))
    used["gold_labels"] = sum(len(e.interpretations) for e in {episode.id: episode for episode, _ in groups}.values())
    validate(run, config, task, players(config, task, model, tokenizer, 1.0), iteration=1)
    measure(
        run, config, task, lambda t: players(config, task, model, tokenizer, t), method=config.rwsft.weight, budget=used
    )


def weigh(
    config: DictConfig, agent: HFAgent, groups: Iterable[tuple[Episode, Sequence[Trajectory]]]
) -> tuple[list[Row], int]:
    """The rows of all groups at the costs they were played at or, with ``rwsft.hindsight``, at drawn training costs.

    Returns:
        The rows, and the number of (group, costs) that were skipped because all their games earned the same.
    """
    rng = np.random.default_rng([config.seed, 1000])
    plane = running.make_plane(config)
    rows: list[Row] = []
    skipped = 0
    for episode, games in groups:
        weights = [reading.weight for reading in episode.interpretations]
        cells = plane.draw(config.rwsft.hindsight, rng) if config.rwsft.hindsight else [games[0].costs]
        for costs in cells:
            messages = expected(games, costs, weights) if config.sample.marginal else earned(games, costs)
            if config.rwsft.weight == "refit":
                weighed = refit(messages, lowest(costs, config.selfplay.max_questions, config.assistant.max_new_tokens))
            else:
                weighed = swift(messages)
                skipped += not weighed
            rows += [Row(agent.encode(m.view), m.reply.ids, weight) for m, weight in weighed if weight]
    return rows, skipped


def refit(messages: Sequence[Earned], floor: float) -> list[tuple[Earned, float]]:
    """Weights that are rewards above the lowest attainable.

    The shift leaves the order of games as it is and adds the same likelihood term for each: what was sampled is
    imitated the more, the lower the floor lies beneath the rewards.
    """
    return [(message, message.share * (message.reward - floor)) for message in messages]


def swift(messages: Sequence[Earned]) -> list[tuple[Earned, float]]:
    """Weights that are rewards less their mean, over their standard deviation; nothing where all are the same.

    Mean and deviation are over the messages that open the context's games, one a game.
    """
    rewards = np.array([message.reward for message in messages if not message.view.history])
    mean, deviation = rewards.mean(), rewards.std()
    if deviation < 1e-9:
        return []
    return [(message, message.share * (message.reward - mean) / deviation) for message in messages]


def lowest(costs: Costs, max_questions: int, max_words: int) -> float:
    """The least that a game can earn: every question asked, one more refused, and the longest message."""
    return -costs.alpha * (max_questions + 1) - costs.beta * max_words


main = command(rwsft)

if __name__ == "__main__":
    main()
