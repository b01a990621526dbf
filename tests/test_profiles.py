"""The benchmark that seeks mixes of almanac's profiles."""

import runpy
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "profiles.py"))
PROFILES = BENCHMARK["PROFILES"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = [BENCHMARK["measured"](profile, rng, episodes=4) for profile in PROFILES]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def test_what_is_measured_of_a_profile(table):
    where = {profile: i for i, profile in enumerate(PROFILES)}
    for costs in BENCHMARK["LIMITS"]:
        best = table[f"{costs} oracle"]
        for other in (*BENCHMARK["FIXED"], "clamped"):
            assert np.all(table[f"{costs} {other}"] <= best + 1e-9), other
        clear = where[1, 1.0, "short"]
        assert table[f"{costs} guess"][clear] == pytest.approx(best[clear]), "one reading is answered"
    assert np.all(table["between clamped"] == table["between oracle"]), "no cost between is above it"
    # Three even readings of long answers: listed at the largest trained costs, guessed beyond.
    even = where[3, 1.05, "long"]
    assert table["beyond_both clamped"][even] < table["beyond_both oracle"][even] - 0.05
    assert sum(table[f"share of {action}"] for action in BENCHMARK["ACTIONS"]) == pytest.approx(1)
    assert table["fall"][even] > 2 and table["fall"].min() > -1e-9


def test_what_can_be_learned_of_a_fall():
    """Choices worth much are learned as they are; those worth nothing are taken for what is around them."""
    cells = np.array([(0.3, beta) for beta in np.geomspace(0.022, 0.052, 30)])
    grid, last = cells[[0, -1]], np.arange(30) == 29
    near, words = BENCHMARK["around"](grid, cells), np.where(last, 1.0, 12.0)  # a fall at the dearest word alone
    sure, unsure = (BENCHMARK["taken"](words, np.where(last, margin, 0.3), near) for margin in (0.3, 0.001))
    assert sure[0] == unsure[0] == pytest.approx(12)
    assert 1 < sure[1] < unsure[1] < 12 and unsure[1] > 11.9
    step = np.where(np.arange(30) < 15, 12.0, 1.0)
    assert BENCHMARK["taken"](step, np.full(30, 0.3), near) == pytest.approx([12, 1], abs=0.1), "halfway it is seen"


def test_the_mix_found_keeps_to_the_limits(table):
    shares = BENCHMARK["best_learned"](table)
    assert shares.sum() == pytest.approx(1) and shares.min() >= 0 and shares.max() <= BENCHMARK["MOST_OF_ONE"] + 1e-9
    for costs, most in BENCHMARK["LIMITS"].items():
        for fixed in BENCHMARK["FIXED"]:
            assert shares @ table[f"{costs} {fixed}"] <= most * (shares @ table[f"{costs} oracle"]) + 1e-9
    for action in BENCHMARK["ACTIONS"]:
        assert shares @ table[f"share of {action}"] >= BENCHMARK["LEAST_SHARE"] - 1e-9
    assert sum(share for share, profile in zip(shares, PROFILES, strict=True) if profile[0] == 1) >= 0.06 - 1e-9
    lost = 1 - shares @ table["beyond_both clamped"] / (shares @ table["beyond_both oracle"])
    assert lost <= BENCHMARK["MOST_LOST"] + 1e-9
    assert shares @ table["learned fall"] > 0.8 * (shares @ table["fall"])
