"""What a game's oracle says of an episode."""

from typing import Protocol

import numpy as np


class Solved(Protocol):
    """An episode solved for all prices, by a player who knows all facts but nothing hidden (docs/design.md).

    C price vectors, shape [C, prices], give values of shape [C].
    """

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Highest expected reward, and the first action of the plan that earns it as an index into the actions."""
        ...

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Highest expected reward of the plans that begin with each action, shape [C, actions]; -inf: none."""
        ...

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Expected reward of each fixed strategy."""
        ...

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Expected value under the oracle of each measure that `Description.steering` names, by the measure's name."""
        ...
