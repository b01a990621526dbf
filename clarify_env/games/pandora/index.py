"""The optimum of Pandora's boxes, in closed form (docs/games/pandora.md).

Box k holds the prize with probability p_k, in falling order; P_k is the sum of the first k, c the price of a look, and
g the discount. The best plan that looks at most m times looks into the likeliest boxes 1 to m, takes the prize where it
finds it, and else commits to box m + 1. Its value is

    V_m = S_m - c L_m,    S_m = sum_{k<=m} g^k p_k + g^m p_{m+1},    L_m = sum_{k<=m} (1 - P_{k-1}),

and the optimum is max_m V_m. The price at which looking on and committing are worth the same is the reservation price

    sigma = max_{1<=m<K} (S_m - p_1) / L_m:    look if c < sigma, else commit to the likeliest box.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from clarify_env.games.base import reward

# Values that differ by no more than this, in units of reward, differ by rounding.
EQUAL = 1e-9


@lru_cache(maxsize=65_536)
def plans(weights: tuple[float, ...], discount: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Values of the plans that look at most m times, m = 0 to K - 1, before the price of the looks.

    Args:
        weights: Probability of each box, in any order; they sum to 1.
        discount: Factor by which each look multiplies the value of the prize.

    Returns:
        Expected score S_m, and expected number of looks L_m; both of shape [K].
    """
    falling = -np.sort(-np.array(weights))
    m = np.arange(len(falling))
    looked_into = np.concatenate([[0.0], np.cumsum(falling[:-1] * discount ** m[1:])])
    unseen = 1 - np.concatenate([[0.0], np.cumsum(falling)[:-1]])
    looks = np.concatenate([[0.0], np.cumsum(unseen[:-1])])
    return looked_into + discount**m * falling, looks


def values(weights: tuple[float, ...], price: float, discount: float = 1.0, worth: float = 1.0) -> np.ndarray:
    """Values V_m of the plans, shape [K], where the prize is worth ``worth`` before the next look."""
    score, looks = plans(weights, discount)
    return np.asarray(reward(worth * score, (looks,), (price,)))


def reservation_price(weights: tuple[float, ...], discount: float = 1.0) -> float:
    """Price of a look below which looking is better than committing now; below 0: even a free look is worse.

    ``-inf`` for one box.
    """
    score, looks = plans(weights, discount)
    return float(((score[1:] - score[0]) / looks[1:]).max(initial=-np.inf))


def commits(weights: tuple[float, ...], price: float, discount: float = 1.0, worth: float = 1.0) -> bool:
    """Whether committing to the likeliest box now is worth as much as the best plan; see `values`."""
    by_plan = values(weights, price, discount, worth)
    return bool(by_plan[0] >= by_plan.max() - EQUAL)


def decision_values(
    weights: Sequence[float], price: float, discount: float = 1.0, worth: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Values of looking into each box and of committing to it, each followed by the best plan.

    Args:
        weights: Probability of each box that may hold the prize; they sum to 1.
        price: Price of a look.
        discount: Factor by which each look multiplies the value of the prize.
        worth: Value of the prize before the next look: discount to the power of the looks so far.

    Returns:
        Value of each look, and of each commitment; both of shape [K].
    """
    probabilities = np.array(weights, dtype=float)
    looks = worth * discount * probabilities - price
    for i in range(len(probabilities)):
        others = np.delete(probabilities, i)
        left = others.sum()
        if left > EQUAL:
            looks[i] += left * values(tuple((others / left).tolist()), price, discount, worth * discount).max()
    return looks, worth * probabilities
