"""Sampling policies: the formulas of arXiv 2506.07949 against minimisation by brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.rating.policies import (
    ALWAYS,
    Prices,
    active_gamma,
    best_policy,
    expected_variance,
    gamma_of_mean,
    objective,
    policy_for,
    uniform_rate,
)


def least(value, low, high, steps=41, zooms=12):
    """The least value of a function on ever finer grids between bounds, one bound pair a dimension, and where it is."""
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    first, last = low, high
    for _ in range(zooms):
        axes = [np.linspace(*pair, steps) for pair in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(low))
        values = value(points)
        point = points[np.argmin(values)]
        step = (high - low) / (steps - 1) * 2
        low, high = np.maximum(point - step, first), np.minimum(point + step, last)
    return values.min(), point


def products(prices, variance, errors, shares, rates):
    """C V at rates of atoms, shape [points, atoms], with squared errors and probabilities of the atoms."""
    cost = prices.cheap + prices.strong * (rates * shares).sum(1)
    return cost * (variance + ((errors / rates - errors) * shares).sum(1))


@pytest.mark.parametrize(
    ("cheap", "variance", "error"),
    list(itertools.product([0.001, 0.1, 1.0], [0.25, 1.0], [1e-4, 0.05, 0.2, 0.24, 0.9, 2.0])),
)
def test_the_uniform_rate_is_the_least_on_a_grid(cheap, variance, error):
    prices = Prices(cheap * 7, 7.0)
    rate = uniform_rate(prices, variance, error)
    value, (at,) = least(
        lambda points: products(prices, variance, np.array([error]), np.ones(1), points), [1e-6], [1], 1001, 8
    )
    assert rate == pytest.approx(at, abs=1e-6)
    assert objective(prices, variance, np.array([error**0.5]), np.array([rate])) == pytest.approx(value, rel=1e-9)
    assert (rate == 1) == (error >= prices.strong / (prices.strong + prices.cheap) * variance)


ONE = Prices(0.0, 1.0)
ATOMS = [
    ([0.1, 0.4], [1, 1], 0.2),
    ([0.05, 0.3, 0.45], [5, 3, 2], 0.25),
    ([0.3, 0.31, 0.32], [1, 1, 1], 0.25),
    ([0.0, 0.2, 0.9], [6, 3, 1], 0.3),
    ([0.01, 0.5, 0.5], [2, 1, 1], 0.12),
    ([0.6, 0.7, 2.0], [1, 2, 1], 0.1),
]


@pytest.mark.parametrize(("ratio", "floor"), [(0.001, 0.0), (0.01, 0.2), (0.1, 0.0), (0.1, 0.05), (1.0, 0.0)])
@pytest.mark.parametrize(("atoms", "counts", "variance"), ATOMS)
def test_the_active_policy_is_the_least_of_all_rates_on_a_grid(atoms, counts, variance, ratio, floor):
    """Of any rates of the atoms whatever, not of those of Proposition 2's form alone."""
    prices, shares = Prices(ratio, 1.0), np.array(counts) / sum(counts)
    rmse = np.repeat(atoms, counts)
    policy = best_policy("active", prices, variance, rmse, floor)
    ours = objective(prices, variance, rmse, policy.rates(rmse))
    errors = np.square(atoms)
    if policy.rates(np.array(atoms)).min() == 0:  # an item without error, never rated
        assert atoms[0] == 0
    value, point = least(
        lambda points: products(prices, variance, errors, shares, points),
        [max(floor, 1e-9)] * len(atoms),
        [1] * len(atoms),
        13,
        24,
    )
    assert ours == pytest.approx(value, abs=1e-6) and ours <= value * (1 + 1e-9)
    assert policy.rates(np.array(atoms))[errors > 0] == pytest.approx(point[errors > 0], abs=1e-4)


@pytest.mark.parametrize("ratio", [0.003, 0.1])
def test_gamma_and_tau_are_the_least_on_a_grid(ratio):
    """Proposition 2 in its own parameters: gamma s(x) up to tau, 1 above."""
    rng = np.random.default_rng(3)
    rmse, variance, prices = np.sort(rng.gamma(1.0, 0.2, 12)), 0.25, Prices(ratio, 1.0)
    policy = best_policy("active", prices, variance, rmse)

    def value(gamma, tau):
        rates = np.where(rmse > tau, 1.0, np.minimum(1.0, gamma * rmse))
        return objective(prices, variance, rmse, rates)

    found = min(
        least(lambda points, tau=tau: np.array([value(float(gamma), tau) for (gamma,) in points]), [1e-3], [50], 40, 8)[
            0
        ]
        for tau in np.concatenate([[0.0], rmse])
    )
    assert value(policy.gamma, policy.tau) == pytest.approx(found, rel=1e-6)
    assert value(policy.gamma, policy.tau) <= found * (1 + 1e-9)


def test_published_vectors():
    """The examples in the documentation of glide-py 0.11, which implements the same paper."""
    strong, cheap = np.array([1.0, 2.0]), np.array([1.1, 1.9])
    rate = uniform_rate(Prices(1, 10), np.var(strong, ddof=1), np.mean((strong - cheap) ** 2))
    assert rate == pytest.approx(0.0451754, abs=5e-8)
    rmse, variance = np.array([0.1, 0.4, 0.1, 0.4]), np.var([1.0, 2.0, 3.0, 4.0], ddof=1)
    policy = best_policy("active", Prices(1, 10), variance, rmse)
    assert policy.rates(rmse) == pytest.approx([0.02514447, 0.10057789] * 2, abs=5e-9)


def test_s_is_the_root_of_the_squared_error():
    """The paper's u(x) is s(x)^2: rates proportional to it lose."""
    rmse, prices = np.repeat([0.05, 0.4], [80, 20]), Prices(0.02, 1.0)
    policy = best_policy("active", prices, 0.25, rmse)
    mean = policy.rates(rmse).mean()
    squared = np.clip(gamma_of_mean(rmse**2, mean) * rmse**2, 0, 1)
    assert squared.mean() == pytest.approx(mean)
    assert objective(prices, 0.25, rmse, policy.rates(rmse)) < 0.99 * objective(prices, 0.25, rmse, squared)


def test_without_variance_of_the_error_active_is_uniform():
    rmse, prices = np.full(50, 0.2), Prices(0.05, 1.0)
    active, uniform = (best_policy(name, prices, 0.25, rmse).rates(rmse) for name in ("active", "uniform"))
    assert active == pytest.approx(uniform, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    rmse=st.lists(st.just(0.0) | st.floats(1e-9, 1), min_size=1, max_size=30),
    mean=st.floats(0.06, 1),
    floor=st.sampled_from([0.0, 0.05]),
)
def test_a_policy_of_a_given_mean(rmse, mean, floor):
    gamma = gamma_of_mean(np.array(rmse), mean, floor)
    if np.isfinite(gamma):
        assert np.clip(gamma * np.array(rmse), floor, 1).mean() == pytest.approx(mean, abs=1e-6)
    else:
        assert np.mean([1.0 if error else floor for error in rmse]) <= mean


@pytest.mark.parametrize("name", ["uniform", "active"])
@pytest.mark.parametrize("budget", [50, 200, 400, 700, 1090])
@pytest.mark.parametrize("cheap", [0.0, 0.1])
def test_money_left_over_goes_to_strong_ratings(name, budget, cheap):
    """Where all items are rated, the budget is spent; and no other rates of that cost have less variance."""
    rmse, prices, items = np.repeat([0.1, 0.2, 0.5], [60, 30, 10]), Prices(cheap, 1.0), 1000
    policy = policy_for(name, prices, 0.25, rmse, items, budget, 0.01)
    paid = min(budget, items * (cheap + 1))
    unlimited = best_policy(name, prices, 0.25, rmse, 0.01)
    rates = policy.rates(rmse)
    cost = items * (cheap + rates.mean())
    if items * (cheap + unlimited.rates(rmse).mean()) >= budget:
        assert policy == unlimited
    else:
        assert cost == pytest.approx(paid)
        spread = [np.random.default_rng(seed).dirichlet(np.ones(3)) for seed in range(200)]
        for shares in spread if name == "active" else ():
            other = np.clip(np.repeat(shares / [0.6, 0.3, 0.1], [60, 30, 10]) * rates.mean(), 0.01, 1)
            other *= rates.mean() / other.mean()
            if other.max() <= 1:
                assert np.mean(rmse**2 / rates) <= np.mean(rmse**2 / other) + 1e-12
    ours = expected_variance(policy, prices, 0.25, rmse, items, budget)
    assert ours <= expected_variance(unlimited, prices, 0.25, rmse, items, budget) * (1 + 1e-9)


def test_money_for_more_than_the_items_that_err():
    rmse = np.repeat([0.0, 0.4], [90, 10])
    policy = policy_for("active", Prices(0.0, 1.0), 0.25, rmse, 100, 55, 0.01)
    assert policy.rates(rmse).sum() == pytest.approx(55) and policy.rates(rmse)[-1] == 1


def test_always_pays_for_no_cheap_ratings():
    assert expected_variance(ALWAYS, Prices(5.0, 10.0), 0.25, np.ones(3), 1000, 500) == 0.25 / 50
    assert expected_variance(ALWAYS, Prices(5.0, 10.0), 0.25, np.ones(3), 20, 500) == 0.25 / 20


def test_unknown_policies_are_refused():
    with pytest.raises(ValueError, match="unknown sampling policy 'best'; known: always, uniform, active"):
        best_policy("best", Prices(1, 10), 0.25, np.ones(2))


def test_extreme_errors():
    assert active_gamma(Prices(0.1, 1), 0.25, np.zeros(4)) == 0
    tiny = np.array([0.0, 5e-324, 1e-310, 0.2])
    for policy in (best_policy("active", Prices(0.1, 1), 0.25, tiny), policy_for("active", ONE, 0.25, tiny, 9, 8.0)):
        assert np.isfinite(policy.rates(tiny)).all() and policy.rates(tiny)[-1] > 0.1
    rates = best_policy("active", Prices(0.1, 1), 0.01, np.full(4, 3.0)).rates(np.full(4, 3.0))
    assert rates == pytest.approx(1), "a rater that errs more than the ratings vary is of no use"
