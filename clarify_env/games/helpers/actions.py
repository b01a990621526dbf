"""The message grammar of the helpers: ``#SEARCH words``, ``I know: x``, ``I think: x``; and the total parser."""

import re
from typing import NamedTuple

SEARCH, KNOW, THINK = "#SEARCH", "I know:", "I think:"
WORDINGS = ("closed", "free")
_SEARCH = re.compile(r"\s*#SEARCH(?!\S)")
_CLOSED = re.compile(r"\s*I (know|think):", re.I)


class Search(NamedTuple):
    """A call of the helper's archive."""

    query: str


class Assert(NamedTuple):
    """An answer that the helper says it knows."""

    answer: str


class Hedge(NamedTuple):
    """An answer that the helper says it only thinks."""

    answer: str


class Say(NamedTuple):
    """A message of no fixed form: the asker's, or a helper's in free wording."""

    text: str


class Invalid(NamedTuple):
    """A helper's message that is not in the grammar, or that the rules do not allow; the asker hears nothing."""

    text: str
    reason: str


Action = Search | Assert | Hedge | Say | Invalid
_KINDS = {Say: "say", Search: "search", Assert: "assert", Hedge: "hedge", Invalid: "invalid"}
KINDS = tuple(_KINDS.values())


def parse(text: str | None, wording: str = "closed") -> Action:
    """Parses a message of a helper. Total: any string, and ``None``, becomes an action; it never raises.

    Args:
        text: The message.
        wording: ``"closed"``: what is neither a search nor one of the two forms is invalid; ``"free"``: an answer.
    """
    if not isinstance(text, str):
        return Invalid("", "no text")
    if match := _SEARCH.match(text):
        query = text[match.end() :].strip()
        return Search(query) if query else Invalid(text, "no query")
    if match := _CLOSED.match(text):
        answer = text[match.end() :].strip()
        if not answer:
            return Invalid(text, "no answer")
        return Assert(answer) if match[1].lower() == "know" else Hedge(answer)
    if wording == "free" and text.strip():
        return Say(text.strip())
    return Invalid(text, "neither a search nor one of the two forms")


def answer_of(action: Action) -> str:
    """Returns the answer of a reply to the asker; empty if it holds none."""
    return "" if isinstance(action, Search | Invalid) else action[0]


def kind(action: Action) -> str:
    """Name of an action in reports: ``say``, ``search``, ``assert``, ``hedge`` or ``invalid``."""
    return _KINDS[type(action)]


def opening_length(text: str) -> int:
    """Number of characters of the tag or form that opens a message; 0 if none does."""
    match = _SEARCH.match(text) or _CLOSED.match(text)
    return match.end() if match else 0
