"""Measures how behaviour depends on the costs, on a grid of costs (docs/design.md)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clarify_env.games.description import Description

# Rows in which the oracle's quantity varies by less than this fraction of its range on the grid are left out.
_VARIES = 0.1


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Returns Spearman's rank correlation; 0 if either argument is constant."""
    x_ranks, y_ranks = (_ranks(np.asarray(values, dtype=float)) for values in (x, y))
    if min(np.ptp(x_ranks), np.ptp(y_ranks)) == 0:
        return 0.0
    return float(np.corrcoef(x_ranks, y_ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values.round(12), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def steering(policy: np.ndarray, oracle: np.ndarray, axis: Sequence[float]) -> dict[str, float]:
    """Measures how a quantity of the policy depends on a cost, compared with the oracle's.

    Args:
        policy: Mean at each point of the grid, shape [rows, len(axis)]: one row for each value of the other cost.
        oracle: The same for the oracle.
        axis: Values of the cost, increasing.

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


def steering_report(game: Description, grid: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the ``steering`` entry of ``summary.json``: `steering` of each quantity of `Description.steering`.

    Args:
        game: The game.
        grid: Result of `trainers.evaluation.maps.grid_map`.
    """
    entry = {}
    for name, (quantity, axis) in game.steering.items():
        policy, oracle = (np.array(grid[who][quantity]) for who in ("policy", "oracle"))
        values = grid["betas"] if axis else grid["alphas"]
        entry[name] = steering(policy if axis else policy.T, oracle if axis else oracle.T, values)
    return entry
