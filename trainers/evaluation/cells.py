"""A cell of a comparison: one run of a command, with all that it leaves."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from trainers.evaluation.items import games_on_file
from trainers.runs.paths import make_run_dir, quoted

# Environment of the commands that are run: their output is read, not seen.
CHILD = {"NO_PROGRESS": "1", "PYTHONIOENCODING": "utf-8"}
# Commands that also measure a control, and its folder in the run directory.
CONTROLLED = ("stargate",)
CONTROL = "control"
# Characters from the end of a failed cell's output that are quoted if it ends in no error message.
_TAIL = 400
# File of a cell's output in its folder.
_OUTPUT = "output.txt"


class Cell(NamedTuple):
    """One run of the comparison.

    Attributes:
        method: Name of the method in ``methods``.
        task: Name of the task in ``tasks``.
        seed: Seed of the run.
        command: Command of `trainers` that runs it.
        overrides: All overrides of the command.
        folder: Run directory, named by a hash of the whole config.
        games: Budget of games; ``None``: the method does not learn.
        episodes: Number of training episodes; ``None``: all.
        setting: Overrides of a setting of ``tune=true``.
        rated: Number of its games that are rated, so that it stores them; of its control's, as many.
    """

    method: str
    task: str
    seed: int
    command: str
    overrides: tuple[str, ...]
    folder: Path
    games: int | None
    episodes: int | None
    setting: tuple[str, ...]
    rated: int = 0

    @property
    def folders(self) -> dict[str, Path]:
        """Returns the folder of each policy that the run measures: its method's and, if it has one, its control's."""
        control = {f"{self.method}_control": self.folder / CONTROL} if self.command in CONTROLLED else {}
        return {self.method: self.folder} | control

    @property
    def finished(self) -> bool:
        """Returns whether all its policies have been measured, and have stored the games to be rated."""
        return all(
            (folder / "summary.json").exists() and (not self.rated or games_on_file(folder) >= self.rated)
            for folder in self.folders.values()
        )

    def parts(self) -> list[tuple[str, str, int, Path]]:
        """Returns (method, task, seed, folder) of each policy."""
        return [(name, self.task, self.seed, folder) for name, folder in self.folders.items()]


def run_cell(cell: Cell) -> None:
    """Runs the command of a cell in a process of its own.

    Raises:
        ValueError: It failed; the message ends with its output.
    """
    make_run_dir(cell.folder, "cells")
    line = [sys.executable, "-m", f"trainers.{cell.command}", *cell.overrides, f"run_dir={quoted(cell.folder)}"]
    together: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    completed = subprocess.run(line, env=os.environ | CHILD, encoding="utf-8", errors="replace", **together)
    (cell.folder / _OUTPUT).write_text(completed.stdout, encoding="utf-8")
    if completed.returncode:
        raise ValueError(f"{cell.method} on {cell.task}, seed {cell.seed}: {last_error(completed.stdout)}")


def last_error(output: str) -> str:
    """Returns the last error in the output of a command, else the end of the output."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else " ".join(output.split())[-_TAIL:] or "it said nothing"
