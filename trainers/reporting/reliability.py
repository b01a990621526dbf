"""Draws reliability diagrams: how often answers of a calibrated confidence are right, for games that measure it."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

from matplotlib.figure import Figure

from trainers.reporting.figures import INK, LINES, our_style

# Area of the marker of a bin that holds all answers, in square points.
_LARGEST = 160


def reliability(results: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """Draws a reliability diagram at temperature 1, a line for each set of prices.

    Args:
        results: The ``eval`` table of ``summary.json``. Entries with ``reliability`` hold bins of (mean confidence,
            share that is right, weight).

    Returns:
        The figure; ``None`` if no entry holds bins.
    """
    bins = {name: modes["temperature"].get("reliability") for name, modes in results.items() if "temperature" in modes}
    drawn = {name: points for name, points in bins.items() if points}
    if not drawn:
        return None
    with our_style():
        figure = Figure(figsize=(4.4, 3.6), layout="constrained")
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=0.8, label="calibrated")
        for (name, points), (color, marker) in zip(drawn.items(), cycle(LINES), strict=False):
            confidence, right, weight = zip(*points, strict=True)
            axis.plot(confidence, right, color=color, linewidth=1)
            sizes = [_LARGEST * one / sum(weight) for one in weight]
            axis.scatter(
                confidence, right, s=sizes, color=color, marker=marker, label=f"{name.replace('_', ' ')} prices"
            )
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence, calibrated", ylabel="share that is right")
        axis.grid(alpha=0.25)
        axis.legend()
    return figure
