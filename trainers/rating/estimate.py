"""Estimates of the mean strong rating, and of differences between methods rated on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating import intervals
from trainers.rating.ratings import Ratings


class Estimate(NamedTuple):
    """An estimate with its interval.

    Attributes:
        mean: The estimate theta.
        error: Its standard error.
        low: Lower end of the interval.
        high: Upper end.
        tuning: Factor lambda of the cheap ratings.
    """

    mean: float
    error: float
    low: float
    high: float
    tuning: float = 1.0

    @property
    def width(self) -> float:
        """Length of the interval."""
        return self.high - self.low


def contributions(ratings: Ratings, tuning: float = 1.0) -> np.ndarray:
    """Returns lambda G + (H - lambda G) xi / pi of each item, each an unbiased estimate of E[H], shape [rated]."""
    base = tuning * ratings.cheap
    return base + np.where(ratings.sampled, (ratings.strong - base) / ratings.rates, 0.0)


def weights(ratings: Ratings) -> np.ndarray:
    """Returns the weight of each contribution in the estimate, shape [rated]; their sum is 1.

    Burn-in and later items are weighted by the numbers planned before the later ones were rated, not by the numbers
    reached: how many items a budget pays for depends on which of them were drawn, and weights that do too are biased.
    """
    after = len(ratings.items) - ratings.burn_in
    planned = after if ratings.planned is None or not after else ratings.planned
    total = ratings.burn_in + planned
    early = np.full(ratings.burn_in, 1 / total)
    return np.concatenate([early, np.full(after, planned / total / after) if after else []])


def power_tuning(ratings: Ratings) -> float:
    """Returns the lambda in [0, 1] at which the estimate's variance is least, as far as the ratings tell (PPI++).

    The contribution is H xi / pi - lambda G (xi / pi - 1), so lambda = Cov(H xi / pi, G (xi / pi - 1)) / Var(G (xi / pi
    - 1)).
    """
    factor = np.where(ratings.sampled, 1 / ratings.rates, 0.0)
    rated = np.where(ratings.sampled, ratings.strong, 0.0) * factor
    control = ratings.cheap * (factor - 1)
    spread = np.var(control)
    if not spread:
        return 1.0
    covariance = np.mean((rated - rated.mean()) * (control - control.mean()))
    return float(np.clip(covariance / spread, 0, 1))


def estimate(
    ratings: Ratings,
    confidence: float = 0.95,
    entities: Sequence[str] | None = None,
    tuned: bool = False,
    interval: str = "normal",
    seed: int = 0,
) -> Estimate:
    """Estimates the mean strong rating.

    Args:
        ratings: The ratings.
        confidence: Coverage of the interval.
        entities: The entity that each rated item is about, in the order of ``ratings``; ``None``: each is its own.
        tuned: Whether the cheap ratings are scaled by `power_tuning`.
        interval: ``normal``, ``bootstrap`` or ``anytime``; see `trainers.rating.intervals`.
        seed: Seed of the bootstrap.
    """
    tuning = power_tuning(ratings) if tuned else 1.0
    values, share = contributions(ratings, tuning), weights(ratings)
    return _estimate(values, share, confidence, entities, interval, seed, tuning)


def _estimate(
    values: np.ndarray,
    share: np.ndarray,
    confidence: float,
    entities: Sequence[str] | None,
    interval: str,
    seed: int,
    tuning: float = 1.0,
) -> Estimate:
    spread = intervals.spread(values, share, entities)
    low, high = intervals.find(interval)(values, share, entities, confidence, seed)
    return Estimate(float(share @ values), spread.error, low, high, tuning)


def difference(
    first: Ratings,
    second: Ratings,
    confidence: float = 0.95,
    entities: Sequence[str] | None = None,
    tuned: bool = False,
    interval: str = "normal",
    seed: int = 0,
) -> Estimate:
    """Estimates E[H] of one method less that of another on the same items, item by item.

    Args:
        first: Ratings of one method's answers.
        second: Ratings of the other's, of the same items in the same order.
        confidence: Coverage of the interval.
        entities: The entity that each rated item is about; ``None``: each is its own.
        tuned: Whether the cheap ratings of each are scaled by `power_tuning`.
        interval: As in `estimate`.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The items differ.
    """
    if not np.array_equal(first.items, second.items):
        raise ValueError("a difference is between ratings of the same items in the same order")
    tunings = [power_tuning(ratings) if tuned else 1.0 for ratings in (first, second)]
    one, two = (contributions(ratings, tuning) for ratings, tuning in zip((first, second), tunings, strict=True))
    return _estimate(one - two, weights(first), confidence, entities, interval, seed)


class Comparison(NamedTuple):
    """Several methods rated on the same items.

    Attributes:
        estimates: One for each method.
        differences: By pair of methods (i, j) with i < j, the mean of i less that of j; the intervals hold together.
        ranking: Indices of the methods, best first.
    """

    estimates: list[Estimate]
    differences: dict[tuple[int, int], Estimate]
    ranking: list[int]


def compare(
    methods: Sequence[Ratings],
    confidence: float = 0.95,
    entities: Sequence[str] | None = None,
    tuned: bool = False,
    interval: str = "normal",
    seed: int = 0,
) -> Comparison:
    """Compares methods rated on the same items.

    Args:
        methods: Ratings of each method's answers, of the same items in the same order.
        confidence: Coverage of each estimate's interval, and of all intervals of differences together (Bonferroni).
        entities: The entity that each rated item is about; ``None``: each is its own.
        tuned: Whether the cheap ratings of each method are scaled by `power_tuning`.
        interval: As in `estimate`.
        seed: Seed of the bootstrap.
    """
    estimates = [estimate(one, confidence, entities, tuned, interval, seed) for one in methods]
    pairs = [(i, j) for i in range(len(methods)) for j in range(i + 1, len(methods))]
    joint = 1 - (1 - confidence) / max(1, len(pairs))
    differences = {(i, j): difference(methods[i], methods[j], joint, entities, tuned, interval, seed) for i, j in pairs}
    ranking = sorted(range(len(methods)), key=lambda i: -estimates[i].mean)
    return Comparison(estimates, differences, ranking)
