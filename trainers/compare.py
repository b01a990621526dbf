"""Compares all methods with the same budgets: ``python -m trainers.compare`` runs each on each task with each seed.

A cell is an ordinary run of a command in a run directory of its own, so that it can be killed, continued, read and
reported like any other. What a comparison adds is the list of cells, and the tables and figures over them.
``tune=true`` sweeps each method's settings on validation episodes, ``curve=true`` the number of training episodes.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig

from clarify_env.options import option, read
from trainers import contrastive, evaluate, grpo, imitate, prompted, rest, rwsft, stargate
from trainers.evaluation.cells import CHILD, Cell, last_error, run_cell
from trainers.evaluation.compared import RatingChoice, rate_methods
from trainers.evaluation.rating_options import CheapRaterOptions, RaterOptions, RatingOptions
from trainers.reporting.results import headline_set
from trainers.runs.build import build, read_game, read_plane
from trainers.runs.command import COMMANDS, command
from trainers.runs.composition import composed
from trainers.runs.errors import hydra_sentence
from trainers.runs.experiment import Experiment
from trainers.runs.identity import config_hash
from trainers.runs.paths import make_run_dir, quoted
from trainers.runs.run import Run

# Commands that a method may be. They are imported because importing one offers the defaults of its options.
_COMPARED = {
    module.__name__.rpartition(".")[2]: module
    for module in (rest, rwsft, contrastive, stargate, grpo, imitate, prompted, evaluate)
}
# Seconds between two checks for cells that a launcher has finished.
_LOOK = 1.0


@dataclass(frozen=True)
class MethodOptions:
    """A method of the comparison (``methods.NAME``)."""

    command: str = option(choices=tuple(_COMPARED))
    """Command of `trainers` that runs it."""
    overrides: list[str] = option([])
    """Overrides of that command."""
    seeded: bool = option(True)
    """Its results depend on the seed, so it is run with each."""
    games: bool = option(True)
    """It learns, from a budget of games."""
    tune: list[list[str]] = option([])
    """Other settings that ``tune=true`` tries, each a list of overrides."""


@dataclass(frozen=True)
class CompareOptions:
    """What is compared (the root of ``conf/compare.yaml``)."""

    cells: str = option("runs/cells")
    """Folder of the cells' run directories, for all comparisons."""
    tasks: dict[str, Any] = option({"almanac": ["task=almanac"]})
    """Tasks: by name in the tables, the overrides that choose each, such as {mine: ['task=./mine.py']}."""
    methods: dict[str, Any] = option({})
    """Methods by name; see `MethodOptions`."""
    only: list[str] = option([])
    """Which of the methods are run."""
    reference: str = option("rest")
    """Method that all others are held against."""
    seeds: list[int] = option([0, 1, 2], least=0)
    """Seeds of training; a cell each."""
    games: list[int] = option([10_000], least=1)
    """Each method's budget of games; several: a curve of reward against games, the table at the largest."""
    overrides: list[str] = option([])
    """Overrides of every cell."""
    curve: bool = option(False)
    """Also vary the number of training episodes, at the largest budget."""
    curve_episodes: list[int] = option([50, 100, 250], least=1)
    """Numbers of training episodes of ``curve=true``."""
    tune: bool = option(False)
    """Run each method's settings instead, with one seed, measured on validation episodes alone."""
    launcher: str = option("basic")
    """basic: one cell after another; joblib (extra [joblib]): side by side; or any other launcher of hydra."""
    launcher_options: dict[str, Any] | None = option(None)
    """Options of that launcher, such as {n_jobs: 1}; null: its defaults."""
    cell: int | None = option(None, least=0)
    """Run the cell of this number alone, as a launcher's jobs do; null: all."""
    bootstrap_seed: int = option(0, least=0)
    """Seed of the bootstrap of confidence intervals."""

    def __post_init__(self) -> None:
        if strange := set(self.only) - set(self.methods):
            raise ValueError(f"only: {', '.join(sorted(strange))} is none of methods, {', '.join(self.methods)}")
        if chosen := next(
            (word for word in self.overrides if word.lstrip("+").startswith(("task=", "task.name="))), None
        ):
            name = f'"tasks={{NAME: [{chosen!r}]}}"'
            raise ValueError(f"overrides: {chosen} would be reported under the names of tasks; write {name} instead")
        for name in ("seeds", "games", "curve_episodes", "only"):
            values = getattr(self, name)
            if len(set(values)) < max(1, len(values)) and (values or name != "only"):
                shown = ", ".join(map(str, values)) or "none"
                raise ValueError(f"{name} must be one or more values, each once, not {shown}")
        if not self.tasks:
            raise ValueError("tasks must name one or more tasks, as \"tasks={NAME: ['task=NAME']}\"")
        if self.tune and self.curve:
            raise ValueError("compare: tune and curve are two comparisons; choose one")


def check(options: CompareOptions, rating: RatingOptions, rater: RaterOptions, cheap_rater: CheapRaterOptions) -> None:
    """Checks that every cell has a config, and that the raters can rate its games, before any is run.

    Raises:
        ValueError: See `make_cells`; or there is no cell of number ``cell``; or a rater cannot rate a task's games.
    """
    if rater.kind is not None and options.tune:
        raise ValueError("rater.kind must be null with tune=true, which compares settings and rates no games")
    cells = make_cells(options, choice := RatingChoice(rating, rater, cheap_rater))
    if rater.kind is not None:
        methods = Counter(cell.task for cell in cells if cell.rated for _ in cell.folders)
        choice.check(_experiments(cells), methods)
    if options.cell is not None and options.cell >= len(cells):
        raise ValueError(f"cell must be below {len(cells)}, the number of cells, not {options.cell}")


def compare(
    options: CompareOptions, rating: RatingOptions, rater: RaterOptions, cheap_rater: CheapRaterOptions, run: Run
) -> None:
    """Runs the unfinished cells, then writes the comparison of all cells."""
    from trainers.reporting.comparison import compared, write_comparison  # matplotlib takes a second to import
    from trainers.reporting.learning_curves import curves, write_tuning

    choice = RatingChoice(rating, rater, cheap_rater)
    cells: Any = make_cells(options, choice)
    if options.cell is not None:
        run_cell(cells[options.cell])
        return
    make_run_dir(Path(options.cells), "cells")
    missing = [index for index, cell in enumerate(cells) if not cell.finished]
    advance = run.bar("comparing", len(cells), "runs")
    advance(len(cells) - len(missing))
    if options.launcher == "basic":
        failed = [reason for index in missing if (reason := _attempt(cells[index], advance))]
    else:
        failed = _launch(options, run, {index: cells[index] for index in missing}, advance)
    run.progress.stop()
    if unfinished := [cell for cell in cells if not cell.finished]:
        names = ", ".join(f"{cell.method}/{cell.task}/{cell.seed}" for cell in unfinished)
        why = failed[0] if failed else "there are fewer games to rate than of the first method of the task"
        raise ValueError(f"compare: {len(unfinished)} of {len(cells)} cells did not finish ({names}): {why}")
    if options.tune:
        write_tuning(run.dir, cells)
        run.report = run.dir / "tuning.md"
        return
    whole = [cell for cell in cells if _whole(options, cell.games, cell.episodes)]
    parts = [part for cell in whole for part in cell.parts()]
    comparison = compared(parts, options.reference, options.bootstrap_seed)
    run.report = write_comparison(run.dir, comparison | {"curves": curves(cells, options.bootstrap_seed)})
    if rater.kind is not None:
        rate_methods(run, parts, choice)


def make_cells(options: CompareOptions, raters: RatingChoice | None = None) -> list[Cell]:
    """Returns all cells, in the order of methods, tasks, points and seeds.

    A point is a budget of games or, with ``curve``, a number of training episodes or, with ``tune``, one of the
    method's settings, measured on validation episodes alone. The cells of the table store games to be rated.

    Raises:
        ValueError: There is no such method or option, or an override is refused.
    """
    if options.reference not in options.only and not options.tune:
        raise ValueError(f"reference: {options.reference} is not among {', '.join(options.only)}")
    cells = []
    for name in options.only:
        method = read(MethodOptions, options.methods[name], f"methods.{name}")
        if options.tune and not method.games:
            continue
        seeds = options.seeds if method.seeded and not options.tune else options.seeds[:1]
        for task, choice in options.tasks.items():
            for games, episodes, setting in _points(options, method):
                measured = ["eval.split=validation"] if options.tune else []
                whole = not options.tune and _whole(options, games, episodes)
                stored = raters.overrides() if raters is not None and whole else []
                if not whole:
                    plane_of = (*choice, *options.overrides, *method.overrides, *setting)
                    measured += _one_number(_config(name, task, method.command, plane_of))
                for seed in seeds:
                    overrides = [*choice, *options.overrides, *method.overrides, *setting, f"seed={seed}"]
                    overrides += [f"budget.games={games}"] if games else []
                    overrides += [f"budget.episodes={episodes}"] if episodes else []
                    overrides += [*measured, *stored]
                    digest = config_hash(_config(name, task, method.command, tuple(overrides)))
                    folder = Path(options.cells) / f"{name}-{task}-{seed}-{digest}"
                    of_point = games, episodes, setting, int(bool(stored))
                    cells.append(Cell(name, task, seed, method.command, tuple(overrides), folder, *of_point))
    if not cells:
        raise ValueError(
            f"only: tune=true compares settings of methods that learn, not {', '.join(options.only) or 'none'}"
        )
    if raters is None or not any(cell.rated for cell in cells):
        return cells
    rated = {task: raters.games(experiment) for task, experiment in _experiments(cells).items()}
    return [cell._replace(rated=rated[cell.task]) if cell.rated else cell for cell in cells]


def _experiments(cells: Sequence[Cell]) -> dict[str, Experiment]:
    """Returns the experiment of the first cell of each task."""
    firsts = {cell.task: cell for cell in reversed(cells)}
    return {task: _experiment(cell.method, task, cell.command, cell.overrides) for task, cell in firsts.items()}


@cache
def _experiment(method: str, task: str, command: str, chosen: tuple[str, ...]) -> Experiment:
    return build(_config(method, task, command, chosen), learns=False)


def _points(options: CompareOptions, method: MethodOptions) -> list[tuple]:
    """Returns (games, training episodes, setting) of each point of a method."""
    if not method.games:
        return [(None, None, ())]
    most = max(options.games)
    if options.tune:
        return [(most, None, tuple(setting)) for setting in ([], *method.tune)]
    if options.curve:
        return [(most, episodes, ()) for episodes in options.curve_episodes]
    return [(games, None, ()) for games in options.games]


def _whole(options: CompareOptions, games: int | None, episodes: int | None) -> bool:
    """Returns whether the table includes this point: the method does not learn, or it is the last of its curve."""
    last = max(options.games), max(options.curve_episodes) if options.curve else None
    return (games, episodes) in ((None, None), last)


def _one_number(config: DictConfig) -> list[str]:
    """Returns the overrides of cells of which one number is read: settings, points of a curve but the last."""
    headline = headline_set(read_plane(config, read_game(config)[0]).sets())
    return ["eval.modes=[temperature]", f"eval.sets={quoted([headline])}", "eval.grid=2"]


@cache
def _config(method: str, task: str, command: str, chosen: tuple[str, ...]) -> DictConfig:
    line = COMMANDS[command].command_line()
    try:
        return composed(command, line.hydra_overrides(chosen))
    except (HydraException, ValueError) as error:
        reason = hydra_sentence(error, line.known())
        raise ValueError(f"compare: no config for {method} on {task}: {reason}") from error


def _attempt(cell: Cell, advance: Callable[[int], None]) -> str | None:
    """Runs a cell and returns its error, if any, so that the other cells are run in any case."""
    try:
        run_cell(cell)
    except ValueError as error:
        return str(error)
    finally:
        advance(1)
    return None


def _launch(options: CompareOptions, run: Run, missing: dict[int, Cell], advance: Callable[[int], None]) -> list[str]:
    """Runs the cells by a launcher of hydra, one job per cell, and returns the end of its output."""
    if not missing:
        return []
    replaced = ("run_dir", "cell", "launcher", "launcher_options")
    overrides = [o for o in HydraConfig.get().overrides.task if o.partition("=")[0] not in replaced]
    launcher = [f"hydra.launcher.{name}={quoted(value)}" for name, value in (options.launcher_options or {}).items()]
    line = [
        sys.executable,
        "-m",
        "trainers.compare",
        "-m",
        *overrides,
        f"hydra/launcher={options.launcher}",
        *launcher,
        f"hydra.sweep.dir={quoted(run.dir / 'jobs')}",
        "hydra.sweep.subdir=${cell}",
        "run_dir=${hydra:sweep.dir}/${cell}",
        "cell=" + ",".join(map(str, missing)),
    ]
    # Write the output to a file, which remains if this process is killed.
    with (run.dir / "launcher.txt").open("w+", encoding="utf-8", errors="replace") as output:
        launched = subprocess.Popen(line, env=os.environ | CHILD, stdout=output, stderr=output)
        reported = 0
        try:
            while launched.poll() is None:
                time.sleep(_LOOK)
                finished = sum(cell.finished for cell in missing.values())
                advance(finished - reported)
                reported = finished
        finally:
            launched.terminate()  # if this process was interrupted
        output.seek(0)
        return [last_error(output.read())]


main = command(compare, check=check, learns=False, measures=False, root=True)

if __name__ == "__main__":
    main()
