"""The message grammar of the interview: two tags, the total parser, and the words that a message is charged for.

A message of the assistant begins with one of two tags::

    #ASK Is it noisy?
    #ANSWER the fuse
"""

import re
from typing import NamedTuple

from clarify_env.words import count_words

ASK, ANSWER = TAGS = ("#ASK", "#ANSWER")


class Ask(NamedTuple):
    """A question about the case."""

    question: str


class Answer(NamedTuple):
    """The answer, which ends the game; an empty text declines to answer."""

    text: str


class Invalid(NamedTuple):
    """A message outside the grammar, or one that the rules do not allow.

    Attributes:
        text: The text whose words are charged.
        reason: One phrase for reports.
    """

    text: str
    reason: str


Action = Ask | Answer | Invalid
KINDS = ("ask", "answer", "invalid")

_TAG = re.compile(r"\s*#(ASK|ANSWER)(?!\S)")


def parse(text: str | None) -> Action:
    """Parses a message. Total: any string, and ``None``, becomes an action; it never raises."""
    if not isinstance(text, str):
        return Invalid("", "no text")
    match = _TAG.match(text)
    if match is None:
        return Invalid(text, "no tag")
    body = text[match.end() :].strip()
    return Ask(body) if match[1] == "ASK" else Answer(body)


def tag_length(text: str) -> int:
    """Number of characters of the opening tag, including white space before it; 0 if no tag opens the message."""
    match = _TAG.match(text)
    return match.end() if match else 0


def words(action: Action) -> int:
    """Counts the words that a message is charged for: those after its tag."""
    return count_words(action[0])


def kind(action: Action) -> str:
    """Name of the action in reports: ``ask``, ``answer`` or ``invalid``."""
    return KINDS[(Ask, Answer, Invalid).index(type(action))]
