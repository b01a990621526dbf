"""What a user's reply tells beyond the question: found, and redacted."""

import pytest
from toys import ASHFORD, Toy

from clarify_env.games.clarification.disclosure import disclosed, leaks, redact
from clarify_env.tasks.registry import make_task

LEAKS = [
    ("The film one.", "Which kind?", (), "what was asked"),
    ("Ada Brandt", "Which kind?", ("ada brandt", "brandt"), "the answer and its alias"),
    ("It is BRANDT, I think.", "Which kind?", ("brandt",), "an alias, in capitals"),
    ("A\u200bda Bran\u00addt", "Which kind?", ("ada brandt", "brandt"), "the answer with what cannot be seen inside"),
    (
        "Who designed Ashford, the modern film?",
        "Which kind?",
        ("who designed ashford modern film", "modern"),
        "the text",
    ),
    ("Yes, Ada Brandt.", "Was it Ada Brandt?", (), "the question named it"),
    ("Brandts", "Which kind?", (), "another word"),
    ("Jon Vale", "Which kind?", (), "the answer of another reading"),
    ("", "", (), "nothing"),
    ("The modern film.", "Which kind?", ("modern",), "an attribute that was not asked for"),
    ("The modern film.", "Which kind and which era?", (), "both were"),
    ("The film.", "Which era?", ("film",), "another attribute than was asked for"),
    ("The film.", "What do you mean?", ("film",), "nothing in particular was asked for"),
    ("The film.", "The film or the opera?", (), "a reading that was offered"),
    ("I do not understand the question.", "What?", (), "the words of the scripted user"),
]


@pytest.mark.parametrize(("text", "question", "told", "why"), LEAKS)
def test_what_is_told_unasked_is_found(text, question, told, why):
    assert disclosed(text, [question], Toy(), ASHFORD, 0) == told, why
    assert leaks(text, [question], Toy(), ASHFORD, 0) == bool(told)


def test_earlier_questions_asked_too():
    assert disclosed("The modern film.", ["Which kind?", "Which era?"], Toy(), ASHFORD, 0) == ()


@pytest.mark.parametrize("name", ["almanac", "ledger", "preferences", "sql", "mix"])
def test_the_scripted_user_tells_nothing_unasked(name):
    task = make_task(name)
    for index in range(30):
        episode = task.episode("validation", index)
        for question in (*task.questions(episode), "Which one?", "Is it the first or the second?", episode.query):
            for intent in range(len(episode.interpretations)):
                reply = task.reply(question, intent, episode)
                assert disclosed(reply, [question], task, episode, intent) == (), (question, reply)


REDACTED = [
    ("The film by Ada Brandt!", "The film by [redacted]!", "the rest stays"),
    ("Brandts, not Brandt", "Brandts, not [redacted]", "whole words only"),
    ("A-d-a B-r-a-n-d-t", "[redacted]", "where spelling hides the place, all of it goes"),
    ("The film one.", "The film one.", "nothing to redact"),
    ("The MODERN film.", "The [redacted] film.", "what was not asked for"),
]


@pytest.mark.parametrize(("text", "shown", "why"), REDACTED)
def test_redact(text, shown, why):
    assert redact(text, ["Which kind?"], Toy(), ASHFORD, 0) == shown, why
