"""Prediction-powered inference (2301.09633, PPI++ 2311.01453) where nobody knows how the strong ratings were drawn."""

from __future__ import annotations

import numpy as np

from trainers.rating.estimate import Estimate


def prediction_powered(
    strong: np.ndarray,
    cheap: np.ndarray,
    others: np.ndarray,
    tuning: float | None = 1.0,
    confidence: float = 0.95,
) -> Estimate:
    """Estimates the mean strong rating from items rated by both raters and other items rated by the cheap one alone.

    theta = lambda mean(G of the others) + mean(H - lambda G); both sets are simple random samples of the same items.
    The interval is normal: mean -+ z sqrt(lambda^2 Var(G of the others) / N + Var(H - lambda G) / n).

    Args:
        strong: Strong ratings H, shape [n].
        cheap: Cheap ratings G of the same items, shape [n].
        others: Cheap ratings of the other items, shape [N].
        tuning: lambda; 0 leaves the cheap ratings out, ``None`` takes the lambda in [0, 1] of least estimated variance,
            Cov(H, G) / ((1 + n / N) Var G).
        confidence: Coverage of the interval.
    """
    from scipy.special import ndtri

    if tuning is None:
        covariance = np.mean((strong - strong.mean()) * (cheap - cheap.mean()))
        spread = (1 + len(strong) / len(others)) * np.var(np.concatenate([cheap, others]), ddof=1)
        tuning = float(np.clip(covariance / spread, 0, 1)) if spread else 1.0
    rest = strong - tuning * cheap
    mean = float(tuning * others.mean() + rest.mean())
    error = float(np.sqrt(tuning**2 * others.var() / len(others) + rest.var() / len(rest)))
    half = float(ndtri((1 + confidence) / 2)) * error
    return Estimate(mean, error, mean - half, mean + half, tuning)
