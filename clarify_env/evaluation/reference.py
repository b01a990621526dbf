"""Rewards of the oracle and the fixed strategies at the episodes and prices of an evaluation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.costs import Prices
from clarify_env.evaluation.played import Played
from clarify_env.games.solved import Solved

# Values that differ by no more than this, in units of reward, differ by rounding.
_EQUAL = 1e-9


class Reference(NamedTuple):
    """Values of the oracle and the fixed strategies; shapes [episodes, prices].

    Attributes:
        oracle: Value of the oracle.
        action: First action of the oracle, as an index into the game's actions.
        used: Value under the oracle of each measure that the game's steering names.
        fixed: Value of each fixed strategy.
        by_action: Value of the best plan that begins with each action, shape [episodes, prices, actions].
    """

    oracle: np.ndarray
    action: np.ndarray
    used: dict[str, np.ndarray]
    fixed: dict[str, np.ndarray]
    by_action: np.ndarray

    def rows(self, rows: Sequence[int]) -> "Reference":
        """Returns the values of some episodes."""
        index = list(rows)
        used, fixed = ({name: value[index] for name, value in of.items()} for of in (self.used, self.fixed))
        return Reference(self.oracle[index], self.action[index], used, fixed, self.by_action[index])

    def at(self, columns: Sequence[int]) -> "Reference":
        """Returns the values at some prices."""
        index = list(columns)
        used, fixed = ({name: value[:, index] for name, value in of.items()} for of in (self.used, self.fixed))
        return Reference(self.oracle[:, index], self.action[:, index], used, fixed, self.by_action[:, index])


def reference(solved: Sequence[Solved], prices: Sequence[Prices]) -> Reference:
    """Computes the values of the oracle and the fixed strategies at some prices."""
    costs = np.array(prices)
    best = [s.oracle(costs) for s in solved]
    used, fixed = [s.used(costs) for s in solved], [s.fixed(costs) for s in solved]
    return Reference(
        np.array([value for value, _ in best]),
        np.array([action for _, action in best]),
        {name: np.array([row[name] for row in used]) for name in used[0]},
        {name: np.array([row[name] for row in fixed]) for name in fixed[0]},
        np.array([s.by_action(costs) for s in solved]),
    )


def check_not_beaten(played: Played, against: Reference, episodes: Sequence) -> None:
    """Checks that no policy earns more than the oracle (docs/design.md).

    Raises:
        AssertionError: One does, so the oracle's plans or the rules are incomplete.
    """
    over = np.where(played.by_lot, -np.inf, played.values["reward"] - against.oracle)
    e, c = np.unravel_index(over.argmax(), over.shape)
    if over[e, c] > _EQUAL:
        raise AssertionError(
            f"a policy beats the oracle by {over[e, c]:.4f} on {episodes[int(e)].id}: its plans have a hole"
        )


def optimal_decisions(played: Played, against: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Counts the decisions that the oracle would take too.

    A decision is the action of a valid first message, which is optimal if the best plan that begins with it is worth as
    much as the oracle's (actions of equal value are all optimal); unless the game counts the decisions of a whole game
    itself, by its measures ``decisions`` and ``optimal_decisions``.

    Returns:
        Number of optimal decisions, and of decisions, both of shape [episodes, prices].
    """
    if {"decisions", "optimal_decisions"} <= played.values.keys():
        return played.values["optimal_decisions"], played.values["decisions"]
    valid = played.first < against.by_action.shape[-1]
    return valid & (lost_by_action(played, against) <= _EQUAL), valid


def lost_by_action(played: Played, against: Reference) -> np.ndarray:
    """Returns the regret caused by the choice of the first action, shape [episodes, prices].

    It is the oracle's value minus the value of the best plan that begins with the policy's action. The rest of the
    regret comes from the content of the messages: a wrong fact, too many readings, a question of little use. If the
    first message is invalid, or no plan begins with its action, it is the whole regret.
    """
    actions = against.by_action.shape[-1]
    index = np.minimum(played.first, actions - 1)[..., None]
    best = np.take_along_axis(against.by_action, index, axis=2)[..., 0]
    planned = (played.first < actions) & np.isfinite(best)
    return against.oracle - np.where(planned, best, played.values["reward"])
