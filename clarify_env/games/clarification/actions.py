"""The message grammar: tags, the total parser, and the word count.

An assistant's message begins with one of three tags::

    #CLARIFY Do you mean the film or the opera?
    #ANSWER Ada Brandt
    #MULTI_ANS film: Ada Brandt; opera: Jon Vale

Everything that turns text into an action, or an action into a price, is here.
"""

import re
from itertools import chain
from typing import NamedTuple

from clarify_env.tasks.base import Item
from clarify_env.words import count_words

CLARIFY, ANSWER, MULTI_ANS = TAGS = ("#CLARIFY", "#ANSWER", "#MULTI_ANS")


class Clarify(NamedTuple):
    """A clarifying question."""

    question: str


class Answer(NamedTuple):
    """One answer; an empty text is a player who declines to answer."""

    text: str


class MultiAnswer(NamedTuple):
    """A list of answers, one for each of several readings."""

    items: tuple[Item, ...]


class Invalid(NamedTuple):
    """A message outside the grammar, or one the rules do not allow.

    Attributes:
        text: What is charged for, word by word.
        reason: One phrase for reports.
    """

    text: str
    reason: str


Action = Clarify | Answer | MultiAnswer | Invalid

_TAG = re.compile(r"\s*#(CLARIFY|ANSWER|MULTI_ANS)(?!\S)")
_BULLETS = ("-", "*", "•")
_BULLET = re.compile(r"\A[-*•]\s+")
_BREAKS = r"\r\n\v\f\x1c-\x1e\x85\u2028\u2029"
_LINES = re.compile(f"[{_BREAKS}]+")
# Before a tag inside a message only its own line's white space: a megabyte of line breaks is read once, not at each of
# them anew.
_TAG_LINE = re.compile(rf"(?<=[{_BREAKS}])[^\S{_BREAKS}]*#(?:CLARIFY|ANSWER|MULTI_ANS)(?!\S)")


def _item(text: str) -> Item:
    if text.startswith(_BULLETS):
        text = _BULLET.sub("", text)
    label, colon, answer = text.partition(": ")
    return Item(label.strip(), answer.strip()) if colon else Item("", text)


def parse(text: str | None) -> Action:
    """Reads a message. Total: any string, and ``None``, becomes an action; nothing raises.

    The items of a list stand one a line, or, in a list on one line, are separated by ``;``. A
    label ends at the first ``:`` followed by a space, so ``10:30`` survives. An answer that names several
    things is still one answer.

    Args:
        text: What the assistant sent.

    Returns:
        The action; `Invalid` where no tag opens the message, or a list has no items.
    """
    if not isinstance(text, str):
        return Invalid("", "no text")
    match = _TAG.match(text)
    if match is None:
        return Invalid(text, "no tag")
    tag, body = match[1], text[match.end() :].strip()
    if tag == "CLARIFY":
        return Clarify(body)
    if tag == "ANSWER":
        return Answer(body)
    # No line break is printable, so most lists of one line are not searched for one.
    parts = [body] if body.isprintable() else _LINES.split(body)
    if len(parts) == 1:
        parts = body.split(";")
    items = tuple([_item(part) for part in map(str.strip, parts) if part])
    return MultiAnswer(items) if items else Invalid(body, "empty list")


def split_reasoning(text: str | None) -> tuple[str, str | None]:
    """Parts what stands before the first line that begins with a tag from the message that begins there.

    For games that allow reasoning before the tag; to `parse` goes the message. Total, as `parse` is.

    Args:
        text: What the assistant sent.

    Returns:
        The reasoning and the message; together they are ``text``. The reasoning is empty where a tag opens the text,
        and where no line begins with one: such a text is an invalid message.
    """
    match = _TAG_LINE.search(text) if isinstance(text, str) and not tag_length(text) else None
    return (text[: match.start()], text[match.start() :]) if match else ("", text)


def tag_length(text: str) -> int:
    """Characters of the tag that opens a message, white space before it included; 0 where none does."""
    match = _TAG.match(text)
    return match.end() if match else 0


def words(action: Action) -> int:
    """Counts the words an action is charged for when it is the last message.

    Labels and answers count, the tag and the punctuation between items do not. A question's words are
    free while it is answered; as an `Invalid` message they are charged like any other.
    """
    if isinstance(action, MultiAnswer):
        return count_words(" ".join(chain.from_iterable(action.items)))
    return 0 if isinstance(action, Clarify) else count_words(action.text)


def kind(action: Action) -> str:
    """The action's name in every report: ``clarify``, ``answer``, ``multi_answer`` or ``invalid``."""
    return _KINDS[type(action)]


_KINDS = {Clarify: "clarify", Answer: "answer", MultiAnswer: "multi_answer", Invalid: "invalid"}
KINDS = tuple(_KINDS.values())
