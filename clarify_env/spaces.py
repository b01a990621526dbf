"""The space of texts."""

from typing import Any

import numpy as np
from gymnasium.spaces import Space

# Samples are short whatever the space allows: a random megabyte would slow every compliance test and show nothing more.
_SAMPLE_LENGTH = 40
# A few of each: letters, digits, white space, what the grammar uses, what it must survive.
_SAMPLE_CHARACTERS = tuple("abcdefghijklmnopqrstuvwxyzABC0123456789   \n\t;:,.#_-'\"<|>{}éßЖ漢🙂\u200b\u00a0")


class Text(Space[str]):
    """Any string up to a length.

    Unlike `gymnasium.spaces.Text` it takes every character, and `contains` looks at the length only.

    Args:
        max_length: Most characters.
        openings: `sample` begins with one of these, so that random play gets past the first move.
        seed: Seeds `sample`.
    """

    def __init__(
        self, max_length: int, openings: tuple[str, ...] = ("",), seed: int | np.random.Generator | None = None
    ):
        self.max_length, self.openings = max_length, openings
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: an array with a number for every possible character would be vast."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Draws a short text of arbitrary characters; there is nothing to mask or to weigh."""
        if mask is not None or probability is not None:
            raise ValueError("a text space takes neither mask nor probability")
        rng = self.np_random
        drawn = rng.integers(len(_SAMPLE_CHARACTERS), size=rng.integers(_SAMPLE_LENGTH + 1))
        opening = self.openings[rng.integers(len(self.openings))]
        return (opening + "".join(_SAMPLE_CHARACTERS[i] for i in drawn))[: self.max_length]

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"Text({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.max_length, self.openings) == (other.max_length, other.openings)
