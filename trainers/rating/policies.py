"""Sampling policies: with which probability the strong rater rates an item.

Notation of arXiv 2506.07949: H is the strong rating of an item, G the cheap one, pi(x) the probability that the strong
rater rates item x, s(x) = sqrt(E[(H - G)^2 | x]) the conditional root mean squared error of the cheap rater (the
paper's u(x) is its square), c_h and c_g the prices. Every item is rated by the cheap rater. The estimate from T items
has the variance V(pi) / T with V(pi) = Var H - E[s^2] + E[s^2 / pi], and each item costs C(pi) = c_g + c_h E[pi]; a
budget pays for budget / C items, so the best policy has the least product C V.

Every minimum here has the form pi(x) = min(1, max(floor, gamma s(x))): where neither bound holds, the derivative of
C V in pi(x) vanishes at pi = s sqrt(C / (c_h V)).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

NAMES = ("always", "uniform", "active")
# An s(x) up to here is none: its reciprocal is not to overflow.
_NO_ERROR = 1e-100


class Prices(NamedTuple):
    """What one rating costs, in any one unit of money.

    Attributes:
        cheap: Price of a cheap rating, at least 0 (the paper's c_g).
        strong: Price of a strong rating, above 0 (c_h).
    """

    cheap: float
    strong: float

    @property
    def ratio(self) -> float:
        """c_g / c_h."""
        return self.cheap / self.strong


class SamplingPolicy(NamedTuple):
    """pi(x) = min(1, max(floor, gamma s(x))), or one rate for all items.

    Attributes:
        name: One of `NAMES`.
        gamma: Factor of s(x); where it is infinite, every item is rated by the strong rater. Of one rate for all, that
            rate itself.
        floor: Least probability, in [0, 1].
    """

    name: str
    gamma: float
    floor: float = 0.0

    @property
    def tau(self) -> float:
        """The error s above which every item is rated by the strong rater: 1 / gamma."""
        return 1 / self.gamma if self.gamma else np.inf

    def rates(self, rmse: np.ndarray) -> np.ndarray:
        """Returns pi(x) at each s(x), shape as given."""
        if self.name != "active":
            return np.full(np.shape(rmse), min(1.0, max(self.floor, self.gamma)))
        errors = np.asarray(rmse, dtype=float)
        product = np.multiply(self.gamma, errors, out=np.zeros(errors.shape), where=errors > _NO_ERROR)
        return np.clip(product, self.floor, 1.0)


ALWAYS = SamplingPolicy("always", 1.0)


def objective(prices: Prices, variance: float, rmse: np.ndarray, rates: np.ndarray) -> float:
    """Returns C V, the variance of the estimate times the money spent; lower is better.

    Args:
        prices: Prices of the raters.
        variance: Var H.
        rmse: s(x) of items that stand for all, shape [items].
        rates: pi(x) of the same items.
    """
    errors = np.square(rmse)
    weighted = np.divide(errors, rates, out=np.zeros_like(errors), where=errors > 0)
    return (prices.cheap + prices.strong * np.mean(rates)) * (variance + np.mean(weighted - errors))


def uniform_rate(prices: Prices, variance: float, error: float, floor: float = 0.0) -> float:
    """Returns the best single rate: sqrt((c_g / c_h) MSE / (Var H - MSE)), or 1 where MSE >= c_h / (c_h + c_g) Var H.

    Args:
        prices: Prices of the raters.
        variance: Var H.
        error: MSE, the mean squared error of the cheap rater.
        floor: Least rate.
    """
    if error * (1 + prices.ratio) >= variance:
        return 1.0
    return max(floor, float(np.sqrt(prices.ratio * error / (variance - error))))


def active_gamma(prices: Prices, variance: float, rmse: np.ndarray, floor: float = 0.0) -> float:
    """Returns the gamma of the best active policy on items that stand for all (Proposition 2, with a floor).

    Between two neighbouring breakpoints floor / s and 1 / s of the items, the sets of items at the floor, between the
    bounds and at 1 stay the same, and C V is least at gamma^2 = (c_g / c_h + E[pi; at a bound]) / (Var H - E[s^2; not
    at 1] + E[s^2 / floor; at the floor]), moved into the interval. The best of all intervals is taken.

    Args:
        prices: Prices of the raters.
        variance: Var H.
        rmse: s(x), shape [items].
        floor: Least probability.
    """
    errors = np.sort(np.asarray(rmse, dtype=float))
    errors = errors[errors > _NO_ERROR]
    if not len(errors):
        return 0.0
    items, zeros = np.size(rmse), np.size(rmse) - len(errors)
    breakpoints = np.unique(np.concatenate([[0.0], floor / errors if floor else [], 1 / errors]))
    low, high = breakpoints[:-1], breakpoints[1:]
    middle = (low + high) / 2
    # Sorted by s: the first `at_floor` items are at the floor, those from `at_one` on at 1.
    at_floor = np.searchsorted(errors, floor / middle) if floor else np.zeros(len(middle), dtype=int)
    at_one = np.searchsorted(errors, 1 / middle)
    sums, squares = (np.concatenate([[0.0], np.cumsum(power)]) / items for power in (errors, errors**2))
    bounded = (floor * (zeros + at_floor) + len(errors) - at_one) / items
    inside, inside_squares = sums[at_one] - sums[at_floor], squares[at_one] - squares[at_floor]
    floored = squares[at_floor] * (1 / floor - 1) if floor else 0.0
    rest = variance - inside_squares + floored
    with np.errstate(divide="ignore"):
        gamma = np.sqrt(np.divide(prices.ratio + bounded, rest, out=np.full(len(rest), np.inf), where=rest > 0))
    gamma = np.clip(gamma, np.maximum(low, _NO_ERROR), high)
    cost = prices.ratio + bounded + gamma * inside
    value = cost * (rest + inside / gamma)
    return float(gamma[np.argmin(value)])


def gamma_of_mean(rmse: np.ndarray, mean: float, floor: float = 0.0) -> float:
    """Returns the gamma at which min(1, max(floor, gamma s)) has a given mean; infinite where none is large enough.

    Of all policies of that mean (so of that cost per item), the one of this form has the least variance.

    Args:
        rmse: s(x), shape [items].
        mean: Mean of pi over the items, in (floor, 1].
        floor: Least probability.
    """
    errors = np.asarray(rmse, dtype=float)
    if mean >= np.mean(np.where(errors > _NO_ERROR, 1.0, floor)):
        return np.inf

    def mean_rate(gamma: float) -> float:
        return float(np.clip(gamma * errors, floor, 1).mean())

    # The mean is linear between breakpoints: find those about the given one.
    positive = errors[errors > _NO_ERROR]
    breakpoints = np.unique(np.concatenate([[0.0], floor / positive, 1 / positive]))
    last = bisect_left(breakpoints.tolist(), mean, key=mean_rate)
    low, high = (float(gamma) for gamma in breakpoints[last - 1 : last + 1])
    start, end = mean_rate(low), mean_rate(high)
    return low + (high - low) * (mean - start) / (end - start)


def best_policy(name: str, prices: Prices, variance: float, rmse: np.ndarray, floor: float = 0.0) -> SamplingPolicy:
    """Returns the policy of a name that is best where items never run out.

    Args:
        name: One of `NAMES`.
        prices: Prices of the raters.
        variance: Var H.
        rmse: s(x) of items that stand for all, shape [items].
        floor: Least probability, in [0, 1].

    Raises:
        ValueError: The name is unknown.
    """
    if name == "always":
        return ALWAYS
    if name == "uniform":
        return SamplingPolicy(name, uniform_rate(prices, variance, float(np.mean(np.square(rmse))), floor), floor)
    if name == "active":
        return SamplingPolicy(name, active_gamma(prices, variance, rmse, floor), floor)
    raise ValueError(f"unknown sampling policy {name!r}; known: {', '.join(NAMES)}")


def policy_for(
    name: str, prices: Prices, variance: float, rmse: np.ndarray, items: int, budget: float, floor: float = 0.0
) -> SamplingPolicy:
    """Returns the policy of a name that is best for so many items and so much money.

    Where the policy that is best without end would rate all items and leave money, the money goes to strong ratings:
    the same form with a larger gamma (or rate), whose expected cost is the budget.

    Args:
        name: One of `NAMES`.
        prices: Prices of the raters.
        variance: Var H.
        rmse: s(x) of items that stand for all, shape [any].
        items: How many items there are.
        budget: Money for them.
        floor: Least probability, in [0, 1].
    """
    policy = best_policy(name, prices, variance, rmse, floor)
    affordable = (budget / items - prices.cheap) / prices.strong if items else 0.0
    if name == "always" or affordable <= policy.rates(rmse).mean():
        return policy
    if name == "uniform":
        return policy._replace(gamma=min(1.0, affordable))
    gamma = gamma_of_mean(rmse, affordable, floor)
    if np.isinf(gamma):  # money for more than all items known to err: the rest is spread over the others
        errs = float(np.mean(np.asarray(rmse) > _NO_ERROR))
        return policy._replace(gamma=gamma, floor=1.0 if errs == 1 else min(1.0, (affordable - errs) / (1 - errs)))
    return policy._replace(gamma=gamma)


def expected_items(policy: SamplingPolicy, prices: Prices, rmse: np.ndarray, items: int, budget: float) -> float:
    """Returns how many of the items a budget is expected to pay for; arguments as of `expected_variance`."""
    cheap = 0.0 if policy.name == "always" else prices.cheap
    cost = cheap + prices.strong * float(policy.rates(rmse).mean())
    return max(1e-300, min(items, budget / cost) if cost else items)


def expected_variance(
    policy: SamplingPolicy, prices: Prices, variance: float, rmse: np.ndarray, items: int, budget: float
) -> float:
    """Returns the expected variance of the estimate by a policy at a budget.

    Of always-strong it is Var H / min(items, budget / c_h): it needs no cheap ratings, and pays for none.

    Args:
        policy: The policy.
        prices: Prices of the raters.
        variance: Var H.
        rmse: s(x) of items that stand for all, shape [any].
        items: How many items there are.
        budget: Money for them.
    """
    rates = policy.rates(rmse)
    weighted = np.divide(np.square(rmse), rates, out=np.zeros(np.shape(rmse)), where=rates > 0)
    return float(variance + np.mean(weighted - np.square(rmse))) / expected_items(policy, prices, rmse, items, budget)
