"""What width each policy would reach at each budget, from ratings of a burn-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating.errors import Calibration
from trainers.rating.policies import NAMES, Prices, policy_for


class Plan(NamedTuple):
    """Expected widths of the interval.

    Attributes:
        budgets: Money, shape [budgets].
        widths: By policy, the expected width at each budget, shape [budgets].
    """

    budgets: np.ndarray
    widths: dict[str, np.ndarray]


def expected_variance(
    name: str, prices: Prices, calibration: Calibration, items: int, budget: float, floor: float
) -> float:
    """Returns the expected variance of the estimate by a policy at a budget.

    Args:
        name: Name of the policy.
        prices: Prices of the raters.
        calibration: What is known of the raters.
        items: How many items there are.
        budget: Money for them.
        floor: Least probability of a strong rating.
    """
    variance, errors = calibration.variance, calibration.errors
    if name == "always":
        return variance / min(items, budget / prices.strong)
    rates = policy_for(name, prices, variance, errors, items, budget, floor).rates(errors)
    number = min(items, budget / (prices.cheap + prices.strong * rates.mean()))
    return float(variance + np.mean(errors**2 * (1 / rates - 1))) / number


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
    return Plan(
        np.asarray(budgets, dtype=float),
        {
            name: twice
            * np.sqrt([expected_variance(name, prices, calibration, items, budget, floor) for budget in budgets])
            for name in NAMES
        },
    )
