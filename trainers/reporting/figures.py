"""Figures of a run: maps of the cost plane and learning curves, each drawn once and saved as PNG and as inline SVG."""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clarify_env.games.clarification.oracle import ACTIONS

# Everything that is neither data nor on top of data is drawn in this colour, so that a page can swap it for its own.
INK = "#1b1f27"
# Told apart by people with any kind of colour vision, on white and on black; markers say it a second time.
LINES = {"clarify": ("#2f86d6", "o"), "answer": ("#d55e00", "s"), "multi_answer": ("#009e73", "^")}
_MAP = "viridis"
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    **{key: INK for key in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")},
    # Text stays text: it can be searched and read aloud. Fixed ids make equal runs give equal files.
    "svg.fonttype": "none",
    "svg.hashsalt": "clarify-env",
}


def steering(grid: dict[str, Any]) -> Figure:
    """Maps of the cost plane: the three action shares and the words, policy above oracle.

    Args:
        grid: The ``grid`` entry of ``evaluation.json``.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(11.5, 5.6), layout="constrained")
        axes = figure.subplots(2, 4, sharex=True, sharey=True)
        said = [grid[who]["words"] for who in ("policy", "oracle")]
        for row, who in zip(axes, ("policy", "oracle"), strict=True):
            for axis, action in zip(row, ACTIONS, strict=False):
                shares = _map(axis, grid, 100 * np.array(grid[who][action]), (0, 100), "{:.0f}")
            words = _map(row[3], grid, np.array(grid[who]["words"]), (np.min(said), np.max(said)), "{:.1f}")
            row[0].set_ylabel("cost of a word")
            row[0].annotate(
                who, (-0.32, 0.5), xycoords="axes fraction", rotation=90, va="center", fontsize=11, fontweight="bold"
            )
        for axis, title in zip(axes[0], (*(f"first action {action}, %" for action in ACTIONS), "words"), strict=True):
            axis.set_title(title)
        for axis in axes[1]:
            axis.set_xlabel("cost of a question")
        figure.colorbar(shares, ax=axes[:, :3], label="% of questions", pad=0.01, aspect=40).outline.set_visible(False)
        figure.colorbar(words, ax=axes[:, 3], label="words of the last message", aspect=40).outline.set_visible(False)
    return figure


def regret(grid: dict[str, Any]) -> Figure:
    """Map of the cost plane: oracle minus policy reward."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.4, 3.4), layout="constrained")
        axis = figure.subplots()
        values = np.array(grid["oracle"]["reward"]) - np.array(grid["policy"]["reward"])
        drawn = _map(axis, grid, values, (0, max(values.max(), 1e-3)), "{:.2f}")
        axis.set(xlabel="cost of a question", ylabel="cost of a word", title="regret: oracle less policy reward")
        figure.colorbar(drawn, ax=axis).outline.set_visible(False)
    return figure


def asking(grids: Mapping[str, dict[str, Any]]) -> Figure:
    """Share of games begun with a question against its cost, a line a method, means over the costs of words.

    Args:
        grids: By method, the ``grid`` entry of ``evaluation.json``, or its mean over runs.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axis = figure.subplots()
        colors = matplotlib.colormaps["tab20"].colors
        for index, (method, grid) in enumerate(grids.items()):
            shares = 100 * np.array(grid["policy"]["clarify"]).mean(1)
            axis.plot(grid["alphas"], shares, label=method, marker="os^vD*"[index % 6], color=colors[index % 20])
        oracle = 100 * np.array(grid["oracle"]["clarify"]).mean(1)
        axis.plot(grid["alphas"], oracle, color=INK, linestyle="--", label="oracle")
        axis.set(xlabel="cost of a question", ylim=(0, 100), title="first action clarify, %")
        axis.grid(alpha=0.25)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def regrets(grids: Mapping[str, dict[str, Any]]) -> Figure:
    """Maps of the cost plane, one a method on one scale: oracle minus policy reward; see `asking`."""
    lost = {name: np.array(g["oracle"]["reward"]) - np.array(g["policy"]["reward"]) for name, g in grids.items()}
    columns = min(4, len(lost))
    rows = -(-len(lost) // columns)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.2 * columns, 2.8 * rows), layout="constrained")
        axes = np.ravel(figure.subplots(rows, columns, squeeze=False))
        most = max(values.max() for values in lost.values())
        for axis, (name, values) in zip(axes, lost.items(), strict=False):
            drawn = _map(axis, grids[name], values, (0, max(most, 1e-3)), "{:.2f}")
            axis.set_title(name)
        for axis in axes[len(lost) :]:
            axis.set_visible(False)
        figure.colorbar(drawn, ax=axes.tolist(), label="regret").outline.set_visible(False)
    return figure


def curve(points: dict[str, Any]) -> Figure:
    """Reward in % of the oracle's against games or training questions, a line a method with 95 % intervals.

    Args:
        points: A task's entry of `trainers.reporting.learning_curves.curves`.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.8, 3.8), layout="constrained")
        axis = figure.subplots()
        colors = matplotlib.colormaps["tab20"].colors
        for index, (method, its) in enumerate(points["methods"].items()):
            oracle = np.array([point["oracle"] for point in its])
            reward = 100 * np.array([point["reward"] for point in its]) / oracle
            low, high = (100 * np.array([point["ci"][end] for point in its]) / oracle for end in (0, 1))
            at = [point["games"] if points["against"] == "games" else point["at"] for point in its]
            axis.errorbar(
                at,
                reward,
                yerr=[np.maximum(reward - low, 0), np.maximum(high - reward, 0)],
                label=method,
                marker="os^vD*"[index % 6],
                color=colors[index % 20],
                capsize=2,
                linewidth=1,
            )
        axis.axhline(90, color=INK, linestyle=":", linewidth=0.8)
        axis.set_xscale("log")
        said = {"games": "games played", "questions": "training questions"}[points["against"]]
        axis.set(xlabel=said, title="reward between costs, % of the oracle")
        axis.grid(alpha=0.25)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _map(axis: Axes, grid: dict[str, Any], values: np.ndarray, limits: tuple[float, float], form: str):
    """Draws a matrix [alpha][beta] with alpha to the right and beta upwards, its numbers written into the cells."""
    mesh = axis.pcolormesh(values.T, cmap=_MAP, vmin=limits[0], vmax=limits[1], edgecolors="face", linewidth=0.3)
    for (column, row), value in np.ndenumerate(values):
        dark = mesh.norm(value) < 0.6
        # Within its cell: measuring it for the layout would take as long as drawing it.
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


def learning(records: Sequence[dict[str, Any]]) -> Figure | None:
    """Learning curves over iterations: loss, validation reward and action shares, as far as they were recorded.

    Args:
        records: The lines of ``metrics.jsonl``.

    Returns:
        ``None`` where none of them was.
    """
    losses = [record for record in records if "update/loss" in record]
    checked = [record for record in records if "validation/reward" in record]
    shares = [record for record in records if any(f"validation/{action}" in record for action in ACTIONS)]
    panels = [(draw, rows) for draw, rows in ((_loss, losses), (_reward, checked), (_shares, shares)) if rows]
    if not panels:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.8 * len(panels), 2.9), layout="constrained")
        for axis, (draw, rows) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
            draw(axis, rows)
            axis.set(xlabel="iteration", xlim=(-0.1, max(record["iteration"] for record in records) + 0.1))
            axis.grid(alpha=0.25)
            axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _loss(axis: Axes, records: list[dict[str, Any]]) -> None:
    # Each update is its own stretch: one from the base model begins where the first began.
    by_iteration: dict[int, list[float]] = {}
    for record in records:
        by_iteration.setdefault(record["iteration"], []).append(record["update/loss"])
    for iteration, losses in by_iteration.items():
        x = iteration - 1 + np.arange(1, len(losses) + 1) / len(losses)
        axis.plot(x, losses, color=LINES["clarify"][0], linewidth=1.2, marker="." if len(losses) == 1 else "")
    axis.set_title("loss of the update")


def _reward(axis: Axes, records: list[dict[str, Any]]) -> None:
    x = [record["iteration"] for record in records]
    axis.plot(
        x, [record["validation/reward"] for record in records], color=LINES["clarify"][0], marker="o", label="policy"
    )
    if all("validation/oracle" in record for record in records):
        axis.plot(x, [record["validation/oracle"] for record in records], color=INK, linestyle="--", label="oracle")
    axis.set_title("reward on validation questions")
    axis.legend()


def _shares(axis: Axes, records: list[dict[str, Any]]) -> None:
    for action, (color, marker) in LINES.items():
        points = [(r["iteration"], 100 * r[f"validation/{action}"]) for r in records if f"validation/{action}" in r]
        if points:
            axis.plot(*zip(*points, strict=True), color=color, marker=marker, label=action)
    axis.set(ylim=(0, 100), title="first actions on validation questions, %")
    axis.legend()


def save_png(figure: Figure, path: Path) -> None:
    """Saves a figure for papers and slides: on white."""
    with matplotlib.rc_context(_STYLE):
        figure.savefig(path, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element that takes its ink from the page around it.

    Args:
        figure: What to draw.
        name: Sets its ids apart from those of the page's other figures.
        label: What it shows, in one phrase, for screen readers. Must need no escaping.
    """
    file = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # HTML knows the name spaces of SVG by itself; the addresses would only look like links.
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    # Two equal colour bars would have one id.
    text = re.sub(r'(<image [^>]*?)\bid="[^"]*"', r"\1", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'width="[^"]*pt" height="[^"]*pt"|height="[^"]*pt" width="[^"]*pt"', "", text, count=1)
    width = round(96 * figure.get_figwidth())
    return text.replace("<svg", f'<svg role="img" aria-label="{label}" style="max-width: {width}px"', 1).replace(
        INK, "currentColor"
    )
