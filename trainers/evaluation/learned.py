"""What the ratings of a run say of its two raters: how much the cheap one errs, for plans and for other runs."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clarify_env.data.records import is_number
from clarify_env.scores.calibration import Isotonic, fit_isotonic
from trainers.data.ratings import Ratings
from trainers.evaluation.items import Study, open_study
from trainers.evaluation.raters import Rater
from trainers.evaluation.rating_options import RatingOptions
from trainers.evaluation.recalibrate import held_out
from trainers.rating.errors import Calibration, calibrate
from trainers.runs.store import read_json, write_json

# With which probability each strong rating was drawn, by item.
DRAWN = "drawn.json"


class Learned(NamedTuple):
    """What the ratings of a run say of two raters.

    Attributes:
        calibration: How much the cheap rater errs.
        curve: E[H | G]; ``None``: cheap ratings are taken as they are.
    """

    calibration: Calibration
    curve: Isotonic | None


def write_drawn(folder: Path, strong: str, weak: str, rates: dict[str, float]) -> None:
    """Writes the probability with which each item's strong rating was drawn, 1 in a burn-in.

    Args:
        folder: Folder of the study.
        strong: Name of the strong rater.
        weak: Name of the cheap rater.
        rates: Probabilities by item.
    """
    write_json(folder / DRAWN, {"rater": strong, "cheap_rater": weak, "rates": rates})


def transferred(rating: RatingOptions, strong: Rater, weak: Rater) -> Learned | None:
    """Learns the cheap rater's errors from the ratings of the run of ``rating.transfer``; ``None``: there is none.

    Raises:
        ValueError: It has too few games that both raters rated.
    """
    if rating.transfer is None:
        return None
    return calibrated(open_study(rating.transfer, "rating.transfer"), rating, strong, weak, "rating.transfer")


def calibrated(study: Study, rating: RatingOptions, strong: Rater, weak: Rater, option: str) -> Learned:
    """Learns the cheap rater's errors from the items of a study that both raters rated.

    Args:
        study: The study.
        rating: Model of the error, and whether cheap ratings are recalibrated.
        strong: The strong rater.
        weak: The cheap rater.
        option: Name of the option that chose the run, for errors.

    Raises:
        ValueError: They are fewer than two.
    """
    journal, rates = Ratings(study.folder), _drawn(study.folder, strong, weak)
    of_weak, of_strong = journal.of(weak.name), journal.of(strong.name)
    both = [item for item in rates if item in of_weak and item in of_strong]
    if len(both) < 2:
        raise ValueError(
            f"{option}: {study.folder.parent} has {len(both)} games that both {strong.name} and {weak.name} rated, too "
            "few to learn from"
        )
    cheap_ratings, strong_ratings = (np.array([of[item] for item in both]) for of in (of_weak, of_strong))
    of_both = np.array([rates[item] for item in both])
    curve = fit_isotonic(cheap_ratings, strong_ratings, 1 / of_both) if rating.recalibrated else None
    estimates = cheap_ratings if curve is None else held_out(cheap_ratings, strong_ratings)
    return Learned(calibrate(estimates, strong_ratings, rating.error_model, rates=of_both), curve)


def _drawn(folder: Path, strong: Rater, weak: Rater) -> dict[str, float]:
    """Returns the probabilities on file; empty if they are of other raters, or there are none yet.

    Raises:
        ValueError: The file holds something else.
    """
    path = folder / DRAWN
    if not path.exists():
        return {}
    stored: Any = read_json(path)
    rates = stored.get("rates") if isinstance(stored, dict) else None
    if not isinstance(rates, dict) or not all(is_number(rate) and 0 < rate <= 1 for rate in rates.values()):
        raise ValueError(f"{path}: rates must hold a probability above 0 and at most 1 for each item")
    named = stored.get("rater"), stored.get("cheap_rater")
    return rates if named == (strong.name, weak.name) else {}
