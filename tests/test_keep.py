"""Which games the other rules of selection keep, by hand."""

import numpy as np
import pytest
from toys import ASHFORD, Toy

from agents.selfplay import trajectory
from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from clarify_env.options import read
from trainers.rest import RestOptions
from trainers.selection.keep import keep_games, keep_messages, rule
from trainers.selection.returns import earned, expected

SETUP, COSTS, ROLES = Setup(find_game("clarification"), Toy()), Costs(0.25, 0.02), ("assistant",)
WEIGHTS = SETUP.weights(ASHFORD)
LIST = "#MULTI_ANS film: Brandt; opera: Jon Vale"
ASK, GUESS = "#CLARIFY Which kind?", "#ANSWER Brandt"
RIGHT = ("#ANSWER Brandt", "#ANSWER Jon Vale", "#ANSWER The Bank of Lund")
OPTIONS = {"k": 2, "threshold": [0.5, 0.9], "percentile": 75, "iteration": 1}
REWARDS = np.array([0.0, 1.0, 0.5, 0.9, 0.49])


def game(intent, *messages):
    """A game in which the assistant sends these messages and the scripted user replies."""
    dealt, user, texts = SETUP.deal(ASHFORD, intent, COSTS), ScriptedUser(SETUP.task), iter(messages)
    while dealt.to_move:
        dealt.apply(Reply(next(texts) if dealt.to_move == "assistant" else user.say(dealt.view("user"), 0)))
    return trajectory(0, 0, dealt, {"assistant": "hand", "user": "scripted"})


def mask(name, rewards=REWARDS, **options):
    return rule(name, **OPTIONS | options)(np.array(rewards)).tolist()


@pytest.mark.parametrize(
    ("name", "options", "expect"),
    [
        ("best", {}, [1]),
        ("top_k", {}, [1, 3]),
        ("top_k", {"k": 9}, [0, 1, 2, 3, 4]),
        ("threshold", {}, [1, 2, 3]),
        ("threshold", {"iteration": 2}, [1, 3]),
        ("threshold", {"iteration": 7}, [1, 3]),  # the last serves all later ones
        ("percentile", {}, [1, 3]),  # three quarters lie at 0.9
        ("percentile", {"percentile": 0}, [0, 1, 2, 3, 4]),
    ],
)
def test_what_a_rule_keeps_of_some_rewards(name, options, expect):
    assert np.flatnonzero(mask(name, **options)).tolist() == expect


def test_thresholds_are_of_normalised_rewards():
    assert mask("threshold", REWARDS * 40 - 7) == mask("threshold")


def test_where_all_earned_the_same():
    same = [0.3, 0.3, 0.3]
    assert mask("threshold", same) == mask("percentile", same) == [False] * 3
    assert mask("best", same) == [True, False, False], "ties go to the first"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "luck"}, "rest.rule must be one of action, by_role, best, top_k, threshold, percentile, not 'luck'"),
        ({"k": 0}, "rest.k must be a whole number of at least 1"),
        ({"threshold": [0.9, 0.5]}, r"rest.threshold must be rising numbers in \[0, 1\]"),
        ({"threshold": []}, "rest.threshold"),
        ({"percentile": 101}, r"rest.percentile must be a number in \[0, 100\]"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        read(RestOptions, options, "rest")


def test_a_lucky_guess_is_kept_by_its_own_reward_and_not_by_the_expected_one():
    """The guess is right in one reading of three; asking is right in all, for 0.25."""
    played = [*(game(i, GUESS) for i in range(3)), *(game(i, ASK, RIGHT[i]) for i in range(3))]
    lucky = keep_games([earned(SETUP, [g], COSTS, ROLES) for g in played], rule("best", **OPTIONS))
    assert [m.reply.text for m in lucky] == [GUESS], "0.98, the best of the six"
    sure = keep_messages(expected(SETUP, played, COSTS, ROLES), rule("best", **OPTIONS))
    assert [m.reply.text for m in sure] == [ASK, *RIGHT], "and the best reply for each thing the user may say"
    assert [m.share for m in sure] == pytest.approx([1, *WEIGHTS])


def test_what_follows_a_question_counts_only_where_the_question_is_kept():
    played = [game(i, text) for i in range(3) for text in (GUESS, LIST)] + [
        game(i, ASK, "#ANSWER no") for i in range(3)
    ]
    kept_messages = keep_messages(expected(SETUP, played, COSTS, ROLES), rule("best", **OPTIONS))
    assert [m.reply.text for m in kept_messages] == [LIST]
    kept_messages = keep_messages(expected(SETUP, played, COSTS, ROLES), rule("top_k", **OPTIONS | {"k": 3}))
    assert {m.reply.text for m in kept_messages} == {LIST, GUESS, ASK, "#ANSWER no"}


def test_a_kept_game_is_kept_whole():
    played = [game(1, ASK, ASK + " Again?", RIGHT[1]), game(1, "#ANSWER no")]
    kept_messages = keep_games([earned(SETUP, [g], COSTS, ROLES) for g in played], rule("best", **OPTIONS))
    assert [m.reply.text for m in kept_messages] == [ASK, ASK + " Again?", RIGHT[1]]
