"""Prices, where they are drawn from, and the sets of costs on which models are trained and evaluated."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np

from clarify_env.options import option

# Price of one of each of a game's usages.
Prices = tuple[float, ...]


class Plane(Protocol):
    """Where prices are drawn from, and the sets of prices on which a policy is measured."""

    def train(self) -> tuple[Prices, ...]:
        """Every price vector that may be trained at."""
        ...

    def draw(self, size: int, rng: np.random.Generator, *args: Any, **options: Any) -> tuple[Prices, ...]:
        """Draws training prices without replacement; where there are fewer, all of them."""
        ...

    def sets(self) -> Mapping[str, tuple[Prices, ...]]:
        """The sets of prices that evaluations report, by name."""
        ...

    def grid(self, n: int) -> tuple[tuple[float, ...], ...]:
        """Values an axis of the n x n grid on which steering is measured; empty where it is not."""
        ...


@dataclass(frozen=True)
class FixedPrices:
    """A plane with one price vector, which is never varied.

    Attributes:
        prices: Price of one of each usage.
    """

    prices: Prices = ()

    def train(self) -> tuple[Prices, ...]:
        """See `Plane.train`."""
        return (self.prices,)

    def draw(self, size: int, rng: np.random.Generator, *args: Any, **options: Any) -> tuple[Prices, ...]:
        """See `Plane.draw`."""
        return (self.prices,)

    def sets(self) -> dict[str, tuple[Prices, ...]]:
        """One set, named ``fixed``."""
        return {"fixed": (self.prices,)}

    def grid(self, n: int) -> tuple[tuple[float, ...], ...]:
        """None: nothing varies."""
        return ()


class Costs(NamedTuple):
    """A cost pair: what the assistant pays for a question and for a word.

    Attributes:
        alpha: Cost of one clarifying question, in units of reward.
        beta: Cost of one word of the assistant's last message, in units of reward.
    """

    alpha: float
    beta: float

    def __str__(self) -> str:
        return _as_text(*self)


def as_prices(values: Any) -> Any:
    """Converts an array, or a sequence with numpy numbers, to a tuple of Python numbers; anything else stays as it is.

    A number of fewer bits is read by its shortest decimal form: 0.1 as float32 is 0.1, not 0.10000000149.
    """
    if hasattr(values, "__array__") and not isinstance(values, np.ndarray):
        values = np.asarray(values)
    if isinstance(values, (tuple, list)) or (isinstance(values, np.ndarray) and values.ndim == 1):
        return tuple(map(_as_python, values))
    return values


def _as_python(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.floating) and not isinstance(value, float):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def is_price(value: Any) -> bool:
    """Returns whether a value is a finite number of at least 0."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value <= sys.float_info.max


def check_costs(costs: Any) -> Costs:
    """Returns a pair of costs as Python numbers.

    Raises:
        ValueError: It is no pair, or a cost is not a finite number of at least 0.
    """
    pair = as_prices(costs)
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        raise ValueError(f"costs must be a pair (alpha, beta) or, when an env is made, a CostPlane, not {pair!r}")
    costs = Costs(*pair)
    for name, value in zip(Costs._fields, costs, strict=True):
        if not is_price(value):
            raise ValueError(f"costs.{name} must be a finite number of at least 0, not {value!r}")
    return costs


@lru_cache(maxsize=4096)
def _as_text(alpha: float, beta: float) -> str:
    return f"each question costs {plain(alpha, 2)}, each word {plain(beta, 3)}"


def plain(value: float, places: int) -> str:
    """Formats a number with at least ``places`` decimal places; all of its places are written."""
    # A fixed number of places is easier to read for a small model. Further places are never cut: a prompt must state
    # the exact price.
    exact_places = int(Decimal(repr(float(value))).as_tuple().exponent)
    return f"{value:.{max(places, -exact_places)}f}"


# Largest cost of a plane, in units of reward; the score of a game is at most 1.
LARGEST = 1_000_000
SETS = ("seen", "between", "beyond_alpha", "beyond_beta", "beyond_both")


@dataclass(frozen=True)
class CostPlane:
    """The cost plane of an experiment.

    Training values lie on a grid that is evenly spaced by ratio. *Between* values lie inside the grid; training values
    in a band around each of them are removed. *Beyond* values are 1.2 to 1.6 times the largest training value.
    """

    # The defaults were chosen together with the almanac's profiles (docs/results.md, "Cost planes").
    alpha: tuple[float, float] = option((0.16, 0.62))
    """Smallest and largest trained cost of a clarifying question, in units of reward; increasing, above 0."""
    beta: tuple[float, float] = option((0.022, 0.052))
    """Smallest and largest trained cost of a word, in units of reward; increasing, above 0."""
    values: int = option(100, least=1, most=10_000)
    """Training values an axis, spaced by ratio, before those near a held-out value are left out; at least 12 remain."""
    steps: tuple[float, float] = option((0.005, 0.00025), above=0)
    """Training values are whole multiples of these: (alpha, beta)."""
    band: float = option(0.05, least=0)
    """Training values within this ratio minus 1 of a held-out value are left out; at least 0."""

    def __post_init__(self):
        for name in ("alpha", "beta", "steps"):
            object.__setattr__(self, name, tuple(as_prices(getattr(self, name))))  # a list has no hash
        for name in ("alpha", "beta"):
            low, high = getattr(self, name)
            if not 0 < low < high <= LARGEST:
                raise ValueError(
                    f"costs.{name} must be two increasing positive numbers of at most {LARGEST:,}, not {[low, high]}"
                )
        if not min(self.steps) >= 1 / LARGEST**2:
            raise ValueError(f"costs.steps must be two positive numbers, at least {1 / LARGEST**2}, not {self.steps}")
        if self.steps[0] > self.alpha[0] or self.steps[1] > self.beta[0]:
            raise ValueError(
                f"costs.steps must be at most the smallest costs, {self.alpha[0]} and {self.beta[0]}, not {self.steps}"
            )
        if min(map(len, self.train_values())) < 12:
            raise ValueError(f"costs.values={self.values} leaves fewer than 12 training values on an axis")

    def train_values(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The training values of each axis: (alphas, betas)."""
        axes = []
        for (low, high), between, step in zip((self.alpha, self.beta), self._between(), self.steps, strict=True):
            points = np.geomspace(low, high, self.values).tolist()
            grid = dict.fromkeys(round(round(value / step) * step, 9) for value in points)
            axes.append(tuple(v for v in grid if all(max(v / h, h / v) > 1 + self.band for h in between)))
        return axes[0], axes[1]

    def train(self) -> tuple[Costs, ...]:
        """All training costs, as pairs."""
        return _train_costs(self)

    def draw(
        self, size: int, rng: np.random.Generator, corner: float = 0.0, word_ends: float = 0.0
    ) -> tuple[Costs, ...]:
        """Draws training costs without replacement, or all of them if there are fewer than ``size``.

        Args:
            size: Number of cost pairs.
            rng: Random generator.
            corner: Probability that a drawn pair is replaced by (max alpha, max beta).
            word_ends: Probability that a drawn beta is replaced by the smallest one; the same again for the largest.
        """
        costs = self.train()
        pairs = np.array([costs[i] for i in rng.choice(len(costs), min(size, len(costs)), replace=False)])
        if corner or word_ends:
            choice = np.searchsorted(
                [corner, corner + word_ends, corner + 2 * word_ends], rng.random(len(pairs)), "right"
            )
            pairs[choice == 0] = costs[-1]
            pairs[choice == 1, 1] = costs[0].beta
            pairs[choice == 2, 1] = costs[-1].beta
        return tuple(Costs(*pair) for pair in pairs.tolist())

    def _between(self) -> tuple[list[float], list[float]]:
        # Five alphas and four betas, evenly spaced by ratio, without both ends: 20 cost pairs.
        inner = [np.geomspace(*axis, n + 2)[1:-1] for axis, n in ((self.alpha, 5), (self.beta, 4))]
        return [round(v, 2) for v in inner[0].tolist()], [round(v, 3) for v in inner[1].tolist()]

    def sets(self) -> dict[str, tuple[Costs, ...]]:
        """The five cost sets that every evaluation reports, 20 cost pairs each."""
        alphas, betas = self.train_values()
        seen = [[axis[round(i)] for i in np.linspace(0, len(axis) - 1, n)] for axis, n in ((alphas, 5), (betas, 4))]
        between = self._between()
        far_alpha = [round(self.alpha[1] * r, 2) for r in np.linspace(1.2, 1.6, 5).tolist()]
        far_beta = [round(self.beta[1] * r, 3) for r in np.linspace(1.2, 1.6, 4).tolist()]
        axes = {
            "seen": seen,
            "between": between,
            "beyond_alpha": (far_alpha, between[1]),
            "beyond_beta": (between[0], far_beta),
            "beyond_both": (far_alpha, far_beta),
        }
        return {name: tuple(Costs(*pair) for pair in product(*axes[name])) for name in SETS}

    def grid(self, n: int = 8) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The n x n grid on which steering is measured: (alphas, betas), evenly spaced by ratio."""
        alphas, betas = (np.geomspace(*axis, n).tolist() for axis in (self.alpha, self.beta))
        return tuple(round(a, 2) for a in alphas), tuple(round(b, 3) for b in betas)


# Cached: every draw needs it.
@lru_cache(maxsize=16)
def _train_costs(plane: CostPlane) -> tuple[Costs, ...]:
    return tuple(Costs(*pair) for pair in product(*plane.train_values()))
