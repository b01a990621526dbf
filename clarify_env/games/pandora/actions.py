"""The message grammar of Pandora's boxes: ``#LOOK A`` and ``#COMMIT A``, and the total parser."""

import re
from collections.abc import Collection
from typing import NamedTuple

LOOK, COMMIT = TAGS = ("#LOOK", "#COMMIT")
_MESSAGE = re.compile(r"\s*#(LOOK|COMMIT)(?!\S)")


class Look(NamedTuple):
    """A look into a box.

    Attributes:
        box: Label of the box.
    """

    box: str


class Commit(NamedTuple):
    """The choice of a box, which ends the game.

    Attributes:
        box: Label of the box.
    """

    box: str


class Invalid(NamedTuple):
    """A message outside the grammar, or one the rules do not allow.

    Attributes:
        text: The message.
        reason: One phrase for reports.
    """

    text: str
    reason: str


Action = Look | Commit | Invalid

_KINDS = {Look: "look", Commit: "commit", Invalid: "invalid"}
KINDS = tuple(_KINDS.values())


def parse(text: str | None, boxes: Collection[str]) -> Action:
    """Parses a message. Total: any string, and ``None``, becomes an action; it never raises.

    Args:
        text: The message: a tag, then the label of a box; white space, upper or lower case, the word "box" before the
            label and a point after it make no difference.
        boxes: Labels of the boxes.
    """
    if not isinstance(text, str):
        return Invalid("", "no text")
    match = _MESSAGE.match(text)
    if match is None:
        return Invalid(text, "no tag")
    label = text[match.end() :].strip().rstrip(".").upper().removeprefix("BOX ").strip()
    if label not in boxes:
        return Invalid(text, "no such box")
    return Look(label) if match[1] == "LOOK" else Commit(label)


def tag_length(text: str) -> int:
    """Number of characters of the opening tag, including white space before it; 0 if no tag opens the message."""
    match = _MESSAGE.match(text)
    return match.end() if match else 0


def kind(action: Action) -> str:
    """Name of the action in reports: ``look``, ``commit`` or ``invalid``."""
    return _KINDS[type(action)]
