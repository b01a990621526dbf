"""The benchmark that ranks methods by two raters, in small."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from trainers.rating.policies import Prices

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "rating_ranks.py"))
Rated, repeat, table = BENCHMARK["Rated"], BENCHMARK["repeat"], BENCHMARK["table"]


@pytest.fixture(scope="module")
def rated():
    """Three methods whose cheap rater errs on a tenth of the items, and says where by ratings near a half."""
    rng = np.random.default_rng(0)
    strong = (rng.random((3, 600)) < np.array([[0.9], [0.6], [0.3]])).astype(float)
    unsure = rng.random(strong.shape) < 0.1
    return Rated(["good", "middling", "bad"], strong, {"f1": np.where(unsure, 0.5, strong)})


def test_methods_are_ranked_for_less_money(rated, monkeypatch):
    monkeypatch.setitem(table.__globals__, "SEARCH", 10)
    assert rated.ranking() == [0, 1, 2] and rated.pairs == [(0, 1), (0, 2), (1, 2)]
    rows = table(rated, "f1", repeats=10)
    assert [(row["prices"], row["policy"]) for row in rows[:3]] == [
        ("10:1", "always"),
        ("10:1", "uniform"),
        ("10:1", "active"),
    ]
    by = {(row["prices"], row["policy"]): row for row in rows}
    for price in ("10:1", "100:1"):
        active = by[price, "active"]
        assert active["share"] < 0.6 and active["width"] == pytest.approx(active["wanted"], rel=0.2)
        assert active["pairs"] > 0.95
    text = BENCHMARK["markdown"](rated, {"f1": rows})
    assert "| good | 0.8" in text and "3 of 3 pairs are told apart" in text


def test_the_budget_of_a_repeat_is_kept_and_every_method_gets_its_share(rated):
    result = repeat(rated, "f1", "active", Prices(1.0, 10.0), 3000.0, range(3))
    assert 2500 < result.money <= 3000


def test_the_methods_play_the_same_games_of_sql():
    played = BENCHMARK["play_task"]("sql", None, [], None, 6)
    assert played.strong.shape == played.cheap["f1"].shape == (7, 6)
    guess, slips = played.methods.index("guess"), played.methods.index("slips 0.45, 0.2")
    assert played.strong[slips].sum() <= played.strong[guess].sum()


def test_models_play_sampled_and_greedy_under_their_names(tiny_folder):
    played = BENCHMARK["play_task"]("almanac", None, [f"tiny={tiny_folder}"], str(tiny_folder), 2)
    assert played.methods == ["guess", "threshold", "tiny sampled", "tiny greedy"]
    assert set(played.cheap) == {"f1", "similarity"} and played.strong.shape == (4, 2)
