"""Prices of a turn and of a word: where they are drawn from, and the sets on which policies are measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from clarify_env.costs import LARGEST, Prices, as_prices
from clarify_env.options import option

# Held-out values of each axis inside the trained range, and beyond it.
_INSIDE, _BEYOND = 3, (1.2, 1.6)


@dataclass(frozen=True)
class PingPlane:
    """Prices of a turn and of a word, spaced by ratio.

    *Between* values lie inside the range; training values in a band around each of them are left out. *Beyond* values
    are 1.2 to 1.6 times the largest training value.
    """

    turn: tuple[float, float] = option((0.004, 0.12))
    """Smallest and largest trained price of a message, in units of reward; increasing, above 0."""
    word: tuple[float, float] = option((0.001, 0.03))
    """Smallest and largest trained price of a word, in units of reward; increasing, above 0."""
    values: int = option(40, least=1, most=10_000)
    """Training values an axis, before those near a held-out value are left out; at least 12 remain."""
    steps: tuple[float, float] = option((0.001, 0.0001), above=0)
    """Prices are whole multiples of these: (turn, word)."""
    band: float = option(0.05, least=0)
    """Training values within this ratio minus 1 of a held-out value are left out; at least 0."""

    def __post_init__(self) -> None:
        for name in ("turn", "word", "steps"):
            object.__setattr__(self, name, tuple(as_prices(getattr(self, name))))  # a list has no hash
        for name, step in (("turn", self.steps[0]), ("word", self.steps[1])):
            low, high = getattr(self, name)
            if not 0 < low < high <= LARGEST:
                raise ValueError(
                    f"costs.{name} must be two increasing positive numbers of at most {LARGEST:,}, not {[low, high]}"
                )
            if step > low:
                raise ValueError(f"costs.steps must be at most the smallest prices, and {step} is above {low}")
        if min(map(len, self.axes())) < 12:
            raise ValueError(f"costs.values={self.values} leaves fewer than 12 training values on an axis")

    def axes(self) -> tuple[tuple[float, ...], ...]:
        """Returns the training values of each axis: prices of a turn, and of a word."""
        return tuple(
            tuple(
                value
                for value in self._spaced(axis, self.values)
                if all(max(value / held, held / value) > 1 + self.band for held in self._inside(axis))
            )
            for axis in (0, 1)
        )

    def train(self) -> tuple[Prices, ...]:
        """Returns all training prices."""
        return _train(self)

    def draw(
        self, size: int, rng: np.random.Generator, corner: float = 0.0, word_ends: float = 0.0
    ) -> tuple[Prices, ...]:
        """Draws training prices without replacement, or all of them if there are fewer; the ends are not favoured."""
        prices = self.train()
        return tuple(prices[i] for i in rng.choice(len(prices), min(size, len(prices)), replace=False))

    def sets(self) -> dict[str, tuple[Prices, ...]]:
        """Returns the sets of prices that every evaluation reports."""
        axes = self.axes()
        seen = [[axis[round(i)] for i in np.linspace(0, len(axis) - 1, _INSIDE)] for axis in axes]
        inside = [self._inside(axis) for axis in (0, 1)]
        beyond: list[list[float]] = [
            [self._rounded(self._range(axis)[1] * ratio, axis) for ratio in _BEYOND] for axis in (0, 1)
        ]
        chosen: dict[str, Sequence[Sequence[float]]] = {
            "seen": seen,
            "between": inside,
            "beyond_turn": (beyond[0], inside[1]),
            "beyond_word": (inside[0], beyond[1]),
            "beyond_both": beyond,
        }
        return {name: tuple(product(*values)) for name, values in chosen.items()}

    def grid(self, n: int = 8) -> tuple[tuple[float, ...], ...]:
        """Returns the values of each axis of the n x n grid on which steering is measured."""
        return tuple(self._spaced(axis, n) for axis in (0, 1))

    def _range(self, axis: int) -> tuple[float, float]:
        return (self.turn, self.word)[axis]

    def _rounded(self, value: float, axis: int) -> float:
        step = self.steps[axis]
        return round(round(value / step) * step, 9)

    def _spaced(self, axis: int, n: int) -> tuple[float, ...]:
        return tuple(dict.fromkeys(self._rounded(value, axis) for value in np.geomspace(*self._range(axis), n)))

    def _inside(self, axis: int) -> tuple[float, ...]:
        return self._spaced(axis, _INSIDE + 2)[1:-1]


# Cached: every draw needs it.
@lru_cache(maxsize=16)
def _train(plane: PingPlane) -> tuple[Prices, ...]:
    return tuple(product(*plane.axes()))
