"""What a sweep (``-m``) ends with: a table of its jobs, on the terminal and in ``runs/sweeps``."""

import os
import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from clarify_env.costs import SETS
from trainers.reporting.report import percent
from trainers.runs.store import append_lines, read_json, read_lines

# Tells the jobs of a sweep, which may run in other processes, where to say that they are done.
_VARIABLE = "CLARIFY_ENV_SWEEP"


class SweepTable(Callback):
    """Collects the run directories of a sweep's jobs as they end, and writes the table after the last.

    Args:
        folder: Where tables are kept, ``jobs.jsonl`` and ``table.md`` in a directory named by the time of the start.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Makes the place for this sweep's table."""
        place = self.folder / time.strftime("%Y%m%d-%H%M%S")
        place.mkdir(parents=True, exist_ok=True)
        os.environ[_VARIABLE] = str((place / "jobs.jsonl").resolve())

    def on_job_end(self, config: DictConfig, job_return: Any, **kwargs: Any) -> None:
        """Notes a job that has been measured."""
        listing = os.environ.get(_VARIABLE)
        summary = Path(str(config.get("run_dir"))) / "summary.json"
        if listing and summary.exists():
            chosen = [o for o in job_return.overrides or [] if not o.startswith(("run_dir=", "hydra."))]
            job = {"number": config.hydra.job.num, "overrides": chosen, "run_dir": str(summary.parent)}
            append_lines(Path(listing), [job])

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints and writes the table."""
        listing = Path(os.environ.pop(_VARIABLE))
        jobs = sorted(read_lines(listing), key=lambda job: job["number"])
        if jobs:
            (listing.parent / "table.md").write_text(_markdown(jobs), encoding="utf-8")
            _print(jobs)


def _rows(jobs: list[dict[str, Any]]) -> list[list[str]]:
    rows = []
    for job in jobs:
        table = read_json(Path(job["run_dir"]) / "summary.json")["eval"]
        entries = [next(iter(table[name].values())) if name in table else None for name in SETS]
        earned = ["–" if entry is None else percent(entry["reward"], entry["oracle"], 1) for entry in entries]
        rows.append([" ".join(job["overrides"]), *earned, job["run_dir"]])
    return rows


_COLUMNS = ("job", *(name.replace("_", " ") for name in SETS), "run")


def _markdown(jobs: list[dict[str, Any]]) -> str:
    lines = ["% of the oracle, sampled at temperature 1 unless it was measured greedily alone", ""]
    lines += ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in _rows(jobs)), ""])


def _print(jobs: list[dict[str, Any]]) -> None:
    table = Table(title="Sweep: % of the oracle", title_justify="left", box=None)
    for index, column in enumerate(_COLUMNS):
        table.add_column(column, justify="right" if 0 < index <= len(SETS) else "left", overflow="fold")
    for row in _rows(jobs):
        table.add_row(*row)
    Console(highlight=False).print(table)
