"""Worked games for few-shot prompts: queries that are in no task, at costs that lead to different actions."""

from functools import cache
from typing import NamedTuple

from clarify_env.costs import Costs
from clarify_env.games.base import Result
from clarify_env.games.clarification.actions import parse, words


class Example(NamedTuple):
    """A game with a right answer.

    Attributes:
        costs: The costs.
        query: The user's query.
        messages: Messages of assistant and user in turn, up to the assistant's answer.
        right: The answer that the user takes.
        why: Why the action fits the costs.
    """

    costs: Costs
    query: str
    messages: tuple[str, ...]
    right: str
    why: str


EXAMPLES = (
    Example(
        Costs(0.6, 0.01),
        "How long is a mile?",
        ("#MULTI_ANS land: 1609 metres\nsea: 1852 metres",),
        "1852 metres",
        "Words are cheap and a question is dear, so both readings.",
    ),
    Example(
        Costs(0.1, 0.08),
        "How long is a mile?",
        ("#CLARIFY On land or at sea?", "At sea.", "#ANSWER 1852 metres"),
        "1852 metres",
        "Words are dear and a question is cheap: a list would have cost 6 words.",
    ),
    Example(
        Costs(0.5, 0.06),
        "How many cards are in a pack?",
        ("#ANSWER 52",),
        "52",
        "Few mean any but the usual pack, and a question costs more than the risk of that.",
    ),
    Example(
        Costs(0.05, 0.03),
        "At what temperature does water freeze?",
        ("#CLARIFY On which scale?", "Fahrenheit.", "#ANSWER 32"),
        "32",
        "One question costs less than three readings in words.",
    ),
    Example(
        Costs(0.15, 0.05),
        "How many minutes are in an hour?",
        ("#ANSWER 60",),
        "60",
        "There is one reading, so nothing to ask.",
    ),
)


@cache
def worked_games() -> str:
    """Renders the examples as text, each with its costs, its reward and the reason for its action."""
    return "\n\n".join(map(_worked, EXAMPLES))


def _worked(example: Example) -> str:
    questions, length = len(example.messages) // 2, words(parse(example.messages[-1]))
    result = Result(1.0, {"questions": questions, "words": length})
    turns = [f"{('assistant', 'user')[i % 2]}: {text}" for i, text in enumerate(example.messages)]
    terms = f"1 - {questions} x {example.costs.alpha:g} - {length} x {example.costs.beta:g}"
    reward = f"Earned {terms} = {result.reward(example.costs):.2f}. {example.why}"
    return "\n".join([f"Costs: {example.costs}.", f"user: {example.query}", *turns, reward])
