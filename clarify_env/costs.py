"""Costs, and the sets of costs that models are trained and measured on."""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np


class Costs(NamedTuple):
    """What the assistant pays.

    Attributes:
        alpha: Cost of one clarifying question, in units of reward.
        beta: Cost of one word of the assistant's last message, in units of reward.
    """

    alpha: float
    beta: float

    def __str__(self) -> str:
        return _described(*self)


def check_costs(costs: Costs) -> Costs:
    """Returns the costs; raises ValueError where one is not a finite number of at least 0."""
    for name, value in zip(Costs._fields, costs, strict=True):
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise ValueError(f"costs.{name} must be a finite number of at least 0, not {value!r}")
    return Costs(*costs)


@lru_cache(maxsize=4096)
def _described(alpha: float, beta: float) -> str:
    return f"each question costs {plain(alpha, 2)}, each word {plain(beta, 3)}"


def plain(value: float, places: int) -> str:
    """A number as people write it, with so many decimal places or, where it has more, all of them."""
    # Digits stand in fixed places, which a small model reads more easily; more are shown where
    # the value has more, since the prompt must not misstate a price.
    written = int(Decimal(repr(float(value))).as_tuple().exponent)
    return f"{value:.{max(places, -written)}f}"


SETS = ("seen", "between", "beyond_alpha", "beyond_beta", "beyond_both")


@dataclass(frozen=True)
class CostPlane:
    """The cost plane of an experiment.

    Training values stand on a grid spaced by ratio. *Between* values lie inside it; a band around each is kept out of
    everything that is trained on. *Beyond* values are 1.2 to 1.6 times the largest training value.

    Attributes:
        alpha: Smallest and largest trained cost of a question.
        beta: Smallest and largest trained cost of a word.
        values: Grid values an axis, before those in a band are taken out.
        steps: Training values are whole multiples of these: (alpha, beta).
        band: Half-width, as a ratio less one, of the band around each between value.
    """

    # Chosen with the profiles of the almanac, by its map: between, no fixed strategy earns more than 88 % of the
    # oracle, and beyond both, 81 %. The largest begin, as prompts write them (prompts.QUESTIONS, prompts.WORDS), with
    # the digit of all that lie beyond them, and the steps are such that prompts write trained prices as long as others.
    # Values are many, lest a price be known by heart instead of read: with 25 and 17 an axis, on an earlier almanac,
    # the policy took prices beyond both for lower ones (docs/results.md).
    alpha: tuple[float, float] = (0.16, 0.62)
    beta: tuple[float, float] = (0.022, 0.052)
    values: int = 100
    steps: tuple[float, float] = (0.005, 0.00025)
    band: float = 0.05

    def __post_init__(self):
        for name in ("alpha", "beta", "steps"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list has no hash
        for name in ("alpha", "beta"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"costs.{name} must be two increasing positive numbers, not {low}, {high}")
        if not min(self.steps) > 0:
            raise ValueError(f"costs.steps must be two positive numbers, not {self.steps}")
        if min(map(len, self.train_values())) < 12:
            raise ValueError(f"costs.values={self.values} leaves fewer than 12 training values on an axis")

    def train_values(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The training values of each axis: (alphas, betas)."""
        axes = []
        for (low, high), held, step in zip((self.alpha, self.beta), self._between(), self.steps, strict=True):
            spaced = np.geomspace(low, high, self.values).tolist()
            grid = dict.fromkeys(round(round(value / step) * step, 9) for value in spaced)
            axes.append(tuple(v for v in grid if all(max(v / h, h / v) > 1 + self.band for h in held)))
        return axes[0], axes[1]

    def train(self) -> tuple[Costs, ...]:
        """Every training cell."""
        return _train_cells(self)

    def draw(
        self, size: int, rng: np.random.Generator, dearest: float = 0.0, word_ends: float = 0.0
    ) -> tuple[Costs, ...]:
        """Draws so many training cells, none twice; where there are fewer, all of them.

        Args:
            size: How many.
            rng: What draws them.
            dearest: Chance by which one drawn makes way for the cell of both largest costs.
            word_ends: Chance by which its beta makes way for the smallest, and as much for the largest.
        """
        cells = self.train()
        drawn = np.array([cells[i] for i in rng.choice(len(cells), min(size, len(cells)), replace=False)])
        if dearest or word_ends:
            which = np.searchsorted(
                [dearest, dearest + word_ends, dearest + 2 * word_ends], rng.random(len(drawn)), "right"
            )
            drawn[which == 0] = cells[-1]
            drawn[which == 1, 1] = cells[0].beta
            drawn[which == 2, 1] = cells[-1].beta
        return tuple(Costs(*cell) for cell in drawn.tolist())

    def _between(self) -> tuple[list[float], list[float]]:
        # Five and four values at even ratios, off both ends: 20 cells.
        inner = [np.geomspace(*axis, n + 2)[1:-1] for axis, n in ((self.alpha, 5), (self.beta, 4))]
        return [round(v, 2) for v in inner[0].tolist()], [round(v, 3) for v in inner[1].tolist()]

    def sets(self) -> dict[str, tuple[Costs, ...]]:
        """The five sets that every evaluation reports, 20 cells each."""
        alphas, betas = self.train_values()
        seen = [[axis[round(i)] for i in np.linspace(0, len(axis) - 1, n)] for axis, n in ((alphas, 5), (betas, 4))]
        inside = self._between()
        far_alpha = [round(self.alpha[1] * r, 2) for r in np.linspace(1.2, 1.6, 5).tolist()]
        far_beta = [round(self.beta[1] * r, 3) for r in np.linspace(1.2, 1.6, 4).tolist()]
        axes = {
            "seen": seen,
            "between": inside,
            "beyond_alpha": (far_alpha, inside[1]),
            "beyond_beta": (inside[0], far_beta),
            "beyond_both": (far_alpha, far_beta),
        }
        return {name: tuple(Costs(*cell) for cell in product(*axes[name])) for name in SETS}

    def grid(self, n: int = 8) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The n x n grid on which steering is measured: (alphas, betas), evenly spaced by ratio."""
        alphas, betas = (np.geomspace(*axis, n).tolist() for axis in (self.alpha, self.beta))
        return tuple(round(a, 2) for a in alphas), tuple(round(b, 3) for b in betas)


# Asked for at every draw.
@lru_cache(maxsize=16)
def _train_cells(plane: CostPlane) -> tuple[Costs, ...]:
    return tuple(Costs(*cell) for cell in product(*plane.train_values()))
