import math
import re

import numpy as np
import pytest

import clarify_env
from clarify_env.costs import SETS, CostPlane, Costs, check_costs
from clarify_env.games.base import View
from clarify_env.games.clarification.facts import AssistantFacts
from clarify_env.games.clarification.prompts import messages
from clarify_env.gym import AssistantEnv


@pytest.mark.parametrize(
    ("costs", "text", "why"),
    [
        (Costs(0.15, 0.02), "each question costs 0.15, each word 0.020", "fixed places"),
        (Costs(0.1, 0.005), "each question costs 0.10, each word 0.005", "padded"),
        (Costs(1, 0), "each question costs 1.00, each word 0.000", "whole numbers"),
        (Costs(0.125, 0.0125), "each question costs 0.125, each word 0.0125", "a price is never rounded"),
        (Costs(1e-5, 0.1 + 0.2), "each question costs 0.00001, each word 0.30000000000000004", "however long"),
    ],
)
def test_costs_as_a_person_reads_them(costs, text, why):
    assert str(costs) == text, why


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, "0.1", None])
def test_impossible_costs_are_refused_by_name(value):
    with pytest.raises(ValueError, match=r"costs\.beta must be"):
        check_costs(Costs(0.1, value))


@pytest.mark.parametrize(
    "given",
    [
        np.array([0.2, 0.02]),
        np.array([0.2, 0.02], dtype=np.float32),
        np.array([0.2, 0.02], dtype=np.float16),
        (np.float64(0.2), np.float32(0.02)),
        [np.array(0.2), 0.02],
        memoryview(np.array([0.2, 0.02])).tolist(),
    ],
    ids=lambda given: f"{type(given).__name__} {getattr(given, 'dtype', '')}",
)
def test_costs_of_numpy_are_costs(almanac, given):
    environment = clarify_env.env(almanac, costs=given)
    environment.reset(seed=0)
    assert environment.unwrapped.game.prices == Costs(0.2, 0.02)
    assert all(type(price) is float for price in environment.unwrapped.game.prices)
    environment = AssistantEnv(almanac)
    observation, _ = environment.reset(seed=0, options={"costs": given})
    assert observation["costs"].tolist() == [0.2, 0.02]
    assert str(environment.game.prices) == "each question costs 0.20, each word 0.020", "no more digits than given"


@pytest.mark.parametrize("given", [np.array([[0.2, 0.02]]), np.array(0.2), np.array([0.2]), np.array(["a", "b"])])
def test_arrays_that_are_no_pair_of_costs_are_refused(almanac, given):
    with pytest.raises(ValueError, match="costs"):
        clarify_env.env(almanac, costs=given)


def test_a_plane_of_numpy_is_the_plane(almanac):
    plane = CostPlane(alpha=np.array([0.16, 0.62]), beta=(np.float32(0.022), 0.052))
    assert plane == CostPlane() and repr(plane) == repr(CostPlane())


def test_training_values_are_many_and_spaced_by_ratio():
    plane = CostPlane()
    for axis, (low, high) in zip(plane.train_values(), (plane.alpha, plane.beta), strict=True):
        assert len(axis) >= 12 and list(axis) == sorted(set(axis))
        assert low == axis[0] and high == axis[-1]
    assert plane.train() == CostPlane().train() and len(plane.train()) == math.prod(map(len, plane.train_values()))


def test_cells_are_drawn_once_each():
    plane = CostPlane()
    cells, rng = plane.train(), np.random.default_rng(0)
    every = plane.draw(10**6, rng)
    assert every != cells, "drawn, not listed"
    assert len(every) == len(cells) and set(every) == set(cells)
    drawn = [plane.draw(99, rng) for _ in range(400)]
    assert all(len(set(some)) == 99 for some in drawn) and len(set(drawn)) == 400
    assert {cell for some in drawn for cell in some} == set(cells), "none is left out"
    assert plane.draw(9, np.random.default_rng(1)) == plane.draw(9, np.random.default_rng(1))


def test_ends_are_drawn_now_and_then():
    plane = CostPlane()
    (alphas, betas), rng = plane.train_values(), np.random.default_rng(0)
    drawn = [cell for _ in range(100) for cell in plane.draw(1000, rng, corner=0.1, word_ends=0.2)]
    assert np.mean([cell == (alphas[-1], betas[-1]) for cell in drawn]) == pytest.approx(0.1, abs=0.01)
    for end, others in ((betas[0], alphas), (betas[-1], alphas[:-1])):
        there = [cell.alpha for cell in drawn if cell.beta == end and cell.alpha in others]
        share = (0.2 + 0.5 / len(betas)) * len(others) / len(alphas)
        assert len(there) / len(drawn) == pytest.approx(share, abs=0.01)
        assert set(there) == set(others) and np.mean(there) == pytest.approx(np.mean(others), rel=0.02)
    assert set(drawn) == set(plane.train())


def pocket_system(costs):
    view = View("assistant", (), AssistantFacts("", "", costs, ""), 0)
    return messages(view, "pocket")[0]["content"]


def test_trained_prices_are_written_as_long_as_those_of_evaluation():
    plane = CostPlane()

    def places(cells):
        shown = [re.findall(r"\d\.(\d+)", pocket_system(costs)) for costs in cells]
        return [{len(prices[axis]) for prices in shown} for axis in (0, 1)]

    measured = [cell for name, cells in plane.sets().items() if name != "seen" for cell in cells]
    trained = places(plane.train())
    assert trained == [{2}, {2, 3}]
    assert all(some <= known for some, known in zip(places(measured), trained, strict=True))


def test_no_training_value_lies_in_the_band_of_a_between_value():
    plane = CostPlane()
    for axis, held in zip(plane.train_values(), np.array(plane.sets()["between"]).T, strict=True):
        assert all(max(value / h, h / value) > 1 + plane.band for value in axis for h in set(held))
        assert axis[0] < min(held) and max(held) < axis[-1]


def test_beyond_values_are_beyond_one_axis_at_a_time():
    plane = CostPlane()
    sets = plane.sets()
    assert tuple(sets) == SETS and all(len(set(cells)) == 20 for cells in sets.values())
    top = np.array([plane.alpha[1], plane.beta[1]])
    for name, beyond in [("beyond_alpha", (1, 0)), ("beyond_beta", (0, 1)), ("beyond_both", (1, 1)), ("seen", (0, 0))]:
        ratio = np.array(sets[name]) / top
        for axis in (0, 1):
            low, high = (1.19, 1.61) if beyond[axis] else (0, 1)
            assert (low <= ratio[:, axis]).all() and (ratio[:, axis] <= high).all(), (name, axis)
    assert set(sets["seen"]) <= set(plane.train())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": (0.9, 0.1)}, "costs.alpha must be"),
        ({"beta": (0, 0.1)}, "costs.beta must be"),
        ({"values": 12}, "costs.values=12 leaves"),
        ({"steps": (0.005, 0)}, "costs.steps must be"),
    ],
)
def test_impossible_planes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CostPlane(**options)


def test_beyond_the_trained_costs_the_pocket_model_meets_no_new_first_digit():
    """What it makes of a number it never saw hangs on the first digit, and there it knows it."""
    plane = CostPlane()

    def first(costs):
        return [number[0] for number in re.findall(r"\d\.\d", pocket_system(costs))]

    assert first(plane.train()[-1]) == ["1", "1"]
    assert all(first(cell) == ["1", "1"] for cell in plane.sets()["beyond_both"])


def test_ranges_may_be_lists():
    assert CostPlane(alpha=[0.2, 0.6]).train() == CostPlane(alpha=(0.2, 0.6)).train()
