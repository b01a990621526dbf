"""Estimates of the mean strong rating, and of differences between methods rated on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating import intervals
from trainers.rating.ratings import Ratings

# The entity of each item.
Entities = Sequence[str] | np.ndarray | None


class Estimate(NamedTuple):
    """An estimate with its interval.

    Attributes:
        mean: The estimate theta.
        error: Its standard error.
        low: Lower end of the interval.
        high: Upper end.
        tuning: Factor lambda of the cheap ratings; of a difference, 1.
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


def weights(ratings: Ratings, planned: bool = True) -> np.ndarray:
    """Returns the weight of each contribution in the estimate, shape [rated]; their sum is 1.

    Burn-in and later items are weighted by numbers that were fixed before anything was rated, not by the numbers
    reached: how many items a budget pays for depends on their ratings, and a mean with weights that do is biased.

    Args:
        ratings: The ratings.
        planned: Whether to weight by planned numbers; else all weights are equal.
    """
    after = len(ratings.items) - ratings.burn_in
    number = ratings.planned if planned and ratings.planned is not None and after else after
    total = ratings.burn_in + number
    return np.repeat([1 / total, number / total / max(after, 1)], [ratings.burn_in, after])


def power_tuning(ratings: Ratings) -> float:
    """Returns the lambda in [0, 1] at which the estimate's variance is least, as far as the ratings tell (PPI++).

    The contribution is H xi / pi - lambda G (xi / pi - 1), so lambda is the regression coefficient of H xi / pi on
    G (xi / pi - 1).
    """
    factor = np.where(ratings.sampled, 1 / ratings.rates, 0.0)
    rated = np.where(ratings.sampled, ratings.strong, 0.0) * factor
    control = ratings.cheap * (factor - 1)
    spread = np.var(control)
    if not spread:
        return 1.0
    covariance = np.mean((rated - rated.mean()) * (control - control.mean()))
    return float(np.clip(covariance / spread, 0, 1))


def undetected_variance(ratings: Ratings, share: np.ndarray, tuning: float = 1.0) -> float:
    """Returns the variance of the estimate for errors of the cheap rater that were not found.

    Half an error more than was found, or, where none was, as many as the rule of three allows ((3 / 1.96)^2, so that
    the interval ends 3 errors away); of the size of those found anywhere (1, the range of ratings, where there are
    none), and of the weight of a strong rating drawn by chance. Where every item has a strong rating, the same of
    ratings that differ from the median.

    Args:
        ratings: The ratings.
        share: Weights of the contributions.
        tuning: Factor of the cheap ratings.
    """
    sampled, chance = ratings.sampled, ratings.sampled & (ratings.rates < 1)
    if not (ratings.rates < 1).any():
        sizes, at_random = np.abs(ratings.strong - np.median(ratings.strong)), sampled
    else:
        sizes, at_random = np.abs(ratings.strong - tuning * ratings.cheap), chance
    errs = sampled & (sizes > 0)
    size = np.sqrt(np.square(sizes[errs]).mean()) if errs.any() else 1.0
    number = 0.5 if (errs & at_random).any() else (3 / 1.96) ** 2
    weight = (share / ratings.rates)[at_random if at_random.any() else ratings.rates < 1].mean()
    return float(number * (size * weight) ** 2)


def sample_of(
    ratings: Ratings, entities: Entities = None, tuning: float = 1.0, interval: str = "corrected"
) -> intervals.Sample:
    """Returns the contributions of ratings, as intervals need them.

    Args:
        ratings: The ratings, at least one of them strong.
        entities: The entity that each rated item is about, in the order of ``ratings``; ``None``: each is its own.
        tuning: Factor of the cheap ratings.
        interval: Kind of the interval; a confidence sequence (``anytime``) is of the running mean, with equal weights.

    Raises:
        ValueError: There is no strong rating, or there are more or fewer entities than items.
    """
    if not ratings.sampled.any():
        raise ValueError("no strong rating: nothing can be estimated")
    if entities is not None and len(entities) != len(ratings.items):
        raise ValueError(f"{len(entities)} entities of {len(ratings.items)} rated items")
    share = weights(ratings, interval != "anytime")
    degrees = float(ratings.sampled.sum() - 1)
    values, owner = contributions(ratings, tuning), intervals.owners(entities)
    return intervals.Sample(values, share, degrees, undetected_variance(ratings, share, tuning), owner)


def estimate(
    ratings: Ratings,
    confidence: float = 0.95,
    entities: Entities = None,
    tuned: bool = False,
    interval: str = "corrected",
    seed: int = 0,
) -> Estimate:
    """Estimates the mean strong rating.

    Args:
        ratings: The ratings, at least one of them strong.
        confidence: Coverage of the interval.
        entities: The entity that each rated item is about, in the order of ``ratings``; ``None``: each is its own.
        tuned: Whether the cheap ratings are scaled by `power_tuning`.
        interval: ``corrected``, ``normal``, ``bootstrap`` or ``anytime``; see `trainers.rating.intervals`.
        seed: Seed of the bootstrap.
    """
    tuning = power_tuning(ratings) if tuned else 1.0
    return _of(sample_of(ratings, entities, tuning, interval), confidence, interval, seed, tuning)


def _of(sample: intervals.Sample, confidence: float, interval: str, seed: int, tuning: float = 1.0) -> Estimate:
    low, high = intervals.find(interval)(sample, confidence, seed)
    return Estimate(sample.mean, float(np.sqrt(sample.variance())), low, high, tuning)


def difference(
    first: Ratings,
    second: Ratings,
    confidence: float = 0.95,
    entities: Entities = None,
    tuned: bool = False,
    interval: str = "corrected",
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
    if not np.array_equal(first.items, second.items) or first.burn_in != second.burn_in:
        raise ValueError("a difference is between ratings of the same items in the same order")
    one, two = (
        sample_of(ratings, entities, power_tuning(ratings) if tuned else 1.0, interval) for ratings in (first, second)
    )
    degrees, undetected = min(one.degrees, two.degrees), one.undetected + two.undetected
    paired = one._replace(values=one.values - two.values, degrees=degrees, undetected=undetected)
    return _of(paired, confidence, interval, seed)


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
    entities: Entities = None,
    tuned: bool = False,
    interval: str = "corrected",
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
    return Comparison(estimates, differences, sorted(range(len(methods)), key=lambda i: -estimates[i].mean))
