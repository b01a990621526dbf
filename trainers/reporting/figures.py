"""Draws the figures of runs, maps of the cost plane and learning curves, as PNG and inline SVG."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

# Colour of axes and text; a page replaces it by its text colour.
INK = "#1b1f27"
# Colours for all kinds of colour vision, on white and on black, each with a marker.
LINES = (
    ("#2f86d6", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#56b4e9", "P"),
)
# Entries of a map of the cost plane that are not shares of first actions.
_NO_SHARES = ("words", "reward")
_MAP = "viridis"
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    **{key: INK for key in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")},
    # Write text as text, so that it can be searched and read aloud. Fixed ids make files of equal runs equal.
    "svg.fonttype": "none",
    "svg.hashsalt": "clarify-env",
}


@contextmanager
def our_style() -> Iterator[None]:
    """Sets the style of our figures over matplotlib's defaults: a user's matplotlibrc (``text.usetex``) has no part."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def steering(grid: dict[str, Any], prices: Sequence[str]) -> Figure:
    """Draws maps of the cost plane: share of each first action, and words; policy above oracle.

    Args:
        grid: The ``grid`` entry of ``evaluation.json``.
        prices: Labels of the horizontal and the vertical axis.
    """
    actions = [name for name in grid["policy"] if name not in _NO_SHARES]
    columns = len(actions) + 1
    with our_style():
        figure = Figure(figsize=(11.5 * columns / 4, 5.6), layout="constrained")
        axes = figure.subplots(2, columns, sharex=True, sharey=True)
        all_words = [grid[who]["words"] for who in ("policy", "oracle")]
        for row, who in zip(axes, ("policy", "oracle"), strict=True):
            for axis, action in zip(row, actions, strict=False):
                shares = _map(axis, grid, 100 * np.array(grid[who][action]), (0, 100), "{:.0f}")
            limits = (np.min(all_words), np.max(all_words))
            words = _map(row[-1], grid, np.array(grid[who]["words"]), limits, "{:z.1f}")
            row[0].set_ylabel(prices[1])
            row[0].annotate(
                who, (-0.32, 0.5), xycoords="axes fraction", rotation=90, va="center", fontsize=11, fontweight="bold"
            )
        for axis, title in zip(axes[0], (*(f"first action {action}, %" for action in actions), "words"), strict=True):
            axis.set_title(title)
        for axis in axes[1]:
            axis.set_xlabel(prices[0])
        figure.colorbar(shares, ax=axes[:, :-1], label="% of episodes", pad=0.01, aspect=40).outline.set_visible(False)
        figure.colorbar(words, ax=axes[:, -1], label="words of the last message", aspect=40).outline.set_visible(False)
    return figure


def regret(grid: dict[str, Any], prices: Sequence[str]) -> Figure:
    """Draws a map of the cost plane: oracle minus policy reward; see `steering`."""
    with our_style():
        figure = Figure(figsize=(4.4, 3.4), layout="constrained")
        axis = figure.subplots()
        values = np.array(grid["oracle"]["reward"]) - np.array(grid["policy"]["reward"])
        mesh = _map(axis, grid, values, (0, max(values.max(), 1e-3)), "{:z.2f}")
        axis.set(xlabel=prices[0], ylabel=prices[1], title="regret: oracle minus policy reward")
        figure.colorbar(mesh, ax=axis).outline.set_visible(False)
    return figure


def steering_lines(grids: Mapping[str, dict[str, Any]], quantity: str, price: int, prices: Sequence[str]) -> Figure:
    """Draws a quantity against a price, one line per method, averaged over the other price.

    Args:
        grids: By method, the ``grid`` entry of ``evaluation.json``, or its mean over runs.
        quantity: A first action or ``words``.
        price: Index of the price.
        prices: Label of each price.
    """
    scale = 1 if quantity in _NO_SHARES else 100
    with our_style():
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axis = figure.subplots()
        colors = matplotlib.colormaps["tab20"]
        for index, (method, grid) in enumerate(grids.items()):
            values = scale * np.array(grid["policy"][quantity]).mean(1 - price)
            x = grid["betas" if price else "alphas"]
            axis.plot(x, values, label=method, marker="os^vD*"[index % 6], color=colors(index % 20))
        oracle = scale * np.array(grid["oracle"][quantity]).mean(1 - price)
        axis.plot(x, oracle, color=INK, linestyle="--", label="oracle")
        if quantity in _NO_SHARES:
            axis.set(xlabel=prices[price], title=quantity)
        else:
            axis.set(xlabel=prices[price], ylim=(0, 100), title=f"first action {quantity}, %")
        axis.grid(alpha=0.25)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def regrets(grids: Mapping[str, dict[str, Any]]) -> Figure:
    """Draws a map of the cost plane per method, on one scale: oracle minus policy reward; see `steering_lines`."""
    lost = {name: np.array(g["oracle"]["reward"]) - np.array(g["policy"]["reward"]) for name, g in grids.items()}
    columns = min(4, len(lost))
    rows = -(-len(lost) // columns)
    with our_style():
        figure = Figure(figsize=(3.2 * columns, 2.8 * rows), layout="constrained")
        axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
        most = max(values.max() for values in lost.values())
        for axis, (name, values) in zip(axes, lost.items(), strict=False):
            mesh = _map(axis, grids[name], values, (0, max(most, 1e-3)), "{:z.2f}")
            axis.set_title(name)
        for axis in axes[len(lost) :]:
            axis.set_visible(False)
        figure.colorbar(mesh, ax=axes.tolist(), label="regret").outline.set_visible(False)
    return figure


def curve(points: dict[str, Any]) -> Figure:
    """Draws reward or % of the oracle against games or training episodes: a line per method, with 95 % intervals.

    Args:
        points: A task's entry of `trainers.reporting.learning_curves.curves`.
    """
    beside_oracle = "arrived" in points
    with our_style():
        figure = Figure(figsize=(6.8, 3.8), layout="constrained")
        axis = figure.subplots()
        colors = matplotlib.colormaps["tab20"]
        for index, (method, line) in enumerate(points["methods"].items()):
            scale = np.array([100 / point["oracle"] if beside_oracle else 1.0 for point in line])
            reward = scale * np.array([point["reward"] for point in line])
            low, high = (scale * np.array([point["ci"][end] for point in line]) for end in (0, 1))
            at = [point["games"] if points["against"] == "games" else point["at"] for point in line]
            axis.errorbar(
                at,
                reward,
                yerr=[np.maximum(reward - low, 0), np.maximum(high - reward, 0)],
                label=method,
                marker="os^vD*"[index % 6],
                color=colors(index % 20),
                capsize=2,
                linewidth=1,
            )
        title = f"reward at {points['set'].replace('_', ' ')} costs"
        if beside_oracle:
            title += ", % of the oracle"
            axis.axhline(90, color=INK, linestyle=":", linewidth=0.8)
        axis.set_xscale("log")
        axis.set(xlabel={"games": "games played", "episodes": "training episodes"}[points["against"]], title=title)
        axis.grid(alpha=0.25)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _map(axis: Axes, grid: dict[str, Any], values: np.ndarray, limits: tuple[float, float], form: str) -> QuadMesh:
    """Draws a matrix [alpha][beta], alpha to the right and beta upwards, with each number written in its square."""
    mesh = axis.pcolormesh(values.T, cmap=_MAP, vmin=limits[0], vmax=limits[1], edgecolors="face", linewidth=0.3)
    for (column, row), value in np.ndenumerate(values):
        dark = np.asarray(mesh.norm(value)) < 0.6
        # The text lies inside its square: leave it out of the layout, which would take as long as drawing.
        axis.text(
            column + 0.5,
            row + 0.5,
            form.format(value),
            ha="center",
            va="center",
            fontsize=6.5,
            color="#ffffff" if dark else "#000000",
            in_layout=False,
        )
    axis.set_xticks(np.arange(len(grid["alphas"])) + 0.5, [f"{alpha:g}" for alpha in grid["alphas"]], fontsize=6.5)
    axis.set_yticks(np.arange(len(grid["betas"])) + 0.5, [f"{beta:g}" for beta in grid["betas"]], fontsize=6.5)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return mesh


def learning(records: Sequence[dict[str, Any]], actions: Sequence[str]) -> Figure | None:
    """Draws learning curves over iterations: loss, validation reward and action shares, those that were recorded.

    Args:
        records: The lines of ``metrics.jsonl``.
        actions: Kinds of first messages.

    Returns:
        The figure; ``None`` if nothing was recorded.
    """
    losses = [record for record in records if "update/loss" in record]
    rewards = [record for record in records if "validation/reward" in record]
    shares = [record for record in records if any(f"validation/{action}" in record for action in actions)]
    draw_shares = partial(_shares, actions=actions)
    panels = [(draw, rows) for draw, rows in ((_loss, losses), (_reward, rewards), (draw_shares, shares)) if rows]
    if not panels:
        return None
    with our_style():
        figure = Figure(figsize=(3.8 * len(panels), 2.9), layout="constrained")
        for axis, (draw, rows) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
            draw(axis, rows)
            axis.set(xlabel="iteration", xlim=(-0.1, max(record["iteration"] for record in records) + 0.1))
            axis.grid(alpha=0.25)
            axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _loss(axis: Axes, records: list[dict[str, Any]]) -> None:
    # Draw each update separately: every update from the base model starts at the same loss.
    by_iteration: dict[int, list[float]] = {}
    for record in records:
        by_iteration.setdefault(record["iteration"], []).append(record["update/loss"])
    for iteration, losses in by_iteration.items():
        x = iteration - 1 + np.arange(1, len(losses) + 1) / len(losses)
        axis.plot(x, losses, color=LINES[0][0], linewidth=1.2, marker="." if len(losses) == 1 else "")
    axis.set_title("loss of the update")


def _reward(axis: Axes, records: list[dict[str, Any]]) -> None:
    x = [record["iteration"] for record in records]
    rewards = [record["validation/reward"] for record in records]
    axis.plot(x, rewards, color=LINES[0][0], marker="o", label="policy")
    if all("validation/oracle" in record for record in records):
        axis.plot(x, [record["validation/oracle"] for record in records], color=INK, linestyle="--", label="oracle")
    axis.set_title("reward on validation episodes")
    axis.legend()


def _shares(axis: Axes, records: list[dict[str, Any]], actions: Sequence[str]) -> None:
    for action, (color, marker) in zip(actions, cycle(LINES), strict=False):
        points = [(r["iteration"], 100 * r[f"validation/{action}"]) for r in records if f"validation/{action}" in r]
        if points:
            axis.plot(*zip(*points, strict=True), color=color, marker=marker, label=action)
    axis.set(ylim=(0, 100), title="first actions on validation episodes, %")
    axis.legend()


def save_png(figure: Figure, path: Path) -> None:
    """Saves a figure as PNG on white."""
    with our_style():
        figure.savefig(path, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """Converts a figure to an ``<svg>`` element in the text colour of the page.

    Args:
        figure: The figure.
        name: Prefix of its ids, different for each figure of a page.
        label: Description in one phrase, for screen readers. Must not need escaping.
    """
    file = io.StringIO()
    with our_style():
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # HTML needs no name spaces of SVG, and their addresses look like links.
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    # Two equal colour bars would have the same id.
    text = re.sub(r'(<image [^>]*?)\bid="[^"]*"', r"\1", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'width="[^"]*pt" height="[^"]*pt"|height="[^"]*pt" width="[^"]*pt"', "", text, count=1)
    width = round(96 * figure.get_figwidth())
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" style="max-width: {width}px"', 1).replace(
        INK, "currentColor"
    )
