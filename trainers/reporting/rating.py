"""Tables of ratings: estimate, interval, money, and what strong ratings alone would have cost; the figure of a plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from trainers.rating.planning import Plan
from trainers.reporting.figures import LINES, our_style
from trainers.reporting.terminal import markdown_table
from trainers.runs.store import read_json

# Where an evaluation's report of its ratings stands in the run directory.
RATED = Path("rating") / "rating.json"

COLUMNS = ("method", "estimate", "strong ratings", "cheap ratings", "money", "always strong")


def ratings_of(run_dir: Path) -> dict[str, Any] | None:
    """Returns the table of an evaluation's ratings: ``columns``, ``rows`` and ``caption``; ``None``: it has none."""
    if not (run_dir / RATED).exists():
        return None
    report = read_json(run_dir / RATED)
    return {"columns": COLUMNS, "rows": rows(report), "caption": caption(report)}


def rows(report: Mapping[str, Any]) -> list[list[str]]:
    """Returns a row of cells for each method, under `COLUMNS`."""
    return [
        [
            method,
            _estimate(entry),
            f"{entry['strong']:,}",
            f"{entry['cheap']:,}",
            _money(entry["money"]),
            "–" if entry["always"] is None else _money(entry["always"]),
        ]
        for method, entry in report["methods"].items()
    ]


def caption(report: Mapping[str, Any]) -> str:
    """Returns a sentence on raters, prices, policy and money."""
    prices, budget, paid = report["prices"], report["budget"], report.get("paid", report["money"])
    saved = "equal answers are rated once, and games without an answer not at all"
    spent = f"counted, {_money(paid)} paid ({saved})" if paid < report["money"] - 1e-9 else "spent"
    of_budget = "" if budget is None else f" of {_money(budget)}"
    return (
        f"Mean rating by {report['rater']} (at {_money(prices['strong'])}) and {report['cheap_rater']} (at "
        f"{_money(prices['cheap'])}), policy {report['policy']}, {report['games']:,} games of each method; "
        f"{100 * report['confidence']:.10g}% interval ({report['interval']}); "
        f"{_money(report['money'])}{of_budget} {spent}. "
        "Always strong: what strong ratings alone would cost for the same width."
    )


def differences(report: Mapping[str, Any]) -> list[str]:
    """Returns a line for each pair of methods, paired by episode; the intervals hold together."""
    return [f"{' - '.join(entry['methods'])}: {_estimate(entry)}" for entry in report["differences"]]


def _estimate(entry: Mapping[str, Any]) -> str:
    interval = "(no interval)" if entry["interval"] is None else "[{:.3f}, {:.3f}]".format(*entry["interval"])
    return f"{entry['estimate']:.3f} {interval}"


def _money(amount: float) -> str:
    return f"{amount:g}" if amount >= 1e12 else f"{amount:,.2f}".rstrip("0").rstrip(".")


def markdown(report: Mapping[str, Any]) -> str:
    """Returns the tables in Markdown."""
    lines = [caption(report), "", *markdown_table(COLUMNS, rows(report)), ""]
    if report["differences"]:
        lines += ["Differences, paired by episode:", "", *(f"* {line}" for line in differences(report)), ""]
    return "\n".join(lines)


def print_rating(report: Mapping[str, Any]) -> None:
    """Prints the tables."""
    from rich.table import Table

    from trainers.reporting.terminal import console, print_wide

    table = Table(box=None)
    for index, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if index > 1 else "left", no_wrap=True)
    for row in rows(report):
        table.add_row(*row)
    print_wide(table)
    for line in (*differences(report), caption(report)):
        console().print(line, soft_wrap=True)


def plan_rows(planned: Plan) -> tuple[list[str], list[list[str]]]:
    """Returns columns and rows of a plan: the width of each policy at each budget."""
    columns = ["budget", *planned.widths]
    return columns, [
        [_money(budget), *(f"{widths[at]:.4f}" for widths in planned.widths.values())]
        for at, budget in enumerate(planned.budgets)
    ]


def draw_plan(planned: Plan) -> Figure:
    """Draws the width of each policy's interval against the budget."""
    with our_style():
        figure = Figure(figsize=(5, 3.4), layout="constrained")
        axis = figure.subplots()
        for (name, widths), (colour, marker) in zip(planned.widths.items(), LINES, strict=False):
            axis.plot(planned.budgets, widths, color=colour, marker=marker, markersize=3, label=name)
        axis.set_xlabel("money")
        axis.set_ylabel("width of the interval")
        axis.set_ylim(bottom=0)
        axis.legend()
    return figure
