"""How behaviour follows costs, by hand."""

import numpy as np
import pytest

from clarify_env.games import find_game
from trainers.evaluation.steering import spearman, steering, steering_report


@pytest.mark.parametrize(
    ("x", "y", "expected", "why"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 400], 1, "rising, however fast"),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1, "falling"),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8, "1 - 6 * 4 / (5 * 24)"),
        ([1, 2, 3, 4], [1, 1, 2, 2], 2 / np.sqrt(5), "ties: ranks 1.5 1.5 3.5 3.5, covariance 4, variances 5 and 4"),
        ([1, 2, 3], [0, 0, 1], np.sqrt(3) / 2, "ties: ranks 1.5 1.5 3"),
        ([1, 2, 3], [5, 5, 5], 0, "constant"),
        ([7, 7, 7], [1, 2, 3], 0, "constant on the other side"),
        ([1, 2, 3], [0.3, 0.1 + 0.2, 0.1 + 0.2 + 1e-15], 0, "rounding makes no ranks"),
    ],
)
def test_spearman(x, y, expected, why):
    assert spearman(np.array(x), np.array(y)) == pytest.approx(expected), why


AXIS = [0.1, 0.2, 0.4]
ORACLE = np.array([[0.9, 0.5, 0.1], [0.6, 0.4, 0.2], [0.3, 0.3, 0.3]])


@pytest.mark.parametrize(
    ("policy", "correlation", "ratio", "why"),
    [
        (ORACLE, -1, 1, "the oracle itself"),
        (np.full((3, 3), 0.5), 0, 0, "constant: it does not steer"),
        (ORACLE / 2, -1, 0.5, "half as far"),
        (ORACLE[:, ::-1], 1, -1, "the wrong way"),
        (np.vstack([ORACLE[:2], [[0.0, 0.5, 1.0]]]), -1, 1, "a row in which the oracle does not vary says nothing"),
        (np.vstack([ORACLE[:1], [[0.4] * 3], ORACLE[2:]]), -0.5, 2 / 3, "one row of two: (0.8 + 0) / (0.8 + 0.4)"),
    ],
)
def test_steering(policy, correlation, ratio, why):
    correlations = steering(policy, ORACLE, AXIS)
    assert correlations == pytest.approx({"policy": correlation, "oracle": -1, "range_ratio": ratio}), why


def test_steering_where_there_is_nothing_to_follow():
    assert steering(ORACLE, np.full((3, 3), 0.4), AXIS) == {"policy": 0, "oracle": 0, "range_ratio": 0}
    there_and_back = np.array([[0.1, 0.9, 0.1]])
    assert steering(there_and_back, there_and_back, AXIS)["range_ratio"] == 0, "no fall to compare with"
    slight = np.vstack([ORACLE[:1], [[0.35, 0.3, 0.28]]])
    assert steering(np.vstack([ORACLE[:1], [[0, 0.5, 1]]]), slight, AXIS)["policy"] == -1, "below a tenth of the range"


def test_steering_reads_the_maps_the_right_way_round():
    falls_with_alpha = np.array([[0.8] * 3, [0.2] * 3])
    falls_with_beta = np.array([[9.0, 5.0, 1.0]] * 2)
    side = {"clarify": falls_with_alpha.tolist(), "words": falls_with_beta.tolist()}
    report = steering_report(
        find_game("clarification"),
        {"alphas": [0.1, 0.2], "betas": [0.1, 0.2, 0.3], "policy": side, "oracle": side},
    )
    for name in ("ask_alpha", "words_beta"):
        assert report[name] == pytest.approx({"policy": -1, "oracle": -1, "range_ratio": 1}), name
