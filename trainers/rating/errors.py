"""How much a cheap rater errs on an item: s(x) = sqrt(E[(H - G)^2 | x]), from a burn-in or from another run."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clarify_env.scores.calibration import fit_isotonic

KINDS = ("confidence", "isotonic", "ridge", "neighbours", "constant")

# Weights of a learned model beside the mean, from which cross-validation chooses.
_TRUST = (0.0, 0.25, 0.5, 0.75, 0.9)

# From cheap ratings and features to s(x), or its square.
Model = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


class Calibration(NamedTuple):
    """What sampling policies need to know of two raters.

    Attributes:
        variance: Var H.
        errors: s(x) of the items it was learned from, which stand for all, shape [items].
        rmse: Function from cheap ratings, shape [items], and features, shape [items, features] or ``None``, to s(x),
            shape [items].
    """

    variance: float
    errors: np.ndarray
    rmse: Model


def confidence_rmse(cheap: np.ndarray) -> np.ndarray:
    """Returns sqrt(G (1 - G)): s(x) of a binary H where G is the calibrated probability that H is 1.

    Args:
        cheap: Cheap ratings in [0, 1].
    """
    return np.sqrt(np.clip(cheap * (1 - cheap), 0.0, None))


def check_kind(kind: str) -> None:
    """Checks the name of an error model.

    Raises:
        ValueError: The name is unknown.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown model of the cheap rater's error {kind!r}; known: {', '.join(KINDS)}")


def calibrate(
    cheap: np.ndarray,
    strong: np.ndarray,
    kind: str = "isotonic",
    features: np.ndarray | None = None,
    rates: np.ndarray | None = None,
) -> Calibration:
    """Learns from items rated by both raters how much the cheap one errs.

    Args:
        cheap: Cheap ratings, shape [items]; at least two.
        strong: Strong ratings of the same items.
        kind: How s(x) is found. ``confidence``: sqrt(G (1 - G)), nothing is learned. ``isotonic``: the squared error as
            a non-decreasing function of one feature, or of G (1 - G) where there is none. ``ridge``: as a linear
            function of features, G and G^2. ``neighbours``: its mean over the nearest items of the burn-in, as many as
            the square root of their number. ``constant``: the same everywhere.
        features: Anything known of an item before its strong rating, shape [items, features].
        rates: Probability with which each strong rating was drawn, shape [items]. Items drawn by another run stand for
            all only with weights 1 / rates: an active policy draws those with large errors. ``None``: as in a burn-in.

    Raises:
        ValueError: The kind is unknown, or there are fewer than two items.
    """
    check_kind(kind)
    if len(cheap) < 2:
        raise ValueError(f"{len(cheap)} items rated by both raters are too few: at least 2")
    rows = np.arange(len(cheap)) if rates is None else _resampled(1 / np.asarray(rates, dtype=float))
    cheap, strong, features = cheap[rows], strong[rows], None if features is None else features[rows]
    squared = np.square(strong - cheap)
    # What a burn-in of n items did not show may still be there: half a rating of another value, Var H / n as the error.
    rare = 0.5 / (len(strong) + 1)
    variance = max(float(np.var(strong, ddof=1)), rare * (1 - rare))
    error = float(squared.mean()) or variance / len(squared)
    if kind == "constant":
        return Calibration(variance, np.full(len(cheap), np.sqrt(error)), lambda g, _: np.full(np.shape(g), error**0.5))
    trust = _trust(squared, _held_out(kind, cheap, squared, features, rows % 5), error)
    model = _model(kind, cheap, squared, features)

    def rmse(g: np.ndarray, f: np.ndarray | None) -> np.ndarray:
        return np.sqrt(trust * model(g, f) + (1 - trust) * error)

    return Calibration(variance, rmse(cheap, features), rmse)


def _trust(squared: np.ndarray, predicted: np.ndarray, error: float) -> float:
    """Returns the weight of the model in a mixture of its squared errors with their mean.

    The least variance for the money is proportional to E[e^2 / s] E[s] (as long as no probability is 1); the weight
    chosen has the least product on predictions of items that the model was not fitted to. It is below 1, so that no
    item is taken for free of error because the burn-in had none like it.
    """
    products = []
    for trust in _TRUST:
        rmse = np.sqrt(trust * predicted + (1 - trust) * error)
        products.append(np.mean(squared / rmse) * rmse.mean())
    return _TRUST[int(np.argmin(products))]


def _resampled(weights: np.ndarray) -> np.ndarray:
    """Returns indices of items, each about as often as its weight says, in order; four times as many as items."""
    places = (np.arange(4 * len(weights)) + 0.5) / (4 * len(weights))
    return np.minimum(np.searchsorted(np.cumsum(weights) / weights.sum(), places), len(weights) - 1)


def _held_out(
    kind: str, cheap: np.ndarray, squared: np.ndarray, features: np.ndarray | None, folds: np.ndarray
) -> np.ndarray:
    """Returns the squared error that the model predicts of each item, fitted to the other folds."""
    predicted = np.empty(len(cheap))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        fitting, held_out = (None if features is None else features[rows] for rows in (outside, inside))
        predicted[inside] = _model(kind, cheap[outside], squared[outside], fitting)(cheap[inside], held_out)
    return predicted


def _model(kind: str, cheap: np.ndarray, squared: np.ndarray, features: np.ndarray | None) -> Model:
    """Returns a function from cheap ratings and features to the expected squared error."""
    if kind == "confidence":
        return lambda g, _: confidence_rmse(g) ** 2
    if kind == "isotonic":
        curve = fit_isotonic(_position(cheap, features).tolist(), squared.tolist())
        return lambda g, f: curve(_position(g, f))
    inputs = _inputs(cheap, features)
    mean, spread = inputs.mean(0), inputs.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    predict = (_ridge if kind == "ridge" else _neighbours)((inputs - mean) / spread, squared)
    return lambda g, f: np.clip(predict((_inputs(g, f) - mean) / spread), 0.0, None)


def _position(cheap: np.ndarray, features: np.ndarray | None) -> np.ndarray:
    """Returns what the squared error is a non-decreasing function of."""
    if features is None:
        return np.asarray(cheap * (1 - cheap))
    if features.ndim != 2 or features.shape[1] != 1:
        raise ValueError("an isotonic model has one feature")
    return features[:, 0]


def _inputs(cheap: np.ndarray, features: np.ndarray | None) -> np.ndarray:
    columns = [cheap, cheap**2] + ([] if features is None else list(features.T))
    return np.stack(columns, 1)


def _ridge(inputs: np.ndarray, squared: np.ndarray, penalty: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    centre = squared.mean()
    gram = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, inputs.T @ (squared - centre))
    return lambda points: centre + points @ weights


def _neighbours(inputs: np.ndarray, squared: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    count = max(1, round(np.sqrt(len(inputs))))

    def predict(points: np.ndarray) -> np.ndarray:
        distances = np.square(points[:, None] - inputs[None]).sum(2)
        return squared[np.argpartition(distances, count - 1, axis=1)[:, :count]].mean(1)

    return predict
