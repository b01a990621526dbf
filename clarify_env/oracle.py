"""Plans, the oracle, the fixed strategies and the action map (DESIGN section 3a).

A plan's value is linear in the costs, so each episode is solved once, into a table of plans, and priced at any number of
costs by a matrix product. ``python -m clarify_env.oracle task=almanac`` prints the map of a task.
"""

from functools import cached_property
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np

from clarify_env.actions import Item, parse, words
from clarify_env.scoring import normalize
from clarify_env.tasks.base import Episode, Task

FIXED = ("guess", "list", "ask", "threshold")
ACTIONS = ("clarify", "answer", "multi_answer")
# Concatenating more answers than this never pays: token F1 of k equal parts is 2/(k+1) at k times the words.
_MOST_JOINED = 3


class Plan(NamedTuple):
    """A last message and what it is worth before costs.

    Attributes:
        action: ``"answer"`` or ``"multi_answer"``.
        text: The message, tag included.
        words: Words charged.
        accuracy: Expected accuracy for each reading, were it the intent; shape [readings].
    """

    action: str
    text: str
    words: int
    accuracy: np.ndarray


def shortest_label(task: Task, episode: Episode, reading: int) -> str:
    """The fewest words of a reading's label that fit it and no other reading."""
    label = episode.interpretations[reading].label
    for part in sorted(label.split(), key=len):
        if [i for i in range(len(episode.interpretations)) if task.match(part, i, episode) > 0] == [reading]:
            return part
    return label


def closing_plans(task: Task, episode: Episode) -> list[Plan]:
    """Every last message worth considering: silence, guesses, joined guesses, labelled lists of any subset."""
    readings = episode.interpretations
    partial = task.metric != "em"
    shortest = [min(reading.answers, key=lambda a: len(a.split())) for reading in readings]
    labels = [shortest_label(task, episode, i) for i in range(len(readings))]
    texts = {"": "answer"}
    guesses = shortest if not partial else [g for r in readings for alias in r.answers for g in _truncations(alias)]
    texts |= {f" {guess}": "answer" for guess in guesses}
    if partial:
        for k in range(2, _MOST_JOINED + 1):
            texts |= {f" {' '.join(group)}": "answer" for group in combinations(shortest, k)}
    plans = [_plan(task, episode, "answer", f"#ANSWER{text}") for text in texts]
    longest = max(len(answer.split()) for answer in shortest)
    for size in range(2, len(readings) + 1):
        for subset in combinations(range(len(readings)), size):
            for length in range(1, longest + 1) if partial else [longest]:
                items = [f"{labels[i]}: {' '.join(shortest[i].split()[:length])}" for i in subset]
                plans.append(_plan(task, episode, "multi_answer", f"#MULTI_ANS {_joined(items)}"))
    return plans


def _truncations(answer: str) -> list[str]:
    tokens = answer.split()
    return [" ".join(tokens[:k]) for k in range(1, len(tokens) + 1)]


def _joined(items: list[str]) -> str:
    return "\n".join(items) if any(";" in item for item in items) else "; ".join(items)


def _plan(task: Task, episode: Episode, action: str, text: str) -> Plan:
    parsed = parse(text)
    items = getattr(parsed, "items", None) or (Item("", parsed.text),)
    accuracy = np.zeros(len(episode.interpretations))
    for intent in range(len(accuracy)):
        fits = task.pick(items, intent, episode)
        if fits:
            accuracy[intent] = np.mean([task.score(items[i].answer, intent, episode) for i in fits])
    return Plan(action, text, words(parsed), accuracy)


class Solved:
    """An episode solved for all costs.

    Args:
        task: The rules of matching and scoring.
        episode: What to solve.
        max_questions: As in the game.
    """

    def __init__(self, task: Task, episode: Episode, max_questions: int = 2):
        self.task, self.episode, self.max_questions = task, episode, max_questions
        self.plans = task.plans(episode)
        self.weights = np.array([reading.weight for reading in episode.interpretations])
        self._mass = np.array([plan.accuracy for plan in self.plans]) * self.weights
        self._words = np.array([plan.words for plan in self.plans], dtype=float)
        self.everyone = tuple(range(len(self.weights)))

    @cached_property
    def questions(self) -> list[tuple[str, list[tuple[int, ...]]]]:
        """Each question worth asking with the groups into which its replies part the readings, finest first."""
        asked = [(question, self.cells(question)) for question in self.task.questions(self.episode)]
        return sorted(asked, key=lambda pair: -len(pair[1]))

    def cells(self, question: str) -> list[tuple[int, ...]]:
        """Groups of readings whose users reply alike to a question."""
        groups: dict[str, list[int]] = {}
        for intent in self.everyone:
            groups.setdefault(self.task.reply(question, intent, self.episode), []).append(intent)
        return [tuple(group) for group in groups.values()]

    def closing(self, costs: np.ndarray, readings: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The best last message once it is known that one of ``readings`` is meant.

        Args:
            costs: Shape [C, 2].
            readings: Indices of the readings that are left.

        Returns:
            Its value times the readings' weight, and its index in `plans`; both of shape [C].
        """
        chosen = list(readings)
        gain = self._mass[:, chosen].sum(1)[:, None] - np.outer(self._words * self.weights[chosen].sum(), costs[:, 1])
        best = gain.argmax(0)
        return gain[best, np.arange(len(costs))], best

    def ask(self, costs: np.ndarray, cells: list[tuple[int, ...]], left: int) -> np.ndarray:
        """Value, shape [C], of a question that parts the readings into ``cells``, with ``left`` more allowed after it."""
        spent = costs[:, 0] * self.weights[list(chain(*cells))].sum()
        return sum(self._value(costs, cell, left) for cell in cells) - spent

    def _value(self, costs: np.ndarray, readings: tuple[int, ...], left: int) -> np.ndarray:
        value = self.closing(costs, readings)[0]
        if left and len(readings) > 1:
            for _, cells in self._splits(readings):
                value = np.maximum(value, self.ask(costs, cells, left - 1))
        return value

    def _splits(self, readings: tuple[int, ...]) -> list[tuple[str, list[tuple[int, ...]]]]:
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
        value, best = self.closing(costs, self.everyone)
        action = np.array([ACTIONS.index(self.plans[i].action) for i in best])
        if self.max_questions:
            for _, cells in self._splits(self.everyone):
                asked = self.ask(costs, cells, self.max_questions - 1)
                better = asked > value + 1e-12
                value, action = np.where(better, asked, value), np.where(better, 0, action)
        return value, action

    def words_used(self, costs: np.ndarray) -> np.ndarray:
        """Expected words of the oracle's last message, shape [C]."""
        _, action = self.oracle(costs)
        used = self._words[self.closing(costs, self.everyone)[1]]
        splits = self._splits(self.everyone)
        if splits and (action == 0).any():
            asked = np.array([self.ask(costs, cells, self.max_questions - 1) for _, cells in splits]).argmax(0)
            for index, (_, cells) in enumerate(splits):
                spoken = sum(self.weights[list(c)].sum() * self._words[self.closing(costs, c)[1]] for c in cells)
                used = np.where((action == 0) & (asked == index), spoken, used)
        return used

    def message(self, costs: np.ndarray, readings: tuple[int, ...], left: int) -> str:
        """What the oracle says at one pair of costs (shape [1, 2]) when one of ``readings`` may be meant."""
        value, best = self.closing(costs, readings)
        text = self.plans[best[0]].text
        if left and len(readings) > 1:
            for question, cells in self._splits(readings):
                asked = self.ask(costs, cells, left - 1)
                if asked[0] > value[0] + 1e-12:
                    value, text = asked, f"#CLARIFY {question}"
        return text

    @cached_property
    def likeliest(self) -> Plan:
        """The guess with the highest expected accuracy (fewest words among equals)."""
        guesses = [(mass.sum(), -plan.words, i) for i, (plan, mass) in enumerate(zip(self.plans, self._mass, strict=True))
                   if plan.action == "answer"]  # fmt: skip
        return self.plans[max(guesses)[2]]

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Values, shape [C], of the fixed strategies and the threshold rule."""
        alpha, beta = costs.T
        best = self.likeliest
        sure = self.weights @ best.accuracy
        guess = sure - beta * best.words
        lists = [plan for plan in self.plans if plan.action == "multi_answer"]
        every = max(lists, key=lambda plan: (self.weights @ plan.accuracy, -plan.words), default=None)
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



def unlabelled(task: Task, episode: Episode) -> bool:
    """Whether two readings of an episode cannot be told apart by label, so that no list can serve both."""
    labels = [normalize(shortest_label(task, episode, i)) for i in range(len(episode.interpretations))]
    items = [Item(label, "x") for label in labels]
    return any(task.pick(items, i, episode) != [i] for i in range(len(labels))) if len(labels) > 1 else False
