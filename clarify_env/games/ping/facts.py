"""What each player of the game knows from the start, and the point of the game that a view shows."""

from typing import NamedTuple

from clarify_env.games.base import View

# The message that ends the talk.
END = "#END"


class PlayerFacts(NamedTuple):
    """Facts of one player.

    Attributes:
        task: Name of the task.
        rules: The task in words.
        query: The question.
        private: What the player is told in private.
        other: What the partner is told, where both see everything; else empty.
        turns: Turns of both players together.
        limit: Most words, or tokens, of a message.
        unit: ``"words"`` or ``"tokens"``.
        prices: Price of a turn and of a word.
        answers: Whether the player must give the answer.
        example: An answer, to show its form.
    """

    task: str
    rules: str
    query: str
    private: str
    other: str
    turns: int
    limit: int
    unit: str
    prices: tuple[float, ...]
    answers: bool
    example: str


def facts_of(view: View) -> PlayerFacts:
    """Returns the facts of a view."""
    assert isinstance(view.facts, PlayerFacts), f"{view.role} has no facts of this game"
    return view.facts


def talking(view: View) -> bool:
    """Returns whether the player may still talk at a view; else it must answer."""
    return view.turn < facts_of(view).turns and not any(message.text == END for message in view.heard)
