"""STaR-GATE (arXiv 2403.19154): learning to ask by what the answer gains from it.

Several games of each question and reading open with a question. Each conversation is scored by the log-probability of
the gold answer after it *under the frozen base model*; the best of each reading is kept, and the base model is
fine-tuned on its questions, and on the answers the policy itself gave there, lest it forget to answer. Costs are no
part of the method.
"""

import copy

import numpy as np
from omegaconf import DictConfig

from agents.hf import HFAgent, Row
from clarify_env.games.base import Agent, Reply, Trajectory, View
from clarify_env.games.clarification.actions import Answer, Clarify, MultiAnswer
from trainers.evaluation.measure import measure, task_to_measure, validate
from trainers.evaluation.scores import gold_logprobs
from trainers.learning.update import improve, update_config, update_tokens
from trainers.rollouts.sample import generated_tokens, grow, players
from trainers.runs import run as running
from trainers.runs.run import Run, command
from trainers.runs.store import write_json


def stargate(config: DictConfig, run: Run) -> None:
    """Plays, scores, keeps the best and fine-tunes from the base, ``stargate.iterations`` times. Then measures.

    The control, in which the base model answers what the trained model asked, is measured into ``control``.
    """
    running.seed_everything(config.seed)
    update_config(config["update"])
    if config.stargate.iterations < 1:
        raise ValueError(f"stargate.iterations must be at least 1, not {config.stargate.iterations}")
    task = task_to_measure(config)
    base, tokenizer = running.load_model(config)
    model, used = base, dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, config, task, players(config, task, base, tokenizer, 1.0), iteration=0)
    scorer = HFAgent(base, tokenizer, style=config.prompts.style, batch=config.selfplay.batch)
    labels: set[tuple[str, int]] = set()
    for iteration in range(1, config.stargate.iterations + 1):
        policy = players(config, task, model, tokenizer, config.sample.temperature)
        games: list[Trajectory] = []
        for _, its in grow(config, run, task, policy, iteration, config.budget.games // config.stargate.iterations):
            games += its
        kept = best(games, gold_logprobs(scorer, task, games))
        rows = [row for game in kept for row in rows_of(scorer, game, config.stargate.answers)]
        model = improve(config, run, base, tokenizer, rows, iteration)
        labels |= {(game.episode_id, game.intent) for game in games}
        used["games"] += len(games)
        used["generated_tokens"] += generated_tokens(games)
        used["update_tokens"] += update_tokens(rows, update_config(config["update"]))
        validate(run, config, task, players(config, task, model, tokenizer, 1.0), iteration=iteration)
    used["gold_labels"] = len(labels)

    def trained(temperature: float) -> dict[str, Agent]:
        return players(config, task, model, tokenizer, temperature)

    def control(temperature: float) -> dict[str, Agent]:
        answerer = players(config, task, base, tokenizer, temperature)["assistant"]
        return trained(temperature) | {"assistant": FixedAnswerer(trained(temperature)["assistant"], answerer)}

    measure(run, config, task, trained, method="stargate", budget=used)
    aside = copy.copy(run)
    aside.dir = run.dir / "control"
    aside.dir.mkdir(exist_ok=True)
    write_json(aside.dir / "config.json", run.config)
    measure(aside, config, task, control, method="stargate, the base answers", budget=used)


def best(games: list[Trajectory], scored: np.ndarray) -> list[Trajectory]:
    """The game of the highest score of each question and reading."""
    found: dict[tuple[str, int], int] = {}
    for index, game in enumerate(games):
        key = game.episode_id, game.intent
        if key not in found or scored[index] > scored[found[key]]:
            found[key] = index
    return [games[index] for index in found.values()]


def rows_of(agent: HFAgent, game: Trajectory, answers: bool) -> list[Row]:
    """A game's questions as rows to learn and, with ``answers``, the policy's own answer if it is within the rules."""
    learned = (Clarify, Answer, MultiAnswer) if answers else Clarify
    return [
        Row(agent.encode(turn.view), turn.reply.ids)
        for turn in game.turns
        if turn.role == "assistant" and isinstance(turn.action, learned)
    ]


class FixedAnswerer:
    """Opens as one assistant does and goes on as another: what is asked is separated from how it is answered.

    Args:
        opener: Says the first message.
        answerer: Says every other, and is the one whose log-probabilities count.
    """

    def __init__(self, opener: Agent, answerer: Agent):
        self.opener, self.answerer, self.name = opener, answerer, opener.name

    def act(self, views: list[View], seeds: list[int], prefixes: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.base.Agent`."""
        replies: list[Reply | None] = [None] * len(views)
        for agent, which in (
            (self.opener, [i for i, view in enumerate(views) if not view.history]),
            (self.answerer, [i for i, view in enumerate(views) if view.history]),
        ):
            if which:
                said = agent.act(
                    [views[i] for i in which],
                    [seeds[i] for i in which],
                    [prefixes[i] for i in which] if prefixes else None,
                )
                for index, reply in zip(which, said, strict=True):
                    replies[index] = reply
        return replies


main = command(stargate)

if __name__ == "__main__":
    main()
