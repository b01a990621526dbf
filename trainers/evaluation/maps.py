"""Maps of the cost plane, and results at each price vector of a cost set, for reports."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from clarify_env.costs import Plane, Prices
from clarify_env.evaluation.played import Played
from clarify_env.evaluation.reference import Reference
from clarify_env.games.description import Description


def grid_prices(plane: Plane, n: int) -> tuple[Prices, ...]:
    """Returns the steering grid as a flat list of price vectors, in the order that `grid_map` expects."""
    return tuple(product(*plane.grid(n)))


def grid_map(
    game: Description,
    played: Played,
    against: Reference,
    alphas: Sequence[float],
    betas: Sequence[float | None] = (None,),
) -> dict[str, Any]:
    """Returns matrices [alpha][beta] of policy and oracle: share of each first action, measures that steer, and reward.

    Args:
        game: The game.
        played: The policy's games at the prices of `grid_prices`.
        against: The oracle at these prices.
        alphas: Values of the first price.
        betas: Values of the second price; of a game with one price, ``None`` alone: matrices have one column.
    """

    def square(values: np.ndarray) -> list[list[float]]:
        return values.mean(0).reshape(len(alphas), len(betas)).tolist()

    def shares(first: np.ndarray) -> dict[str, list[list[float]]]:
        return {name: square(first == i) for i, name in enumerate(game.actions)}

    def measured(values: Mapping[str, np.ndarray]) -> dict[str, list[list[float]]]:
        names = dict.fromkeys(quantity for quantity, _ in game.steering.values() if quantity not in game.actions)
        return {name: square(values[name]) for name in names}

    return {
        "alphas": list(alphas),
        "betas": list(betas),
        "policy": shares(played.first) | measured(played.values) | {"reward": square(played.values["reward"])},
        "oracle": shares(against.action) | measured(against.used) | {"reward": square(against.oracle)},
    }


def set_map(game: Description, played: Played, against: Reference | None, prices: Sequence[Prices]) -> dict[str, Any]:
    """Returns lists over the prices of a cost set: share of each first action, rewards of policy and references."""
    entry: dict[str, Any] = {name: (played.first == i).mean(0).tolist() for i, name in enumerate(game.actions)}
    entry |= {"cells": [list(vector) for vector in prices], "reward": played.values["reward"].mean(0).tolist()}
    if against is None:
        return entry
    fixed = {name: values.mean(0).tolist() for name, values in against.fixed.items()}
    return entry | {"oracle": against.oracle.mean(0).tolist(), "fixed": fixed}
