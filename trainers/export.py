"""Exports a run's games as a data set: ``python -m trainers.export run=RUN to=completions``.

Formats: TRL's conversational ones (completions with reward, preference pairs, unpaired preference), exact tokens with
masks by role, verifiers' traces, and whole games. docs/data.md describes them. No model is loaded.
"""

from dataclasses import dataclass
from typing import Any

from clarify_env.options import SEED, option
from trainers.data.export import FORMATS, LINES, TO, check_export, export, write
from trainers.data.stored import open_run
from trainers.runs.command import command
from trainers.runs.run import Run


@dataclass(frozen=True)
class ExportOptions:
    """What is exported (the root of ``conf/export.yaml``)."""

    run: str = option()
    """Run directory whose games are exported."""
    to: str = option("completions", choices=TO)
    """Format: completions, preferences and unpaired are TRL's; tokens holds ids and masks; traces are verifiers'."""
    format: str = option("jsonl", choices=FORMATS)
    """Files of the data set."""
    roles: list[str] | None = option(None)
    """Roles whose messages are exported; null: those that the run learned or measured."""
    threshold: float | None = option(None)
    """Lowest reward of a good message (unpaired; null: its group's mean), or lowest score of a good result
    (preferences; null: 0.9)."""
    draw: int = option(0, least=0, most=SEED)
    """Seed of the actions that preference pairs hold against a good result."""

    def __post_init__(self) -> None:
        if self.to in LINES and self.format != "jsonl":
            raise ValueError(f"format must be jsonl: to={self.to} is one file of JSON lines, not a data set")


def check(options: ExportOptions) -> None:
    """Checks run and roles, before anything is written.

    Raises:
        ValueError: There is no such run or role, or its games have no pairs.
    """
    check_export(open_run(options.run), options.to, options.roles)


def export_run(options: ExportOptions, run: Run) -> None:
    """Writes the data set into the run directory of this command, and prints a row."""
    stored = open_run(options.run)
    records = export(stored, options.to, roles=options.roles, threshold=options.threshold, seed=options.draw)
    experiment = stored.experiment
    about = (
        f"Games of `{experiment.setup.game.name}` on `{experiment.task.name}`, played by `trainers.{stored.command}`; "
        "written by `python -m trainers.export`."
    )
    path, count = write(records, run.dir, options.to, options.format, about)
    run.report = path
    run.progress.stop()
    print(f"{count:,} rows of {options.to}")


main: Any = command(export_run, check=check, learns=False, measures=False, root=True)

if __name__ == "__main__":
    main()
