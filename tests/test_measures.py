"""Measures of the clarification game, by hand."""

import numpy as np
import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification.measures import deal, labelled, measures, summary
from clarify_env.games.clarification.rules import ClarificationGame

# First messages: clarify and answer on the first episode, list and invalid on the second.
FIRST = np.array([[0, 1], [2, 3]])
NO_FLAGS = {"invalid": False, "ungrounded": False, "leak": False}


def measured(*messages, intent=0):
    """Measures of a game of these messages, the assistant's first."""
    game = ClarificationGame(Toy(), ASHFORD, intent, Costs(0.2, 0.02))
    for message in messages:
        game.apply(Reply(message))
    return measures(game.task, ASHFORD, game)


@pytest.mark.parametrize(
    ("messages", "expected", "why"),
    [
        (("#ANSWER Brandt", "Brandt"), (1, 1, 0, 1), "an alias is right"),
        (("#ANSWER Ada Vale", "Ada Vale"), (0, 0.5, 0, 2), "one token of two of Ada Brandt"),
        (("#CLARIFY Which kind?", "The film one.", "#ANSWER Brandt", "Brandt"), (1, 1, 1, 1), "one question"),
        (("#MULTI_ANS film: Brandt; opera: Jon Vale", "Brandt"), (1, 1, 0, 5), "labels are charged"),
    ],
)
def test_measures_of_a_game(messages, expected, why):
    names = ("accuracy", "f1", "questions", "words")
    assert measured(*messages) == pytest.approx(dict(zip(names, expected, strict=True)) | NO_FLAGS), why


def test_flags_are_measures():
    """The invalid message costs a question more, which was none."""
    results = measured("#CLARIFY Which kind?", "The film one.", "no tag")
    assert (results["accuracy"], results["f1"], results["questions"], results["words"]) == (0, 0, 1, 2)
    assert results["invalid"] and not results["ungrounded"] and not results["leak"]
    assert measured("#ANSWER Ada", "Ada Brandt") == {
        "accuracy": 0,
        "f1": 0,
        "questions": 0,
        "words": 1,
        **NO_FLAGS,
        "ungrounded": True,
    }
    assert measured("#CLARIFY Which kind?", "It was Ada Brandt.", "#ANSWER Brandt", "Brandt")["leak"]


def test_actions_are_held_against_labels_by_hand():
    accuracy = np.array([[0.25, 1], [1, 1]])
    results = labelled(accuracy, FIRST, np.array([True, False]))
    # Asking: 1 right of 1 taken and 2 meant, 2/3; not asking: 2 right of 3 taken and 2 meant, 4/5.
    assert results["action_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert results["asked_accuracy"] == 0.25
    assert labelled(accuracy, FIRST, np.array([False, False]))["action_f1"] == pytest.approx((0 + 6 / 7) / 2)
    silent = np.ones((2, 2), dtype=int)
    assert labelled(accuracy, silent, np.array([False, False])) == {"action_f1": 0.5, "asked_accuracy": None}


def test_labels_are_summarised_where_every_episode_has_one():
    values = {"accuracy": np.array([[0.25, 1], [1, 0.5]])}
    episodes = [e._replace(meta=e.meta | {"ambiguous": i == 0}) for i, e in enumerate((ASHFORD, DUNLEY))]
    results = summary(episodes, values, FIRST)
    assert results == {"accuracy_clear": 0.75} | labelled(values["accuracy"], FIRST, np.array([True, False]))
    assert summary([ASHFORD, DUNLEY], values, FIRST) == {"accuracy_clear": 0.75}
    assert summary([episodes[0], DUNLEY], values, FIRST) == {"accuracy_clear": 0.75}, "one label is missing"
    assert summary([ASHFORD, ASHFORD], values, FIRST) == {"accuracy_clear": None}, "no episode has one reading"


def test_a_deal_is_shown_with_its_gold_answers():
    shown = deal(ASHFORD, 1)
    assert shown["query"] == ASHFORD.query and shown["gold"] == ["Jon Vale"]
    assert shown["intent"] == ASHFORD.interpretations[1].text
    readings = [["film", "Ada Brandt", 0.5], ["opera", "Jon Vale", 0.3], ["bridge", "The Bank of Lund", 0.2]]
    assert shown["readings"] == readings
    assert deal(DUNLEY, 0)["readings"] == [["", "May 1901", 1.0]], "the only reading needs no label"
