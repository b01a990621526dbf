"""A plane of one price, as of a look or a call: where it is drawn from, and the sets of prices of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from clarify_env.costs import LARGEST, Prices, as_prices, is_price
from clarify_env.options import option

# Number of held-out prices between the trained ones, and beyond them.
_HELD_OUT = 5
# Most training prices before those near a held-out price are left out.
_MOST = 10_000


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
        prices = as_prices(self.price)
        is_pair = isinstance(prices, tuple) and len(prices) == 2 and all(map(is_price, prices))
        if not (is_pair and prices[0] <= prices[1] <= LARGEST and (prices[0] > 0 or prices[0] == prices[1])):
            raise ValueError(
                f"costs.price must be two rising positive prices of at most {LARGEST:,}, or one price twice, not "
                f"{self.price}"
            )
        object.__setattr__(self, "price", prices)  # a list has no hash
        low, high = prices
        if low == high:
            return
        if not (is_price(self.step) and self.step >= 1e-9 and high - low <= _MOST * self.step):
            raise ValueError(
                f"costs.step={self.step} must be at least 1e-09, and make at most {_MOST:,} prices of "
                f"costs.price={[low, high]}"
            )
        if min(self._between()) <= 0:
            raise ValueError(f"costs.step={self.step} is too coarse for prices between those of {[low, high]}")
        if len(self.train()) < 12:
            raise ValueError(
                f"costs.step={self.step} leaves fewer than 12 training prices in costs.price={[low, high]}"
            )

    def _rounded(self, price: float) -> float:
        """Rounds a price to the decimal places of the step, at least two."""
        return round(price, max(2, -int(Decimal(str(self.step)).as_tuple().exponent)))

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
        return [self._rounded(v) for v in np.geomspace(*self.price, _HELD_OUT + 2)[1:-1].tolist()]

    def sets(self) -> Mapping[str, tuple[Prices, ...]]:
        """The sets of prices that every evaluation reports: seen, between and beyond; of one price, fixed."""
        trained, (low, high) = self.train(), self.price
        if low == high:
            return {"fixed": trained}
        seen = tuple(trained[round(i)] for i in np.linspace(0, len(trained) - 1, _HELD_OUT))
        beyond = tuple((self._rounded(high * r),) for r in np.linspace(1.2, 1.6, _HELD_OUT).tolist())
        return {"seen": seen, "between": tuple((v,) for v in self._between()), "beyond": beyond}

    def grid(self, n: int = 8) -> tuple[tuple[float, ...], ...]:
        """One axis of prices, spaced by ratio; none if nothing varies."""
        low, high = self.price
        return () if low == high else (tuple(self._rounded(v) for v in np.geomspace(low, high, n).tolist()),)
