"""Cheap ratings replaced by what they say of the strong one."""

import numpy as np
import pytest

from clarify_env.scores.calibration import fit_isotonic
from trainers.evaluation.recalibrate import Recalibrated, held_out
from trainers.rating.estimate import estimate
from trainers.rating.policies import Prices
from trainers.rating.rules import Rules
from trainers.rating.sequential import rate

# A strong rater that calls right what the cheap one rates above 0.9, as execution does queries with high token F1.
rng = np.random.default_rng(0)
CHEAP = rng.uniform(0.6, 1.0, 2000)
STRONG = (rng.random(2000) < np.where(CHEAP > 0.9, 0.97, 0.02)).astype(float)


def ratings(of):
    return lambda items: of[items].tolist()


def outcome(seed, recalibrated=True, budget=5000.0):
    cheap = Recalibrated(ratings(CHEAP), ratings(STRONG)) if recalibrated else ratings(CHEAP)
    return rate(len(CHEAP), cheap, ratings(STRONG), Rules(Prices(1.0, 10.0), budget, seed=seed))


def test_an_uncalibrated_rater_saves_money_once_it_is_recalibrated():
    assert estimate(outcome(0)).width < 0.75 * estimate(outcome(0, recalibrated=False)).width
    assert outcome(0).money <= 5000


def test_the_estimate_stays_unbiased():
    means = [estimate(outcome(seed)).mean for seed in range(100)]
    assert np.mean(means) == pytest.approx(STRONG.mean(), abs=3 * np.std(means) / 10)


def test_estimates_of_the_burn_in_are_held_out():
    estimates = held_out(CHEAP[:50], STRONG[:50])
    for fold in range(5):
        inside = np.arange(50) // 10 == fold
        curve = fit_isotonic(CHEAP[:50][~inside].tolist(), STRONG[:50][~inside].tolist())
        assert estimates[inside] == pytest.approx(curve(CHEAP[:50][inside]))


def test_a_burn_in_that_waits_for_a_person_is_rated_as_it_is():
    waiting = Recalibrated(ratings(CHEAP), lambda items: [None, *STRONG[items[1:]].tolist()])
    assert waiting([3, 4, 5]) == CHEAP[[3, 4, 5]].tolist()


def test_a_curve_from_elsewhere_asks_for_no_strong_ratings():
    curve = fit_isotonic([0.6, 1.0], [0.0, 1.0])
    elsewhere = Recalibrated(ratings(CHEAP), lambda items: pytest.fail("asked"), curve)
    assert elsewhere([3, 4]) == pytest.approx((CHEAP[[3, 4]] - 0.6) / 0.4)
