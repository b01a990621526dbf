"""The oracle, the fixed strategies and the action map (DESIGN section 3a).

A plan's value is linear in the costs, so each episode is solved once, into a table of plans, and priced at any number
of costs by a matrix product. ``python -m clarify_env.games.clarification task=almanac`` prints the map of a task.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from clarify_env.games.clarification.plans import Group, Plan, closing_plans
from clarify_env.tasks.base import Episode, Task

FIXED = ("guess", "list", "ask", "threshold")
ACTIONS = ("clarify", "answer", "multi_answer")
# What an action must be better by to be preferred, so that rounding decides nothing.
_MARGIN = 1e-12


class Best(NamedTuple):
    """The best way to play on when one of some readings may be meant; all of shape [costs].

    Attributes:
        value: Expected reward times the readings' weight.
        action: First action, as an index into `ACTIONS`.
        words: Expected words of the last message, times the readings' weight.
    """

    value: np.ndarray
    action: np.ndarray
    words: np.ndarray


class Solved:
    """An episode solved for all costs.

    Args:
        task: The rules of matching and scoring.
        episode: What to solve.
        max_questions: As in the game.
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
        """Each question worth asking with the groups into which its replies part the readings, finest first."""
        asked = [(question, self.cells(question)) for question in self.task.questions(self.episode)]
        return sorted(asked, key=lambda pair: -len(pair[1]))

    def cells(self, question: str) -> list[Group]:
        """Groups of readings whose users reply alike to a question."""
        groups: dict[str, list[int]] = {}
        for intent in self.everyone:
            groups.setdefault(self.task.reply(question, intent, self.episode), []).append(intent)
        return [tuple(group) for group in groups.values()]

    def closing(self, costs: np.ndarray, readings: Group) -> tuple[np.ndarray, np.ndarray]:
        """The best last message once it is known that one of ``readings`` is meant.

        Args:
            costs: Shape [C, 2].
            readings: Indices of the readings that are left.

        Returns:
            Its value times the readings' weight, and its index in `plans`; both of shape [C].
        """
        gain = self._gains(costs, readings)
        best = gain.argmax(0)
        return gain[best, np.arange(len(costs))], best

    def _gains(self, costs: np.ndarray, readings: Group) -> np.ndarray:
        """Value of each plan as the last message, times the readings' weight; shape [plans, C]."""
        chosen = list(readings)
        return self._mass[:, chosen].sum(1)[:, None] - np.outer(self._words * self.weights[chosen].sum(), costs[:, 1])

    def best(self, costs: np.ndarray, readings: Group, left: int) -> Best:
        """The best way to play on when one of ``readings`` may be meant and ``left`` questions are allowed."""
        value, plan = self.closing(costs, readings)
        best = Best(value, self._action[plan], self._words[plan] * self.weights[list(readings)].sum())
        if left and len(readings) > 1:
            for _, cells in self._splits(readings):
                asked = self._asked(costs, cells, left - 1)
                better = asked.value > best.value + _MARGIN
                best = Best(*(np.where(better, new, old) for new, old in zip(asked, best, strict=True)))
        return best

    def _asked(self, costs: np.ndarray, cells: list[Group], left: int) -> Best:
        after = [self.best(costs, cell, left) for cell in cells]
        spent = costs[:, 0] * self.weights[[i for cell in cells for i in cell]].sum()
        clarify = np.full(len(costs), ACTIONS.index("clarify"))
        value, words = (np.sum([getattr(b, name) for b in after], axis=0) for name in ("value", "words"))
        return Best(value - spent, clarify, words)

    def ask(self, costs: np.ndarray, cells: list[Group], left: int) -> np.ndarray:
        """Value, shape [C], of a question that parts the readings into ``cells``, with ``left`` more allowed."""
        return self._asked(costs, cells, left).value

    def _splits(self, readings: Group) -> list[tuple[str, list[Group]]]:
        """Questions that tell these readings apart; only one, where one tells them all apart and so beats the rest."""
        kept = []
        for question, cells in self.questions:
            parts = [part for cell in cells if (part := tuple(i for i in cell if i in readings))]
            if len(parts) == len(readings):
                return [(question, parts)]
            if len(parts) > 1:
                kept.append((question, parts))
        return kept

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best plan at each of the costs.

        Args:
            costs: Shape [C, 2]: alpha and beta.

        Returns:
            Its value, shape [C], and its first action as an index into `ACTIONS`, shape [C].
        """
        best = self.best(costs, self.everyone, self.max_questions)
        return best.value, best.action

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """What the best plan earns that begins with each action; -inf where none does.

        Args:
            costs: Shape [C, 2].

        Returns:
            Shape [C, 3], in the order of `ACTIONS`. The highest is the oracle's value.
        """
        gains, left = self._gains(costs, self.everyone), self.max_questions - 1
        values = [gains[self._action == i].max(0, initial=-np.inf) for i in range(len(ACTIONS))]
        if left >= 0:
            # Where no question tells readings apart, one can still be asked for nothing.
            splits = self._splits(self.everyone) or [("", [self.everyone])]
            asked = [self.ask(costs, cells, left) for _, cells in splits]
            values[ACTIONS.index("clarify")] = np.max(asked, axis=0)
        return np.stack(values, axis=1)

    def words_used(self, costs: np.ndarray) -> np.ndarray:
        """Expected words of the oracle's last message, shape [C]."""
        return self.best(costs, self.everyone, self.max_questions).words

    def message(self, costs: np.ndarray, readings: Group, left: int) -> str:
        """What the oracle says at one pair of costs (shape [1, 2]) when one of ``readings`` may be meant."""
        value, best = self.closing(costs, readings)
        text = self.plans[best[0]].text
        if left and len(readings) > 1:
            for question, cells in self._splits(readings):
                asked = self.ask(costs, cells, left - 1)
                if asked[0] > value[0] + _MARGIN:
                    value, text = asked, f"#CLARIFY {question}"
        return text

    @cached_property
    def likeliest(self) -> Plan:
        """The guess with the highest expected accuracy (fewest words among equals)."""
        guesses = [plan for plan in self.plans if plan.action == "answer"]
        return max(guesses, key=self._sureness)

    def _sureness(self, plan: Plan) -> tuple[float, int]:
        """What the fixed strategies choose a plan by: expected accuracy, then fewest words.

        Equal accuracies differ in the last bits, in ways that depend on the processor, and must not decide.
        """
        return round(float(self.weights @ plan.accuracy), 9), -plan.words

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Values, shape [C], of the fixed strategies and the threshold rule."""
        alpha, beta = costs.T
        best = self.likeliest
        sure = self.weights @ best.accuracy
        guess = sure - beta * best.words
        lists = [plan for plan in self.plans if plan.action == "multi_answer"]
        every = max(lists, key=self._sureness, default=None)
        splits = self._splits(self.everyone)
        ask = self.ask(costs, splits[0][1] if splits else [self.everyone], 0)
        return {
            "guess": guess,
            "list": self.weights @ every.accuracy - beta * every.words if every else guess,
            "ask": ask,
            "threshold": np.where(1 - alpha > sure, ask, guess),
        }


def solve(task: Task, episodes: list[Episode], max_questions: int = 2) -> list[Solved]:
    """Solves episodes; each can then be priced at any costs."""
    return [Solved(task, episode, max_questions) for episode in episodes]


class ActionMap(NamedTuple):
    """What the oracle does over a grid of costs, averaged over episodes.

    Attributes:
        shares: Share of each of `ACTIONS` as its first action; shape [alphas, betas, 3].
        value: Its expected reward; shape [alphas, betas].
        words: Expected words of its last message; shape [alphas, betas].
    """

    shares: np.ndarray
    value: np.ndarray
    words: np.ndarray


def action_map(solved: Sequence[Solved], alphas: Sequence[float], betas: Sequence[float]) -> ActionMap:
    """The oracle's actions, value and words at every pair of the costs."""
    costs = np.array([(alpha, beta) for alpha in alphas for beta in betas])
    best = [s.best(costs, s.everyone, s.max_questions) for s in solved]
    shape = (len(alphas), len(betas))
    shares = np.mean([b.action[:, None] == np.arange(len(ACTIONS)) for b in best], axis=0)
    value, words = (np.mean([getattr(b, name) for b in best], axis=0) for name in ("value", "words"))
    return ActionMap(shares.reshape(*shape, len(ACTIONS)), value.reshape(shape), words.reshape(shape))


def summarize(solved: Sequence[Solved], costs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Averages over episodes and costs.

    Returns:
        ``oracle``: its mean reward; ``shares``: of its first actions; ``silent``: how often it says nothing at all;
        ``fixed``: mean reward of each of `FIXED`.
    """
    cells = np.array(costs)
    best = [s.best(cells, s.everyone, s.max_questions) for s in solved]
    fixed = [s.fixed(cells) for s in solved]
    action = np.array([b.action for b in best])
    silent = (action == ACTIONS.index("answer")) & (np.array([b.words for b in best]) == 0)
    return {
        "oracle": float(np.mean([b.value for b in best])),
        "shares": {name: float((action == i).mean()) for i, name in enumerate(ACTIONS)},
        "silent": float(silent.mean()),
        "fixed": {name: float(np.mean([f[name] for f in fixed])) for name in FIXED},
    }
