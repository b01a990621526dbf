"""Areas under the curve, reliability diagrams and calibration errors, against their definitions."""

import numpy as np
import pytest

from clarify_env.scores.calibration import auroc, calibration_error, fit_isotonic, held_out_isotonic, reliability


def test_auroc_is_the_probability_of_the_right_order():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(2, 12))
        confidence, right, weights = rng.integers(0, 4, n) / 4, rng.random(n).round(1), rng.integers(0, 3, n) * 1.0
        pairs = [(i, j, weights[i] * right[i] * weights[j] * (1 - right[j])) for i in range(n) for j in range(n)]
        total = sum(mass for *_, mass in pairs)
        if not total:
            continue
        wins = sum(m * ((confidence[i] > confidence[j]) + (confidence[i] == confidence[j]) / 2) for i, j, m in pairs)
        assert auroc(confidence, right, weights) == pytest.approx(wins / total)


@pytest.mark.parametrize("right", [[0.0, 0.0], [1.0, 1.0]])
def test_there_is_no_auroc_of_one_class(right):
    assert auroc(np.array([0.1, 0.2]), np.array(right)) is None


def test_reliability_and_error():
    confidence, right = np.array([0.05, 0.15, 0.95, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])
    assert reliability(confidence, right, bins=2) == [(0.1, 0.5, 2.0), (0.975, 0.5, 2.0)]
    assert calibration_error(confidence, right, bins=2) == pytest.approx((0.4 + 0.475) / 2)
    assert calibration_error(np.array([]), np.array([])) is None
    assert calibration_error(right, right) == 0


def test_isotonic_regression_with_weights_is_that_of_repeated_points():
    rng = np.random.default_rng(1)
    x, y, counts = rng.random(12).round(1), rng.random(12), rng.integers(1, 4, 12)
    weighted = fit_isotonic(x, y, counts * 1.0)
    repeated = fit_isotonic(np.repeat(x, counts), np.repeat(y, counts))
    assert weighted(x) == pytest.approx(repeated(x))


def test_each_half_is_calibrated_by_the_other():
    confidence, right = np.array([0.2, 0.2, 0.8, 0.8]), np.array([0.0, 1.0, 1.0, 1.0])
    assert held_out_isotonic(confidence, right, np.array([0, 1, 0, 1])).tolist() == [1.0, 0.0, 1.0, 1.0]
    assert held_out_isotonic(confidence, right, np.array([0, 2, 4, 6])) is None
