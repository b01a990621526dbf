"""The benchmark that seeks mixes of almanac's profiles."""

import runpy
from pathlib import Path

import numpy as np
import pytest

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "profiles.py"))
PROFILES = BENCHMARK["PROFILES"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = [BENCHMARK["measured"](profile, rng, questions=4) for profile in PROFILES]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def test_what_is_measured_of_a_profile(table):
    where = {profile: i for i, profile in enumerate(PROFILES)}
    for costs in BENCHMARK["LIMITS"]:
        best = table[f"{costs} oracle"]
        for other in (*BENCHMARK["FIXED"], "clamped 1.0", "clamped 0.9"):
            assert np.all(table[f"{costs} {other}"] <= best + 1e-9), other
        clear = where[1, 1.0, "short"]
        assert table[f"{costs} guess"][clear] == pytest.approx(best[clear]), "one reading is answered"
    assert np.all(table["between clamped 0.9"] == table["between oracle"]), "no cost between is above it"
    # Three even readings of long answers: listed at the largest trained costs, guessed beyond.
    even = where[3, 1.05, "long"]
    assert table["beyond_both clamped 1.0"][even] < table["beyond_both oracle"][even] - 0.05


def test_the_mix_found_keeps_to_the_limits(table):
    shares = BENCHMARK["least_asked"](table)
    assert shares.sum() == pytest.approx(1) and shares.min() >= 0 and shares.max() <= BENCHMARK["MOST_OF_ONE"] + 1e-9
    for costs, most in BENCHMARK["LIMITS"].items():
        for fixed in BENCHMARK["FIXED"]:
            assert shares @ table[f"{costs} {fixed}"] <= most * (shares @ table[f"{costs} oracle"]) + 1e-9
    for action in BENCHMARK["ACTIONS"]:
        assert shares @ table[f"between share of {action}"] >= BENCHMARK["LEAST_SHARE"] - 1e-9
    assert sum(share for share, profile in zip(shares, PROFILES, strict=True) if profile[0] == 1) >= 0.06 - 1e-9
