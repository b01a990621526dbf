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

# With which probability each strong rating was drawn, by item, for each pair of raters.
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

    What is on file for other raters stays.

    Args:
        folder: Folder of the study.
        strong: Name of the strong rater.
        weak: Name of the cheap rater.
        rates: Probabilities by item.
    """
    pairs = _read_drawn(folder / DRAWN) | {(strong, weak): rates}
    entries = [{"rater": one, "cheap_rater": other, "rates": of_pair} for (one, other), of_pair in pairs.items()]
    write_json(folder / DRAWN, {"raters": entries})


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
    journal = Ratings(study.folder)
    rates = _read_drawn(study.folder / DRAWN).get((strong.name, weak.name), {})
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


def _read_drawn(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Returns the probabilities on file by strong and cheap rater; empty if there is no file.

    Raises:
        ValueError: The file holds something else.
    """
    if not path.exists():
        return {}
    stored: Any = read_json(path)
    # Files from before they held several pairs are the entry of one.
    entries = stored.get("raters", [stored]) if isinstance(stored, dict) else None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise ValueError(f"{path}: rates must hold a probability above 0 and at most 1 for each item")
    return {(entry["rater"], entry["cheap_rater"]): entry["rates"] for entry in entries}


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in ("rater", "cheap_rater"))
        and isinstance(rates := entry.get("rates"), dict)
        and all(is_number(rate) and 0 < rate <= 1 for rate in rates.values())
    )
