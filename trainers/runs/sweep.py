"""The table of a sweep's jobs (``-m``), printed at its end and written to ``runs/sweeps``."""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from trainers.reporting.columns import fixed, percent
from trainers.reporting.results import has_oracle, read_summary, set_names
from trainers.runs.store import append_lines, read_lines

# Environment variable with the path of the file that lists finished jobs; jobs may run in other processes.
_VARIABLE = "CLARIFY_ENV_SWEEP"


class SweepTable(Callback):
    """Lists the run directory of each job that ends, and writes the table after the last job.

    Args:
        folder: Folder of all tables: ``jobs.jsonl`` and ``table.md`` in a directory named by the start time.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Creates the directory of this sweep's table."""
        place = self.folder / time.strftime("%Y%m%d-%H%M%S")
        place.mkdir(parents=True, exist_ok=True)
        os.environ[_VARIABLE] = str((place / "jobs.jsonl").resolve())

    def on_job_end(self, config: DictConfig, job_return: Any, **kwargs: Any) -> None:
        """Appends a job that has been measured to the list."""
        listing = os.environ.get(_VARIABLE)
        summary = Path(str(config.get("run_dir"))) / "summary.json"
        if listing and summary.exists():
            overrides = [o for o in job_return.overrides or [] if not o.startswith(("run_dir=", "hydra."))]
            job = {"number": config.hydra.job.num, "overrides": overrides, "run_dir": str(summary.parent)}
            append_lines(Path(listing), [job])

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints and writes the table."""
        listing = Path(os.environ.pop(_VARIABLE))
        jobs = sorted(read_lines(listing), key=lambda job: job["number"])
        if jobs:
            table = _tabulate(jobs)
            (listing.parent / "table.md").write_text(_markdown(table), encoding="utf-8")
            _print(table)


class Rewards(NamedTuple):
    """The table of a sweep.

    Attributes:
        measure: ``% of the oracle``; or ``reward`` if the game of a job has no oracle.
        columns: Titles of the columns.
        rows: One row per job: overrides, the measure on each cost set, run directory.
    """

    measure: str
    columns: list[str]
    rows: list[list[str]]


def _tabulate(jobs: list[dict[str, Any]]) -> Rewards:
    tables = [read_summary(Path(job["run_dir"]) / "summary.json")["eval"] for job in jobs]
    beside_oracle = all(has_oracle(table) for table in tables)
    names = set_names(tables)
    rows = []
    for job, table in zip(jobs, tables, strict=True):
        # The first mode: sampling at temperature 1 unless ``eval.modes`` leaves it out.
        entries = [next(iter(table[name].values())) if name in table else None for name in names]
        rewards = [_reward(entry, beside_oracle) for entry in entries]
        rows.append([" ".join(job["overrides"]), *rewards, job["run_dir"]])
    columns = ["job", *(name.replace("_", " ") for name in names), "run"]
    return Rewards("% of the oracle" if beside_oracle else "reward", columns, rows)


def _reward(entry: dict[str, Any] | None, beside_oracle: bool) -> str:
    if entry is None:
        return "–"
    return percent(entry["reward"], entry["oracle"], 1) if beside_oracle else fixed(entry["reward"])


def _markdown(table: Rewards) -> str:
    lines = [f"{table.measure}, sampled at temperature 1 unless it was measured greedily alone", ""]
    lines += ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in table.rows), ""])


def _print(table: Rewards) -> None:
    output = Table(title=f"Sweep: {table.measure}", title_justify="left", box=None)
    for index, column in enumerate(table.columns):
        inside = 0 < index < len(table.columns) - 1
        output.add_column(column, justify="right" if inside else "left", overflow="fold")
    for row in table.rows:
        output.add_row(*row)
    Console(highlight=False).print(output)
