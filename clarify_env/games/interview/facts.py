"""The facts of each role of the interview: what it knows besides the messages."""

from typing import NamedTuple

from clarify_env.costs import Costs


class AssistantFacts(NamedTuple):
    """Facts of the assistant: the case as it is told at the start, and the costs.

    Attributes:
        query: The question, its options if the task states them there, and the facts shown.
        context: What is known of such cases; may be empty.
        costs: The costs.
        episode_id: Identifies the episode in its task.
        max_questions: Most questions of the game.
    """

    query: str
    context: str
    costs: Costs
    episode_id: str
    max_questions: int


class UserFacts(NamedTuple):
    """Facts of the user: those of its case, never the answer or the costs.

    Attributes:
        query: The question and the facts shown.
        known: (name, value) of each fact of the case.
        episode_id: Identifies the episode in its task.
        case: Index of the case among the possibilities.
    """

    query: str
    known: tuple[tuple[str, str], ...]
    episode_id: str
    case: int
