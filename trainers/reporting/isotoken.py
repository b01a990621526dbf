"""Tables and figure of an isotoken evaluation (`trainers.pingeval`)."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from trainers.reporting.columns import fixed, percent
from trainers.reporting.figures import LINES, our_style, save_png
from trainers.reporting.terminal import console, markdown_table, print_wide

_COLUMNS = (
    "players",
    "control",
    "budget",
    "turns",
    "success %",
    "95 % CI",
    "turns used",
    "words",
    "unused %",
    "unused turns %",
    "ended by alice %",
    "by bob %",
    "by turns %",
    "silent",
    "over %",
)


def curve(result: Mapping[str, Any]) -> Figure:
    """Draws success against turns, a panel a budget and a line a player, with 95 % intervals.

    Args:
        result: The content of ``pingeval.json``.
    """
    rows = [row for row in result["cells"] if row["control"] == "none"]
    budgets = list(dict.fromkeys(row["budget"] for row in rows))
    names = list(dict.fromkeys(row["players"] for row in rows))
    with our_style():
        figure = Figure(figsize=(3.6 * len(budgets), 3.2), layout="constrained")
        axes = figure.subplots(1, len(budgets), sharey=True, squeeze=False)[0]
        for axis, budget in zip(axes, budgets, strict=True):
            for name, (color, marker) in zip(names, cycle(LINES), strict=False):
                points = [row for row in rows if row["players"] == name and row["budget"] == budget]
                x = [row["turns_allowed"] for row in points]
                y = [100 * row["success"] for row in points]
                axis.plot(x, y, color=color, marker=marker, markersize=4, label=name)
                low, high = zip(*(row["success_ci"] for row in points), strict=True)
                axis.fill_between(x, [100 * v for v in low], [100 * v for v in high], color=color, alpha=0.15, lw=0)
            axis.set_xscale("log", base=2)
            ticks = sorted({row["turns_allowed"] for row in rows})
            axis.set_xticks(ticks, [str(tick) for tick in ticks])
            axis.set(title=f"budget of {budget} {result['unit']} a player", xlabel="turns", ylim=(-2, 102))
            axis.grid(alpha=0.25)
        axes[0].set_ylabel("success, %")
        axes[-1].legend()
    return figure


def save(figure: Figure, path: Path) -> None:
    """Saves the figure."""
    save_png(figure, path)


def markdown(result: Mapping[str, Any]) -> str:
    """Returns the tables as Markdown."""
    return "\n".join([f"# {_title(result)}", "", *markdown_table(_COLUMNS, _rows(result)), "", _gained(result), ""])


def print_cells(result: Mapping[str, Any]) -> None:
    """Prints the tables on the terminal."""
    table = Table(title=_title(result), box=None, padding=(0, 1, 0, 0))
    for index, name in enumerate(_COLUMNS):
        table.add_column(name, justify="right" if index > 1 else "left", no_wrap=True)
    for row in _rows(result):
        table.add_row(*row)
    print_wide(table)
    console().print(_gained(result), soft_wrap=True)


def _title(result: Mapping[str, Any]) -> str:
    turn, word = result["prices"]
    return (
        f"Success by turns and budget: {result['task']}/{result['split']}, {result['episodes']} episodes, "
        f"a turn costs {turn:g}, a word {word:g}"
    )


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    return [_row(cell) for cell in result["cells"]]


def _row(cell: Mapping[str, Any]) -> list[str]:
    shares: Sequence[str] = ("unused", "unused_turns", "ended_by_alice", "ended_by_bob", "turns_used_up")
    return [
        cell["players"],
        cell["control"],
        str(cell["budget"]),
        str(cell["turns_allowed"]),
        percent(cell["success"], places=1),
        " to ".join(percent(end, places=1) for end in cell["success_ci"]),
        fixed(cell["turns"], 2),
        fixed(cell["words"], 1),
        *(percent(cell[name], places=0) for name in shares),
        fixed(cell["silent"], 2),
        percent(cell["over"], places=1),
    ]


def _gained(result: Mapping[str, Any]) -> str:
    gained = result["gained"]
    if gained is None:
        return "No policy was measured between the best one-shot summary and the best scripted protocol."
    one_shot, bound, policy = (percent(gained[name], places=1) for name in ("one_shot", "bound", "policy"))
    return (
        f"Best one-shot summary {one_shot} %, best scripted protocol {bound} %, policy {policy} %: "
        f"{gained['share']:.2f} of the way"
    )
