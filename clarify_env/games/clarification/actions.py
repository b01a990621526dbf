"""The message grammar: tags, the total parser, and the words that an action is charged for.

An assistant's message begins with one of three tags::

    #CLARIFY Do you mean the film or the opera?
    #ANSWER Ada Brandt
    #MULTI_ANS film: Ada Brandt; opera: Jon Vale

All code that turns text into an action, or counts the words of an action, is in this file.
"""

import re
from itertools import chain
from typing import NamedTuple

from clarify_env.games.base import assemble
from clarify_env.tasks.base import Item
from clarify_env.words import count_words

CLARIFY, ANSWER, MULTI_ANS = TAGS = ("#CLARIFY", "#ANSWER", "#MULTI_ANS")


class Clarify(NamedTuple):
    """A clarifying question."""

    question: str


class Answer(NamedTuple):
    """One answer; an empty text declines to answer."""

    text: str


class MultiAnswer(NamedTuple):
    """A list of answers, each for a reading."""

    items: tuple[Item, ...]


class Invalid(NamedTuple):
    """A message outside the grammar, or one the rules do not allow.

    Attributes:
        text: The text whose words are charged.
        reason: One phrase for reports.
    """

    text: str
    reason: str


Action = Clarify | Answer | MultiAnswer | Invalid

_TAG = re.compile(r"\s*#(CLARIFY|ANSWER|MULTI_ANS)(?!\S)")
# What language models write at the end of their reasoning.
_REASONING_ENDS = (
    "</think>",
    "</thinking>",
    "</reasoning>",
    "</seed:think>",
    "[/THINK]",
    "\u25c1/think\u25b7",
    "<|END_THINKING|>",
    "<|channel|>final<|message|>",
)
_BULLETS = ("-", "*", "•")
_BULLET = re.compile(r"\A[-*•]\s+")
_BREAKS = r"\r\n\v\f\x1c-\x1e\x85\u2028\u2029"
_LINES = re.compile(f"[{_BREAKS}]+")
# Before a tag inside a message only the white space of the same line is matched, so that a long run of line breaks is
# scanned once (linear time).
_TAG_LINE = re.compile(rf"(?<=[{_BREAKS}])[^\S{_BREAKS}]*#(?:CLARIFY|ANSWER|MULTI_ANS)(?!\S)")


def _item(text: str) -> Item:
    if text.startswith(_BULLETS):
        text = _BULLET.sub("", text)
    label, colon, answer = text.partition(": ")
    return assemble(Item, (label.strip(), answer.strip()) if colon else ("", text))


def parse(text: str | None) -> Action:
    """Parses a message. Total: any string, and ``None``, becomes an action; it never raises.

    The items of a list are one per line, or, in a list on one line, separated by ``;``. A label ends at the first
    ``:`` followed by a space, so ``10:30`` is not split. An answer that names several things is still one answer.

    Args:
        text: The assistant's message.

    Returns:
        The action; `Invalid` if no tag opens the message, or a list has no items.
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
    # Line breaks are not printable, so a printable text needs no search for them.
    parts = [body] if body.isprintable() else _LINES.split(body)
    if len(parts) == 1:
        parts = body.split(";")
    items = tuple([_item(part) for part in map(str.strip, parts) if part])
    return MultiAnswer(items) if items else Invalid(body, "empty list")


def split_reasoning(text: str | None) -> tuple[str, str | None]:
    """Splits a text before the first line that begins with a tag into reasoning and message.

    Where a language model marks the end of its reasoning, as by ``</think>``, the message comes after the last such
    mark: tags in the reasoning are drafts. For games that allow reasoning before the tag: only the message goes to
    `parse`. Total, like `parse`.

    Args:
        text: The assistant's text.

    Returns:
        (reasoning, message); their concatenation is ``text``. The reasoning is empty if a tag opens the text, or if no
        line begins with a tag: such a text is an invalid message.
    """
    if not isinstance(text, str):
        return "", text
    end = max(text.rfind(mark) + len(mark) if mark in text else 0 for mark in _REASONING_ENDS)
    if end and tag_length(text[end:]):
        return text[:end], text[end:]
    match = _TAG_LINE.search(text, end) if end or not tag_length(text) else None
    return (text[: match.start()], text[match.start() :]) if match else ("", text)


def tag_length(text: str) -> int:
    """Number of characters of the opening tag, including white space before it; 0 if no tag opens the message."""
    match = _TAG.match(text)
    return match.end() if match else 0


def words(action: Action) -> int:
    """Counts the words that an action is charged for as the last message.

    Labels and answers count; the tag and the punctuation between items do not. The words of a question that is
    answered are free; those of an `Invalid` question are charged.
    """
    if isinstance(action, MultiAnswer):
        return count_words(" ".join(chain.from_iterable(action.items)))
    return 0 if isinstance(action, Clarify) else count_words(action.text)


def kind(action: Action) -> str:
    """Name of the action in reports: ``clarify``, ``answer``, ``multi_answer`` or ``invalid``."""
    return _KINDS[type(action)]


_KINDS = {Clarify: "clarify", Answer: "answer", MultiAnswer: "multi_answer", Invalid: "invalid"}
KINDS = tuple(_KINDS.values())
