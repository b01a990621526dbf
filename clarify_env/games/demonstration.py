"""The record of a demonstration."""

from typing import NamedTuple


class Demonstration(NamedTuple):
    """A chat to pretrain on. Loss is computed on the last ``assistant`` message.

    Attributes:
        messages: (role, text) pairs, roles ``system``, ``user`` and ``assistant``.
        kind: Kind of demonstration, for statistics.
        every: Whether loss is computed on every ``assistant`` message.
    """

    messages: tuple[tuple[str, str], ...]
    kind: str
    every: bool = False
