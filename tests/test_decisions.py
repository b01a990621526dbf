"""Which messages of the clarification game amount to the same decision."""

import pytest
from toys import ASHFORD, Toy

from clarify_env.games import find_game
from clarify_env.games.clarification.actions import kind, parse
from clarify_env.games.clarification.decisions import action_of
from clarify_env.games.setup import Setup

SETUP = Setup(find_game("clarification"), Toy())
TWO = "#MULTI_ANS film: Brandt; opera: Jon Vale"

SAME = [
    ("#ANSWER The Bank of Lund", "#ANSWER bank of lund!", True, "articles, case and punctuation"),
    ("#ANSWER Brandt", "#ANSWER Ada Brandt", False, "an alias is another answer"),
    ("#ANSWER Brandt", "#CLARIFY Brandt", False, "another tag"),
    (TWO, "#MULTI_ANS opera: Jon Vale\nfilm: Brandt", True, "order of the items"),
    (TWO, "#MULTI_ANS The Film: Brandt; Opera: Jon Vale", True, "case of labels"),
    (TWO, "#MULTI_ANS film: Jon Vale; opera: Brandt", False, "who gets which"),
    ("#MULTI_ANS film: Brandt", "#MULTI_ANS film: Brandt; film: Brandt", True, "a repetition adds no pair"),
    ("#MULTI_ANS film: Brandt", "#ANSWER Brandt", False, "a list of one is a list"),
    ("#CLARIFY Which kind?", "#CLARIFY What type of thing was it?", True, "wordings that ask the same"),
    ("#CLARIFY Which kind?", "#CLARIFY Do you mean the film, the opera or the bridge?", True, "nor does offering them"),
    ("#CLARIFY Which kind?", "#CLARIFY Which era?", False, "another attribute"),
    ("#CLARIFY Is it the film?", "#CLARIFY Is it the opera?", False, "another reading offered"),
    ("#CLARIFY What?", "#CLARIFY Sorry?", True, "neither is understood"),
    ("Brandt", "#ANSWER Brandt", False, "no tag"),
    ("Brandt", "Brandt", True, "invalid and the same"),
    ("#ANSWER", "#ANSWER  ", True, "silence"),
]


@pytest.mark.parametrize(("one", "other", "same", "why"), SAME)
def test_decision(one, other, same, why):
    assert (SETUP.decision(ASHFORD, one) == SETUP.decision(ASHFORD, other)) is same, why
    assert SETUP.decision(ASHFORD, one)[0] == kind(parse(one))


@pytest.mark.parametrize(
    ("text", "action", "why"),
    [
        ("#ANSWER Brandt", "answer", "a guess"),
        (TWO, "multi_answer", "a list"),
        ("#MULTI_ANS film: Brandt", "answer", "a list of one item competes as a guess"),
        ("#MULTI_ANS film: Brandt; film: Brandt", "answer", "so does a list of one item twice"),
        ("#CLARIFY Which kind?", "clarify", "a question"),
        ("Brandt", "invalid", "no tag"),
    ],
)
def test_actions_that_decisions_compete_as(text, action, why):
    assert action_of(SETUP.decision(ASHFORD, text)) == action, why
