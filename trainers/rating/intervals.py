"""Confidence intervals of a weighted mean of contributions: normal, corrected, bootstrap over entities, anytime-valid.

Contributions of items that the strong rater rates with a small probability pi are G, or G + (H - G) / pi: where the
cheap rater errs seldom or to one side, few large ones decide. A normal interval is then too narrow and in the wrong
place: too few errors found means a mean too near the cheap one *and* a standard error too small. `corrected` mends
both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# Number of entities at which the confidence sequence is about narrowest; fixed before anything is rated.
_NARROWEST = 500
# Resamples of the bootstrap.
_DRAWS = 2000


class Sample(NamedTuple):
    """What an interval is made of.

    Attributes:
        values: Contributions, each an unbiased estimate, shape [items].
        weights: Their weights, of sum 1, shape [items].
        degrees: Degrees of freedom of the variance that `normal` assumes: strong ratings less 1.
        undetected: Variance for errors of the cheap rater that were not found, added by `corrected` and `anytime`.
        owner: Index of each item's entity, shape [items]; ``None``: each item is its own.
    """

    values: np.ndarray
    weights: np.ndarray
    degrees: float
    undetected: float = 0.0
    owner: np.ndarray | None = None

    @property
    def mean(self) -> float:
        """The estimate."""
        return float(self.weights @ self.values)

    def by_entity(self) -> np.ndarray:
        """Returns the weighted deviation from the mean of each entity, shape [entities]; their sum is 0."""
        deviations = self.weights * (self.values - self.mean)
        return deviations if self.owner is None else np.bincount(self.owner, weights=deviations)

    def variance(self) -> float:
        """Returns the variance of the mean over independent entities: n / (n - 1) times the sum of squares."""
        deviations = self.by_entity()
        count = len(deviations)
        return float(count / (count - 1) * np.square(deviations).sum()) if count > 1 else float("inf")

    def effective_entities(self) -> float:
        """Returns how many entities of equal weight would have as sure a variance (Kish): (sum w^2)^2 / sum w^4."""
        shares = self.weights if self.owner is None else np.bincount(self.owner, weights=self.weights)
        squares = np.square(shares)
        return float(squares.sum() ** 2 / np.square(squares).sum())

    def quantile(self, confidence: float) -> float:
        """Returns the quantile of Student's t, at no more degrees of freedom than there are entities less 1."""
        from scipy.special import stdtrit

        entities = len(self.values) if self.owner is None else int(self.owner.max()) + 1
        return float(stdtrit(max(1.0, min(self.degrees, entities - 1)), (1 + confidence) / 2))


def owners(entities: Sequence[str] | np.ndarray | None) -> np.ndarray | None:
    """Returns the index of each item's entity; ``None``: each item is its own."""
    return None if entities is None else np.unique(np.asarray(entities), return_inverse=True)[1]


def normal(sample: Sample, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Returns mean -+ quantile of Student's t times the standard error."""
    half = sample.quantile(confidence) * np.sqrt(sample.variance())
    return sample.mean - half, sample.mean + half


def corrected(sample: Sample, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Returns the interval with a correction for skewness (Hall 1992), for kurtosis and for errors not yet found.

    With the skewness a of the mean, g(T) = T + a T^2 / 3 + a^2 T^3 / 27 + a / 6 of the studentised mean T is nearly
    normal; the interval is where g(T) lies between the quantiles. The variance is that of the contributions and
    ``sample.undetected``.
    """
    variance = sample.variance() + sample.undetected
    if not 0 < variance < np.inf:
        return sample.mean - variance, sample.mean + variance
    skewness = float((sample.by_entity() ** 3).sum()) / variance**1.5
    quantile = _second_order_quantile(sample, variance, skewness, confidence)
    low, high = (sample.mean - np.sqrt(variance) * _inverse(q, skewness) for q in (quantile, -quantile))
    return float(low), float(high)


def _second_order_quantile(sample: Sample, variance: float, skewness: float, confidence: float) -> float:
    """Returns the quantile of g(T) at which the interval covers ``confidence`` but for terms below 1 / entities.

    Variance and skewness are estimated from the contributions of the mean itself. With normal quantiles z the interval
    therefore covers 2 p(z) phi(z) more than stated, by Edgeworth expansion, with the excess kurtosis k of the mean and
    n entities: p(z) = z (a^2 (22 z^2 / 54 + 31 / 72) - k (3 z^2 + 5) / 12 - (z^2 + 1) / (4 n)). Student's t takes care
    of the last term, the factor of the other two; verdicts, whose kurtosis is negative, need a shorter interval.
    """
    from scipy.special import ndtri, stdtrit

    deviations, entities = sample.by_entity(), sample.effective_entities()
    # Less what the fourth powers of normal contributions are expected to be.
    normal_part = 3 * (entities - 1) / (entities * (entities + 1)) * np.square(deviations).sum() ** 2
    kurtosis = float((deviations**4).sum() - normal_part) / variance**2
    square = float(ndtri((1 + confidence) / 2)) ** 2
    excess = kurtosis * (3 * square + 5) / 12 - skewness**2 * (22 * square / 54 + 31 / 72)
    factor = 1 + excess if excess > 0 else 1 / (1 - excess)  # equal to first order, and positive
    return factor * float(stdtrit(max(1.0, entities - 1), (1 + confidence) / 2))


def _inverse(quantile: float, skewness: float) -> float:
    """Returns the T at which Hall's transformation has a value."""
    if abs(skewness) < 1e-6:
        return quantile
    return float(np.cbrt(1 + skewness * (quantile - skewness / 6)) - 1) * 3 / skewness


def bootstrap(sample: Sample, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Returns the percentile interval over resampled entities, each with all of its items."""
    owner = np.arange(len(sample.values)) if sample.owner is None else sample.owner
    totals, shares = (np.bincount(owner, weights=part) for part in (sample.weights * sample.values, sample.weights))
    picks = np.random.default_rng(seed).integers(len(totals), size=(_DRAWS, len(totals)))
    means = totals[picks].sum(1) / shares[picks].sum(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def anytime(sample: Sample, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Returns the asymptotic confidence sequence (arXiv 2103.06476, theorem 2.2) at this number t of entities.

    mean -+ sigma sqrt(2 (t rho^2 + 1) / (t^2 rho^2) log(sqrt(t rho^2 + 1) / alpha)). It holds at all t at once, so one
    may look after every rating and stop when one likes. rho is fixed: it makes the interval about narrowest at t = 500.
    """
    alpha, count = 1 - confidence, len(sample.by_entity())
    rho_squared = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / _NARROWEST
    scaled = count * rho_squared + 1
    error = np.sqrt(sample.variance() + sample.undetected)
    half = float(error * np.sqrt(2 * scaled / (count * rho_squared) * np.log(np.sqrt(scaled) / alpha)))
    return sample.mean - half, sample.mean + half


Interval = Callable[[Sample, float, int], tuple[float, float]]
KINDS: dict[str, Interval] = {"corrected": corrected, "normal": normal, "bootstrap": bootstrap, "anytime": anytime}


def find(kind: str) -> Interval:
    """Returns the interval of a name.

    Raises:
        ValueError: The name is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown interval {kind!r}; known: {', '.join(KINDS)}")
    return KINDS[kind]
