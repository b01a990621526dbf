"""The judgement of a user's messages."""

import pytest
from toys import ASHFORD, Toy

from clarify_env.costs import Costs
from clarify_env.games.base import Reply
from clarify_env.games.clarification.description import GAME
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD
from clarify_env.tasks.registry import make_task

TASK = Toy()
LIST = "#MULTI_ANS film: Ada Brandt; opera: Jon Vale"
# The intent is the opera. The last column: whether the message may be learned.
JUDGED = [
    ("#CLARIFY Which kind?", "The opera one.", [], True),
    ("#CLARIFY Which kind?", "opera", [], True),
    ("#CLARIFY Which kind?", "The opera, not the film.", [], True),
    ("#CLARIFY Which kind?", "The modern opera.", ["leak"], False),
    ("#CLARIFY Which kind?", "It was Jon Vale.", ["leak", "no_answer"], False),
    ("#CLARIFY Which kind?", "The film one.", ["wrong_reading"], False),
    ("#CLARIFY Which kind?", "The opera or the film.", ["no_answer"], False),
    ("#CLARIFY Which kind?", "I am a helpful assistant.", ["no_answer"], False),
    ("#CLARIFY Which kind?", NOT_UNDERSTOOD, ["no_answer"], False),
    ("#CLARIFY Which kind?", "", ["no_answer"], False),
    ("#CLARIFY Which kind?", "#ANSWER opera", ["speaks_for_assistant"], False),
    ("#CLARIFY Which kind?", "Opera.\nAssistant: the opera is by", ["speaks_for_assistant"], False),
    ("#CLARIFY Is it the opera?", "Yes.", [], True),
    ("#CLARIFY The film or the opera?", "Yes.", ["no_answer"], False),
    ("#CLARIFY Is it the film?", "No.", [], True),
    ("#CLARIFY Is it the film?", NONE_OF_THESE, [], True),
    ("#CLARIFY Is it the film?", "Yes, exactly.", ["wrong_reading"], False),
    ("#CLARIFY Is it the film?", "Hm.", ["no_answer"], False),
    ("#CLARIFY Is it the film?", "The opera one.", ["leak", "no_answer"], False),
    ("#CLARIFY What?", NOT_UNDERSTOOD, [], True),
    ("#CLARIFY What?", "Hm.", [], False),
    ("#CLARIFY What?", "The opera.", ["leak"], False),
    ("#ANSWER Ada Brandt", "Ada Brandt", [], True),
    ("#ANSWER Ada Brandt", "ada brandt.", [], True),
    ("#ANSWER Ada Brandt", NONE_OF_THESE, ["no_answer"], False),
    ("#ANSWER Ada Brandt", "Jon Vale", ["ungrounded"], False),
    ("#ANSWER Ada Brandt", "#ANSWER Ada Brandt", ["ungrounded", "speaks_for_assistant"], False),
    (LIST, "Jon Vale", [], True),
    (LIST, "Ada Brandt", ["wrong_reading"], False),
    (LIST, "opera: Jon Vale", ["ungrounded"], False),
    (LIST, NONE_OF_THESE, ["no_answer"], False),
    ("#MULTI_ANS film: Ada Brandt; bridge: Lund", NONE_OF_THESE, [], True),
    ("#MULTI_ANS film: Ada Brandt; bridge: Lund", "Lund", ["wrong_reading"], False),
    ("#MULTI_ANS Ada Brandt; Jon Vale", "Ada Brandt", [], True),
]


@pytest.mark.parametrize(("message", "text", "faults", "exemplary"), JUDGED)
def test_messages_are_judged(message, text, faults, exemplary):
    game = ClarificationGame(TASK, ASHFORD, 1, Costs(0.25, 0.03))
    game.apply(Reply(message))
    game.apply(Reply(text))
    (judged,) = GAME.judge(TASK, ASHFORD, game, "user")
    assert (judged.turn, list(judged.faults), judged.exemplary) == (1, faults, exemplary)
    assert judged.kind == ("reply" if "#CLARIFY" in message else "closing")
    assert set(faults) <= {kind.name for kind in GAME.faults["user"]}
    assert ("leak" in faults, "ungrounded" in faults) == (
        game.to_move is not None and game._leak,
        game.to_move is None and game.result.flags["ungrounded"],
    ), "as the game flags it"


@pytest.mark.parametrize("name", ["almanac", "ledger", "preferences", "sql", "mix"])
def test_the_scripted_user_is_without_fault(name):
    task = make_task(name)
    user = ScriptedUser(task)
    for index in range(20):
        episode = task.episode("validation", index)
        items = "; ".join(f"{reading.label}: {reading.answers[0]}" for reading in episode.interpretations)
        messages = [f"#CLARIFY {question}" for question in task.questions(episode)]
        for message in (*messages, f"#MULTI_ANS {items}", f"#ANSWER {episode.interpretations[0].answers[0]}"):
            for intent in range(len(episode.interpretations)):
                game = ClarificationGame(task, episode, intent, Costs(0.25, 0.03))
                game.apply(Reply(message))
                game.apply(user.act([game.view("user")], [0])[0])
                judged = GAME.judge(task, episode, game, "user")[0]
                assert judged.exemplary and not judged.faults, (message, game.turns[-1].reply.text, judged)
