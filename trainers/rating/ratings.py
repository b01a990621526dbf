"""Ratings of items by a cheap and a strong rater, as they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating.policies import Prices


class Ratings(NamedTuple):
    """Ratings that an estimate is made of; items in the order in which they were rated.

    Attributes:
        items: Index of each item in the caller's list, shape [rated].
        cheap: Cheap ratings G, shape [rated].
        strong: Strong ratings H, NaN where the strong rater was not drawn, shape [rated].
        rates: Probability pi with which the strong rater was drawn, in (0, 1]; 1 in a burn-in, shape [rated].
        burn_in: How many items, the first ones, were the burn-in.
        planned: How many items the later ones count for beside the burn-in, fixed before anything is rated; the two
            are weighted by ``burn_in`` and ``planned``. ``None``: by their numbers.
        money: What all ratings cost, those of a last item that could no longer be paid for included.
    """

    items: np.ndarray
    cheap: np.ndarray
    strong: np.ndarray
    rates: np.ndarray
    burn_in: int = 0
    planned: float | None = None
    money: float = 0.0

    @property
    def sampled(self) -> np.ndarray:
        """Whether the strong rater rated each item (the paper's xi), shape [rated]."""
        return ~np.isnan(self.strong)

    def strong_rates(self) -> dict[int, float]:
        """Returns the probability with which the strong rater was drawn, of each item that it rated."""
        rated = self.sampled
        return dict(zip(self.items[rated].tolist(), self.rates[rated].tolist(), strict=True))


def of_arrays(
    cheap: Sequence[float] | np.ndarray,
    strong: Sequence[float | None] | np.ndarray,
    rates: Sequence[float] | np.ndarray,
    burn_in: int = 0,
    prices: Prices | None = None,
) -> Ratings:
    """Returns ratings given as arrays, with NaN (or ``None``) where the strong rater was not drawn.

    Args:
        cheap: Cheap ratings, shape [items].
        strong: Strong ratings, shape [items].
        rates: Probabilities of a strong rating, shape [items].
        burn_in: How many of the first items were the burn-in.
        prices: Prices, from which the money spent is computed.

    Raises:
        ValueError: Lengths differ, a rating is not finite, or a rate is outside (0, 1].
    """
    g, h, pi = (np.asarray(values, dtype=float) for values in (cheap, strong, rates))
    if not g.shape == h.shape == pi.shape or g.ndim != 1:
        raise ValueError(f"cheap and strong ratings and rates of as many items, not {g.shape}, {h.shape}, {pi.shape}")
    if not np.isfinite(g).all() or np.isinf(h).any():
        raise ValueError("ratings are finite numbers")
    if not ((pi > 0) & (pi <= 1)).all():
        raise ValueError("the probability of a strong rating is above 0 and at most 1")
    if np.isnan(h[pi == 1]).any():
        raise ValueError("an item whose strong rating had probability 1 has none")
    ratings = Ratings(np.arange(len(g)), g, h, pi, burn_in)
    spent = prices.cheap * len(g) + prices.strong * ratings.sampled.sum() if prices else 0.0
    return ratings._replace(money=float(spent))
