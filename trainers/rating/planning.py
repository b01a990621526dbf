"""What width each policy would reach at each budget, from ratings of a burn-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating.errors import Calibration
from trainers.rating.policies import NAMES, Prices, expected_variance, policy_for


class Plan(NamedTuple):
    """Expected widths of the interval.

    Attributes:
        budgets: Money, shape [budgets].
        widths: By policy, the expected width at each budget, shape [budgets].
    """

    budgets: np.ndarray
    widths: dict[str, np.ndarray]


def plan(
    prices: Prices,
    calibration: Calibration,
    items: int,
    budgets: Sequence[float] | np.ndarray,
    floor: float = 0.02,
    confidence: float = 0.95,
) -> Plan:
    """Computes which width each policy would reach at each budget.

    Args:
        prices: Prices of the raters.
        calibration: What is known of the raters, as from a burn-in.
        items: How many items there are.
        budgets: Money, shape [budgets].
        floor: Least probability of a strong rating.
        confidence: Coverage of the interval.
    """
    from scipy.stats import norm

    twice = 2 * float(norm.ppf((1 + confidence) / 2))
    variance, errors = calibration.variance, calibration.errors

    def best_variance(name: str, budget: float) -> float:
        policy = policy_for(name, prices, variance, errors, items, budget, floor)
        return expected_variance(policy, prices, variance, errors, items, budget)

    return Plan(
        np.asarray(budgets, dtype=float),
        {name: twice * np.sqrt([best_variance(name, budget) for budget in budgets]) for name in NAMES},
    )
