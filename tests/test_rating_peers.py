"""Ratings beside other projects: ppi-python's intervals, glide-py's policies and estimates; `pytest -m peers`."""

import json
import subprocess

import numpy as np
import pytest
from peers import environment

from trainers.rating.estimate import estimate, power_tuning
from trainers.rating.policies import Prices, best_policy, uniform_rate
from trainers.rating.ratings import of_arrays
from trainers.rating.two_sets import prediction_powered

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1800)]


def answer(python, script, data):
    """What a script that reads JSON from its input prints as JSON, in an environment of its own."""
    done = subprocess.run([str(python), "-c", script], input=json.dumps(data), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


PPI = """
import json, sys
import numpy as np
from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
found = []
for case in json.load(sys.stdin):
    arrays = [np.array(case[name]) for name in ("strong", "cheap", "others")]
    mean = ppi_mean_pointestimate(*arrays, lam=case["tuning"])
    low, high = ppi_mean_ci(*arrays, alpha=1 - case["confidence"], lam=case["tuning"])
    found.append([float(np.ravel(value)[0]) for value in (mean, low, high)])
print(json.dumps(found))
"""


def test_ppi_python():
    """Of a simple random sample, the same estimates and intervals, with every lambda and the tuned one."""
    cases = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        strong = (rng.random(30 + 20 * seed) < 0.6).astype(float) if seed % 2 else rng.normal(size=30 + 20 * seed)
        cheap, others = strong + rng.normal(0.2, 0.5, len(strong)), rng.normal(0.8, 1.1, 1000)
        for tuning in (None, 0.0, 0.5, 1.0):
            arrays = {"strong": strong.tolist(), "cheap": cheap.tolist(), "others": others.tolist()}
            cases.append(arrays | {"tuning": tuning, "confidence": 0.9 if seed % 3 else 0.95})
    theirs = answer(environment("ppi", "ppi-python==0.2.3"), PPI, cases)
    for case, their in zip(cases, theirs, strict=True):
        arrays = (np.array(case[name]) for name in ("strong", "cheap", "others"))
        ours = prediction_powered(*arrays, case["tuning"], case["confidence"])
        assert [ours.mean, ours.low, ours.high] == pytest.approx(their, abs=1e-9, rel=0)


GLIDE = """
import json, sys
import numpy as np
from glide.estimators import ASIMeanEstimator
from glide.samplers import CostOptimalRandomSampler, CostOptimalSampler
found = []
for case in json.load(sys.stdin):
    strong, cheap, rmse, rates = (np.array(case[name], dtype=float) for name in ("strong", "cheap", "rmse", "rates"))
    drawn = np.where(np.array(case["drawn"]), strong, np.nan)
    both = dict(y_true_cost=case["prices"][1], y_proxy_cost=case["prices"][0])
    uniform = CostOptimalRandomSampler().fit(strong, cheap)._compute_optimal_probability(**both)
    sampler = CostOptimalSampler().fit(strong)
    active, _ = sampler.sample(rmse, max_cost=1e9, random_seed=0, **both)
    estimator = ASIMeanEstimator()
    plain = estimator.estimate(drawn, cheap, rates, power_tuning=False).confidence_interval
    tuned = estimator.estimate(drawn, cheap, rates, power_tuning=True).confidence_interval
    filled = estimator._preprocess(drawn, cheap, rates)
    tuning = estimator._compute_tuning_parameter(*filled, power_tuning=True)
    found.append({"uniform": uniform, "active": active.tolist(), "plain": [plain.mean, plain.std],
                  "tuned": [tuned.mean, tuned.std], "tuning": float(tuning)})
print(json.dumps(found))
"""


def test_glide():
    """The same policies, and the same estimates and standard errors of ratings drawn with any probabilities.

    glide-py asks for Python 3.12 and newer, but this much of it runs on 3.11 too.
    """
    python = environment(
        "glide", "scipy", "glide-py==0.11.0", "--no-deps", "--ignore-requires-python", "--only-binary=:all:"
    )
    cases = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        items = 5 + 10 * seed
        rmse = rng.gamma(1.0, 0.15, items) if seed % 3 else rng.choice([0.05, 0.2, 0.7], items)
        strong = (rng.random(items) < 0.6) * 1.0 if seed % 2 else rng.normal(0.5, 0.3, items)
        strong[:2] = 0, 1
        rates = rng.uniform(0.2, 1, items)
        drawn = rng.random(items) < rates
        drawn[:3] = True
        cases.append(
            {
                "strong": strong.tolist(),
                "cheap": (strong + rmse * rng.normal(size=items)).tolist(),
                "rmse": rmse.tolist(),
                "rates": rates.tolist(),
                "drawn": drawn.tolist(),
                "prices": [float(rng.choice([0.01, 0.1, 1.0, 5.0])), 10.0],
            }
        )
    for case, their in zip(cases, answer(python, GLIDE, cases), strict=True):
        strong, cheap, rmse, rates = (np.array(case[name]) for name in ("strong", "cheap", "rmse", "rates"))
        prices, variance = Prices(*case["prices"]), np.var(strong, ddof=1)
        error = np.mean((strong - cheap) ** 2)
        assert uniform_rate(prices, variance, error) == pytest.approx(their["uniform"], abs=1e-9)
        ours = best_policy("active", prices, variance, rmse).rates(rmse)
        assert ours == pytest.approx(np.array(their["active"]), abs=1e-9)
        ratings = of_arrays(cheap, np.where(case["drawn"], strong, np.nan), rates)
        plain = estimate(ratings)
        assert [plain.mean, plain.error] == pytest.approx(their["plain"], abs=1e-9)
        tuning = power_tuning(ratings)
        assert tuning == pytest.approx(np.clip(their["tuning"], 0, 1), abs=1e-9)
        if 0 < tuning < 1:
            tuned = estimate(ratings, tuned=True)
            assert [tuned.mean, tuned.error] == pytest.approx(their["tuned"], abs=1e-9)
