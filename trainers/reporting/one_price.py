"""Draws how behaviour follows the price of a game that has one price: policy beside oracle."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainers.reporting.figures import INK, LINES, our_style


def has_one_price(grid: Mapping[str, Any]) -> bool:
    """Returns whether a steering grid has one price, so that its matrices have one column."""
    return grid["betas"] == [None]


def by_price(grid: Mapping[str, Any], actions: Sequence[str], price: str) -> Figure:
    """Draws first actions, the measures that steer, and the reward against the price; the oracle's are dashed.

    Args:
        grid: The ``grid`` entry of ``evaluation.json``.
        actions: Kinds of first messages.
        price: Label of the price.
    """
    measures = [name for name in grid["policy"] if name not in actions]
    with our_style():
        figure = Figure(figsize=(3.8 * (1 + len(measures)), 3.2), layout="constrained")
        first, *others = np.ravel(figure.subplots(1, 1 + len(measures)))
        _draw(first, grid, actions, 100.0)
        first.set(ylim=(0, 100), title="first actions, % of episodes")
        for axis, name in zip(others, measures, strict=True):
            _draw(axis, grid, [name], 1.0)
            axis.set_title(name)
        for axis in (first, *others):
            axis.set_xlabel(price)
            axis.grid(alpha=0.25)
            axis.legend()
    return figure


def _draw(axis: Axes, grid: Mapping[str, Any], names: Sequence[str], scale: float) -> None:
    for name, (color, marker) in zip(names, cycle(LINES), strict=False):
        policy, oracle = (scale * np.array(grid[who][name])[:, 0] for who in ("policy", "oracle"))
        axis.plot(grid["alphas"], policy, color=color, marker=marker, label=f"{name}, policy")
        axis.plot(grid["alphas"], oracle, color=color if len(names) > 1 else INK, linestyle="--", label="oracle")
