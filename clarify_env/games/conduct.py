"""What a game says of its players' conduct: kinds of faults of a role, and the judgement of each message."""

from typing import NamedTuple

# Faults that any game's messages may have; whoever holds the player tells a message without an end.
UNENDED = "unended"


class FaultKind(NamedTuple):
    """A kind of fault.

    Attributes:
        name: Its name.
        of: Kind of the messages that may have it, as in `Judged.kind`; empty: all messages.
        meaning: A phrase for reports, about a message.
    """

    name: str
    of: str
    meaning: str


class Judged(NamedTuple):
    """The judgement of one message.

    Attributes:
        turn: Index of the turn in the game.
        kind: Kind of the message, such as ``reply``.
        faults: Names of its faults.
        exemplary: Whether it does all that was asked of its sender, so that it may be learned.
    """

    turn: int
    kind: str
    faults: tuple[str, ...]
    exemplary: bool
