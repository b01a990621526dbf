"""Confidence intervals of a weighted mean of contributions: normal, bootstrap over entities, anytime-valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Interval = Callable[[np.ndarray, np.ndarray, Sequence[str] | None, float, int], tuple[float, float]]


class Spread(NamedTuple):
    """Standard error of a weighted mean, and the degrees of freedom of its estimate."""

    error: float
    degrees: float


def spread(values: np.ndarray, weights: np.ndarray, entities: Sequence[str] | None = None) -> Spread:
    """Returns the standard error of sum(weights * values) over independent entities, and its degrees of freedom.

    Args:
        values: Contributions, shape [items].
        weights: Their weights, of sum 1.
        entities: The entity of each item; ``None``: each is its own.
    """
    deviations = weights * (values - weights @ values)
    if entities is not None:
        _, owner = np.unique(np.asarray(entities), return_inverse=True)
        deviations = np.bincount(owner, weights=deviations)
    count = len(deviations)
    if count < 2:
        return Spread(float("inf"), 1.0)
    return Spread(float(np.sqrt(count / (count - 1) * np.square(deviations).sum())), count - 1.0)


def normal(
    values: np.ndarray, weights: np.ndarray, entities: Sequence[str] | None, confidence: float, seed: int = 0
) -> tuple[float, float]:
    """Returns mean -+ quantile of Student's t times the standard error."""
    from scipy.stats import t

    mean, (error, degrees) = float(weights @ values), spread(values, weights, entities)
    half = float(t.ppf((1 + confidence) / 2, degrees)) * error
    return mean - half, mean + half


def bootstrap(
    values: np.ndarray,
    weights: np.ndarray,
    entities: Sequence[str] | None,
    confidence: float,
    seed: int = 0,
    draws: int = 2000,
) -> tuple[float, float]:
    """Returns the percentile interval over resampled entities, each with all of its items."""
    _, owner = np.unique(np.arange(len(values)) if entities is None else np.asarray(entities), return_inverse=True)
    totals, shares = (np.bincount(owner, weights=part) for part in (weights * values, weights))
    picks = np.random.default_rng(seed).integers(len(totals), size=(draws, len(totals)))
    means = totals[picks].sum(1) / shares[picks].sum(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def anytime(
    values: np.ndarray, weights: np.ndarray, entities: Sequence[str] | None, confidence: float, seed: int = 0
) -> tuple[float, float]:
    """Returns the asymptotic confidence sequence of arXiv 2103.06476 at this number of entities.

    It holds at all numbers at once, so one may look after every rating and stop when one likes.
    """
    mean, (error, degrees) = float(weights @ values), spread(values, weights, entities)
    count = degrees + 1
    rho = tightest_at(count, 1 - confidence)
    scaled = count * rho**2 + 1
    half = error * np.sqrt(2 * scaled / (count * rho**2) * np.log(np.sqrt(scaled) / (1 - confidence)))
    return mean - half, mean + half


def tightest_at(count: float, alpha: float) -> float:
    """Returns the rho at which the asymptotic confidence sequence is about narrowest at a number of items."""
    return float(np.sqrt((-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1) / max(count, 1)))


KINDS: dict[str, Interval] = {"normal": normal, "bootstrap": bootstrap, "anytime": anytime}


def find(kind: str) -> Interval:
    """Returns the interval of a name.

    Raises:
        ValueError: The name is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown interval {kind!r}; known: {', '.join(KINDS)}")
    return KINDS[kind]
