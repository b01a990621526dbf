"""Measures that the clarification game reports besides the reward."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.games.base import Game, Trajectory
from clarify_env.games.clarification.actions import KINDS
from clarify_env.games.clarification.rules import closing_answer
from clarify_env.tasks.base import Episode, Task


def measures(task: Task, episode: Episode, game: Game | Trajectory) -> dict[str, Any]:
    """Measures of one finished game.

    Returns:
        ``accuracy``, ``f1`` (token F1 of the closing answer), ``questions`` asked, ``words`` charged; and the flags
        ``invalid``, ``ungrounded`` and ``leak``.
    """
    result = game.result
    assert result is not None, "only a finished game is measured"
    closing, usage, flags = closing_answer(game), result.usage, result.flags
    return {
        "accuracy": result.score,
        "f1": 0.0 if closing is None else task.f1(closing, game.hidden, episode),
        "questions": usage["questions"] - flags["invalid"],
        "words": usage["words"],
        "invalid": flags["invalid"],
        "ungrounded": flags["ungrounded"],
        "leak": flags["leak"],
    }


def summary(episodes: Sequence[Episode], values: Mapping[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
    """Aggregates over all games other than the means of the measures.

    Args:
        episodes: E episodes.
        values: Each measure, shape [E, C].
        first: Kind of the first message as an index into `KINDS`, shape [E, C].

    Returns:
        ``accuracy_clear``: the accuracy on episodes with one reading, ``None`` if there are none; and, if every episode
        is labelled (``meta["ambiguous"]``), the entries of `labelled`.
    """
    clear = values["accuracy"][[len(episode.interpretations) == 1 for episode in episodes]]
    labels = [episode.meta.get("ambiguous") for episode in episodes]
    entry: dict[str, Any] = {"accuracy_clear": float(clear.mean()) if clear.size else None}
    return entry if None in labels else entry | labelled(values["accuracy"], first, np.array(labels))


def labelled(accuracy: np.ndarray, first: np.ndarray, ambiguous: np.ndarray) -> dict[str, float | None]:
    """Agreement of first actions with labels of ambiguity (ACT, arXiv 2406.00222).

    Args:
        accuracy: Shape [E, C].
        first: Kind of the first message as an index into `KINDS`, shape [E, C].
        ambiguous: Whether each episode is labelled ambiguous, shape [E].

    Returns:
        ``action_f1``: macro F1 of asking and not asking as first actions; ``asked_accuracy``: accuracy of the games
        that begin with a question, ``None`` if there are none.
    """
    asking = first == KINDS.index("clarify")
    scores = []
    for predicted, gold in ((asking, ambiguous[:, None]), (~asking, ~ambiguous[:, None])):
        total = predicted.sum() + np.broadcast_to(gold, predicted.shape).sum()
        scores.append(2 * (predicted & gold).sum() / total if total else 0.0)
    mean = accuracy[asking].mean() if asking.any() else None
    return {"action_f1": float(np.mean(scores)), "asked_accuracy": None if mean is None else float(mean)}


def deal(episode: Episode, intent: int) -> dict[str, Any]:
    """JSON-able summary of a deal for people: query, intended reading, gold answers, and all readings.

    A reading is its label, first answer and weight. The only reading of a query has no label to tell it from others.
    """
    reading_meant = episode.interpretations[intent]
    labelled = len(episode.interpretations) > 1
    return {
        "query": episode.query,
        "intent": reading_meant.text,
        "gold": list(reading_meant.answers),
        "readings": [
            [reading.label if labelled else "", reading.answers[0], reading.weight]
            for reading in episode.interpretations
        ],
    }
