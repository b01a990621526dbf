"""Rates the games of several runs on the same episodes, under one budget, for a comparison of methods."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from trainers.evaluation.items import FOLDER, GAMES, STUDY, open_study
from trainers.evaluation.raters import check_rating
from trainers.evaluation.rating import rate_in_run
from trainers.evaluation.rating_options import CheapRaterOptions, RaterOptions, RatingOptions
from trainers.evaluation.stored_games import most_games, stored_games
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import write_json


class RatingChoice(NamedTuple):
    """How the games of a comparison are rated.

    Attributes:
        rating: Budget, policy and interval, for all methods of a task together.
        rater: The strong rater; of kind ``None``: nothing is rated.
        cheap: The cheap rater.
    """

    rating: RatingOptions
    rater: RaterOptions
    cheap: CheapRaterOptions

    def overrides(self) -> list[str]:
        """Returns the overrides of a run whose games are rated here."""
        return [] if self.rater.kind is None else [f"rating.games={most_games(self.rating, self.rater)}"]

    def games(self, experiment: Experiment) -> int:
        """Returns the number of games of each run that are rated, as far as the task has them."""
        return stored_games(experiment, most_games(self.rating, self.rater))

    def check(self, experiments: Mapping[str, Experiment], methods: Mapping[str, int]) -> None:
        """Checks that the raters can rate the games of each task, and that the budget pays for a burn-in.

        Args:
            experiments: An experiment of each task.
            methods: How many policies of each task are rated together.

        Raises:
            ValueError: They cannot; the message names the option.
        """
        for task, experiment in experiments.items():
            check_rating(*self, experiment.setup, experiment.policy_options, self.games(experiment), methods[task])


def rate_methods(run: Run, parts: Sequence[tuple[str, str, int, Path]], choice: RatingChoice) -> None:
    """Rates the methods of each task together, in ``rated/TASK``, which is a run directory for ``trainers.rate``.

    Args:
        run: The comparison.
        parts: (method, task, seed, run directory) of each run; those that stored no games are left out.
        choice: Budget and raters.
    """
    stored = [part for part in parts if (part[3] / FOLDER / GAMES).exists()]
    seeds = Counter((method, task) for method, task, *_ in stored)
    tasks: dict[str, dict[str, str]] = {}
    for method, task, seed, cell in stored:
        name = method if seeds[method, task] == 1 else f"{method}-{seed}"
        tasks.setdefault(task, {})[name] = str(cell.resolve())
    for task, cells in tasks.items():
        folder = run.dir / "rated" / task
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json(folder / FOLDER / STUDY, cells)
        rate_in_run(run, open_study(folder), *choice)
