"""How behaviour follows the costs, measured on a grid of them (DESIGN section 7)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Rows of the grid in which the oracle hardly varies say nothing about steering.
_VARIES = 0.1


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation; 0 where either is constant."""
    ranks = [_ranks(np.asarray(values, dtype=float)) for values in (x, y)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values.round(12), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def steering(policy: np.ndarray, oracle: np.ndarray, axis: Sequence[float]) -> dict[str, float]:
    """How a quantity follows a cost, beside the oracle's own.

    Args:
        policy: Its mean at each point of the grid, shape [rows, len(axis)]: one row for each value of the other cost.
        oracle: The oracle's.
        axis: The cost's values, increasing.

    Returns:
        ``policy`` and ``oracle``: the Spearman correlation with the cost, averaged over the rows in which the oracle's
        quantity varies by at least a tenth of its range; ``range_ratio``: (value at the lowest cost minus value at the
        highest) over the oracle's, on the same rows.
    """
    rows = np.ptp(oracle, axis=1) >= _VARIES * np.ptp(oracle)
    if not rows.any() or np.ptp(oracle) == 0:
        return {"policy": 0.0, "oracle": 0.0, "range_ratio": 0.0}
    fall = (oracle[rows, 0] - oracle[rows, -1]).sum()
    return {
        "policy": float(np.mean([spearman(np.array(axis), row) for row in policy[rows]])),
        "oracle": float(np.mean([spearman(np.array(axis), row) for row in oracle[rows]])),
        "range_ratio": float((policy[rows, 0] - policy[rows, -1]).sum() / fall) if abs(fall) > 1e-9 else 0.0,
    }


def steering_report(grid: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The ``steering`` entry of ``summary.json``, from `metrics.grid_report`."""
    ask = [np.array(grid[who]["clarify"]).T for who in ("policy", "oracle")]
    words = [np.array(grid[who]["words"]) for who in ("policy", "oracle")]
    return {"ask_alpha": steering(*ask, grid["alphas"]), "words_beta": steering(*words, grid["betas"])}
