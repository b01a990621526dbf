"""Scripted assistants: the strategies that disregard the costs, the rule that looks one question ahead, the oracle.

They hold the task and look up episodes by id; like every assistant they do not know the case.
"""

from collections.abc import Callable

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import Reply, View
from clarify_env.games.interview.actions import Ask, parse
from clarify_env.games.interview.facts import AssistantFacts
from clarify_env.games.interview.oracle import MARGIN, Group, Question, Solved
from clarify_env.tasks.base import Task

# Chooses a question in a state, by (solved, state, costs, questions left); `None`: it answers.
Strategy = Callable[[Solved, Group, Costs, int], Question | None]


def _guess(solved: Solved, group: Group, costs: Costs, left: int) -> Question | None:
    return None


def _ask_one(solved: Solved, group: Group, costs: Costs, left: int) -> Question | None:
    return solved.most_telling(group) if left == solved.max_questions else None


def _ask_all(solved: Solved, group: Group, costs: Costs, left: int) -> Question | None:
    return solved.most_telling(group)


def _one_ahead(solved: Solved, group: Group, costs: Costs, left: int) -> Question | None:
    """The most telling question, if an answer right after it is worth more than one now."""
    question = solved.most_telling(group)
    if question is None:
        return None
    price = (costs.alpha + costs.beta * question.words) * solved.weights[list(group)].sum()
    return question if solved.right_after(question, group) - solved.right(group) > price else None


def _oracle(solved: Solved, group: Group, costs: Costs, left: int) -> Question | None:
    prices = np.array([costs])
    values = {
        question: solved.after_question(prices, question, group, left).value[0]
        for question in solved.questions
        if len(solved.parts(question, group)) > 1
    }
    best = max(values, key=lambda question: values[question], default=None)
    return best if best is not None and values[best] > solved.stop(prices, group)[0][0] + MARGIN else None


STRATEGIES: dict[str, Strategy] = {
    "oracle": _oracle,
    "one_ahead": _one_ahead,
    "guess": _guess,
    "ask_one": _ask_one,
    "ask_all": _ask_all,
}


class ScriptedAssistant:
    """Plays a strategy.

    Args:
        task: The task whose episodes it plays.
        name: A name in `STRATEGIES`.
        max_questions: Most questions, as in the game.

    Raises:
        ValueError: There is no such strategy.
    """

    def __init__(self, task: Task, name: str, max_questions: int):
        if name not in STRATEGIES:
            raise ValueError(f"assistant.strategy must be one of {', '.join(STRATEGIES)}, not {name!r}")
        self.task, self.name, self.max_questions = task, name, max_questions
        self._solved: dict[str, Solved] = {}

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """Returns the assistant's message at ``view``."""
        facts = view.facts
        assert isinstance(facts, AssistantFacts), f"{view.role} has no facts of the assistant"
        if facts.episode_id not in self._solved:
            self._solved[facts.episode_id] = Solved(self.task, self.task.lookup(facts.episode_id), self.max_questions)
        solved = self._solved[facts.episode_id]
        group, left = solved.everyone, self.max_questions
        for message, reply in zip(view.heard[::2], view.heard[1::2], strict=True):
            action = parse(message.text)
            assert isinstance(action, Ask), "the game goes on after questions only"
            group, left = solved.after(group, action.question, reply.text), left - 1
        question = STRATEGIES[self.name](solved, group, facts.costs, left) if left else None
        if question is not None:
            return f"#ASK {question.text}"
        # At a high price of a word, a shorter answer than the likeliest one, or none, can be worth more.
        guess = solved.answer(facts.costs, group) if self.name == "oracle" else solved.guess(group)
        return f"#ANSWER {guess.text}".rstrip()
