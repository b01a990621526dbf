"""Turns of partners that are worth learning."""

import pytest
from toy_games import GOOD, Mumbler, games

from trainers.selection.partners import partner_turns

ROLES = ("user",)


def heard(lines, first="#CLARIFY Which kind?", then=None):
    return games(first, then or {"Film!": "#ANSWER Brandt"}, intents=(0,), user=Mumbler(lines))


@pytest.mark.parametrize(
    ("reply", "closing", "kept", "why"),
    [
        ("Film!", "Brandt", 2, "it went well: both turns"),
        ("Film!", "Jon Vale", 0, "the closing answer is not grounded"),
        ("It was Ada Brandt.", "Brandt", 0, "it gave the answer away"),
        ("Hm.", "", 0, "it earned nothing"),
    ],
)
def test_user_turns(reply, closing, kept, why):
    def lines(view):
        return reply if view.turn == 1 else closing

    then = {"Film!": "#ANSWER Brandt", "It was Ada Brandt.": "#ANSWER Brandt"}
    turns = partner_turns(heard(lines, then=then), ROLES)
    assert len(turns) == kept, why
    assert all(turn.role == "user" and turn.reply.ids == (8, 9) for turn in turns)


def test_user_turns_are_the_models_own_and_one_a_place():
    assert partner_turns(games("#CLARIFY Which kind?", GOOD), ROLES) == [], "a scripted user's have no ids"
    played = heard(lambda view: "Film!" if view.turn == 1 else "Brandt")
    assert len(partner_turns(played * 4, ROLES)) == 2
