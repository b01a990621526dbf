"""A plane of one price, as of a look or a call: where it is drawn from, and the sets of prices of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clarify_env.costs import Prices, as_prices
from clarify_env.options import option

# Number of held-out prices between the trained ones, and beyond them.
_HELD_OUT = 5


@dataclass(frozen=True)
class OnePricePlane:
    """The prices of an experiment (``costs.*``).

    Training prices are the multiples of ``step`` from the lowest to the highest price. *Between* prices are spaced by
    ratio inside that range; training prices in a band around each of them are removed. *Beyond* prices are 1.2 to 1.6
    times the highest trained price. Of two equal prices, there is one price alone, which is never varied.
    """

    price: tuple[float, float] = option()
    """Lowest and highest trained price, in units of reward; at least 0."""
    step: float = option(0.01, above=0)
    """Trained prices are whole multiples of this."""
    band: float = option(0.05, least=0)
    """Trained prices within this ratio minus 1 of a held-out price are left out; at least 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "price", tuple(as_prices(self.price)))  # a list has no hash
        low, high = self.price
        if not (0 <= low <= high < float("inf") and (low > 0 or low == high)):
            raise ValueError(f"costs.price must be two rising positive prices, or one price twice, not {[low, high]}")
        if low < high and len(self.train()) < 12:
            raise ValueError(
                f"costs.step={self.step} leaves fewer than 12 training prices in costs.price={[low, high]}"
            )

    def train(self) -> tuple[Prices, ...]:
        """See `clarify_env.costs.Plane.train`."""
        low, high = self.price
        if low == high:
            return ((low,),)
        points = [round(i * self.step, 9) for i in range(round(low / self.step), int(high / self.step + 1e-9) + 1)]
        held_out = self._between()
        return tuple((v,) for v in points if v >= low and all(max(v / h, h / v) > 1 + self.band for h in held_out))

    def draw(self, size: int, rng: np.random.Generator, corner: float = 0.0, **options: Any) -> tuple[Prices, ...]:
        """Draws training prices without replacement, or all of them if there are fewer than ``size``.

        Args:
            size: Number of prices.
            rng: Random generator.
            corner: Probability that a drawn price is replaced by the highest one.
            **options: Options about prices that the game does not have.
        """
        prices = self.train()
        drawn = [prices[i] for i in rng.choice(len(prices), min(size, len(prices)), replace=False)]
        return tuple(prices[-1] if corner and rng.random() < corner else price for price in drawn)

    def _between(self) -> list[float]:
        return [round(v, 2) for v in np.geomspace(*self.price, _HELD_OUT + 2)[1:-1].tolist()]

    def sets(self) -> Mapping[str, tuple[Prices, ...]]:
        """The sets of prices that every evaluation reports: seen, between and beyond; of one price, fixed."""
        trained, (low, high) = self.train(), self.price
        if low == high:
            return {"fixed": trained}
        seen = tuple(trained[round(i)] for i in np.linspace(0, len(trained) - 1, _HELD_OUT))
        beyond = tuple((round(high * r, 2),) for r in np.linspace(1.2, 1.6, _HELD_OUT).tolist())
        return {"seen": seen, "between": tuple((v,) for v in self._between()), "beyond": beyond}

    def grid(self, n: int = 8) -> tuple[tuple[float, ...], ...]:
        """One axis of prices, spaced by ratio; none if nothing varies."""
        low, high = self.price
        return () if low == high else (tuple(round(v, 2) for v in np.geomspace(low, high, n).tolist()),)
