"""The facts of each role of the clarification game: what it knows besides the messages (docs/design.md)."""

from typing import NamedTuple

from clarify_env.costs import Costs
from clarify_env.games.base import View, assemble
from clarify_env.tasks.base import Episode


class Secret(NamedTuple):
    """The intended reading, known to the user alone. It holds no gold answer.

    Attributes:
        intent: Index of the intended interpretation in the episode.
        label: The reading's label.
        text: The unambiguous form of the query.
        attributes: (name, value) pairs of the reading.
    """

    intent: int
    label: str
    text: str
    attributes: tuple[tuple[str, str], ...]


class AssistantFacts(NamedTuple):
    """Facts of the assistant: the costs and the context, never the intent.

    Attributes:
        query: The user's opening message.
        context: The assistant's private context; may be empty.
        costs: The costs.
        episode_id: Identifies the episode in its task.
        reasoning: The rule on text before the tag: ``"none"``, ``"free"`` or ``"charged"``.
    """

    query: str
    context: str
    costs: Costs
    episode_id: str
    reasoning: str = "none"


class UserFacts(NamedTuple):
    """Facts of the user: the intent, never the costs.

    Attributes:
        query: The user's opening message.
        secret: The intent.
        episode_id: Identifies the episode in its task.
    """

    query: str
    secret: Secret
    episode_id: str


def assistant_facts(view: View) -> AssistantFacts:
    """Returns the facts of a view of the assistant."""
    assert isinstance(view.facts, AssistantFacts), f"{view.role} has no facts of the assistant"
    return view.facts


def secret_of(episode: Episode, intent: int) -> Secret:
    """Returns the user's secret if reading ``intent`` is meant."""
    reading = episode.interpretations[intent]
    return assemble(Secret, (intent, reading.label, reading.text, reading.attributes))
