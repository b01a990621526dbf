"""Scripted assistants: the fixed strategies, the threshold rule and the oracle player.

They hold the task and look up episodes by id; like every assistant they do not know the intent.
"""

from collections.abc import Callable

import numpy as np

from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import Clarify, parse
from clarify_env.games.clarification.facts import assistant_facts
from clarify_env.games.clarification.oracle import Solved
from clarify_env.games.clarification.plans import list_message, shortest_answer, shortest_label
from clarify_env.tasks.base import Task


class ScriptedAssistant:
    """Plays a strategy: a function of the solved episode, the view and the readings consistent with all replies.

    Args:
        task: The task whose episodes it plays.
        name: ``"guess"``, ``"list"``, ``"ask"``, ``"threshold"`` or ``"oracle"``.
        max_questions: Largest number of questions, as in the game.
    """

    def __init__(self, task: Task, name: str, max_questions: int = 2):
        if name not in STRATEGIES:
            raise ValueError(f"assistant.strategy must be one of {', '.join(STRATEGIES)}, not {name!r}")
        self.task, self.name, self.max_questions = task, name, max_questions
        self._solved: dict[str, Solved] = {}

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """Returns the assistant's message at ``view``."""
        episode_id = assistant_facts(view).episode_id
        if episode_id not in self._solved:
            episode = self.task.lookup(episode_id)
            self._solved[episode_id] = Solved(self.task, episode, self.max_questions)
        solved = self._solved[episode_id]
        remaining = solved.everyone
        for message, reply in zip(view.heard[::2], view.heard[1::2], strict=True):
            action = parse(message.text)
            assert isinstance(action, Clarify), "the game goes on after questions only"
            question = action.question
            remaining = tuple(i for i in remaining if self.task.reply(question, i, solved.episode) == reply.text)
        # If no reading explains the replies (of a user who is not scripted), all readings remain possible.
        return STRATEGIES[self.name](solved, view, remaining or solved.everyone)


def _best_last(solved: Solved, view: View, remaining: tuple[int, ...]) -> str:
    costs = np.array([assistant_facts(view).costs])
    return solved.plans[solved.closing(costs, remaining)[1][0]].text


def _guess(solved: Solved, view: View, remaining: tuple[int, ...]) -> str:
    return solved.likeliest.text


def _list(solved: Solved, view: View, remaining: tuple[int, ...]) -> str:
    if len(remaining) == 1:
        return solved.likeliest.text
    task, episode = solved.task, solved.episode
    return list_message((shortest_label(task, episode, i), shortest_answer(task, episode, i)) for i in remaining)


def _ask(solved: Solved, view: View, remaining: tuple[int, ...]) -> str:
    if view.heard:
        return _best_last(solved, view, remaining)
    return f"#CLARIFY {solved.questions[0][0]}" if solved.max_questions else _guess(solved, view, remaining)


def _threshold(solved: Solved, view: View, remaining: tuple[int, ...]) -> str:
    score = float(solved.weights @ solved.likeliest.accuracy)
    asks = view.heard or 1 - assistant_facts(view).costs.alpha > score
    return _ask(solved, view, remaining) if asks else _guess(solved, view, remaining)


def _oracle(solved: Solved, view: View, remaining: tuple[int, ...]) -> str:
    costs = np.array([assistant_facts(view).costs])
    return solved.message(costs, remaining, solved.max_questions - len(view.heard) // 2)


STRATEGIES: dict[str, Callable[[Solved, View, tuple[int, ...]], str]] = {
    "guess": _guess,
    "list": _list,
    "ask": _ask,
    "threshold": _threshold,
    "oracle": _oracle,
}
