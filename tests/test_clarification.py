import pytest
from toys import ASHFORD, DUNLEY, Toy

from clarify_env.costs import Costs
from clarify_env.games import find_game, game_names
from clarify_env.games.base import Message, Reply
from clarify_env.games.clarification.actions import Answer, Clarify
from clarify_env.games.clarification.description import GAME
from clarify_env.games.clarification.rules import ClarificationGame, closing_answer
from clarify_env.testing import holds

COSTS = Costs(0.25, 0.03)
ASK = ("#CLARIFY Which kind?", "The film one.")
LIST = "#MULTI_ANS film: Ada Brandt; opera: Jon Vale"


def play(*said, intent=0, **options):
    game = ClarificationGame(Toy(), ASHFORD, intent, COSTS, **options)
    for text in said:
        game.apply(Reply(text))
    return game


def outcome(accuracy=0.0, f1=None, questions=0, words=0, invalid=False, ungrounded=False, leak=False):
    parts = {"questions": questions, "words": words, "invalid": invalid, "ungrounded": ungrounded, "leak": leak}
    return {"accuracy": accuracy, "f1": accuracy if f1 is None else f1} | parts


def measured(game):
    """The components of a finished game; its result must hold the same."""
    parts, result = GAME.measures(game.task, game.episode, game), game.result
    assert result.score == parts["accuracy"] and tuple(result.usage) == GAME.usage
    assert tuple(result.usage.values()) == (parts["questions"] + parts["invalid"], parts["words"])
    assert result.flags == {name: parts[name] for name in ("invalid", "ungrounded", "leak")}
    return parts


# What is said, in turn; how it ends; the reward at (0.25, 0.03), worked out by hand.
GAMES = [
    (("#ANSWER Ada Brandt", "Ada Brandt"), outcome(1, words=2), 0.94, "a guess that is right"),
    (("#ANSWER brandt", "the Brandt!"), outcome(1, words=1), 0.97, "an alias, repeated in another spelling"),
    (("#ANSWER Jon Vale", "Jon Vale"), outcome(words=2), -0.06, "a guess that is wrong"),
    (("#ANSWER Ada", "Ada"), outcome(0, f1=2 / 3, words=1), -0.03, "partly right is wrong by exact match"),
    (("#ANSWER", ""), outcome(), 0, "nothing said, nothing paid"),
    ((LIST, "Ada Brandt"), outcome(1, words=6), 0.82, "a list pays labels and answers"),
    ((LIST, "Jon Vale"), outcome(words=6), -0.18, "the user took the wrong item"),
    ((LIST, "film: Ada Brandt"), outcome(words=6, ungrounded=True), -0.18, "an item is its answer, without the label"),
    ((LIST, "The Bank of Lund"), outcome(words=6, ungrounded=True), -0.18, "an answer that nobody offered"),
    ((LIST, "None of these."), outcome(words=6), -0.18, "a refusal is not made up"),
    ((LIST, None), outcome(words=6, ungrounded=True), -0.18, "a user without text"),
    (("#ANSWER Jon Vale; Ada Brandt", "Ada Brandt"), outcome(words=4, ungrounded=True), -0.12, "one answer, not two"),
    ((*ASK, "#ANSWER Ada Brandt", "Ada Brandt"), outcome(1, questions=1, words=2), 0.69, "ask, then answer"),
    ((*ASK, *ASK, "#ANSWER Brandt", "Brandt"), outcome(1, questions=2, words=1), 0.47, "two questions are allowed"),
    ((*ASK, *ASK, "#CLARIFY Which kind?"), outcome(questions=2, words=2, invalid=True), -0.81, "the third is not"),
    (("Ada Brandt",), outcome(words=2, invalid=True), -0.31, "no tag: alpha and the words"),
    ((None,), outcome(invalid=True), -0.25, "no text: alpha"),
    ((*ASK, "#MULTI_ANS"), outcome(questions=1, invalid=True), -0.5, "an empty list after a question"),
    ((ASK[0], "Ada Brandt!", "#ANSWER Brandt", "Brandt"), outcome(1, questions=1, words=1, leak=True), 0.72, "a leak"),
    (
        ("#CLARIFY Is it Ada Brandt?", "Ada Brandt", "#ANSWER Brandt", "Brandt"),
        outcome(1, questions=1, words=1),
        0.72,
        "what the question named is no leak",
    ),
    (
        ("#CLARIFY Ada Brandt?", "Hm.", "#CLARIFY Who?", "Ada Brandt", "#ANSWER Brandt", "Brandt"),
        outcome(1, questions=2, words=1),
        0.47,
        "nor is what an earlier question named",
    ),
]


@pytest.mark.parametrize(("said", "end", "reward", "why"), GAMES)
def test_games(said, end, reward, why):
    game = play(*said)
    assert game.to_move is None, why
    assert measured(game) == pytest.approx(end), why
    assert game.result.reward(COSTS) == pytest.approx(reward), why
    assert [game.result.reward(COSTS, role) for role in game.roles] == [game.result.reward(COSTS)] * 2, "of both"


def test_an_invalid_message_never_pays_more_than_the_same_text_as_an_answer():
    for text in ("", "Ada Brandt", "word " * 50):
        assert play(text).result.reward(COSTS) < play(f"#ANSWER {text}", text).result.reward(COSTS)


def test_nothing_is_clamped():
    assert play("#ANSWER " + "word " * 100, "no").result.reward(Costs(0.25, 1)) == -100


def test_who_sees_what():
    game = ClarificationGame(Toy(), DUNLEY, 0, COSTS)
    assistant, user = game.view("assistant"), game.view("user")
    assert (assistant.facts.context, assistant.facts.costs) == (DUNLEY.context, COSTS)
    assert not hasattr(assistant.facts, "secret") and not holds(assistant)
    assert not hasattr(user.facts, "context") and not hasattr(user.facts, "costs")
    assert DUNLEY.context not in str(user) and "0.25" not in str(user)
    assert user.facts.secret.text == DUNLEY.interpretations[0].text and "May 1901" not in str(user)
    assert assistant.facts.query == user.facts.query == DUNLEY.query and assistant.heard == user.heard == ()
    with pytest.raises(ValueError, match="no role 'judge'"):
        game.view("judge")


def test_turns_keep_what_was_seen_and_said():
    game = play(*ASK, "#ANSWER Brandt", "Brandt")
    assert [turn.role for turn in game.turns] == ["assistant", "user"] * 2
    assert [turn.view.turn for turn in game.turns] == [0, 1, 2, 3]
    assert game.view("user").heard[-1] == Message("user", "Brandt")
    with pytest.raises(ValueError, match="the game is over"):
        game.apply(Reply("#ANSWER Brandt"))


def test_a_leak_can_be_redacted():
    game = play("#CLARIFY Which kind?", "The film one, by ada  BRANDT.", leaks="redact")
    assert game.view("assistant").heard[-1].text == "The film one, by [redacted]."
    game = play("#CLARIFY Which kind?", "The film by Ada Brandt.", leaks="redact")
    assert game.view("assistant").heard[-1].text == "The film by [redacted]."
    game = play("#CLARIFY Which kind?", "The film by Ada Brandt.")
    assert game.view("assistant").heard[-1].text == "The film by Ada Brandt."


def test_a_leak_can_end_the_game():
    game = play("#CLARIFY Which kind?", "The film by Ada Brandt.", leaks="end")
    assert game.to_move is None and game.result.score == 0 and closing_answer(game) is None
    assert game.result.usage == {"questions": 1, "words": 0} and game.result.reward(COSTS) == -0.25
    assert game.result.flags == {"invalid": False, "ungrounded": False, "leak": True}
    assert play(*ASK, "#ANSWER Brandt", "Brandt", leaks="end").result.score == 1, "what was asked is no leak"
    with pytest.raises(ValueError, match=r"^the game's option leaks must be one of count, redact, end, not 'stop'$"):
        play("#ANSWER Brandt", leaks="stop")


THOUGHT = "Film or opera? By Ada Brandt,\nor I #ANSWER Jon_Vale.\n"  # 11 words
INVALID = THOUGHT.strip()
# What is said; how it ends where reasoning is free; the words that its reasoning costs where that is charged.
REASONED = [
    ((f"{THOUGHT}#ANSWER Ada Brandt", "Ada Brandt"), outcome(1, words=2), 11, "a guess"),
    ((f"{THOUGHT} {LIST}", "Ada Brandt"), outcome(1, words=6), 11, "a list"),
    (
        (THOUGHT + ASK[0], ASK[1], f"{THOUGHT}#ANSWER Brandt", "Brandt"),
        outcome(1, questions=1, words=1),
        22,
        "the reasoning before a question costs too",
    ),
    ((THOUGHT + ASK[0], ASK[1], "#ANSWER Brandt", "Brandt"), outcome(1, questions=1, words=1), 11, "that alone"),
    (("#ANSWER Ada\n#ANSWER Brandt", "no"), outcome(words=3, ungrounded=True), 0, "the first tag opens the message"),
    ((INVALID,), outcome(words=11, invalid=True), 0, "no line begins with a tag: invalid, and pays its words"),
    ((THOUGHT + ASK[0], ASK[1], INVALID), outcome(questions=1, words=11, invalid=True), 11, "after a question"),
    ((f"{THOUGHT}#MULTI_ANS ;",), outcome(words=1, invalid=True), 11, "an empty list"),
    ((*ASK, *ASK, THOUGHT + ASK[0]), outcome(questions=2, words=2, invalid=True), 11, "one question too many"),
    ((None,), outcome(invalid=True), 0, "no text"),
    (
        (f"{THOUGHT}#CLARIFY Which kind?", "Ada Brandt!", "#ANSWER Brandt", "Brandt"),
        outcome(1, questions=1, words=1, leak=True),
        11,
        "what the user never saw asked for nothing: a leak",
    ),
    ((f"{THOUGHT}#ANSWER Brandt", "Jon Vale"), outcome(words=1, ungrounded=True), 11, "nor did it offer anything"),
    (("Ada\u200bBrandt_or\u00a0Jon\u2028#ANSWER Brandt", "Brandt"), outcome(1, words=1), 3, "no spelling is cheaper"),
]


@pytest.mark.parametrize(("said", "end", "charged", "why"), REASONED)
def test_reasoning_before_the_tag(said, end, charged, why):
    assert measured(play(*said, reasoning="free")) == pytest.approx(end), why
    dearer = end | {"words": end["words"] + charged}
    assert measured(play(*said, reasoning="charged")) == pytest.approx(dearer), why


@pytest.mark.parametrize("rule", ["none", "free", "charged"])
@pytest.mark.parametrize(("said", "end", "reward", "why"), GAMES)
def test_games_without_reasoning_are_the_same_under_each_rule(said, end, reward, why, rule):
    game = play(*said, reasoning=rule)
    assert game.result == play(*said).result and measured(game) == pytest.approx(end), why


def test_reasoning_is_seen_by_nobody_and_kept_as_it_was_generated():
    said = (THOUGHT + ASK[0], ASK[1], f"{THOUGHT}#ANSWER Brandt")
    game = play(*said, reasoning="free")
    for role in game.roles:
        heard = [(message.sender, message.text) for message in game.view(role).heard]
        assert heard == [("assistant", ASK[0]), ("user", ASK[1]), ("assistant", "#ANSWER Brandt")]
    assert [turn.reply.text for turn in game.turns] == list(said)
    assert game.turns[0].action == Clarify("Which kind?") and game.turns[2].action == Answer("Brandt")
    assert game.view("assistant").facts.reasoning == "free" and not hasattr(game.view("user").facts, "reasoning")
    fork = play(*said, reasoning="charged").fork(1)
    fork.apply(Reply("Brandt"))
    assert fork.result.usage["words"] == 23, "a fork keeps the rule and what was spent"


def test_reasoning_is_invalid_unless_it_is_allowed():
    text = f"{THOUGHT}#ANSWER Ada Brandt"
    assert measured(play(text)) == outcome(words=14, invalid=True)
    for wrong in ("some", None, True, []):
        with pytest.raises(ValueError, match="option reasoning must be one of none, free, charged, not"):
            play(reasoning=wrong)


def test_a_fork_is_the_game_had_another_reading_been_meant():
    game = play(*ASK)
    fork = game.fork(1)
    assert fork.view("assistant") == game.view("assistant") and fork.view("user").facts.secret.intent == 1
    assert fork.turns[1].view.facts.secret.intent == 1
    fork.apply(Reply("#ANSWER Jon Vale"))
    fork.apply(Reply("Jon Vale"))
    assert fork.result.score == 1 and game.to_move == "assistant" and len(game.turns) == 2
    assert play("#ANSWER Jon Vale", "Jon Vale").fork(1).result.score == 1, "a finished game is judged anew"
    assert play("#CLARIFY Who?", "Jon Vale").fork(1)._leak, "and so is a leak"


def test_registry():
    assert find_game("clarification") is GAME and GAME.game is ClarificationGame
    assert GAME.deal(Toy(), ASHFORD, 0, COSTS, max_questions=0).max_questions == 0
    assert "clarification" in game_names()
    with pytest.raises(ValueError, match="unknown game 'chess'; known: clarification"):
        find_game("chess")
    known = "leaks, max_questions, reasoning"
    with pytest.raises(ValueError, match=f"^game clarification has no option lives; known: {known}$"):
        GAME.deal(Toy(), ASHFORD, 0, COSTS, lives=3)
