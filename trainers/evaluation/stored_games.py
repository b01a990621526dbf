"""How many games of an evaluation are stored to be rated, which is known before any is played."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainers.evaluation.rating_options import RaterOptions, RatingOptions
from trainers.reporting.results import headline_set

if TYPE_CHECKING:
    from trainers.runs.experiment import Experiment

# Games that are stored for a rater, unless options say otherwise.
RATED_GAMES = 1_000


def most_games(rating: RatingOptions, rater: RaterOptions) -> int:
    """Returns the most games that options let an evaluation store; 0: none."""
    if rating.games is not None:
        return rating.games
    return 0 if rater.kind is None else RATED_GAMES


def stored_games(experiment: Experiment, most: int | None = None) -> int:
    """Returns the number of games that an evaluation stores: one for a pair of episode and prices, while there are any.

    The pairs are those of the headline set of prices.

    Args:
        experiment: What is evaluated; ``eval.split`` and ``eval.sets`` are known to fit.
        most: Most games; ``None``: by the experiment's own options.
    """
    most = most_games(experiment.rating, experiment.rater) if most is None else most
    options, sets = experiment.evaluation, experiment.plane.sets()
    size = experiment.task.sizes[options.split]
    episodes = options.episodes if size is None else min(options.episodes, size)
    headline = headline_set(name for name in sets if options.sets is None or name in options.sets)
    return min(most, episodes * len(sets[headline]))
