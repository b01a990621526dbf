"""Turns that are selected by their sender's own criterion."""

import pytest
from toy_games import COSTS, GOOD, SETUP, TASK, Mumbler, games
from toys import ASHFORD

from agents.selfplay import Start, play
from trainers.selection.partners import exemplary_turns, partner_turns

ROLES, ENDS = ("user",), (9,)


def heard(lines, first="#CLARIFY Which kind?", then=None):
    return games(first, then or {"Film!": "#ANSWER Brandt"}, intents=(0,), user=Mumbler(lines))


def turns(*args, ends=ENDS):
    return partner_turns(SETUP, *args, ROLES, ends)


@pytest.mark.parametrize(
    ("reply", "closing", "texts", "why"),
    [
        ("Film!", "Brandt", ["Film!", "Brandt"], "both turns"),
        ("Film!", "Jon Vale", ["Film!"], "the closing answer is not grounded; the reply is as it should be"),
        ("It was Ada Brandt.", "Brandt", ["Brandt"], "it gave the answer away, and so earned more"),
        ("The modern film.", "Brandt", ["Brandt"], "it told more than it was asked"),
        ("The opera.", "Brandt", ["Brandt"], "another reading, from which the assistant guessed right"),
        ("Hm.", "", [""], "it declines a question; what is not answered is repeated as nothing"),
    ],
)
def test_turns_of_the_user_are_selected_by_conduct_not_by_what_the_game_earned(reply, closing, texts, why):
    def lines(view):
        return reply if view.turn == 1 else closing

    then = dict.fromkeys(("Film!", "It was Ada Brandt.", "The modern film.", "The opera."), "#ANSWER Brandt")
    selected = turns(heard(lines, then=then))
    assert [turn.reply.text for turn in selected] == texts, why
    assert all(turn.role == "user" and turn.reply.ids == (8, 9) for turn in selected)


def test_a_right_reply_to_a_wrong_assistant_is_learned():
    played = heard(lambda view: "Film!" if view.turn == 1 else "Jon Vale", then={"Film!": "#ANSWER Jon Vale"})
    assert played[0].result.score == 0
    assert [turn.reply.text for turn in turns(played)] == ["Film!", "Jon Vale"]


def test_a_message_without_an_end_is_not_learned():
    assert turns(heard(lambda view: "Film!" if view.turn == 1 else "Brandt"), ends=(7,)) == []


def test_user_turns_are_the_models_own_and_one_a_place():
    assert turns(games("#CLARIFY Which kind?", GOOD)) == [], "a scripted user's have no ids"
    played = heard(lambda view: "Film!" if view.turn == 1 else "Brandt")
    assert len(turns(played * 4)) == 2
    longer = heard(lambda view: "The film one!" if view.turn == 1 else "Brandt")
    texts = [turn.reply.text for turn in turns([*longer, *played])]
    assert texts == ["Film!", "Brandt"], "the reply of fewest words"
    assert len(exemplary_turns(SETUP, played * 4, ROLES, ENDS)) == 8


def test_partners_that_a_game_does_not_judge_are_selected_by_score(monkeypatch):
    monkeypatch.setattr(type(SETUP.game), "faults", {})
    assert turns(heard(lambda view: "It was Ada Brandt." if view.turn == 1 else "Brandt")) == [], "flagged"
    played = heard(lambda view: "Film!" if view.turn == 1 else "Brandt")
    assert len(turns(played)) == 2
    starts = [Start(ASHFORD, 1, COSTS, 5)]
    lost = list(
        play(starts, {"assistant": Mumbler(lambda _: "#ANSWER Brandt"), "user": Mumbler(lambda _: "Brandt")}, task=TASK)
    )
    assert turns(lost) == []
