"""How well confidence tells right from wrong: area under the curve, isotonic regression, calibration error."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Isotonic(NamedTuple):
    """A non-decreasing function, linear between its points and constant beyond them.

    Attributes:
        x: Positions of the points, increasing or equal.
        y: Values there, non-decreasing.
    """

    x: list[float]
    y: list[float]

    def __call__(self, estimates: np.ndarray) -> np.ndarray:
        """Returns the value at each estimate, shape as given."""
        return np.interp(estimates, self.x, self.y)


def fit_isotonic(
    estimates: Sequence[float] | np.ndarray,
    targets: Sequence[float] | np.ndarray,
    weights: Sequence[float] | np.ndarray | None = None,
) -> Isotonic:
    """Fits the non-decreasing function of least squared error, by pooling adjacent violators.

    Args:
        estimates: Positions, at least one.
        targets: The value to approach at each position.
        weights: Weight of each position, above 0; ``None``: all the same.
    """
    positions, inverse, counts = np.unique(estimates, return_inverse=True, return_counts=True)
    values = np.asarray(targets, dtype=float)
    if weights is not None:
        values = values * np.asarray(weights, dtype=float)
        counts = np.bincount(inverse, weights=np.asarray(weights, dtype=float))
    sums = np.bincount(inverse, weights=values)
    blocks: list[list[float]] = []  # sum of targets, their number, first and last position
    for position, total, count in zip(positions.tolist(), sums.tolist(), counts.tolist(), strict=True):
        blocks.append([total, count, position, position])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count, _, last = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
            blocks[-1][3] = last
    x = [position for block in blocks for position in block[2:]]
    return Isotonic(x, [block[0] / block[1] for block in blocks for _ in range(2)])


def auroc(confidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """Area under the receiver operating characteristic: P(confidence of a right one > of a wrong one) + P(equal) / 2.

    Args:
        confidence: Shape [N].
        right: Share of each that is right, in [0, 1], shape [N].
        weights: Weight of each, shape [N]; ``None``: all the same.

    Returns:
        The area; ``None`` if all are right, or none.
    """
    weights = np.ones(len(confidence)) if weights is None else weights
    positive, negative = weights * right, weights * (1 - right)
    if not (positive.sum() > 0 and negative.sum() > 0):
        return None
    _, position = np.unique(confidence, return_inverse=True)
    of_right, of_wrong = (np.bincount(position, weights=mass) for mass in (positive, negative))
    below = np.cumsum(of_wrong) - of_wrong
    return float((of_right * (below + of_wrong / 2)).sum() / (positive.sum() * negative.sum()))


class Bin(NamedTuple):
    """A bin of a reliability diagram: mean confidence, share that is right, weight."""

    confidence: float
    right: float
    weight: float


def reliability(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None, bins: int = 10
) -> list[Bin]:
    """Returns the bins of a reliability diagram, of equal width over [0, 1]; empty ones are left out."""
    weights = np.ones(len(confidence)) if weights is None else weights
    number = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    result = []
    for i in range(bins):
        mass = weights * (number == i)
        if mass.sum() > 0:
            mean = (mass * confidence).sum() / mass.sum(), (mass * right).sum() / mass.sum()
            result.append(Bin(float(mean[0]), float(mean[1]), float(mass.sum())))
    return result


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None, bins: int = 10
) -> float | None:
    """Expected calibration error: mean over the bins of |confidence - share that is right|, by weight; in [0, 1]."""
    diagram = reliability(confidence, right, weights, bins)
    total = sum(one.weight for one in diagram)
    return sum(one.weight * abs(one.confidence - one.right) for one in diagram) / total if total > 0 else None


def held_out_isotonic(
    confidence: np.ndarray, right: np.ndarray, groups: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray | None:
    """Calibrates confidence by isotonic regression, each half of the groups by a fit to the other half.

    Args:
        confidence: Shape [N].
        right: Shape [N].
        groups: Number of what each belongs to, such as the episode; even and odd ones are the halves. Shape [N].
        weights: Weight of each, shape [N]; ``None``: all the same.

    Returns:
        Calibrated confidence, shape [N]; ``None`` if a half has no weight.
    """
    weights = np.ones(len(confidence)) if weights is None else weights
    result = np.zeros(len(confidence))
    for half in (0, 1):
        fit = (groups % 2 != half) & (weights > 0)
        if not fit.any():
            return None
        curve = fit_isotonic(confidence[fit], right[fit], weights[fit])
        result[groups % 2 == half] = curve(confidence[groups % 2 == half])
    return result
