"""Sampled games as the report shows them."""

import json

import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import Costs
from clarify_env.evaluation.played import mean_reward, play_all
from clarify_env.evaluation.transcripts import transcript
from clarify_env.games import find_game
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup

SETUP, LEARNS = Setup(find_game("clarification"), Toy()), ("assistant",)
PRICES = (Costs(0.1, 0.02), Costs(0.3, 0.1), Costs(0.9, 0.001))


def sampled(count):
    players = {"assistant": ScriptedAssistant(SETUP.task, "oracle"), "user": ScriptedUser(SETUP.task)}
    played = play_all(SETUP, [ASHFORD, DUNLEY], PRICES, players, LEARNS, seed=0, chunk=4, sample=count)
    return played.transcripts


def test_the_action_of_a_game_in_which_the_user_learns_is_the_assistants():
    for game, _ in sampled(4):
        shown = transcript(SETUP, game, ("user",), None)
        assert shown["action"] == SETUP.game.kind(game.turns[0]) and shown["reward"] == game.reward("user")


def test_transcripts_are_json():
    games = sampled(4)
    assert len(games) == 4
    for game, at in games:
        shown = transcript(SETUP, game, LEARNS, 0.9)
        assert json.loads(json.dumps(shown)) == shown
        assert shown["costs"] == list(PRICES[at]) and shown["turns"][0][0] == "assistant"
        assert shown["gold"] == list(SETUP.task.lookup(game.episode_id).interpretations[game.hidden].answers)
        assert shown["oracle"] == 0.9 and shown["reward"] == game.reward("assistant")
        assert shown["action"] == SETUP.game.kind(game.turns[0])
        assert {name: shown[name] for name in SETUP.measures(game)} == SETUP.measures(game)
    assert sampled(4) == games, "the same sample again"
    assert len(sampled(100)) == 6, "a game of each pair at most"


@pytest.mark.parametrize(("learns", "score"), [(("left",), 1.0), (("right",), 0.5), (("left", "right"), 0.75)])
def test_the_reward_shown_is_the_mean_over_learning_roles_as_in_summaries(learns, score):
    (game, _), *_ = sampled(1)
    by_role = {role: game.result._replace(score=s) for role, s in (("left", 1.0), ("right", 0.5))}
    game = game._replace(result=game.result._replace(by_role=by_role))
    costs = by_role["left"].score - by_role["left"].reward(game.prices)
    reward = transcript(SETUP, game, learns, None)["reward"]
    assert reward == pytest.approx(score - costs) and reward == mean_reward(game, learns)


@pytest.mark.parametrize("oracle", [None, 0.5])
def test_the_oracle_is_none_where_there_is_none(oracle):
    (game, _), *_ = sampled(1)
    assert transcript(SETUP, game, LEARNS, oracle)["oracle"] == oracle
