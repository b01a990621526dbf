import pytest
from toys import ASHFORD, Toy

from clarify_env.costs import Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD

REPLIES = [
    ("#CLARIFY Which kind is it?", "The opera one.", "the attribute that is named"),
    ("#CLARIFY What type?", "The opera one.", "by another word for it"),
    ("#CLARIFY Which era?", "The modern one.", "another attribute"),
    ("#CLARIFY Which kind and which era?", "The opera one.", "the first of two, no more"),
    ("#CLARIFY Do you mean the film or the opera?", "The opera one.", "one of the readings on offer"),
    ("#CLARIFY The film or the bridge?", NONE_OF_THESE, "none of them"),
    ("#CLARIFY Is it the opera?", "The opera one.", "a single offer"),
    ("#CLARIFY Is it modern?", "The modern one.", "an attribute's value"),
    ("#CLARIFY The modern film or the modern opera?", "The opera modern one.", "the offer that fits best"),
    ("#CLARIFY", NOT_UNDERSTOOD, "nothing asked"),
    ("#CLARIFY What do you mean?", NOT_UNDERSTOOD, "nothing in particular asked"),
    ("#CLARIFY Who designed Ashford?", NOT_UNDERSTOOD, "the user's own question"),
    ("#CLARIFY How much is it?", NOT_UNDERSTOOD, "what the user does not know"),
    ("#CLARIFY Who was it? The answer, please.", NOT_UNDERSTOOD, "the answer, which the user does not know"),
    ("#ANSWER Ada Brandt", "Ada Brandt", "an answer is taken"),
    ("#MULTI_ANS film: Ada Brandt; opera: Jon Vale", "Jon Vale", "the item whose label fits"),
    ("#MULTI_ANS film: Ada Brandt; Opera!: Wrong Man", "Wrong Man", "the label decides, not the gold answer"),
    ("#MULTI_ANS modern: Ada Brandt; modern opera: Jon Vale", "Jon Vale", "the label that fits strictly best"),
    ("#MULTI_ANS film: Ada Brandt; bridge: Jon Vale", NONE_OF_THESE, "no label fits, right answer or not"),
    ("#MULTI_ANS film: Ada Brandt; Jon Vale", NONE_OF_THESE, "an item without a label beside one that has one"),
    ("#MULTI_ANS Jon Vale", "Jon Vale", "a list of one without label"),
]


def ask(said, intent=1, seed=0):
    task = Toy()
    game = ClarificationGame(task, ASHFORD, intent, Costs(0.25, 0.03))
    game.apply(Reply(said))
    return ScriptedUser(task).act([game.view("user")], [seed])[0].text


@pytest.mark.parametrize(("said", "reply", "why"), REPLIES)
def test_replies(said, reply, why):
    assert ask(said) == reply, why
    assert ask(said, seed=7) == reply, "nothing to draw"


def test_ties_are_drawn_evenly_by_seed():
    for said in ("#MULTI_ANS Ada; Jon; Uwe", "#MULTI_ANS opera: Ada; opera: Jon; opera: Uwe; film: Nils"):
        drawn = [ask(said, seed=seed) for seed in range(600)]
        assert drawn == [ask(said, seed=seed) for seed in range(600)]
        assert set(drawn) == {"Ada", "Jon", "Uwe"} and all(150 < drawn.count(name) < 250 for name in set(drawn))


def test_a_batch_is_answered_as_its_members_are():
    task = Toy()
    games = [ClarificationGame(task, ASHFORD, intent, Costs(0.25, 0.03)) for intent in (0, 1, 2)]
    for game in games:
        game.apply(Reply("#MULTI_ANS Ada; Jon; Uwe"))
    views, user = [game.view("user") for game in games], ScriptedUser(task)
    alone = [user.act([view], [seed])[0] for view, seed in zip(views, (3, 4, 5), strict=True)]
    assert user.act(views, [3, 4, 5]) == alone
