"""What a policy is held against: the oracle and the fixed strategies."""

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import Costs
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import check_not_beaten, lost_by_action, reference
from clarify_env.games import find_game
from clarify_env.games.clarification.oracle import ACTIONS, FIXED, solve
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup

EPISODES, PRICES = [ASHFORD, DUNLEY], (Costs(0.1, 0.02), Costs(0.3, 0.1), Costs(0.9, 0.001))
SETUP = Setup(find_game("clarification"), Toy())


def played_by(name):
    players = {"assistant": ScriptedAssistant(SETUP.task, name), "user": ScriptedUser(SETUP.task)}
    return play_all(SETUP, EPISODES, PRICES, players, ("assistant",), seed=0, chunk=4)


def test_the_reference_is_what_scripted_players_earn():
    against = reference(solve(SETUP.task, EPISODES), PRICES)
    oracle = played_by("oracle")
    np.testing.assert_allclose(oracle.values["reward"], against.oracle)
    np.testing.assert_allclose(oracle.values["words"], against.used["words"])
    assert (oracle.first == against.action).all() and tuple(against.fixed) == FIXED
    for name in FIXED:
        np.testing.assert_allclose(played_by(name).values["reward"], against.fixed[name], err_msg=name)
    assert against.by_action.shape == (2, 3, len(ACTIONS))
    np.testing.assert_allclose(against.by_action.max(2), against.oracle)


def test_rows_are_those_of_some_episodes():
    whole, part = (reference(solve(SETUP.task, EPISODES[at:]), PRICES) for at in (0, 1))
    chosen = whole.rows([1])
    for name in ("oracle", "action", "by_action"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(part, name))
    np.testing.assert_array_equal(chosen.used["words"], part.used["words"])
    assert all((chosen.fixed[name] == part.fixed[name]).all() for name in FIXED)


def test_the_first_action_of_the_oracle_loses_nothing():
    against = reference(solve(SETUP.task, EPISODES), PRICES)
    np.testing.assert_allclose(lost_by_action(played_by("oracle"), against), 0, atol=1e-12)
    lost = lost_by_action(played_by("guess"), against)
    np.testing.assert_allclose(lost, against.oracle - against.by_action[..., ACTIONS.index("answer")])
    assert lost.max() > 0.1


def test_who_beats_the_oracle_fails_the_run():
    played, against = played_by("oracle"), reference(solve(Toy(), EPISODES), PRICES)
    check_not_beaten(played, against, EPISODES)
    rigged = played.values["reward"].copy()
    rigged[1, 2] += 1e-6
    better = played._replace(values=played.values | {"reward": rigged})
    with pytest.raises(AssertionError, match=r"beats the oracle by 0\.0000 on test/0"):
        check_not_beaten(better, against, EPISODES)
    by_lot = played.by_lot.copy()
    by_lot[1, 2] = True
    check_not_beaten(better._replace(by_lot=by_lot), against, EPISODES)
