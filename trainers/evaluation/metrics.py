"""Measuring a policy (DESIGN section 7): exact over intents, beside the oracle and the fixed strategies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.selfplay import Start, play, turn_seed
from clarify_env.costs import CostPlane, Costs
from clarify_env.games.base import Agent, Game, Trajectory
from clarify_env.games.clarification.actions import KINDS, MultiAnswer, kind
from clarify_env.games.clarification.oracle import ACTIONS, FIXED, Solved
from clarify_env.tasks.base import Episode, Task

_COMPONENTS = ("reward", "accuracy", "f1", "questions", "words", "invalid", "ungrounded", "leak")
# Sampling temperature of each mode of evaluation.
MODES = {"temperature": 1.0, "greedy": 0.0}
# A policy that earns as much as the best fixed strategy but for this margin is not dominated by it.
DOMINANCE_MARGIN = 0.03


# Of finished games, in one go: shape [games].
Score = Callable[[Task, Sequence[Trajectory]], np.ndarray]


class Played(NamedTuple):
    """A policy's games on every (question, costs) pair, averaged over intents by weight.

    Attributes:
        values: Each component, shape [questions, cells].
        first: Kind of the first message as an index into `KINDS`; ``invalid`` where the game ended so. [questions,
            cells].
        drawn: Whether a tie was drawn by lot, so that the value holds only on average. [questions, cells].
        transcripts: A sample of games, for people to read.
        games: Games played.
    """

    values: dict[str, np.ndarray]
    first: np.ndarray
    drawn: np.ndarray
    transcripts: list[tuple[Trajectory, int]]
    games: int

    def rows(self, rows: Sequence[int]) -> "Played":
        """Of some of the questions alone, without transcripts."""
        kept = list(rows)
        values = {name: value[kept] for name, value in self.values.items()}
        return Played(values, self.first[kept], self.drawn[kept], [], self.games)


def play_cells(
    task: Task,
    episodes: Sequence[Episode],
    cells: Sequence[Costs],
    agents: dict[str, Agent],
    make_game: Callable[..., Game],
    *,
    seed: int,
    chunk: int,
    progress: Callable[[int], None] = lambda pairs: None,
    sample: int = 0,
    scores: Mapping[str, Score] | None = None,
) -> Played:
    """Plays every question at every cost: one first message a pair, carried on for every intent.

    Args:
        task: Scores.
        episodes: The questions, E of them.
        cells: The costs, C of them.
        agents: Who plays each role.
        make_game: Called with (task, episode, intent, costs).
        seed: First messages and all that follows depend on it.
        chunk: Pairs in a batch.
        progress: Called with the number of pairs just played.
        sample: Number of games to keep as transcripts.
        scores: More scores of finished games, by name; components of their own.
    """
    pairs = [(e, c) for e in range(len(episodes)) for c in range(len(cells))]
    scores = scores or {}
    values = {name: np.zeros((len(episodes), len(cells))) for name in (*_COMPONENTS, *scores)}
    first = np.zeros((len(episodes), len(cells)), dtype=int)
    drawn = np.zeros((len(episodes), len(cells)), dtype=bool)
    rng = np.random.default_rng(seed)
    kept = set(rng.choice(len(pairs), size=min(sample, len(pairs)), replace=False).tolist())
    transcripts, games = [], 0
    for start in range(0, len(pairs), chunk):
        group = pairs[start : start + chunk]
        seeds = [turn_seed(seed, start + i) for i in range(len(group))]
        views = [make_game(task, episodes[e], 0, cells[c]).view("assistant") for e, c in group]
        openings = agents["assistant"].act(views, [turn_seed(s, 0) for s in seeds])
        starts, owner = [], []
        for i, ((e, c), opening) in enumerate(zip(group, openings, strict=True)):
            for intent in range(len(episodes[e].interpretations)):
                starts.append(Start(episodes[e], intent, cells[c], seeds[i], opening))
                owner.append(i)
        sampled: dict[int, list[Trajectory]] = {}
        finished = list(play(starts, agents, task=task, chunk=4 * chunk, make_game=make_game))
        scored = {name: score(task, finished) for name, score in scores.items()}
        for k, (i, game) in enumerate(zip(owner, finished, strict=True)):
            e, c = group[i]
            weight = episodes[e].interpretations[game.intent].weight
            for name in scores:
                values[name][e, c] += weight * scored[name][k]
            outcome = game.outcome
            for name in _COMPONENTS[1:]:
                values[name][e, c] += weight * getattr(outcome, name)
            values["reward"][e, c] += weight * outcome.reward(cells[c])
            drawn[e, c] |= _tied(game, task)
            first[e, c] = KINDS.index(kind(game.turns[0].action))
            if start + i in kept:
                sampled.setdefault(i, []).append(game)
        for i, played in sampled.items():
            weights = [reading.weight for reading in episodes[group[i][0]].interpretations]
            transcripts.append((played[int(rng.choice(len(weights), p=weights))], group[i][1]))
        games += len(starts)
        progress(len(group))
    return Played(values, first, drawn, transcripts, games)


def _tied(game: Trajectory, task: Task) -> bool:
    last = [turn for turn in game.turns if turn.role == "assistant"][-1].action
    return isinstance(last, MultiAnswer) and len(task.pick(last.items, game.intent, task.lookup(game.episode_id))) > 1


class Reference(NamedTuple):
    """What the oracle and the fixed strategies earn on the same pairs; shapes [questions, cells].

    Attributes:
        oracle: The oracle's value.
        action: Its first action, as an index into `ACTIONS`.
        words: Its words.
        fixed: The value of each fixed strategy.
        by_action: What the best plan earns that begins with each of `ACTIONS`: [questions, cells, actions].
    """

    oracle: np.ndarray
    action: np.ndarray
    words: np.ndarray
    fixed: dict[str, np.ndarray]
    by_action: np.ndarray

    def rows(self, rows: Sequence[int]) -> "Reference":
        """Of some of the questions alone."""
        kept = list(rows)
        fixed = {name: value[kept] for name, value in self.fixed.items()}
        return Reference(self.oracle[kept], self.action[kept], self.words[kept], fixed, self.by_action[kept])


def reference(solved: Sequence[Solved], cells: Sequence[Costs]) -> Reference:
    """Prices the oracle and the fixed strategies."""
    costs = np.array(cells)
    best = [s.oracle(costs) for s in solved]
    fixed = [s.fixed(costs) for s in solved]
    return Reference(
        np.array([value for value, _ in best]),
        np.array([action for _, action in best]),
        np.array([s.words_used(costs) for s in solved]),
        {name: np.array([row[name] for row in fixed]) for name in FIXED},
        np.array([s.by_action(costs) for s in solved]),
    )


def check_not_beaten(played: Played, against: Reference, episodes: Sequence[Episode]) -> None:
    """Fails the run where a policy earns more than the oracle: plans or rules have a hole (DESIGN section 3a)."""
    over = np.where(played.drawn, -np.inf, played.values["reward"] - against.oracle)
    e, c = np.unravel_index(over.argmax(), over.shape)
    if over[e, c] > 1e-9:
        raise AssertionError(
            f"a policy beats the oracle by {over[e, c]:.4f} on {episodes[e].id}: its plans have a hole"
        )


def lost_by_action(played: Played, against: Reference) -> np.ndarray:
    """The part of the regret that the first action decides, whatever is said with it; shape [questions, cells].

    The oracle's value less what the best plan earns that begins with the action played. The rest of the regret is lost
    by what was said: a wrong fact, a reading too many, a question that tells too little. A first message that is
    invalid, or an action that no plan begins with, has lost all by itself.
    """
    chosen = np.minimum(played.first, len(ACTIONS) - 1)[..., None]
    best = np.take_along_axis(against.by_action, chosen, axis=2)[..., 0]
    planned = (played.first < len(ACTIONS)) & np.isfinite(best)
    return against.oracle - np.where(planned, best, played.values["reward"])


def summarize(played: Played, against: Reference, episodes: Sequence[Episode], seed: int) -> dict[str, Any]:
    """One cost set's entry of ``summary.json``."""
    reward, oracle = played.values["reward"].mean(), against.oracle.mean()
    fixed = {name: float(values.mean()) for name, values in against.fixed.items()}
    best = max(fixed.values())
    per_cell = np.max([values.mean(0) for values in against.fixed.values()], axis=0)
    shares = {name: float((played.first == i).mean()) for i, name in enumerate(KINDS)}
    labels = [episode.meta.get("ambiguous") for episode in episodes]
    clear = played.values["accuracy"][[len(episode.interpretations) == 1 for episode in episodes]]
    # A game that ended invalid later on counts too.
    shares["invalid"] = float(played.values["invalid"].mean())
    return {
        "reward": float(reward),
        "reward_ci": bootstrap(played.values["reward"], episodes, seed),
        "oracle": float(oracle),
        "regret": float(oracle - reward),
        "regret_action": float(lost_by_action(played, against).mean()),
        "gap_closed": float((reward - best) / (oracle - best)) if oracle - best > 1e-9 else 0.0,
        "accuracy": float(played.values["accuracy"].mean()),
        "accuracy_clear": float(clear.mean()) if clear.size else None,
        "f1": float(played.values["f1"].mean()),
        "questions": float(played.values["questions"].mean()),
        "words": float(played.values["words"].mean()),
        "share": shares,
        "ungrounded": float(played.values["ungrounded"].mean()),
        "leak": float(played.values["leak"].mean()),
        "fixed": fixed,
        "dominance": float((played.values["reward"].mean(0) >= per_cell - DOMINANCE_MARGIN).mean()),
        **{name: float(values.mean()) for name, values in played.values.items() if name not in _COMPONENTS},
    } | ({} if None in labels else labelled(played, np.array(labels)))


def labelled(played: Played, ambiguous: np.ndarray) -> dict[str, float | None]:
    """How actions agree with labels that say whether a question needs asking back (as ACT reports, arXiv 2406.00222).

    Args:
        played: The games.
        ambiguous: Whether each question is labelled so; shape [questions].

    Returns:
        ``action_f1``, the macro F1 of asking and not asking as first actions; ``asked_accuracy``, the accuracy of games
        that begin with a question, ``None`` where none does.
    """
    asked = played.first == KINDS.index("clarify")
    scores = []
    for said, meant in ((asked, ambiguous[:, None]), (~asked, ~ambiguous[:, None])):
        either = said.sum() + np.broadcast_to(meant, said.shape).sum()
        scores.append(2 * (said & meant).sum() / either if either else 0.0)
    accuracy = played.values["accuracy"][asked].mean() if asked.any() else None
    return {"action_f1": float(np.mean(scores)), "asked_accuracy": None if accuracy is None else float(accuracy)}


def entities(episodes: Sequence[Episode]) -> list[str]:
    """What each question is about."""
    return [episode.meta.get("entity", episode.id) for episode in episodes]


def bootstrap(values: np.ndarray, episodes: Sequence[Episode], seed: int, draws: int = 1000) -> list[float]:
    """95 % interval of the mean by bootstrap over entities, each with all its questions and cells."""
    return interval(values.mean(1)[None], entities(episodes), seed, draws)


def interval(values: np.ndarray, about: Sequence[str], seed: int, draws: int = 1000) -> list[float]:
    """95 % interval of the mean by bootstrap over runs and over entities, each with all its questions.

    Args:
        values: Shape [runs, questions]; of one run, only entities are drawn.
        about: Each question's entity.
        seed: Decides what is drawn.
        draws: Number of resamples.
    """
    names, owner = np.unique(about, return_inverse=True)
    sizes = np.bincount(owner)
    sums = np.stack([np.bincount(owner, weights=row, minlength=len(names)) for row in values])
    rng = np.random.default_rng(seed)
    runs = rng.integers(len(values), size=(draws, len(values)))
    drawn = rng.integers(len(names), size=(draws, len(names)))
    of_runs = np.stack([sums[run].mean(0) for run in runs])
    means = np.take_along_axis(of_runs, drawn, 1).sum(1) / sizes[drawn].sum(1)
    return np.quantile(means, [0.025, 0.975]).tolist()


def grid_report(played: Played, against: Reference, alphas: Sequence[float], betas: Sequence[float]) -> dict[str, Any]:
    """The maps of the cost plane for the report: matrices indexed [alpha][beta]."""

    def square(values: np.ndarray) -> list[list[float]]:
        return values.mean(0).reshape(len(alphas), len(betas)).tolist()

    def shares(first: np.ndarray, names: Iterable[str], order: Sequence[str]) -> dict[str, list[list[float]]]:
        return {name: square(first == order.index(name)) for name in names}

    return {
        "alphas": list(alphas),
        "betas": list(betas),
        "policy": shares(played.first, ACTIONS, KINDS)
        | {"words": square(played.values["words"]), "reward": square(played.values["reward"])},
        "oracle": shares(against.action, ACTIONS, ACTIONS)
        | {"words": square(against.words), "reward": square(against.oracle)},
    }


def cells_report(played: Played, against: Reference, cells: Sequence[Costs]) -> dict[str, Any]:
    """A cost set cell by cell, for the report."""
    shares = {name: (played.first == KINDS.index(name)).mean(0).tolist() for name in ACTIONS}
    return shares | {
        "cells": [list(cell) for cell in cells],
        "reward": played.values["reward"].mean(0).tolist(),
        "oracle": against.oracle.mean(0).tolist(),
        "fixed": {name: values.mean(0).tolist() for name, values in against.fixed.items()},
    }


def transcript(game: Trajectory, task: Task, against: float) -> dict[str, Any]:
    """A game as the report shows it."""
    episode = task.lookup(game.episode_id)
    meant = episode.interpretations[game.intent]
    return {
        "episode_id": game.episode_id,
        "query": episode.query,
        "intent": meant.text,
        "gold": list(meant.answers),
        "readings": [[reading.label, reading.answers[0], reading.weight] for reading in episode.interpretations],
        "costs": list(game.costs),
        "turns": [[turn.role, turn.reply.text] for turn in game.turns],
        "reward": game.outcome.reward(game.costs),
        "oracle": against,
        "accuracy": game.outcome.accuracy,
        "action": kind(game.turns[0].action),
        "invalid": game.outcome.invalid,
    }


def sets_and_grid(plane: CostPlane, n: int) -> tuple[dict[str, tuple[Costs, ...]], tuple[Costs, ...]]:
    """The cost sets, and the steering grid as a flat list of cells in the order `grid_report` expects."""
    alphas, betas = plane.grid(n)
    return plane.sets(), tuple(Costs(alpha, beta) for alpha in alphas for beta in betas)
