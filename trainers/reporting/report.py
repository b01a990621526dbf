"""Reports a run: one HTML file that needs no network, figures as PNG, and tables on the terminal."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from rich.table import Table
from rich.text import Text

from clarify_env.games.description import Description
from trainers.reporting import figures
from trainers.reporting.columns import MODES, NO_GAP, REASONING, Columns, columns, fixed, percent, settings_text
from trainers.reporting.one_price import by_price, has_one_price
from trainers.reporting.rating import ratings_of
from trainers.reporting.reliability import reliability
from trainers.reporting.results import (
    game_of,
    has_oracle,
    headline_set,
    price_names,
    read_evaluation,
    read_summary,
    steering_title,
    upgraded,
)
from trainers.reporting.terminal import console, heading, print_wide
from trainers.runs.store import read_json, read_lines

TEMPLATES = Path(__file__).parent / "templates"
# Files of a run. The report of a killed run names the missing ones. Runs that only evaluate have no metrics.jsonl.
_HOLDS = {
    "config.json": "the config",
    "summary.json": "the results",
    "evaluation.json": "the results by costs and by episode",
    "transcripts.jsonl": "the sampled games",
}
_CAPTIONS = {
    "steering": (
        "First actions and words over the cost plane",
        "Policy above, oracle below: the better the policy steers, the more alike they look. "
        "Each number is the mean over all episodes at temperature 1.",
    ),
    "by_price": (
        "Behaviour by price",
        "Policy (solid) beside the oracle (dashed), averaged over all episodes at temperature 1: a reward that rises "
        "while the policy's lines stay flat is no steering.",
    ),
    "regret": ("Regret over the cost plane", "Where the policy still loses reward against the oracle."),
    "reliability": (
        "Reliability of the hedges",
        "Answers by their confidence: whether they are asserted, after isotonic regression on the other half of the "
        "questions. The larger a point, the more answers; on the dashed line, confidence is the share that is right.",
    ),
    "learning": (
        "Learning curves",
        "Each update is drawn over the iteration it belongs to; validation episodes are never learned from.",
    ),
}


def write_report(run_dir: Path) -> Path:
    """Writes ``report.html`` and ``figures/*.png`` from the files of a run directory.

    Args:
        run_dir: Directory with ``config.json``, ``summary.json``, ``metrics.jsonl``, ``evaluation.json`` and
            ``transcripts.jsonl``; the report names the missing ones.

    Returns:
        Path of ``report.html``.

    Raises:
        ValueError: The game of the run is not installed, or a file is not JSON.
    """
    run_dir = Path(run_dir)
    missing = [f"{holds} ({name})" for name, holds in _HOLDS.items() if not (run_dir / name).exists()]
    config, summary, evaluation = (
        read(run_dir / name) if (run_dir / name).exists() else None
        for name, read in (
            ("config.json", read_json),
            ("summary.json", read_summary),
            ("evaluation.json", read_evaluation),
        )
    )
    game = game_of(summary, config)
    svgs = _draw(game, summary, evaluation, list(read_lines(run_dir / "metrics.jsonl")), run_dir / "figures")
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    html = (
        environment()
        .get_template("report.html.j2")
        .render(
            game=game,
            summary=summary,
            ratings=ratings_of(run_dir),
            config=None if config is None else json.dumps(config, indent=2, ensure_ascii=False),
            transcripts=list(read_lines(run_dir / "transcripts.jsonl")),
            figures=svgs,
            # Say that maps are missing only if the game has a grid and the evaluation is missing.
            no_maps=evaluation is None and bool(game.steering),
            missing=missing,
            modes=MODES,
            reasoning=REASONING,
            rows=_rows,
            columns=lambda rows: columns(game.name, [entry for _, entry in rows]),
            has_oracle=has_oracle,
            no_gap=NO_GAP,
            headline_set=headline_set,
            steering_title=lambda name: steering_title(game, name),
            style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
            script=script,
            # The browser runs only the script with this hash, so text that escaping missed cannot run.
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    path = run_dir / "report.html"
    path.write_text(html, encoding="utf-8", errors="replace")  # a message may hold a lone surrogate
    return path


def _rows(results: dict[str, Any], mode: str) -> list[tuple[str, dict[str, Any]]]:
    """Returns the cost sets measured in a mode, each with its entry."""
    return [(name, modes[mode]) for name, modes in results["eval"].items() if mode in modes]


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the environment in which pages are rendered: text is escaped, and numbers have filters.

    There is one: it keeps the templates that it has compiled.
    """
    jinja = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters |= {"fixed": fixed, "percent": percent, "settings": settings_text}
    return jinja


def _draw(
    game: Description,
    summary: dict[str, Any] | None,
    evaluation: dict[str, Any] | None,
    records: list[dict[str, Any]],
    folder: Path,
) -> dict[str, dict[str, Any]]:
    """Draws the figures for which there is data; saves PNGs and returns each figure's SVG, title and caption."""
    by_name = {"learning": figures.learning(records, game.actions)}
    if summary is not None:
        by_name["reliability"] = reliability(summary["eval"])
    if evaluation is not None and (grid := evaluation.get("grid")):
        prices = price_names(game)
        if has_one_price(grid):
            by_name["by_price"] = by_price(grid, game.actions, prices[0])
        else:
            by_name |= {"steering": figures.steering(grid, prices), "regret": figures.regret(grid, prices)}
    folder.mkdir(exist_ok=True)
    rendered = {}
    for name, figure in by_name.items():
        if figure is not None:
            title, caption = _CAPTIONS[name]
            figures.save_png(figure, folder / f"{name}.png")
            rendered[name] = {"svg": figures.inline_svg(figure, name, title), "title": title, "caption": caption}
    return rendered


def print_table(summary: dict[str, Any]) -> None:
    """Prints a run's results on the terminal.

    Args:
        summary: The content of ``summary.json``.
    """
    output = console()
    summary = upgraded(summary)
    game = game_of(summary, None)
    players = ", ".join(f"{role} {name}" for role, name in summary["players"].items())
    about = " on {task}/{split}: {0}, seed {seed}".format(players, **summary)
    output.print(heading(summary["method"]) + about, soft_wrap=True)
    if "reasoning" in summary:
        output.print(f"In these games, {REASONING[summary['reasoning']]}", soft_wrap=True)
    _print_results(game, summary)
    print_faults(summary.get("faults", {}).get("temperature", {}))
    for name, results in summary.get("tasks", {}).items():
        output.print("\n", heading(name), " alone", sep="", soft_wrap=True)
        _print_results(game, results)


def print_faults(reports: Mapping[str, Any]) -> None:
    """Prints the fault report of each role; see `clarify_env.evaluation.faults.FaultCounts.report`."""
    for role, report in reports.items():
        table = Table(title=f"Faults of the {role}, {report['messages']} messages", box=None, padding=(0, 1, 0, 0))
        for title in ("fault", "messages", "at fault", "%", "95 % CI"):
            table.add_column(title, justify="left" if title == "fault" else "right", no_wrap=True)
        for name, row in report["kinds"].items():
            rate = "–" if row["rate"] is None else percent(row["rate"], places=1)
            interval = "–" if row["ci"] is None else " to ".join(percent(end, places=1) for end in row["ci"])
            table.add_row(name, str(row["of"]), str(row["count"]), rate, interval)
        print_wide(table)


def _print_results(game: Description, results: dict[str, Any]) -> None:
    """Prints the tables of ``eval`` and ``steering``."""
    entries = [entry for modes in results["eval"].values() for entry in modes.values()]
    behaviour = columns(game.name, entries)
    for title, cells in (
        ("Reward", _reward_cells),
        ("Behaviour", lambda entry: _behaviour_cells(entry, behaviour)),
    ):
        table = Table(title=title, box=None, padding=(0, 1, 0, 0))
        table.add_column("costs", no_wrap=True)
        for column in cells(entries[0]):
            table.add_column(column, justify="right", no_wrap=True)
        for mode, name in MODES.items():
            rows = _rows(results, mode)
            if rows:
                table.add_row(Text(name, style="dim"))
            for costs, entry in rows:
                table.add_row(f" {costs}", *cells(entry).values())
        print_wide(table)
    if any("oracle" in entry and entry["gap_closed"] is None for entry in entries):
        console().print(NO_GAP, soft_wrap=True)
    for name, entry in results.get("steering", {}).items():
        console().print(
            f"Steering, {steering_title(game, name)}: rank correlation {fixed(entry['policy'], 2)} "
            f"(oracle {fixed(entry['oracle'], 2)}), range ratio {fixed(entry['range_ratio'], 2)}",
            soft_wrap=True,
        )


def _reward_cells(entry: Mapping[str, Any]) -> dict[str, str]:
    """Returns the cells of the table of rewards by column; with an oracle also the values of oracle and best fixed."""
    low, high = entry["reward_ci"]
    cells = {"reward": fixed(entry["reward"]), "95 % CI": f"± {fixed((high - low) / 2)}"}
    if "oracle" not in entry:
        return cells
    best = max(entry["fixed"], key=entry["fixed"].get)
    return cells | {
        "oracle": fixed(entry["oracle"]),
        "% of it": percent(entry["reward"], entry["oracle"], 1),
        "regret": fixed(entry["regret"]),
        "gap\nclosed": fixed(entry["gap_closed"], 2),
        "best fixed": f"{best} {fixed(entry['fixed'][best])}",
        "domi-\nnance": fixed(entry["dominance"], 2),
    }


def _behaviour_cells(entry: Mapping[str, Any], behaviour: Columns) -> dict[str, str]:
    """Returns the measures and the shares of first actions of an entry, by column."""
    before, after = (
        {column.title: column.text(entry) for column in side if column.terminal}
        for side in (behaviour.before, behaviour.after)
    )
    shares = {
        f"{action.replace('_', chr(10))} %": percent(entry["share"][action], places=1 if action == "invalid" else 0)
        for action in behaviour.actions
    }
    return before | shares | after
