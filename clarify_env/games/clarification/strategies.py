"""Scripted assistants: the fixed strategies, the threshold rule and the oracle player.

They are built with the task and look facts up by episode id; like every assistant they never see the intent.
"""

from collections.abc import Callable

import numpy as np

from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import parse
from clarify_env.games.clarification.oracle import Solved
from clarify_env.games.clarification.plans import list_message, shortest_answer, shortest_label
from clarify_env.tasks.base import Task


class ScriptedAssistant:
    """Plays a strategy given as a function of the solved episode, the view and the readings that are left.

    Args:
        task: Whose facts it knows.
        name: ``"guess"``, ``"list"``, ``"ask"``, ``"threshold"`` or ``"oracle"``.
        max_questions: As in the game.
    """

    def __init__(self, task: Task, name: str, max_questions: int = 2):
        if name not in STRATEGIES:
            raise ValueError(f"assistant.strategy must be one of {', '.join(STRATEGIES)}, not {name!r}")
        self.task, self.name, self.max_questions = task, name, max_questions
        self._solved: dict[str, Solved] = {}

    def act(self, views: list[View], seeds: list[int], prefixes: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.base.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """The assistant's message at ``view``."""
        if view.episode_id not in self._solved:
            episode = self.task.lookup(view.episode_id)
            self._solved[view.episode_id] = Solved(self.task, episode, self.max_questions)
        solved = self._solved[view.episode_id]
        left = solved.everyone
        for (_, said), (_, replied) in zip(view.history[::2], view.history[1::2], strict=True):
            question = parse(said).question
            left = tuple(i for i in left if self.task.reply(question, i, solved.episode) == replied)
        # A reply no reading explains (a user who is not scripted) says nothing about which is meant.
        return STRATEGIES[self.name](solved, view, left or solved.everyone)


def _best_last(solved: Solved, view: View, left: tuple[int, ...]) -> str:
    costs = np.array([view.costs])
    return solved.plans[solved.closing(costs, left)[1][0]].text


def _guess(solved: Solved, view: View, left: tuple[int, ...]) -> str:
    return solved.likeliest.text


def _list(solved: Solved, view: View, left: tuple[int, ...]) -> str:
    if len(left) == 1:
        return solved.likeliest.text
    task, episode = solved.task, solved.episode
    return list_message((shortest_label(task, episode, i), shortest_answer(task, episode, i)) for i in left)


def _ask(solved: Solved, view: View, left: tuple[int, ...]) -> str:
    return f"#CLARIFY {solved.questions[0][0]}" if not view.history else _best_last(solved, view, left)


def _threshold(solved: Solved, view: View, left: tuple[int, ...]) -> str:
    sure = float(solved.weights @ solved.likeliest.accuracy)
    return _ask(solved, view, left) if view.history or 1 - view.costs.alpha > sure else _guess(solved, view, left)


def _oracle(solved: Solved, view: View, left: tuple[int, ...]) -> str:
    return solved.message(np.array([view.costs]), left, solved.max_questions - len(view.history) // 2)


STRATEGIES: dict[str, Callable[[Solved, View, tuple[int, ...]], str]] = {
    "guess": _guess,
    "list": _list,
    "ask": _ask,
    "threshold": _threshold,
    "oracle": _oracle,
}
