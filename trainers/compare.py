"""All methods on equal terms: ``python -m trainers.compare`` runs each on each task with each seed, and says the truth.

A cell is an ordinary run of a command in a run directory of its own, so that it can be killed, continued, read and
reported like any other. What a comparison adds is the list of cells, and the tables and figures over them.
``tune=true`` sweeps each method's settings on validation questions, ``curve=true`` the number of training questions.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from trainers.reporting.comparison import compared, write_comparison
from trainers.reporting.learning_curves import curves, write_tuning
from trainers.runs.run import Run, command, config_hash

# How cells are measured of which one number is read (`learning_curves`): settings, points of a curve but the last.
_ONE_NUMBER = ("eval.modes=[temperature]", "eval.sets=[between]", "eval.grid=2")
# Seconds between two looks at what a launcher has finished.
_LOOK = 1.0
# What is said of a failed cell: the last of what it wrote, where its one sentence stands.
_TAIL = 400


class Cell(NamedTuple):
    """One run of the comparison.

    Attributes:
        method: As named in ``methods``.
        task: As named in ``tasks``.
        seed: Of its training.
        command: Which command of `trainers` runs it.
        overrides: All that is chosen for it.
        folder: Its run directory, named by a hash of its whole config.
        games: Its budget; ``None`` where nothing is learned.
        questions: Training questions it learns from; ``None``: all there are.
        setting: What a sweep over the method's own settings chose for it.
    """

    method: str
    task: str
    seed: int
    command: str
    overrides: tuple[str, ...]
    folder: Path
    games: int | None
    questions: int | None
    setting: tuple[str, ...]

    @property
    def finished(self) -> bool:
        """Whether it has been measured."""
        return (self.folder / "summary.json").exists()


def compare(config: DictConfig, run: Run) -> None:
    """Runs the cells that are not finished, then writes the comparison of all."""
    cells = make_cells(config)
    if config.cell is not None:
        run_cell(cells[config.cell])
        return
    missing = [index for index, cell in enumerate(cells) if not cell.finished]
    advance = run.bar("cells", len(cells), "cells")
    advance(len(cells) - len(missing))
    if config.launcher == "basic":
        failed = [said for index in missing if (said := _attempt(cells[index], advance))]
    else:
        failed = _launch(config, run, {index: cells[index] for index in missing}, advance)
    run.progress.stop()
    if unfinished := [cell for cell in cells if not cell.finished]:
        names = ", ".join(f"{cell.method}/{cell.task}/{cell.seed}" for cell in unfinished)
        raise ValueError(f"compare: {len(unfinished)} of {len(cells)} cells did not finish ({names}): {failed[0]}")
    if config.tune:
        write_tuning(run.dir, cells)
        return
    whole = [cell for cell in cells if _whole(config, cell.games, cell.questions)]
    found = compared([part for cell in whole for part in _measured(cell)], config.reference, config.bootstrap_seed)
    write_comparison(run.dir, found | {"curves": curves(cells, config.bootstrap_seed)})


def _measured(cell: Cell) -> list[tuple[str, str, int, Path]]:
    """What a cell has measured: its policy, and a control where the method has one."""
    parts = [(cell.method, cell.folder), (f"{cell.method}_control", cell.folder / "control")]
    return [(name, cell.task, cell.seed, folder) for name, folder in parts if (folder / "summary.json").exists()]


def make_cells(config: DictConfig) -> list[Cell]:
    """Every cell, in the order of ``methods``, ``tasks``, points and ``seeds``.

    A point is a budget of games or, with ``curve``, a number of training questions or, with ``tune``, one of the
    method's settings, measured on validation questions alone.

    Raises:
        ValueError: There is no such method or option, or hydra refuses an override.
    """
    chosen_methods = list(config.only)
    if unknown := set(chosen_methods) - set(config.methods):
        raise ValueError(f"only: {', '.join(sorted(unknown))} is none of methods, {', '.join(config.methods)}")
    if config.reference not in chosen_methods and not config.tune:
        raise ValueError(f"reference: {config.reference} is not among {', '.join(chosen_methods)}")
    if config.tune and config.curve:
        raise ValueError("compare: tune and curve are two comparisons; choose one")
    cells = []
    for method in chosen_methods:
        options = config.methods[method]
        if unknown := set(options) - {"command", "overrides", "seeded", "games", "tune"}:
            raise ValueError(f"methods.{method} has no option {', '.join(sorted(unknown))}")
        learns = options.get("games", True)
        if config.tune and not learns:
            continue
        seeds = config.seeds if options.get("seeded", True) and not config.tune else config.seeds[:1]
        for task, choice in config.tasks.items():
            for games, questions, setting in _points(config, options, learns):
                for seed in seeds:
                    chosen = [*choice, *config.overrides, *options.get("overrides", []), *setting, f"seed={seed}"]
                    chosen += [f"budget.games={games}"] if games else []
                    chosen += [f"budget.questions={questions}"] if questions else []
                    chosen += ["eval.split=validation"] if config.tune else []
                    chosen += _ONE_NUMBER if config.tune or not _whole(config, games, questions) else []
                    folder = (
                        Path(config.cells) / f"{method}-{task}-{seed}-{_name(method, task, options.command, chosen)}"
                    )
                    cells.append(
                        Cell(method, task, seed, options.command, tuple(chosen), folder, games, questions, setting)
                    )
    return cells


def _points(config: DictConfig, options: DictConfig, learns: bool) -> list[tuple]:
    """(games, training questions, setting) of each point at which a method is run."""
    if not learns:
        return [(None, None, ())]
    if config.tune:
        return [(max(config.games), None, tuple(setting)) for setting in ([], *options.get("tune", []))]
    if config.curve:
        return [(max(config.games), questions, ()) for questions in config.curve_questions]
    return [(games, None, ()) for games in config.games]


def _whole(config: DictConfig, games: int | None, questions: int | None) -> bool:
    """Whether the table is of this point: nothing is learned, or it is the last of its curve."""
    last = max(config.games), max(config.curve_questions) if config.curve else None
    return (games, questions) in ((None, None), last)


def _name(method: str, task: str, of: str, chosen: list[str]) -> str:
    try:
        return config_hash(compose(of, chosen))
    except HydraException as error:
        said = str(error).splitlines()[0]
        raise ValueError(f"compare: no config for {method} on {task}: {said}") from error


def run_cell(cell: Cell) -> None:
    """Runs a cell's command to its end, in a process of its own.

    Raises:
        ValueError: It failed; the message ends with what it said.
    """
    cell.folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, "-m", f"trainers.{cell.command}", *cell.overrides, f"run_dir={cell.folder}"]
    done = subprocess.run(line, env=os.environ | {"NO_PROGRESS": "1"}, capture_output=True, text=True)
    (cell.folder / "output.txt").write_text(done.stdout + done.stderr)
    if done.returncode:
        said = " ".join(done.stderr.split())[-_TAIL:] or f"exit status {done.returncode}"
        raise ValueError(f"{cell.method} on {cell.task}, seed {cell.seed}: {said}")


def _attempt(cell: Cell, advance) -> str | None:
    """Runs a cell and returns what went wrong, so that the others are run all the same."""
    try:
        run_cell(cell)
    except ValueError as error:
        return str(error)
    finally:
        advance(1)
    return None


def _launch(config: DictConfig, run: Run, missing: dict[int, Cell], advance: Callable[[int], None]) -> list[str]:
    """Hands the cells to a launcher of hydra, a job each, and returns what it wrote."""
    if not missing:
        return []
    ours = ("run_dir", "cell", "launcher", "launcher_options")
    given = [o for o in HydraConfig.get().overrides.task if o.partition("=")[0] not in ours]
    options = [f"hydra.launcher.{name}={json.dumps(value)}" for name, value in (config.launcher_options or {}).items()]
    line = [
        sys.executable,
        "-m",
        "trainers.compare",
        "-m",
        *given,
        f"hydra/launcher={config.launcher}",
        *options,
        f"hydra.sweep.dir={config.run_dir}/jobs",
        "hydra.sweep.subdir=${cell}",
        f"run_dir={config.run_dir}/jobs/${{cell}}",
        "cell=" + ",".join(map(str, missing)),
    ]
    # Into a file, which is there to be read should this process be killed.
    with (run.dir / "launcher.txt").open("w+") as said:
        launched = subprocess.Popen(line, env=os.environ | {"NO_PROGRESS": "1"}, stdout=said, stderr=said, text=True)
        seen = 0
        while launched.poll() is None:
            time.sleep(_LOOK)
            finished = sum(cell.finished for cell in missing.values())
            advance(finished - seen)
            seen = finished
        said.seek(0)
        return [" ".join(said.read().split())[-_TAIL:] or "the launcher said nothing"]


main = command(compare)

if __name__ == "__main__":
    main()
