"""The form of what a model is pretrained on."""

from typing import NamedTuple


class Demonstration(NamedTuple):
    """A chat to pretrain on. Loss falls on the last ``assistant`` message: it is what the speaker says.

    Attributes:
        messages: (role, text) pairs, roles ``system``, ``user`` and ``assistant``.
        kind: What it shows, for counting.
        every: Whether loss falls on every ``assistant`` message.
    """

    messages: tuple[tuple[str, str], ...]
    kind: str
    every: bool = False
