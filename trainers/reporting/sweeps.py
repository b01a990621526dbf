"""The table of a sweep: what its jobs measured, by the options that differ, over seeds."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from trainers.reporting.columns import fixed
from trainers.reporting.results import has_oracle, read_summary, set_names
from trainers.reporting.terminal import console, markdown_table, print_wide

# Title of the column that says whether a job failed, where nothing was measured.
_RESULT = "result"


def write_sweep(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Writes ``table.md`` and prints the table of a sweep.

    Args:
        folder: Folder of the sweep.
        jobs: Records of its jobs: ``number``, ``overrides``, ``run_dir`` and ``error`` (``None``: it did not fail).
    """
    table, path = tabulate(jobs), folder / "table.md"
    path.write_text(markdown(table, jobs), encoding="utf-8")
    output = Table(title=f"Sweep: {table.measure}", box=None)
    for index, column in enumerate(table.columns):
        output.add_column(column, justify="left" if index < table.options else "right", no_wrap=True)
    for row in table.rows:
        output.add_row(*row)
    print_wide(output)
    for job in jobs:
        if job["error"] is not None:
            console().print(f"failed: {_name(job, _differing(jobs))}: {job['error']}", soft_wrap=True)
    console().print(f"table: {path}", soft_wrap=True)


class SweepRows(NamedTuple):
    """The table of a sweep: one row per setting, over its seeds.

    Attributes:
        measure: ``% of the oracle``; ``reward`` if a game has no oracle, or its oracle earns nothing; ``result`` if no
            job has been measured.
        columns: Titles: the options that differ, ``seeds`` if seeds differ, and the cost sets.
        options: Number of columns with options.
        rows: Cells of each row.
    """

    measure: str
    columns: list[str]
    options: int
    rows: list[list[str]]


def tabulate(jobs: list[dict[str, Any]]) -> SweepRows:
    """Makes the table of a sweep's jobs.

    Jobs that differ by their seed alone share a row. A value is the mean over the jobs that did not fail; of several,
    the lowest and the highest follow in brackets.

    Args:
        jobs: Records of the jobs; see `write_sweep`.
    """
    chosen, differing = list(map(_chosen, jobs)), _differing(jobs)
    options = [key for key in differing if key != "seed"]
    paths = [Path(job["run_dir"]) / "summary.json" for job in jobs]
    tables = [
        read_summary(path)["eval"] if job["error"] is None and path.exists() else None
        for job, path in zip(jobs, paths, strict=True)
    ]
    measured = [table for table in tables if table is not None]
    beside_oracle = all(has_oracle(table) and _oracle_earns(table) for table in measured)
    names = set_names(measured) or [_RESULT]
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, overrides in enumerate(chosen):
        groups.setdefault(tuple(overrides.get(key, "–") for key in options), []).append(index)
    rows = []
    for values, members in groups.items():
        good = [index for index in members if jobs[index]["error"] is None]
        seeds = str(len(members)) if len(good) == len(members) else f"{len(good)} of {len(members)}"
        cells = [_cell([_value(tables[index], name, beside_oracle) for index in good], beside_oracle) for name in names]
        if not good or not measured:
            cells = ["done" if good else "failed"] * len(names)
        rows.append([*values, *([seeds] if "seed" in differing else []), *cells])
    columns = [*options, *(["seeds"] if "seed" in differing else []), *(name.replace("_", " ") for name in names)]
    measure = ("% of the oracle" if beside_oracle else "reward") if measured else _RESULT
    return SweepRows(measure, columns, len(options), rows)


def _chosen(job: dict[str, Any]) -> dict[str, str]:
    """Returns the overrides of a job by option."""
    parted = [override.lstrip("+~").partition("=") for override in job["overrides"]]
    return {key: value for key, _, value in parted}


def _differing(jobs: list[dict[str, Any]]) -> list[str]:
    """Returns the options in which jobs differ."""
    chosen = list(map(_chosen, jobs))
    keys = dict.fromkeys(key for overrides in chosen for key in overrides)
    return [key for key in keys if len({overrides.get(key) for overrides in chosen}) > 1]


def _name(job: dict[str, Any], differing: list[str]) -> str:
    """Returns the overrides in which a job differs from others; of a job alone, all."""
    overrides = _chosen(job)
    return " ".join(f"{key}={overrides[key]}" for key in differing or overrides if key in overrides)


def _oracle_earns(table: dict[str, Any]) -> bool:
    return all(entry["oracle"] > 0 for modes in table.values() for entry in modes.values())


def _value(table: dict[str, Any] | None, name: str, beside_oracle: bool) -> float | None:
    """Returns the measure of a run at a cost set: sampled, unless it was measured greedily alone."""
    if table is None or name not in table:
        return None
    modes = table[name]
    entry = modes["temperature"] if "temperature" in modes else next(iter(modes.values()))
    return 100 * entry["reward"] / entry["oracle"] if beside_oracle else entry["reward"]


def _cell(values: list[float | None], beside_oracle: bool) -> str:
    numbers, places = [value for value in values if value is not None], 1 if beside_oracle else 3
    if not numbers:
        return "–"
    mean = fixed(float(np.mean(numbers)), places)
    return mean if len(numbers) == 1 else f"{mean} ({fixed(min(numbers), places)} to {fixed(max(numbers), places)})"


def markdown(table: SweepRows, jobs: list[dict[str, Any]]) -> str:
    """Formats the table and the list of jobs as Markdown."""
    lines = [f"{table.measure}, sampled at temperature 1 unless it was measured greedily alone", ""]
    lines = lines if table.measure != _RESULT else []
    lines += markdown_table(table.columns, table.rows)
    differing = _differing(jobs)
    shared = [f"`{key}={value}`" for key, value in _chosen(jobs[0]).items() if key not in differing] if jobs else []
    lines += ["", f"Jobs, all with {' '.join(shared)}" if differing and shared else "Jobs", ""]
    rows = [
        [_name(job, differing), job["run_dir"], "done" if job["error"] is None else f"failed: {job['error']}"]
        for job in jobs
    ]
    return "\n".join([*lines, *markdown_table(["job", "run directory", "result"], rows), ""])
