"""Estimates of ratings: contributions, weights, power tuning, differences, intervals and error models."""

import math

import numpy as np
import pytest

from trainers.rating import intervals
from trainers.rating.errors import KINDS, calibrate, confidence_rmse
from trainers.rating.estimate import compare, contributions, difference, estimate, power_tuning, sample_of, weights
from trainers.rating.intervals import Sample
from trainers.rating.ratings import of_arrays
from trainers.rating.two_sets import prediction_powered

NAN = float("nan")


def drawn(seed, items=400, rate=0.3, bias=0.0, noise=0.1):
    """Ratings of items whose strong rating was drawn at one rate."""
    rng = np.random.default_rng(seed)
    strong = rng.normal(0.5, 0.3, items)
    cheap = strong + bias + noise * rng.normal(size=items)
    return of_arrays(cheap, np.where(rng.random(items) < rate, strong, NAN), np.full(items, rate))


def test_contributions():
    ratings = of_arrays([0.2, 0.5, 0.9], [1.0, None, 0.4], [0.5, 0.25, 1.0])
    assert contributions(ratings) == pytest.approx([0.2 + 0.8 / 0.5, 0.5, 0.4])
    assert contributions(ratings, 0.5) == pytest.approx([0.1 + 0.9 / 0.5, 0.25, 0.4])
    assert contributions(ratings, 0.0) == pytest.approx([1 / 0.5, 0, 0.4])
    assert estimate(ratings).mean == pytest.approx(np.mean([1.8, 0.5, 0.4]))


def test_contributions_are_unbiased_whatever_the_rates():
    """The mean over all draws, with their probabilities, is the mean strong rating."""
    strong, cheap, rates = np.array([1.0, 0.0, 0.3]), np.array([0.1, 0.9, 0.5]), np.array([0.2, 0.7, 1.0])
    for tuning in (0.0, 0.4, 1.0):
        total = 0.0
        for first in (True, False):
            for second in (True, False):
                chance = (0.2 if first else 0.8) * (0.7 if second else 0.3)
                ratings = of_arrays(cheap, np.where([first, second, True], strong, NAN), rates)
                total += chance * contributions(ratings, tuning).mean()
        assert total == pytest.approx(strong.mean())


def test_weights_are_those_planned_before_later_items_were_rated():
    ratings = of_arrays([0.5] * 6, [1, 1, NAN, NAN, 1, NAN], [1, 1, 0.5, 0.5, 0.5, 0.5], burn_in=2)
    assert weights(ratings) == pytest.approx(np.full(6, 1 / 6))
    assert weights(ratings._replace(planned=6)) == pytest.approx([1 / 8] * 2 + [6 / 8 / 4] * 4)
    assert weights(ratings._replace(planned=6), planned=False) == pytest.approx(np.full(6, 1 / 6))
    alone = of_arrays([0.5] * 2, [1, 1], [1, 1], burn_in=2)._replace(planned=9.0)
    assert weights(alone) == pytest.approx([0.5, 0.5]), "no later item was rated"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [1, 1], [1, 1]), r"as many items, not \(1,\), \(2,\), \(2,\)"),
        (([NAN], [1], [1]), "finite"),
        (([1], [float("inf")], [1]), "finite"),
        (([1], [1], [0]), "above 0 and at most 1"),
        (([1], [1], [1.5]), "above 0 and at most 1"),
        (([1], [NAN], [1]), "probability 1 has none"),
    ],
)
def test_bad_ratings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        of_arrays(*arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate(of_arrays([1.0], [NAN], [0.5])), "no strong rating"),
        (lambda: estimate(drawn(0), entities=["a"]), "1 entities of 400 rated items"),
        (lambda: estimate(drawn(0), interval="wald"), "unknown interval 'wald'; known: corrected, normal"),
        (lambda: difference(drawn(0), drawn(0, items=10)), "same items in the same order"),
        (lambda: calibrate(np.ones(3), np.ones(3), "forest"), "unknown model .* 'forest'; known: confidence"),
        (lambda: calibrate(np.ones(1), np.ones(1)), "too few"),
        (lambda: calibrate(np.ones(3), np.ones(3), "isotonic", np.ones((3, 2))), "one feature"),
    ],
)
def test_what_cannot_be_estimated_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_power_tuning_has_the_least_variance():
    ratings = drawn(1, noise=0.4)
    tuning = power_tuning(ratings)
    grid = [np.var(contributions(ratings, value)) for value in np.linspace(0, 1, 1001)]
    assert 0.2 < tuning < 0.95
    assert tuning == pytest.approx(np.argmin(grid) / 1000, abs=1e-3)
    tuned, plain = estimate(ratings, tuned=True), estimate(ratings)
    assert tuned.error < plain.error and tuned.tuning == tuning
    assert power_tuning(of_arrays([0.0, 0.0], [1, 0], [1, 1])) == 1, "nothing to tune"


def test_pairing_removes_what_items_have_in_common():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=500)
    one, two = (
        of_arrays(strong + 0.1 * rng.normal(size=500), np.where(rng.random(500) < 0.5, strong, NAN), np.full(500, 0.5))
        for strong in (difficulty + 0.2, difficulty)
    )
    paired = difference(one, two)
    assert paired.mean == pytest.approx(estimate(one).mean - estimate(two).mean)
    assert paired.low < 0.2 < paired.high
    assert paired.width < 0.3 * estimate(one).width
    assert difference(one, one._replace(burn_in=0)).mean == 0


def test_all_differences_hold_together():
    methods = [drawn(seed) for seed in range(3)]
    compared = compare(methods)
    assert compared.estimates == [estimate(one) for one in methods]
    assert compared.ranking == sorted(range(3), key=lambda i: -compared.estimates[i].mean)
    assert set(compared.differences) == {(0, 1), (0, 2), (1, 2)}
    assert compared.differences[0, 2] == difference(methods[0], methods[2], 1 - 0.05 / 3)


def test_the_variance_is_that_between_entities():
    values = np.repeat(np.random.default_rng(0).normal(size=40), 5)
    share = np.full(200, 1 / 200)
    together = Sample(values, share, 199.0, 0.0, intervals.owners(np.repeat(np.arange(40), 5)))
    assert together.variance() == pytest.approx(np.var(values[::5], ddof=1) / 40)
    assert Sample(values, share, 199.0).variance() == pytest.approx(np.var(values, ddof=1) / 200)
    assert Sample(values[:1], np.ones(1), 0.0).variance() == np.inf
    for kind in ("normal", "corrected", "bootstrap", "anytime"):
        apart = intervals.find(kind)(together._replace(owner=None), 0.95, 0)
        low, high = intervals.find(kind)(together, 0.95, 0)
        assert low < together.mean < high and high - low > 1.3 * (apart[1] - apart[0]), kind


def test_degrees_of_freedom():
    ratings = of_arrays(np.linspace(0, 1, 20), [0.5] * 5 + [NAN] * 15, [0.9] * 20)
    sample = sample_of(ratings)
    assert sample.quantile(0.95) == pytest.approx(2.776445), "strong ratings less 1"
    grouped = sample_of(ratings, ["a"] * 10 + ["b"] * 5 + ["c"] * 5)
    assert grouped.quantile(0.9) == pytest.approx(2.919986), "at most entities less 1"
    low, high = intervals.normal(sample)
    assert high - low == pytest.approx(2 * 2.776445 * np.std(sample.values, ddof=1) / 20**0.5)


def test_a_confidence_sequence_is_wider():
    """Of 500 entities: sqrt(2 (1 + 1 / a) log(sqrt(1 + a) / 0.05)) errors, a = 2 log 20 + log(2 log 20) + 1."""
    values = np.tile([-1.0, 1.0], 250)
    sample = Sample(values, np.full(500, 1 / 500), 499.0)
    low, high = intervals.anytime(sample)
    assert (high - low) / (2 * np.sqrt(sample.variance())) == pytest.approx(3.0353, abs=1e-3)
    low, high = intervals.anytime(sample._replace(undetected=sample.variance() * 3))
    assert (high - low) / (4 * np.sqrt(sample.variance())) == pytest.approx(3.0353, abs=1e-3)


def halls(sample, end):
    """g(T) at one end of an interval."""
    error = np.sqrt(sample.variance())
    skewness = np.sum(sample.by_entity() ** 3) / error**3
    t = (sample.mean - end) / error
    return t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6


@pytest.mark.parametrize("shape", [0.05, 0.5, 3.0])
def test_the_correction_inverts_halls_transformation(shape):
    values = np.random.default_rng(0).gamma(shape, size=60)
    sample = Sample(values, np.full(60, 1 / 60), 59.0)
    interval = intervals.corrected(sample, 0.9)
    low, high = (halls(sample, end) for end in interval)
    assert low == pytest.approx(-high) and 1.4 < low < 1.8, "the quantile is about that of Student's t, 1.67"
    mirrored = intervals.corrected(sample._replace(values=-values), 0.9)
    assert mirrored == pytest.approx([-end for end in reversed(interval)])
    low, high = intervals.corrected(sample)
    assert high - sample.mean > sample.mean - low, "longer towards the long tail"


@pytest.mark.parametrize(
    ("values", "factor", "why"),
    [
        # Fourth cumulant of the mean over its squared variance: (sum d^4 / (sum d^2)^2 - 3 (n - 1) / (n (n + 1))),
        # times ((n - 1) / n)^2, as the variance is that of n - 1 degrees of freedom; times (3 z^2 + 5) / 12.
        ([-1.0, 1.0] * 20, 1 / (1 + 1.37702 * (2.853659 / 40 - 1 / 40) * (39 / 40) ** 2), "two values: shorter"),
        ([-1.0] + [0.0] * 38 + [1.0], 1 + 1.37702 * (1 / 2 - 2.853659 / 40) * (39 / 40) ** 2, "two alone: longer"),
    ],
)
def test_the_quantile_depends_on_the_kurtosis(values, factor, why):
    sample = Sample(np.array(values), np.full(40, 1 / 40), 39.0)
    low, high = intervals.corrected(sample)
    assert high == pytest.approx(factor * intervals.normal(sample)[1], rel=1e-5) and low == pytest.approx(-high), why


def test_verdicts_are_covered_exactly():
    """Coverage of the mean of 58 verdicts, summed over how many are right; without the kurtosis it is 96.5 %."""
    ends = []
    for right in range(59):
        reached = estimate(of_arrays(np.zeros(58), [1] * right + [0] * (58 - right), np.ones(58)))
        ends.append((reached.low, reached.high))
    low, high = np.array(ends).T
    covered = []
    for truth in np.linspace(0.3, 0.7, 101):
        covers = (low <= truth) & (truth <= high)
        covered.append(sum(math.comb(58, k) * truth**k * (1 - truth) ** (58 - k) for k in np.flatnonzero(covers)))
    assert 0.945 < np.mean(covered) < 0.956


@pytest.mark.parametrize(
    ("strong", "cheap", "rate", "number", "size", "why"),
    [
        ([1, 1, 0, 0, NAN, NAN], [1, 1, 0, 0, 1, 0], 0.5, 9 / 1.96**2, 1, "no error found: the rule of three"),
        ([1, 1, 0, 0, NAN, NAN], [1, 1, 0.6, 0, 1, 0], 0.5, 0.5, 0.6, "half an error of the size found"),
        ([1, 1, 1, 1, 1, 1], [0] * 6, 1, 9 / 1.96**2, 1, "strong ratings all alike"),
        ([1, 1, 1, 1, 1, 0], [0] * 6, 1, 0.5, 1, "one strong rating apart"),
    ],
)
def test_errors_not_found_have_a_variance(strong, cheap, rate, number, size, why):
    ratings = of_arrays(cheap, strong, [rate] * 6)
    assert sample_of(ratings).undetected == pytest.approx(number * (size / rate / 6) ** 2), why
    assert estimate(ratings).width > estimate(ratings, interval="normal").width or rate < 1, why


def test_ratings_all_alike_have_an_interval():
    """As wide as the rule of three has it: 3 / n."""
    low, high = (lambda one: (one.low, one.high))(estimate(of_arrays([0] * 100, [1] * 100, [1] * 100)))
    assert 1 - low == pytest.approx(0.03, rel=0.03) and high >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_error_models(kind):
    """Each finds where the cheap rater errs, but for the one that is told not to."""
    rng = np.random.default_rng(0)
    cheap = rng.random(2000)
    strong = (rng.random(2000) < cheap).astype(float)
    features = None if kind in ("confidence", "constant") else (cheap * (1 - cheap))[:, None]
    learned = calibrate(cheap[:1000], strong[:1000], kind, None if features is None else features[:1000])
    rmse = learned.rmse(cheap, features)
    assert learned.variance == pytest.approx(np.var(strong[:1000], ddof=1))
    assert np.mean(rmse**2) == pytest.approx(1 / 6, abs=0.03), "E[G (1 - G)]"
    if kind == "constant":
        assert np.ptp(rmse) == 0
    else:
        assert np.corrcoef(rmse, confidence_rmse(cheap))[0, 1] > (0.7 if kind == "neighbours" else 0.95)
    assert rmse.min() > 0, "no item is free of error because the burn-in had none like it"


def test_a_model_is_trusted_as_far_as_it_predicts():
    """The product of variance and money, over that of one rate for all: 1 on noise, far less where errors differ."""
    products = {"noise": [], "known": []}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cheap, feature, later = rng.random(60), rng.random((60, 1)), rng.random((2000, 1))
        for case, scale in (("noise", lambda f: 0.3 + 0 * f[:, 0]), ("known", lambda f: 0.02 + 0.5 * f[:, 0] ** 3)):
            strong = cheap + scale(feature) * rng.normal(size=60)
            rmse = calibrate(cheap, strong, "isotonic", feature).rmse(np.zeros(2000), later)
            true = np.square(scale(later))
            products[case].append(np.mean(true / rmse) * rmse.mean() / true.mean())
    assert np.mean(products["noise"]) < 1.02 and np.mean(products["known"]) < 0.65


@pytest.mark.parametrize("kind", ["isotonic", "constant", "ridge"])
def test_items_that_an_active_policy_drew_are_weighted(kind):
    """They err more than others: learned from as they are, the cheap rater would seem worse than it is."""
    rng = np.random.default_rng(0)
    cheap, feature = rng.random(20000), rng.random((20000, 1))
    scale = 0.02 + 0.5 * feature[:, 0] ** 3
    strong = cheap + scale * rng.normal(size=20000)
    rates = np.clip(2 * scale, 0.05, 1)
    drawn = rng.random(20000) < rates
    features = None if kind == "constant" else feature
    part = None if features is None else features[drawn]
    weighted, plain = (
        calibrate(cheap[drawn], strong[drawn], kind, part, rates[drawn] if given else None) for given in (True, False)
    )
    true = np.mean(scale**2)
    assert np.mean(weighted.errors**2) == pytest.approx(true, rel=0.25 if kind == "ridge" else 0.06)
    assert np.mean(plain.errors**2) > 1.5 * true
    assert weighted.variance == pytest.approx(strong.var(), rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_a_burn_in_without_any_error(kind):
    """What it did not show may still be there."""
    learned = calibrate(np.ones(50), np.ones(50), kind)
    assert 0 < learned.variance < 0.02 and (learned.errors > 0).all() and np.isfinite(learned.errors).all()


def test_prediction_powered_inference():
    rng = np.random.default_rng(0)
    strong = rng.normal(size=50)
    cheap, others = strong + 0.5 * rng.normal(size=50), rng.normal(size=1000) + 0.3
    classical = prediction_powered(strong, cheap, others, 0.0)
    assert classical.mean == pytest.approx(strong.mean())
    assert classical.width == pytest.approx(2 * 1.959964 * strong.std() / 50**0.5, rel=1e-6)
    tuned = prediction_powered(strong, cheap, others, None)
    assert 0 < tuned.tuning < 1 and tuned.error < min(classical.error, prediction_powered(strong, cheap, others).error)
