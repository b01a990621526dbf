"""Episodes of Pandora's boxes solved for all prices, by the closed form of `clarify_env.games.pandora.index`."""

import numpy as np

from clarify_env.games.base import reward
from clarify_env.games.pandora.actions import KINDS
from clarify_env.games.pandora.index import EQUAL, plans
from clarify_env.games.pandora.strategies import FIXED, looks_before_commitment

ACTIONS = KINDS[:-1]


class Solved:
    """An episode solved for all prices.

    Args:
        weights: Probability of each box.
        discount: Factor by which each look multiplies the value of the prize.
    """

    def __init__(self, weights: tuple[float, ...], discount: float = 1.0):
        self.weights, self.discount = weights, discount
        self.score, self.looks = plans(weights, discount)

    def _values(self, costs: np.ndarray) -> np.ndarray:
        """Values of the plans, shape [K, C]."""
        return reward(self.score[:, None], (self.looks[:, None],), costs.T)

    def _best(self, costs: np.ndarray) -> np.ndarray:
        """Looks of the best plan at most, shape [C]; ties go to fewest looks."""
        values = self._values(costs)
        return (values >= values.max(0) - EQUAL).argmax(0)

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Highest expected reward, and first action as an index into `ACTIONS`; prices of shape [C, 1]."""
        best = self._best(costs)
        return self._values(costs)[best, np.arange(len(costs))], (best == 0).astype(int)

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Highest expected reward of the plans that begin with each action, shape [C, 2]; -inf: none."""
        values = self._values(costs)
        # Of one box, the only look is into that box.
        look = values[1:].max(0) if len(values) > 1 else self.discount * self.score[0] - costs[:, 0]
        return np.stack([look, values[0]], axis=1)

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Expected looks of the oracle, shape [C]."""
        return {"looks": self.looks[self._best(costs)]}

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Expected reward of each fixed strategy and threshold rule, shape [C]."""
        values, at = self._values(costs), np.arange(len(costs))
        return {
            name: values[
                [looks_before_commitment(name, self.weights, price, self.discount) for price in costs[:, 0]], at
            ]
            for name in FIXED
        }
