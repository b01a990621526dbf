"""The report of a run: one HTML file that needs no network, the figures as PNG, and a table on the terminal."""

import base64
import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.table import Table

from clarify_env.costs import SETS
from trainers.reporting import figures
from trainers.runs.store import read_json, read_lines

MODES = {"temperature": "temperature 1", "greedy": "greedy"}
# What a report says of a summary's ``reasoning``, which one has whose games allowed it.
REASONING = {"free": "reasoning before the tag: free", "charged": "reasoning before the tag: charged at beta"}
TEMPLATES = Path(__file__).parent / "templates"
# What a summary holds of some tasks or options alone, and its column's title.
MORE = {
    "action_f1": "action F1",
    "asked_accuracy": "accuracy asked",
    "similarity": "similarity",
    "gold_logprob": "gold log-prob",
}
# What is missing, should a file be: a killed run has a report all the same. An evaluation alone has no metrics.jsonl.
_HOLDS = {
    "config.json": "the config",
    "summary.json": "the results",
    "evaluation.json": "the maps of the cost plane",
    "transcripts.jsonl": "the sampled games",
}
_CAPTIONS = {
    "steering": (
        "What is done first, and how many words are said last, over the cost plane",
        "Above the policy, below the oracle: the better the policy steers, the more alike they look. "
        "Numbers in the cells are means over all questions at temperature 1.",
    ),
    "regret": ("Regret over the cost plane", "Where the policy still loses reward against the oracle."),
    "learning": (
        "Learning curves",
        "Each update is drawn over the iteration it belongs to; validation questions are never learned from.",
    ),
}


def write_report(run_dir: Path) -> None:
    """Writes ``report.html`` and ``figures/*.png`` from what a run directory holds.

    Args:
        run_dir: Holds ``config.json``, ``summary.json``, ``metrics.jsonl``, ``evaluation.json`` and
            ``transcripts.jsonl``; the report says which are missing.
    """
    run_dir = Path(run_dir)
    missing = [f"{holds} ({name})" for name, holds in _HOLDS.items() if not (run_dir / name).exists()]
    config, summary, evaluation = (
        read_json(run_dir / name) if (run_dir / name).exists() else None
        for name in ("config.json", "summary.json", "evaluation.json")
    )
    drawn = _draw(evaluation, list(read_lines(run_dir / "metrics.jsonl")), run_dir / "figures")
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"fixed": fixed, "percent": percent}
    html = environment.get_template("report.html.j2").render(
        summary=summary,
        config=None if config is None else json.dumps(config, indent=2, ensure_ascii=False),
        transcripts=list(read_lines(run_dir / "transcripts.jsonl")),
        figures=drawn,
        missing=missing,
        modes=MODES,
        reasoning=REASONING,
        more=MORE,
        sets=SETS,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        # The browser runs this script and no other: text that got past the escaping would still do nothing.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    (run_dir / "report.html").write_text(html, encoding="utf-8")


def _draw(evaluation: dict[str, Any] | None, records: list[dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Draws what there is data for; saves the PNGs and returns each figure's SVG, title and caption."""
    made = {"learning": figures.learning(records)}
    if evaluation is not None:
        made |= {"steering": figures.steering(evaluation["grid"]), "regret": figures.regret(evaluation["grid"])}
    folder.mkdir(exist_ok=True)
    drawn = {}
    for name, figure in made.items():
        if figure is not None:
            title, caption = _CAPTIONS[name]
            figures.save_png(figure, folder / f"{name}.png")
            drawn[name] = {"svg": figures.inline_svg(figure, name, title), "title": title, "caption": caption}
    return drawn


def fixed(value: float | None, places: int = 3) -> str:
    """A number with so many decimal places; a dash where there is none."""
    return "–" if value is None else f"{value:.{places}f}".replace("-", "−")


def percent(value: float, of: float = 1.0, places: int = 0) -> str:
    """A share in percent; a dash where there is nothing to take a share of."""
    return f"{100 * value / of:.{places}f}" if of > 0 else "–"


def print_table(summary: dict[str, Any]) -> None:
    """Prints a run's results on the terminal.

    Args:
        summary: The content of ``summary.json``.
    """
    console = Console(highlight=False)
    console.print(
        "[bold]{method}[/] on {task}/{split}: assistant {assistant}, user {user}, seed {seed}".format(**summary)
    )
    if "reasoning" in summary:
        console.print(f"In these games, {REASONING[summary['reasoning']]}")
    _print_results(console, summary)
    for name, results in summary.get("tasks", {}).items():
        console.print(f"\n[bold]{name}[/] alone")
        _print_results(console, results)


def _print_results(console: Console, results: dict[str, Any]) -> None:
    """Prints the tables of ``eval`` and ``steering``."""
    rewards = ("reward", "95 % CI", "oracle", "% of it", "regret", "gap\nclosed", "best fixed", "domi-\nnance")
    entries = [entry for modes in results["eval"].values() for entry in modes.values()]
    more = {name: title for name, title in MORE.items() if any(name in entry for entry in entries)}
    behaviour = ("accuracy", "questions", "words", "clarify %", "answer %", "multi %", "invalid %", *more.values())
    acts = partial(_behaviour_cells, more=list(more))
    for title, columns, cells in (("Reward", rewards, _reward_cells), ("Behaviour", behaviour, acts)):
        table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
        table.add_column("costs", no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for mode, name in MODES.items():
            rows = [(costs, entry[mode]) for costs, entry in results["eval"].items() if mode in entry]
            if rows:
                table.add_row(f"[dim]{name}[/]")
            for costs, entry in rows:
                table.add_row(f" {costs}", *cells(entry))
        console.print(table)
    for name, what in (("ask_alpha", "questions against their cost"), ("words_beta", "words against their cost")):
        entry = results["steering"][name]
        console.print(
            f"Steering, {what}: rank correlation {fixed(entry['policy'], 2)} (oracle {fixed(entry['oracle'], 2)}), "
            f"range ratio {fixed(entry['range_ratio'], 2)}",
            soft_wrap=True,
        )


def _reward_cells(entry: dict[str, Any]) -> list[str]:
    low, high = entry["reward_ci"]
    best = max(entry["fixed"], key=entry["fixed"].get)
    return [
        fixed(entry["reward"]),
        f"± {fixed((high - low) / 2)}",
        fixed(entry["oracle"]),
        percent(entry["reward"], entry["oracle"], 1),
        fixed(entry["regret"]),
        fixed(entry["gap_closed"], 2),
        f"{best} {fixed(entry['fixed'][best])}",
        fixed(entry["dominance"], 2),
    ]


def _behaviour_cells(entry: dict[str, Any], more: list[str]) -> list[str]:
    shares = [percent(entry["share"][action]) for action in ("clarify", "answer", "multi_answer")]
    invalid = percent(entry["share"]["invalid"], places=1)
    others = [fixed(entry.get(name)) for name in more]
    return [fixed(entry["accuracy"]), fixed(entry["questions"], 2), fixed(entry["words"], 1), *shares, invalid, *others]
