"""Summaries of a policy's games, by hand."""

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY

from clarify_env.evaluation.played import Played
from clarify_env.evaluation.reference import Reference, lost_by_action
from clarify_env.evaluation.summary import summarize
from clarify_env.games import find_game
from clarify_env.games.clarification.oracle import FIXED
from clarify_env.games.description import Description

GAME, EPISODES = find_game("clarification"), [ASHFORD, DUNLEY]
MEASURES = ("reward", "accuracy", "f1", "questions", "words", "invalid", "ungrounded", "leak")


def grid(**values):
    """Games on two episodes at two prices; what is not given is 0. First messages: ask, guess; list, invalid."""
    shape = (2, 2)
    full = {name: np.zeros(shape) for name in MEASURES}
    return Played(
        full | {name: np.array(value, dtype=float) for name, value in values.items()},
        np.array([[0, 1], [2, 3]]),
        np.zeros(shape, dtype=bool),
        [],
        9,
    )


# Of the first episode at both prices, then the second; its messages are those of `grid`: ask, guess, list, invalid.
BY_ACTION = np.array([[[0.85, 0.9, 0.1], [0.7, 0.65, 0.1]], [[0.6, 0.5, -np.inf], [0.4, 0.3, 0.35]]])


def test_summarize_by_hand():
    played = grid(
        reward=[[0.8, 0.6], [0.4, 0.2]],
        accuracy=[[1, 1], [0.5, 0.5]],
        words=[[2, 4], [6, 8]],
        invalid=[[0, 0], [0, 0.5]],
        f1=[[1, 1], [1, 0]],
        leak=[[0, 1], [0, 0]],
    )
    fixed = {
        "guess": [[0.5, 0.5], [0.3, 0.3]],
        "list": [[0.9, 0.0], [0.0, 0.0]],
        "ask": [[0.0, 0.5], [0.0, 0.4]],
        "threshold": [[0.1, 0.1], [0.1, 0.1]],
    }
    against = Reference(
        np.array([[0.9, 0.7], [0.6, 0.4]]), None, None, {k: np.array(v) for k, v in fixed.items()}, BY_ACTION
    )
    entry = summarize(GAME, played, against, EPISODES, 0)
    assert entry["reward"] == pytest.approx(0.5) and entry["oracle"] == pytest.approx(0.65)
    assert entry["regret"] == pytest.approx(0.15)
    # Asked at 0.85 where 0.9 was to be had, guessed at 0.65 instead of 0.7; a list without a plan and a message that is
    # invalid lose all of their 0.2.
    lost = lost_by_action(played, against)
    assert lost == pytest.approx(np.array([[0.05, 0.05], [0.2, 0.2]])) and entry["regret_action"] == lost.mean()
    assert entry["gap_closed"] == pytest.approx((0.5 - 0.4) / (0.65 - 0.4)), "guess, at 0.4, is the best of the fixed"
    assert entry["fixed"] == pytest.approx({"guess": 0.4, "list": 0.225, "ask": 0.225, "threshold": 0.1})
    # Means of the policy at each price: 0.6, 0.4; of the best fixed strategy there: 0.45 (list), 0.45 (ask).
    assert entry["dominance"] == 0.5, "the first price is won; the second is short by 0.05, more than the margin"
    assert entry["share"] == {"clarify": 0.25, "answer": 0.25, "multi_answer": 0.25, "invalid": 0.125}
    assert (entry["accuracy"], entry["words"], entry["f1"], entry["leak"]) == (0.75, 5, 0.75, 0.25)
    assert entry["accuracy_clear"] == 0.5, "of the second question, which has one reading"
    assert summarize(GAME, played, against, [ASHFORD, ASHFORD], 0)["accuracy_clear"] is None
    low, high = entry["reward_ci"]
    assert 0.3 <= low < 0.5 < high <= 0.7
    assert entry["optimal_match"] == 0 and entry["optimal_match_ci"] == [0, 0], "no action was the best one"
    near = grid(reward=[[0.8, 0.64], [0.4, 0.22]])
    assert summarize(GAME, near, against, EPISODES, 0)["dominance"] == 1, "short by 0.02: within the margin"
    equal = Reference(np.full((2, 2), 0.4), None, None, {name: np.full((2, 2), 0.4) for name in FIXED}, BY_ACTION)
    assert summarize(GAME, played, equal, EPISODES, 0)["gap_closed"] is None, "there is no gap"


MATCHES = [
    ([[0, 1], [2, 3]], 1.0, "the best ones, the second of two equal ones too; one message is no decision"),
    ([[0, 1], [3, 3]], 1.0, "of the decisions alone"),
    ([[1, 1], [2, 2]], 0.75, "one of four is worse"),
    ([[0, 0], [1, 3]], 1 / 3, "a plan that is worse, and one that there is not"),
    ([[3, 3], [3, 3]], None, "nobody decides"),
]


@pytest.mark.parametrize(("first", "expected", "why"), MATCHES, ids=[why for *_, why in MATCHES])
def test_optimal_match(first, expected, why):
    best = np.array([[[0.9, 0.5, 0.1], [0.6, 0.7, 0.1]], [[0.6, -np.inf, 0.6], [0.4, 0.3, 0.4]]])
    against = Reference(best.max(-1), None, None, {name: np.zeros((2, 2)) for name in FIXED}, best)
    entry = summarize(GAME, grid()._replace(first=np.array(first)), against, EPISODES, 0)
    assert entry["optimal_match"] == (expected if expected is None else pytest.approx(expected)), why
    if expected is None:
        assert entry["optimal_match_ci"] is None
    else:
        low, high = entry["optimal_match_ci"]
        assert 0 <= low <= expected <= high <= 1


def test_labels_are_reported_where_every_question_has_one():
    labels = [episode._replace(meta=episode.meta | {"ambiguous": i == 0}) for i, episode in enumerate(EPISODES)]
    against = Reference(np.ones((2, 2)), None, None, {name: np.zeros((2, 2)) for name in FIXED}, BY_ACTION)
    assert {"action_f1", "asked_accuracy"} <= set(summarize(GAME, grid(), against, labels, 0))
    assert "action_f1" not in summarize(GAME, grid(), against, EPISODES, 0)


class Plain(Description):
    """A game with one action and no measure of its own."""

    actions = ("hint",)


def test_without_an_oracle_there_is_no_regret():
    """Means, shares and the interval stand as they do beside an oracle."""
    values = {"reward": [[0.8, 0.6], [0.4, 0.2]], "score": [[1, 1], [0.5, 0.5]], "taboo": [[0, 0], [0, 1]]}
    played = Played(
        {name: np.array(value, dtype=float) for name, value in values.items()},
        np.array([[0, 0], [0, 1]]),
        np.zeros((2, 2), dtype=bool),
        [],
        4,
    )
    entry = summarize(Plain(), played, None, EPISODES, 0)
    assert list(entry) == ["reward", "reward_ci", "score", "taboo", "share"], "in the order of the data"
    assert (entry["reward"], entry["score"], entry["taboo"]) == pytest.approx((0.5, 0.75, 0.25))
    assert entry["share"] == {"hint": 0.75, "invalid": 0.25}, "by first message, where no measure counts the invalid"
    against = Reference(np.ones((2, 2)), None, None, {"guess": np.zeros((2, 2))}, np.ones((2, 2, 1)))
    beside = summarize(Plain(), played, against, EPISODES, 0)
    own = {"oracle", "regret", "regret_action", "gap_closed", "fixed", "dominance"}
    own |= {"optimal_match", "optimal_match_ci"}
    assert {name: value for name, value in beside.items() if name not in own} == entry
