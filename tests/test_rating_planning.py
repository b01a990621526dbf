"""Expected widths at a budget, against the widths that rating reaches; and the benchmark of what is saved."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from trainers.rating.errors import calibrate
from trainers.rating.estimate import estimate
from trainers.rating.planning import plan
from trainers.rating.policies import NAMES, Prices
from trainers.rating.rules import Rules
from trainers.rating.sequential import rate

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "rating.py"))
PRICES = Prices(1.0, 10.0)


def items(count, seed=0):
    rng = np.random.default_rng(seed)
    difficulty, strong = rng.random(count), rng.normal(0.5, 0.25, count)
    return strong + (0.02 + 0.4 * difficulty**3) * rng.normal(size=count), strong, difficulty[:, None]


def test_widths_that_a_burn_in_plans_are_reached():
    cheap, strong, features = items(2000)
    known = calibrate(cheap[:400], strong[:400], features=features[:400])
    budgets = [400.0, 1600.0]
    planned = plan(PRICES, known, 2000, budgets)
    assert list(planned.widths) == list(NAMES) and list(planned.budgets) == budgets
    for policy in NAMES:
        for budget, width in zip(budgets, planned.widths[policy], strict=True):
            reached = []
            for seed in range(8):
                rules = Rules(PRICES, budget, policy, seed=seed)
                ratings = rate(2000, cheap.__getitem__, strong.__getitem__, rules, known, features)
                reached.append(estimate(ratings, interval="normal").width)
            assert np.mean(reached) == pytest.approx(width, rel=0.15), (policy, budget)


def test_always_strong_needs_no_cheap_rating_and_ends_with_the_items():
    known = calibrate(*items(300)[:2])
    widths = plan(PRICES, known, 100, [100, 400, 1000, 5000]).widths["always"]
    assert widths == pytest.approx(2 * 1.959964 * np.sqrt(known.variance / np.array([10, 40, 100, 100])), rel=1e-6)


def test_wider_confidence_wider_interval_and_more_money_narrower():
    cheap, strong, features = items(300)
    known = calibrate(cheap, strong, features=features)
    planned, wide = (plan(PRICES, known, 1000, [300, 600, 1200, 2400], confidence=level) for level in (0.9, 0.99))
    for policy in NAMES:
        assert (np.diff(planned.widths[policy]) < 0).all() and (wide.widths[policy] > planned.widths[policy]).all()
    assert (planned.widths["active"] <= planned.widths["uniform"] * (1 + 1e-9)).all()


def test_the_benchmark_shows_the_papers_picture(tmp_path):
    cell, table = BENCHMARK["Cell"], BENCHMARK["table"]
    rows = table([cell(ratio, 0.2, spread) for ratio in (0.01, 0.1) for spread in (0.0, 2.0)], 5, 500.0, 50)
    even, apart = rows[0], rows[1]
    assert even["active, theory"] == pytest.approx(even["uniform, theory"]), "nothing to gain where errors are alike"
    assert abs(even["active"] - even["uniform"]) < 0.03
    assert apart["active, theory"] > apart["uniform, theory"] + 0.1 and apart["active"] > apart["uniform"] + 0.05
    for row in rows:
        assert row["active, theory"] - 0.15 < row["active"] < row["active, theory"] + 0.08
    BENCHMARK["draw"](rows, str(tmp_path / "saved.png"))
    assert (tmp_path / "saved.png").stat().st_size > 1000
    assert BENCHMARK["markdown"](rows).count("\n") == 5


def test_the_theory_of_the_benchmark():
    """sqrt((c_g / c_h) MSE / (1 - MSE)) of the items are rated: the product of cost and variance in closed form."""
    for ratio, error in ((0.01, 0.2), (0.1, 0.05)):
        rate_then = (ratio * error / (1 - error)) ** 0.5
        product = (ratio + rate_then) * (1 - error + error / rate_then)
        assert BENCHMARK["theory"](BENCHMARK["Cell"](ratio, error, 0.0), "uniform") == pytest.approx(1 - product)
    assert BENCHMARK["theory"](BENCHMARK["Cell"](0.1, 0.97, 0.0), "active") == 0, "no worse than strong ratings alone"
