"""Intervals cover what they say, and estimates have no bias: repeated ratings of made-up items."""

import numpy as np
import pytest

from trainers.rating.estimate import difference, estimate
from trainers.rating.policies import Prices
from trainers.rating.rules import Rules
from trainers.rating.sequential import rate

pytestmark = pytest.mark.slow

PRICES, REPEATS = Prices(1.0, 10.0), 2000


def logistic(x):
    return 1 / (1 + np.exp(-x))


def numbers(rng, items, bias, spread):
    """Strong ratings that are normal, of mean 0.6, and a cheap rater whose error grows with a known difficulty."""
    difficulty = rng.random(items)
    strong = 0.6 + 0.25 * rng.normal(size=items)
    scale = 0.02 + 0.35 * difficulty**3 if spread else np.full(items, 0.12)
    return strong, strong + bias + scale * rng.normal(size=items), difficulty[:, None]


def verdicts(rng, items, bias, spread, right=None):
    """Right or wrong, right with probability 0.6, and a cheap rater that errs by verdicts; biased, it never says wrong
    of what is right."""
    difficulty = rng.random(items)
    strong = (rng.random(items) < (0.6 if right is None else right)).astype(float)
    errs = rng.random(items) < (0.6 * difficulty**3 if spread else 0.15)
    errs &= (strong == 0) if bias else True
    return strong, np.where(errs, 1 - strong, strong), difficulty[:, None]


# Of small budgets, which take little time each; 2,000 repeats tell coverage to half a percent.
MANY = 8000
# Ratings, bias, spread of the error, items, budget, policy.
SCENARIOS = {
    "unbiased, homoscedastic": (numbers, 0.0, False, 1000, 1500, "uniform"),
    "biased, homoscedastic": (numbers, 0.15, False, 1000, 1500, "active"),
    "unbiased, heteroscedastic": (numbers, 0.0, True, 1000, 1500, "active"),
    "biased, heteroscedastic": (numbers, 0.15, True, 1000, 1500, "uniform"),
    "verdicts, unbiased": (verdicts, False, True, 1500, 2000, "active"),
    "verdicts, biased": (verdicts, True, True, 1500, 2000, "active"),
    "small budget": (numbers, 0.15, True, 500, 300, "active"),
    "small budget, verdicts": (verdicts, False, True, 500, 600, "active"),
}


def coverage(low, high, truth):
    return np.mean((np.array(low) <= truth) & (truth <= np.array(high)))


@pytest.mark.parametrize("name", SCENARIOS)
def test_coverage(name):
    kind, bias, spread, items, budget, policy = SCENARIOS[name]
    found = []
    repeats = MANY if items == 500 else REPEATS
    for seed in range(repeats):
        strong, cheap, features = kind(np.random.default_rng([31, seed]), items, bias, spread)
        rules = Rules(PRICES, budget, policy, seed=seed)
        ratings = rate(items, cheap.__getitem__, strong.__getitem__, rules, features=features)
        assert ratings.money <= budget * (1 + 1e-9)
        found.append(estimate(ratings))
    means = np.array([one.mean for one in found])
    covered = coverage([one.low for one in found], [one.high for one in found], 0.6)
    offset = (means.mean() - 0.6) / means.std() * repeats**0.5
    print(f"{name}: {covered:.4f}, bias {offset:+.1f} standard errors")
    assert 0.94 <= covered <= 0.96, name
    assert abs(offset) < 3, name


def test_coverage_by_entity():
    """Five items each, right together. As if each item were its own entity, the interval is too narrow."""
    points = np.linspace(-6, 6, 4001)
    density = np.exp(-(points**2) / 2)
    truth = float((logistic(0.5 + 1.5 * points) * density).sum() / density.sum())
    entities = np.repeat(np.arange(300), 5)
    found, alone = [], []
    for seed in range(REPEATS):
        rng = np.random.default_rng([12, seed])
        right = logistic(0.5 + 1.5 * rng.normal(size=300))[entities]
        strong, cheap, features = verdicts(rng, 1500, False, True, right)
        rules = Rules(PRICES, 4000, "active", burn_in=60, seed=seed)
        ratings = rate(1500, cheap.__getitem__, strong.__getitem__, rules, features=features)
        found.append(estimate(ratings, entities=entities[ratings.items]))
        alone.append(estimate(ratings))
    covered, too_few = (
        coverage([one.low for one in some], [one.high for one in some], truth) for some in (found, alone)
    )
    print(f"by entity: {covered:.4f}, each its own: {too_few:.4f}")
    assert 0.94 <= covered <= 0.96 and too_few < 0.94


def test_coverage_of_a_difference():
    """Two methods on the same episodes, each answer with a cheap rating; blocks keep episodes together."""
    found = []
    for seed in range(REPEATS):
        rng = np.random.default_rng([13, seed])
        common, own = rng.normal(size=400), rng.normal(size=(2, 400))
        strong = np.concatenate([0.55 + 0.2 * common + 0.1 * own[0], 0.5 + 0.2 * common + 0.1 * own[1]])
        cheap = strong + 0.1 + 0.1 * rng.normal(size=800)
        blocks = np.tile(np.arange(400), 2)
        rules = Rules(PRICES, 1500, "uniform", burn_in=20, seed=seed)
        ratings = rate(800, cheap.__getitem__, strong.__getitem__, rules, blocks=blocks)
        parts = []
        for method in (0, 1):
            of_method = ratings.items // 400 == method
            items, cheap_part, strong_part, rates = (part[of_method] for part in ratings[:4])
            planned = None if ratings.planned is None else ratings.planned / 2
            part = ratings._replace(
                items=items % 400,
                cheap=cheap_part,
                strong=strong_part,
                rates=rates,
                burn_in=ratings.burn_in // 2,
                planned=planned,
            )
            parts.append(part)
        found.append(difference(*parts))
    covered = coverage([one.low for one in found], [one.high for one in found], 0.05)
    means = np.array([one.mean for one in found])
    print(f"difference: {covered:.4f}")
    assert 0.94 <= covered <= 0.96
    assert abs(means.mean() - 0.05) < 3 * means.std() / REPEATS**0.5


def test_one_may_look_while_rating():
    """A confidence sequence holds at all looks together; a normal interval does not."""
    missed = {"anytime": 0, "normal": 0}
    for seed in range(300):
        strong, cheap, features = numbers(np.random.default_rng([14, seed]), 1200, 0.15, True)
        ratings = rate(
            1200, cheap.__getitem__, strong.__getitem__, Rules(PRICES, 3000, burn_in=40, seed=seed), features=features
        )
        looks = range(40, len(ratings.items) + 1, 20)
        parts = [
            ratings._replace(planned=None, **dict(zip(ratings._fields[:4], (x[:n] for x in ratings[:4]), strict=True)))
            for n in looks
        ]
        for kind in missed:
            seen = [estimate(part, interval=kind) for part in parts]
            missed[kind] += any(not one.low <= 0.6 <= one.high for one in seen)
    print(missed)
    assert missed["anytime"] <= 0.05 * 300 < 0.1 * 300 < missed["normal"]


def test_coverage_of_the_bootstrap():
    found = []
    for seed in range(100):
        strong, cheap, features = numbers(np.random.default_rng([15, seed]), 400, 0.0, True)
        ratings = rate(400, cheap.__getitem__, strong.__getitem__, Rules(PRICES, 1500, seed=seed), features=features)
        found.append(estimate(ratings, interval="bootstrap", seed=seed))
    assert 0.90 <= coverage([one.low for one in found], [one.high for one in found], 0.6) <= 0.99
