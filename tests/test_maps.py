"""Maps of the cost plane, and cost sets price by price."""

import json

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import CostPlane, Costs
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import reference
from clarify_env.games import find_game
from clarify_env.games.clarification.oracle import FIXED, solve
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers.evaluation.maps import grid_map, grid_prices, set_map
from trainers.evaluation.steering import steering_report

GAME, TASK, EPISODES = find_game("clarification"), Toy(), [ASHFORD, DUNLEY]


def played_by(name, prices):
    players = {"assistant": ScriptedAssistant(TASK, name), "user": ScriptedUser(TASK)}
    return play_all(Setup(GAME, TASK), EPISODES, prices, players, ("assistant",), seed=0, chunk=50)


def test_the_maps_are_those_of_the_prices():
    plane = CostPlane()
    prices = grid_prices(plane, 3)
    assert len(plane.sets()["between"]) == 20 and len(prices) == 9
    played = played_by("oracle", prices)
    against = reference(solve(TASK, EPISODES), prices)
    grid_maps = grid_map(GAME, played, against, *plane.grid(3))
    assert json.loads(json.dumps(grid_maps)) == grid_maps
    for name, map_ in grid_maps["oracle"].items():
        assert np.shape(map_) == (3, 3) and np.allclose(grid_maps["policy"][name], map_), name
    alphas, betas = plane.grid(3)
    assert grid_maps["oracle"]["reward"][2][0] == pytest.approx(
        reference(solve(TASK, EPISODES), (Costs(alphas[2], betas[0]),)).oracle.mean()
    ), "[alpha][beta]"
    steers = steering_report(GAME, grid_maps)
    assert steers["ask_alpha"]["policy"] == steers["ask_alpha"]["oracle"]
    assert steers["words_beta"]["policy"] == steers["words_beta"]["oracle"]


def test_a_set_is_shown_price_by_price():
    prices = (Costs(0.1, 0.02), Costs(0.3, 0.1), Costs(0.9, 0.001))
    played, against = played_by("ask", prices), reference(solve(TASK, EPISODES), prices)
    set_maps = set_map(GAME, played, against, prices)
    assert json.loads(json.dumps(set_maps)) == set_maps
    assert set_maps["cells"] == [[0.1, 0.02], [0.3, 0.1], [0.9, 0.001]]
    assert set_maps["clarify"] == [1, 1, 1] and set_maps["answer"] == set_maps["multi_answer"] == [0, 0, 0]
    assert set_maps["reward"] == pytest.approx(played.values["reward"].mean(0))
    assert set_maps["oracle"] == pytest.approx(against.oracle.mean(0)) and set(set_maps["fixed"]) == set(FIXED)
    assert set_maps["fixed"]["ask"] == pytest.approx(set_maps["reward"])
    alone = set_map(GAME, played, None, prices)
    assert alone == {name: value for name, value in set_maps.items() if name not in ("oracle", "fixed")}
