"""Rules for the episodes and scores of tasks; those of other packages deal and score as they like."""

import math
import numbers
from collections.abc import Hashable, Iterator
from typing import Any

from clarify_env.tasks.base import Episode, Interpretation, Task

# Largest difference of the sum of the weights from 1.
_TOLERANCE = 1e-6


def episode_fault(episode: Any) -> str | None:
    """Returns what is wrong with the types and weights of an episode, in words; ``None``: nothing."""
    return next(_faults(episode), None)


def _faults(episode: Any) -> Iterator[str]:
    """Yields what is wrong, the first fault first; later ones may follow from earlier ones, or fail to be told."""
    if not isinstance(episode, Episode):
        yield f"_episode must return an Episode, not {_shown(episode)}"
    for name in ("id", "query", "context"):
        if not isinstance(value := getattr(episode, name), str):
            yield f"{name} must be a text, not {_shown(value)}"
    if not isinstance(episode.meta, dict):
        yield f"meta must be a dictionary, not {_shown(episode.meta)}"
    if not isinstance(entity := episode.meta.get("entity"), Hashable):
        yield f"meta: entity must be a text, not {_shown(entity)}"
    readings = episode.interpretations
    if not isinstance(readings, tuple | list):
        yield f"its readings must be a tuple, not {_shown(readings)}"
    if not readings:
        yield "it has no readings"
    for i, reading in enumerate(readings):
        yield from _reading_faults(reading, f"reading {i}")
    total = math.fsum(reading.weight for reading in readings)
    if not abs(total - 1) < _TOLERANCE:
        yield f"the readings' weights sum to {total:g}, not 1"


def _reading_faults(reading: Any, name: str) -> Iterator[str]:
    if not isinstance(reading, Interpretation):
        yield f"{name} must be an Interpretation, not {_shown(reading)}"
    for part in ("label", "text"):
        if not isinstance(value := getattr(reading, part), str):
            yield f"the {part} of {name} must be a text, not {_shown(value)}"
    answers, weight = reading.answers, reading.weight
    if not isinstance(answers, tuple | list):  # of a text, each letter would be an answer
        example = (answers if isinstance(answers, str) else "Seoul",)
        yield f"the answers of {name} must be a tuple, such as {_shown(example)}, not {_shown(answers)}"
    for i, answer in enumerate(answers):
        if not isinstance(answer, str):
            yield f"answer {i} of {name} must be a text, not {_shown(answer)}"
    if not answers:
        yield f"{name} has no answer"
    if not isinstance(weight, numbers.Real) or not math.isfinite(weight) or weight < 0:
        yield f"{name} has weight {_shown(weight)}, which is no positive finite number"
    if not weight:
        yield f"{name} has weight {weight}, so it is never meant"


def checked_score(task: Task, answer: str, intent: int, episode: Episode) -> float:
    """Returns the task's score of an answer.

    Raises:
        ValueError: It is no number in [0, 1].
    """
    score = task.score(answer, intent, episode)
    if not isinstance(score, numbers.Real) or not 0 <= score <= 1:
        where = f"task {task.name}, episode {episode.id}"
        raise ValueError(f"{where}: the score of {_shown(answer)} is {score!r}, not a number in [0, 1]")
    return score


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
