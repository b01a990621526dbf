"""A Gymnasium space of texts."""

from typing import Any

import numpy as np
from gymnasium.spaces import Space

# Longest sample, whatever the space allows: longer ones would slow every compliance test and test nothing more.
_SAMPLE_LENGTH = 40
# Letters, digits, white space, characters that the grammar uses, and characters that often break programs.
_SAMPLE_CHARACTERS = tuple("abcdefghijklmnopqrstuvwxyzABC0123456789   \n\t;:,.#_-'\"<|>{}éßЖ漢🙂\u200b\u00a0")


class Text(Space[str]):
    """Any string up to a length.

    Unlike `gymnasium.spaces.Text` it accepts every character: `contains` checks the length only.

    Args:
        max_length: Largest number of characters.
        openings: Every sample begins with one of these, so that random play gets past the first move.
        seed: Seed of `sample`.
    """

    def __init__(
        self, max_length: int, openings: tuple[str, ...] = ("",), seed: int | np.random.Generator | None = None
    ):
        self.max_length, self.openings = max_length, openings
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: an array with one number for each possible character would be too large."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Draws a short text of arbitrary characters.

        Raises:
            ValueError: A mask or a probability is given.
        """
        if mask is not None or probability is not None:
            raise ValueError("a text space takes neither mask nor probability")
        rng = self.np_random
        characters = rng.integers(len(_SAMPLE_CHARACTERS), size=rng.integers(_SAMPLE_LENGTH + 1))
        opening = self.openings[rng.integers(len(self.openings))]
        return (opening + "".join(_SAMPLE_CHARACTERS[i] for i in characters))[: self.max_length]

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string of at most ``max_length`` characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"Text({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.max_length, self.openings) == (other.max_length, other.openings)
