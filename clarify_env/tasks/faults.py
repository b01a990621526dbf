"""What is wrong with the form of an episode, in words; tasks of other packages deal what they like."""

import math
import numbers
from collections.abc import Hashable
from typing import Any

from clarify_env.tasks.base import Episode, Interpretation

# Largest difference of the sum of the weights from 1.
_TOLERANCE = 1e-6


def episode_fault(episode: Any) -> str | None:
    """Returns what is wrong with the types and weights of an episode; ``None``: nothing."""
    if not isinstance(episode, Episode):
        return f"it is no Episode, but {_shown(episode)}"
    for name in ("id", "query", "context"):
        if not isinstance(value := getattr(episode, name), str):
            return f"its {name} must be a text, not {_shown(value)}"
    if not isinstance(episode.meta, dict) or not isinstance(episode.meta.get("entity"), Hashable):
        return f"its meta must be a dictionary with a text as entity, not {_shown(episode.meta)}"
    readings = episode.interpretations
    if not isinstance(readings, tuple | list):
        return f"its readings must be a tuple, not {_shown(readings)}"
    if not readings:
        return "it has no readings"
    for i, reading in enumerate(readings):
        if fault := _reading_fault(reading):
            return f"reading {i} {fault}"
    total = math.fsum(reading.weight for reading in readings)
    return None if abs(total - 1) < _TOLERANCE else f"the readings' weights sum to {total:g}, not 1"


def _reading_fault(reading: Any) -> str | None:
    if not isinstance(reading, Interpretation):
        return f"is no Interpretation, but {_shown(reading)}"
    for name in ("label", "text"):
        if not isinstance(value := getattr(reading, name), str):
            return f"has a {name} that is no text, but {_shown(value)}"
    answers, weight = reading.answers, reading.weight
    if not isinstance(answers, tuple | list) or not all(isinstance(answer, str) for answer in answers):
        return f"must have a tuple of texts as answers, not {_shown(answers)}"
    if not answers:
        return "has no answer"
    if not isinstance(weight, numbers.Real) or not math.isfinite(weight) or weight < 0:
        return f"has weight {_shown(weight)}, which is no positive finite number"
    return None if weight else f"has weight {weight}, so it is never meant"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
