"""The oracle, the fixed strategies and the action map (docs/design.md).

The value of a plan is linear in the costs, so each episode is solved once into a table of plans, which is evaluated at
any number of cost pairs. ``python -m clarify_env.games.clarification task=almanac`` prints the map of a task.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from clarify_env.games.base import reward
from clarify_env.games.clarification.plans import Group, Plan, closing_plans
from clarify_env.tasks.base import Episode, Task

FIXED = ("guess", "list", "ask", "threshold")
ACTIONS = ("clarify", "answer", "multi_answer")
# A question must be better by more than this to be preferred, so that rounding errors decide nothing.
_MARGIN = 1e-12


class Best(NamedTuple):
    """The best continuation, given that one of a set of readings is meant; all arrays have shape [C].

    Attributes:
        value: Expected reward, times the total weight of the readings.
        action: First action, as an index into `ACTIONS`.
        words: Expected words of the last message, times the total weight of the readings.
    """

    value: np.ndarray
    action: np.ndarray
    words: np.ndarray


class Solved:
    """An episode solved for all costs.

    Args:
        task: The task; it matches labels, scores answers and replies to questions.
        episode: The episode to solve.
        max_questions: Largest number of questions, as in the game.
    """

    def __init__(self, task: Task, episode: Episode, max_questions: int = 2):
        self.task, self.episode, self.max_questions = task, episode, max_questions
        self.plans = closing_plans(task, episode)
        self.weights = np.array([reading.weight for reading in episode.interpretations])
        self._mass = np.array([plan.accuracy for plan in self.plans]) * self.weights
        self._words = np.array([plan.words for plan in self.plans], dtype=float)
        self._action = np.array([ACTIONS.index(plan.action) for plan in self.plans])
        self.everyone = tuple(range(len(self.weights)))

    @cached_property
    def questions(self) -> list[tuple[str, list[Group]]]:
        """Every useful question with its partition of the readings by reply; finest partition first."""
        partitions = [(question, self.cells(question)) for question in self.task.questions(self.episode)]
        return sorted(partitions, key=lambda pair: -len(pair[1]))

    def cells(self, question: str) -> list[Group]:
        """Partition of the readings by the user's reply to a question."""
        groups: dict[str, list[int]] = {}
        for intent in self.everyone:
            groups.setdefault(self.task.reply(question, intent, self.episode), []).append(intent)
        return [tuple(group) for group in groups.values()]

    def closing(self, costs: np.ndarray, readings: Group) -> tuple[np.ndarray, np.ndarray]:
        """The best last message, given that one of ``readings`` is meant.

        Args:
            costs: Shape [C, 2].
            readings: Indices of the remaining readings.

        Returns:
            Value times the total weight of the readings, and index in `plans`; both of shape [C].
        """
        gain = self._gains(costs, readings)
        best = gain.argmax(0)
        return gain[best, np.arange(len(costs))], best

    def _gains(self, costs: np.ndarray, readings: Group) -> np.ndarray:
        """Value of each plan as the last message, times the total weight of the readings; shape [plans, C]."""
        indices = list(readings)
        words = (self._words * self.weights[indices].sum())[:, None]
        return reward(self._mass[:, indices].sum(1)[:, None], (words,), costs.T[1:])  # no question

    def best(self, costs: np.ndarray, readings: Group, remaining: int) -> Best:
        """The best continuation, given that one of ``readings`` is meant and ``remaining`` questions are allowed."""
        value, plan = self.closing(costs, readings)
        best = Best(value, self._action[plan], self._words[plan] * self.weights[list(readings)].sum())
        if remaining and len(readings) > 1:
            for _, groups in self._splits(readings):
                ask = self._after_question(costs, groups, remaining - 1)
                better = ask.value > best.value + _MARGIN
                best = Best(*(np.where(better, new, old) for new, old in zip(ask, best, strict=True)))
        return best

    def _after_question(self, costs: np.ndarray, groups: list[Group], remaining: int) -> Best:
        continuations = [self.best(costs, group, remaining) for group in groups]
        mass = self.weights[[i for group in groups for i in group]].sum()
        clarify = np.full(len(costs), ACTIONS.index("clarify"))
        value, words = (np.sum([getattr(b, name) for b in continuations], axis=0) for name in ("value", "words"))
        return Best(reward(value, (mass,), costs.T[:1]), clarify, words)  # the words are in `value`

    def ask(self, costs: np.ndarray, groups: list[Group], remaining: int) -> np.ndarray:
        """Value, shape [C], of a question that splits the readings into ``groups``, with ``remaining`` more allowed."""
        return self._after_question(costs, groups, remaining).value

    def _splits(self, readings: Group) -> list[tuple[str, list[Group]]]:
        """Questions that split these readings; one alone if it separates all of them, since no other is better."""
        splits = []
        for question, groups in self.questions:
            parts = [part for group in groups if (part := tuple(i for i in group if i in readings))]
            if len(parts) == len(readings):
                return [(question, parts)]
            if len(parts) > 1:
                splits.append((question, parts))
        return splits

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best plan at each cost pair.

        Args:
            costs: Shape [C, 2]: alpha and beta.

        Returns:
            Value, shape [C], and first action as an index into `ACTIONS`, shape [C].
        """
        best = self.best(costs, self.everyone, self.max_questions)
        return best.value, best.action

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Value of the best plan that begins with each action; -inf if there is no such plan.

        Args:
            costs: Shape [C, 2].

        Returns:
            Shape [C, 3], in the order of `ACTIONS`. The highest is the oracle's value.
        """
        gains, remaining = self._gains(costs, self.everyone), self.max_questions - 1
        values = [gains[self._action == i].max(0, initial=-np.inf) for i in range(len(ACTIONS))]
        if remaining >= 0:
            # If no question splits the readings, a useless one can still be asked.
            splits = self._splits(self.everyone) or [("", [self.everyone])]
            values_of_questions = [self.ask(costs, groups, remaining) for _, groups in splits]
            values[ACTIONS.index("clarify")] = np.max(values_of_questions, axis=0)
        return np.stack(values, axis=1)

    def words_used(self, costs: np.ndarray) -> np.ndarray:
        """Expected words of the oracle's last message, shape [C]."""
        return self.best(costs, self.everyone, self.max_questions).words

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Expected words of the oracle's last message, as ``words``; shape [C]."""
        return {"words": self.words_used(costs)}

    def message(self, costs: np.ndarray, readings: Group, remaining: int) -> str:
        """The oracle's message at one cost pair, shape [1, 2], given that one of ``readings`` is meant."""
        value, best = self.closing(costs, readings)
        text = self.plans[best[0]].text
        if remaining and len(readings) > 1:
            for question, groups in self._splits(readings):
                question_value = self.ask(costs, groups, remaining - 1)
                if question_value[0] > value[0] + _MARGIN:
                    value, text = question_value, f"#CLARIFY {question}"
        return text

    @cached_property
    def likeliest(self) -> Plan:
        """The guess with the highest expected accuracy; among equals, the one with the fewest words."""
        guesses = [plan for plan in self.plans if plan.action == "answer"]
        return max(guesses, key=self._preference)

    def _preference(self, plan: Plan) -> tuple[float, int]:
        """Sort key of the fixed strategies: expected accuracy, then fewest words.

        Rounded, because the last bits of equal accuracies depend on the processor.
        """
        return round(float(self.weights @ plan.accuracy), 9), -plan.words

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Values, shape [C], of the fixed strategies and the threshold rule."""
        best = self.likeliest
        accuracy = self.weights @ best.accuracy
        guess = reward(accuracy, (0, best.words), costs.T)
        lists = [plan for plan in self.plans if plan.action == "multi_answer"]
        full_list = max(lists, key=self._preference, default=None)
        splits = self._splits(self.everyone)
        ask = guess if not self.max_questions else self.ask(costs, splits[0][1] if splits else [self.everyone], 0)
        return {
            "guess": guess,
            "list": reward(self.weights @ full_list.accuracy, (0, full_list.words), costs.T) if full_list else guess,
            "ask": ask,
            "threshold": np.where(reward(1, (1, 0), costs.T) > accuracy, ask, guess),
        }


def solve(task: Task, episodes: list[Episode], max_questions: int = 2) -> list[Solved]:
    """Solves episodes; each can then be evaluated at any costs."""
    return [Solved(task, episode, max_questions) for episode in episodes]


class ActionMap(NamedTuple):
    """The oracle over a grid of costs, averaged over episodes.

    Attributes:
        shares: Share of each of `ACTIONS` as the first action; shape [alphas, betas, 3].
        value: Expected reward; shape [alphas, betas].
        words: Expected words of the last message; shape [alphas, betas].
    """

    shares: np.ndarray
    value: np.ndarray
    words: np.ndarray


def action_map(solved: Sequence[Solved], alphas: Sequence[float], betas: Sequence[float]) -> ActionMap:
    """Evaluates the oracle on the grid alphas x betas."""
    costs = np.array([(alpha, beta) for alpha in alphas for beta in betas])
    best = [s.best(costs, s.everyone, s.max_questions) for s in solved]
    shape = (len(alphas), len(betas))
    shares = np.mean([b.action[:, None] == np.arange(len(ACTIONS)) for b in best], axis=0)
    value, words = (np.mean([getattr(b, name) for b in best], axis=0) for name in ("value", "words"))
    return ActionMap(shares.reshape(*shape, len(ACTIONS)), value.reshape(shape), words.reshape(shape))


def summarize(solved: Sequence[Solved], costs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Averages over episodes and costs.

    Returns:
        ``oracle``: mean reward of the oracle; ``shares``: shares of its first actions; ``silent``: share of empty
        answers; ``fixed``: mean reward of each of `FIXED`.
    """
    pairs = np.array(costs)
    best = [s.best(pairs, s.everyone, s.max_questions) for s in solved]
    fixed = [s.fixed(pairs) for s in solved]
    action = np.array([b.action for b in best])
    silent = (action == ACTIONS.index("answer")) & (np.array([b.words for b in best]) == 0)
    return {
        "oracle": float(np.mean([b.value for b in best])),
        "shares": {name: float((action == i).mean()) for i, name in enumerate(ACTIONS)},
        "silent": float(silent.mean()),
        "fixed": {name: float(np.mean([f[name] for f in fixed])) for name in FIXED},
    }
