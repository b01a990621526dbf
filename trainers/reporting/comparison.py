"""What a comparison of runs says: means with intervals, paired differences to one method, tables and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from rich.console import Console
from rich.table import Table

from clarify_env.costs import SETS
from trainers.evaluation.metrics import interval
from trainers.reporting import figures
from trainers.reporting import learning_curves as curves
from trainers.reporting.report import MODES, REASONING, TEMPLATES, fixed, percent
from trainers.runs.store import read_json, write_json


class Result(NamedTuple):
    """A finished cell: which, and what its run directory holds."""

    method: str
    task: str
    seed: int
    summary: dict[str, Any]
    evaluation: dict[str, Any]


def compared(cells: Sequence[tuple[str, str, int, Path]], reference: str, seed: int) -> dict[str, Any]:
    """The comparison of finished cells.

    Args:
        cells: (method, task, seed, run directory) of each.
        reference: The method that differences are taken to.
        seed: Of the bootstrap.

    Returns:
        ``reference``, and in ``tasks``, for each task and method: ``seeds``, ``reasoning`` (the rule on text before the
        tag), ``budget``, ``steering`` and ``grid`` (the maps of the cost plane), means over seeds, and in ``eval``, for
        each cost set and mode, ``reward`` with its interval ``ci`` over runs and entities, every seed's reward, the
        ``oracle``'s, ``gap_closed``, and the ``difference`` to the reference with its interval, paired by question.

    Raises:
        ValueError: Runs of a task were measured on other questions.
    """
    results = [Result(m, t, s, read_json(f / "summary.json"), read_json(f / "evaluation.json")) for m, t, s, f in cells]
    tasks: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        tasks.setdefault(result.task, {}).setdefault(result.method, []).append(result)
    return {
        "reference": reference,
        "curves": {},
        "tasks": {
            task: {method: _method(runs, methods[reference], seed) for method, runs in methods.items()}
            for task, methods in tasks.items()
        },
    }


def _method(runs: list[Result], against: list[Result], seed: int) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = {}
    for name in runs[0].summary["eval"]:
        table[name] = {}
        for mode in runs[0].summary["eval"][name]:
            if any(mode not in run.summary["eval"].get(name, {}) for run in (*runs, *against)):
                raise ValueError(
                    f"compare: {runs[0].method} was measured at {name} costs ({mode}), {against[0].method} was not"
                )
            entries = [run.summary["eval"][name][mode] for run in runs]
            ours, theirs = (_rewards(side, name, mode) for side in (runs, against))
            about = runs[0].evaluation["questions"]["entities"]
            if any(run.evaluation["questions"]["entities"] != about for run in (*runs, *against)):
                raise ValueError(f"compare: runs on {runs[0].task} were measured on other questions")
            difference = ours - theirs if len(ours) == len(theirs) else ours.mean(0, keepdims=True) - theirs
            table[name][mode] = {
                "reward": float(ours.mean()),
                "ci": interval(ours, about, seed),
                "by_seed": ours.mean(1).tolist(),
                "difference": float(difference.mean()),
                "difference_ci": interval(difference, about, seed),
                **{
                    key: float(np.mean([entry[key] for entry in entries]))
                    for key in ("oracle", "regret", "gap_closed", "accuracy", "questions", "words", "dominance")
                },
                "share": _mean([entry["share"] for entry in entries]),
            }
    return {
        "seeds": [run.seed for run in runs],
        "reasoning": runs[0].summary.get("reasoning", "none"),
        "budget": _mean([run.summary["budget"] for run in runs]),
        "steering": {
            name: _mean([run.summary["steering"][name] for run in runs]) for name in runs[0].summary["steering"]
        },
        "grid": _mean([run.evaluation["grid"] for run in runs]),
        "eval": table,
    }


def _rewards(runs: list[Result], name: str, mode: str) -> np.ndarray:
    return np.array([run.evaluation["questions"]["reward"][name][mode] for run in runs])


def _mean(values: list[Any]) -> Any:
    """The mean of like structures, number by number."""
    if isinstance(values[0], dict):
        return {key: _mean([value[key] for value in values]) for key in values[0]}
    return np.mean(values, axis=0).tolist()


def write_comparison(folder: Path, comparison: dict[str, Any]) -> None:
    """Writes ``comparison.json``, ``.md`` and ``.html`` and ``figures/*.png``, and prints the table.

    Args:
        folder: Where.
        comparison: As `compared` returns it, with the ``curves`` of `learning_curves.curves` where there are any.
    """
    folder = Path(folder)
    write_json(folder / "comparison.json", comparison)
    (folder / "comparison.md").write_text(markdown(comparison), encoding="utf-8")
    (folder / "figures").mkdir(exist_ok=True)
    drawn = {}
    for task, methods in comparison["tasks"].items():
        grids = {method: entry["grid"] for method, entry in methods.items()}
        figure_of = {"asking": figures.asking(grids), "plane": figures.regrets(grids)}
        if task in comparison["curves"]:
            figure_of["curve"] = figures.curve(comparison["curves"][task])
        for name, figure in figure_of.items():
            figures.save_png(figure, folder / "figures" / f"{name}-{task}.png")
            drawn[f"{name}-{task}"] = figures.inline_svg(figure, f"{name}-{task}", f"{name} on {task}")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"fixed": fixed, "percent": percent}
    html = environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        modes=MODES,
        measured=_measured,
        figures=drawn,
        reasoning=_reasoning,
        curves=comparison["curves"],
        curve_cell=curves.cell,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
    )
    (folder / "comparison.html").write_text(html, encoding="utf-8")
    _print(comparison)


def _measured(methods: dict[str, Any], mode: str) -> list[str]:
    """The cost sets at which any method was measured in this mode."""
    return [name for name in SETS if any(mode in entry["eval"].get(name, {}) for entry in methods.values())]


def _rows(methods: dict[str, Any], mode: str) -> list[list[str]]:
    """A row a method: its seeds, then for each cost set reward, interval, share of the oracle and paired difference."""
    rows = []
    for method, entry in methods.items():
        row = [method, str(len(entry["seeds"]))]
        for name in SETS:
            cell = entry["eval"].get(name, {}).get(mode)
            row.append("–" if cell is None else _cell(cell))
        rows.append(row)
    return rows


def _cell(cell: dict[str, Any]) -> str:
    low, high = (fixed(bound) for bound in cell["ci"])
    text = f"{fixed(cell['reward'])} [{low}, {high}] {percent(cell['reward'], cell['oracle'], 1)} %"
    if any(cell["difference_ci"]):
        low, high = (fixed(bound) for bound in cell["difference_ci"])
        text += f"; {fixed(cell['difference'])} [{low}, {high}]"
    return text


def markdown(comparison: dict[str, Any]) -> str:
    """The tables as Markdown."""
    parts = []
    for task, methods in comparison["tasks"].items():
        for mode, title in MODES.items():
            if not _measured(methods, mode):
                continue
            parts += [f"### {task}, {title}", "", _caption(comparison, methods), ""]
            parts += ["| " + " | ".join(["method", "seeds", *(name.replace("_", " ") for name in SETS)]) + " |"]
            parts += ["|" + "---|" * (2 + len(SETS))]
            parts += ["| " + " | ".join(row) + " |" for row in _rows(methods, mode)]
            parts += [""]
    return "\n".join([*parts, curves.markdown(comparison["curves"])])


def _caption(comparison: dict[str, Any], methods: dict[str, Any]) -> str:
    said = (
        f"Reward [95 % interval] and % of the oracle; then the difference to {comparison['reference']} [95 %"
        " interval], paired by question."
    )
    return " ".join([said, *_reasoning(methods)])


def _reasoning(methods: dict[str, Any]) -> list[str]:
    """A sentence for each method whose games allow text before the tag: its words are bought at another price."""
    return [
        f"{method} plays with {REASONING[entry['reasoning']]}."
        for method, entry in methods.items()
        if entry["reasoning"] != "none"
    ]


def _print(comparison: dict[str, Any]) -> None:
    console = Console(highlight=False)
    for task, methods in comparison["tasks"].items():
        table = Table(title=f"{task}, temperature 1: % of the oracle", title_justify="left", box=None)
        table.add_column("method", no_wrap=True)
        for name in SETS:
            table.add_column(name, justify="right")
        for method, entry in methods.items():
            cells = [entry["eval"].get(name, {}).get("temperature") for name in SETS]
            table.add_row(method, *("–" if c is None else percent(c["reward"], c["oracle"], 1) for c in cells))
        console.print(table)
