"""The interview: rules, prices, prompts, users, compliance."""

import json

import pytest

import clarify_env
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.interview.actions import Answer, Ask, Invalid, parse, tag_length, words
from clarify_env.games.interview.disclosure import REDACTED, disclosed, redact
from clarify_env.games.setup import Setup
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Interpretation
from clarify_env.tasks.registry import make_task
from clarify_env.testing import check_game

GAME = find_game("interview")
TASK = make_task("workshop", validation=3, test=3)
COSTS = (0.2, 0.03)


def reading(cause, weight, **facts):
    return Interpretation(cause, ", ".join(facts.values()), (cause,), weight, tuple(facts.items()))


MILL = Episode(
    "test/0",
    "The mill leaks. Why?",
    "Of 100 cases: fuse 50, belt 30, gear 20.",
    (
        reading("fuse", 0.5, noise="loud", smell="burnt"),
        reading("belt", 0.3, noise="quiet", smell="burnt"),
        reading("gear", 0.2, noise="quiet", smell="sweet"),
    ),
    {"entity": "mill"},
)


def played(messages, case=0, costs=COSTS, **options):
    game = GAME.deal(TASK, MILL, case, costs, **options)
    for message in messages:
        game.apply(Reply(message))
    return game


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("#ASK noise", Ask("noise")),
        ("  #ASK\nIs it loud? ", Ask("Is it loud?")),
        ("#ANSWER fuse", Answer("fuse")),
        ("#ANSWER", Answer("")),
        ("#ASKnoise", Invalid("#ASKnoise", "no tag")),
        ("#CLARIFY noise", Invalid("#CLARIFY noise", "no tag")),
        ("fuse", Invalid("fuse", "no tag")),
        ("", Invalid("", "no tag")),
        (None, Invalid("", "no text")),
        ("x" * 1_000_000, Invalid("x" * 1_000_000, "no tag")),
    ],
    ids=lambda value: str(value)[:20],
)
def test_every_text_is_parsed(text, action):
    assert parse(text) == action
    tag = 0 if isinstance(action, Invalid) else text.index("#") + len(text.split()[0])
    assert tag_length(text or "") == tag


@pytest.mark.parametrize(
    ("messages", "score", "usage", "invalid", "why"),
    [
        (["#ANSWER fuse"], 1, (0, 1), False, "an answer at once"),
        (["#ANSWER the belt"], 0, (0, 2), False, "a wrong one, in two words"),
        (["#ANSWER"], 0, (0, 0), False, "no answer costs nothing"),
        (["#ASK noise", "noise loud.", "#ANSWER fuse"], 1, (1, 2), False, "words of questions and answer are charged"),
        (["#ASK Is it very_loud?", "x", "#ANSWER fuse"], 1, (1, 5), False, "joined words count as words"),
        (["#ASK a", "x", "#ASK b", "x", "#ANSWER gear"], 0, (2, 3), False, "two questions"),
        (["#ASK a", "x", "#ASK b", "x", "#ASK c d"], 0, (3, 4), True, "a question too many costs one more"),
        (["fuse belt"], 0, (1, 2), True, "no tag: words and one question are paid"),
        ([None], 0, (1, 0), True, "no text"),
    ],
)
def test_what_a_game_costs(messages, score, usage, invalid, why):
    result = played(messages, max_questions=2).result
    assert (result.score, tuple(result.usage.values()), result.flags["invalid"]) == (score, usage, invalid), why
    assert result.reward(COSTS) == pytest.approx(score - 0.2 * usage[0] - 0.03 * usage[1]), why


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("noise", "noise loud."),
        ("Can you HEAR a sound?", "noise loud."),
        ("What about the odour?", "smell burnt."),
        ("smell and noise?", "smell burnt."),
        ("Is the lamp red?", NOT_UNDERSTOOD),
        ("What is the cause?", NOT_UNDERSTOOD),
        ("Tell me everything.", NOT_UNDERSTOOD),
        ("", NOT_UNDERSTOOD),
    ],
)
def test_a_question_is_answered_by_the_fact_that_it_asks_for(question, reply):
    user = GAME.player("user", Looked(), "scripted")
    game = GAME.deal(Looked(), MILL, 0, COSTS)
    game.apply(Reply(f"#ASK {question}"))
    said = user.act([game.view("user")], [0])[0].text
    assert said == reply
    assert not disclosed(said, [question], TASK, MILL, 0), "the scripted user tells nothing unasked"


class Looked(type(TASK)):
    """The workshop, with one episode made by hand."""

    def __init__(self):
        self.sizes = {"test": 1}

    def lookup(self, episode_id):
        return MILL


@pytest.mark.parametrize(
    ("reply", "leak"),
    [
        ("noise loud.", False),
        ("It is rather loud, I think.", False),
        ("It is loud, and smells burnt.", True),
        ("Loud. It must be the fuse.", True),
        ("Burnt!", True),
    ],
)
@pytest.mark.parametrize("leaks", ["count", "redact", "end"])
def test_what_a_user_tells_unasked_is_a_leak(reply, leak, leaks):
    game = played(["#ASK noise", reply], leaks=leaks)
    if leaks == "end" and leak:
        assert game.result.score == 0 and game.result.flags == {"invalid": False, "leak": True}
        assert tuple(game.result.usage.values()) == (1, 1), "the assistant does not pay for the user's fault"
        return
    heard = game.heard("assistant")[-1].text
    assert (REDACTED in heard) == (leak and leaks == "redact")
    assert "burnt" not in heard.lower() or leaks == "count"
    game.apply(Reply("#ANSWER fuse"))
    assert game.result.flags["leak"] == leak


def test_faults_of_a_user():
    cases = {
        "noise loud.": (),
        "It is loud and smells burnt.": ("leak",),
        "It is quiet.": ("wrong_fact",),
        "I cannot say.": ("no_answer",),
        "noise loud. #ANSWER fuse": ("leak", "speaks_for_assistant"),
    }
    for reply, faults in cases.items():
        (judged,) = GAME.judge(TASK, MILL, played(["#ASK noise", reply]), "user")
        assert judged.faults == faults, reply
        assert judged.exemplary == (not faults)


def test_views_hold_what_a_role_may_know():
    game = played(["#ASK noise", "noise loud."])
    assistant, user = GAME.transcript(game.view("assistant")), GAME.transcript(game.view("user"))
    assert "0.20" in assistant and "burnt" not in assistant and "Of 100 cases" in assistant
    assert "smell: burnt" in user and "fuse" not in user and "0.2" not in user
    for style in GAME.styles:
        chats = {role: GAME.chat(game.view(role), style) for role in GAME.roles}
        text = json.dumps(chats["user"])
        assert "0.20" not in text and "fuse" not in text, "the user knows neither costs nor cause"
        assert [m["role"] for m in chats["assistant"]] == ["system", "user", "assistant", "user"]
        assert chats["assistant"][1]["content"].splitlines()[-1].count("0.0") == 1, "the costs stand last"
    expensive = GAME.chat(game.view_at("assistant", (), (0.4, 0.05)), "natural")
    cheap = GAME.chat(game.view_at("assistant", (), (0.1, 0.01)), "natural")
    assert expensive[0] == cheap[0] and expensive[1]["content"].splitlines()[0] == cheap[1]["content"].splitlines()[0]
    with pytest.raises(ValueError, match="style must be one of pocket, natural, brief, not 'loud'"):
        GAME.chat(game.view("user"), "loud")


def test_two_wordings_with_the_same_replies_are_one_decision():
    setup = Setup(GAME, TASK)
    assert setup.decision(MILL, "#ASK noise") == setup.decision(MILL, "#ASK Is it loud, can you hear it?")
    assert setup.decision(MILL, "#ASK noise") != setup.decision(MILL, "#ASK smell")
    assert setup.decision(MILL, "#ANSWER the Fuse.") == setup.decision(MILL, "#ANSWER fuse")
    assert words(parse("#ASK Is it loud?")) == 3


@pytest.mark.parametrize("leaks", ["count", "redact", "end"])
def test_the_game_complies(leaks):
    check_game(TASK, game="interview", episodes=1, leaks=leaks)


def test_the_environment_hides_the_case():
    env = clarify_env.env("workshop", game="interview")
    env.reset(seed=0, options={"split": "validation", "index": 0, "case": 0, "costs": COSTS})
    assert env.agent_selection == "assistant" and "questions" not in env.infos["assistant"]
    with pytest.raises(ValueError, match="leaks must be one of count, redact, end"):
        GAME.deal(TASK, MILL, 0, COSTS, leaks="never").view("user")


def test_redacting_leaves_the_rest():
    assert redact("It is loud and smells burnt.", ["noise"], TASK, MILL, 0) == "It is loud and smells [redacted]."
