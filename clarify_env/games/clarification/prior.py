"""Prompts about the readings' probabilities (arXiv 2602.16699): the question to the model, and the line on them."""

from collections.abc import Mapping, Sequence

from clarify_env.games.description import Messages
from clarify_env.tasks.base import Episode

_ASKED = """\
The user's question may be ambiguous. Say which of its readings the user most likely means; write that reading alone."""
_ONE = "Likelihood: there is one reading."


def question(episode: Episode, order: Sequence[int]) -> Messages:
    """Asks which reading is meant, the readings named by their labels in an order."""
    system = f"{_ASKED}\n{episode.context}" if episode.context else _ASKED
    readings = "; ".join(episode.interpretations[reading].label for reading in order)
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": f"{episode.query}\nReadings: {readings}. Which one is meant?"},
    ]


def line(episode: Episode, shares: Mapping[int, float]) -> str:
    """States the probability of each reading, in the order of the shares."""
    if len(shares) == 1:
        return _ONE
    parts = (f"{episode.interpretations[reading].label} {share:.0%}" for reading, share in shares.items())
    return f"Likelihood: {', '.join(parts)}."
