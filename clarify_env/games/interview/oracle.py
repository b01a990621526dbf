"""The oracle of the interview: optimal stopping by dynamic programming (docs/games/interview.md).

A state is the set of possibilities that all replies so far leave, and the number of questions that are left. The value
of a state is the best of: an answer now, no answer, or a question, whose replies part the set. It is exact over the
possibilities' weights, and is computed at any number of prices at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import reward
from clarify_env.games.clarification.plans import guesses
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Task
from clarify_env.words import count_words

ACTIONS = ("ask", "answer")
ASK, ANSWER = range(2)
# A question must be better by more than this to be preferred, so that rounding errors decide nothing.
MARGIN = 1e-9

Group = tuple[int, ...]


class Question(NamedTuple):
    """A useful question in the fewest words that the user understands.

    Attributes:
        text: The question.
        words: Number of words.
        replies: The user's reply under each possibility.
    """

    text: str
    words: int
    replies: tuple[str, ...]


class Guess(NamedTuple):
    """An answer.

    Attributes:
        text: The answer; empty: no answer.
        words: Number of words.
        score: Score under each possibility, shape [possibilities].
    """

    text: str
    words: int
    score: np.ndarray


class Best(NamedTuple):
    """The best continuation from a state; each array has shape [C] and holds a value times the weight of the state.

    Attributes:
        value: Expected reward.
        stop: Expected reward of the best answer now.
        ask: Expected reward of the best question; -inf: there is none.
        questions: Expected number of questions.
        words: Expected number of words.
    """

    value: np.ndarray
    stop: np.ndarray
    ask: np.ndarray
    questions: np.ndarray
    words: np.ndarray


class Solved:
    """An episode solved for all prices.

    Args:
        task: The task; it scores answers and replies to questions.
        episode: The episode.
        max_questions: Most questions, as in the game.
    """

    def __init__(self, task: Task, episode: Episode, max_questions: int):
        self.task, self.episode, self.max_questions = task, episode, max_questions
        self.weights = np.array([reading.weight for reading in episode.interpretations])
        self.everyone: Group = tuple(range(len(self.weights)))
        self.guesses, self.questions = _guesses(task, episode), _questions(task, episode)
        self._states: dict[tuple[bytes, Group, int], Best] = {}
        self._prices = b""

    def parts(self, question: Question, group: Group) -> list[Group]:
        """Parts a set of possibilities by the user's reply to a question."""
        by_reply: dict[str, list[int]] = {}
        for i in group:
            by_reply.setdefault(question.replies[i], []).append(i)
        return [tuple(part) for part in by_reply.values()]

    def after(self, group: Group, question: str, reply: str) -> Group:
        """Returns the possibilities of a set under which the user replies so to a question; the set if none is."""
        left = tuple(i for i in group if self.task.reply(question, i, self.episode) == reply)
        return left or group

    def guess(self, group: Group) -> Guess:
        """Returns the likeliest answer in a state; of equals, the one of fewest words, then the first."""
        rows = list(group)
        return max(self.guesses, key=lambda g: (round(float(self.weights[rows] @ g.score[rows]), 9), -g.words))

    def stop(self, costs: np.ndarray, group: Group) -> tuple[np.ndarray, np.ndarray]:
        """Returns value and words, shape [C], of the best answer now (times the weight of the state)."""
        values = self._answers(costs, group)
        words = np.array([guess.words for guess in self.guesses])[values.argmax(0)]
        return values.max(0), self.weights[list(group)].sum() * words

    def answer(self, costs: Costs, group: Group) -> Guess:
        """Returns the best answer now, as of `stop`."""
        return self.guesses[int(self._answers(np.array([costs]), group)[:, 0].argmax())]

    def _answers(self, costs: np.ndarray, group: Group) -> np.ndarray:
        """The value of each guess (times the weight of the state), shape [guesses, C]."""
        rows = list(group)
        scores = np.array([self.weights[rows] @ guess.score[rows] for guess in self.guesses])[:, None]
        words = np.array([guess.words for guess in self.guesses])[:, None]
        return reward(scores, (self.weights[rows].sum() * words,), costs.T[1:])

    def best(self, costs: np.ndarray, group: Group, remaining: int) -> Best:
        """Returns the best continuation from a state, at prices of shape [C, 2]."""
        key = costs.tobytes()
        if key != self._prices:
            self._states, self._prices = {}, key
        state = key, group, remaining
        if state not in self._states:
            self._states[state] = self._best(costs, group, remaining)
        return self._states[state]

    def _best(self, costs: np.ndarray, group: Group, remaining: int) -> Best:
        stop, words = self.stop(costs, group)
        value, questions, ask = stop.copy(), np.zeros(len(costs)), np.full(len(costs), -np.inf)
        for question in self.questions if remaining else ():
            if len(self.parts(question, group)) < 2:
                continue
            after = self.after_question(costs, question, group, remaining)
            ask = np.maximum(ask, after.value)
            better = after.value > value + MARGIN
            value, questions, words = (
                np.where(better, new, old)
                for new, old in zip((after.value, after.questions, after.words), (value, questions, words), strict=True)
            )
        return Best(value, stop, ask, questions, words)

    def after_question(self, costs: np.ndarray, question: Question, group: Group, remaining: int) -> Best:
        """Returns the value of a question, and of the best play after it; ``stop`` is left out."""
        mass = self.weights[list(group)].sum()
        below = [self.best(costs, part, remaining - 1) for part in self.parts(question, group)]
        value, questions, words = (np.sum([getattr(b, n) for b in below], 0) for n in ("value", "questions", "words"))
        value = reward(value, (mass, mass * question.words), costs.T)
        return Best(value, value, value, questions + mass, words + mass * question.words)

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns value and first action (index into `ACTIONS`) of the best play, both of shape [C]."""
        best = self.best(costs, self.everyone, self.max_questions)
        return best.value, np.where(best.ask > best.stop + MARGIN, ASK, ANSWER)

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Returns the value of the best play that begins with each of `ACTIONS`, shape [C, 2]."""
        best = self.best(costs, self.everyone, self.max_questions)
        useless = np.full(len(costs), -np.inf)
        if self.max_questions and not np.isfinite(best.ask).any():
            # No question parts the possibilities; one can still be asked in vain, in the fewest words, none.
            useless = reward(self.best(costs, self.everyone, self.max_questions - 1).value, (1.0, 0.0), costs.T)
        return np.stack([np.maximum(best.ask, useless), best.stop], axis=1)

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the expected questions and words of the oracle, shape [C]."""
        best = self.best(costs, self.everyone, self.max_questions)
        return {"questions": best.questions, "words": best.words}

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the value, shape [C], of each strategy that disregards the prices.

        ``guess``: the likeliest answer at once; ``ask_one``: the question after which the likeliest answer is right
        most often, then that answer; ``ask_all``: such questions as long as any is left that parts the possibilities.
        """
        return {
            name: self._fixed(costs, self.everyone, min(count, self.max_questions))
            for name, count in (("guess", 0), ("ask_one", 1), ("ask_all", self.max_questions))
        }

    def _fixed(self, costs: np.ndarray, group: Group, count: int) -> np.ndarray:
        question = self.most_telling(group) if count else None
        mass = self.weights[list(group)].sum()
        if question is None:
            guess = self.guess(group)
            score = self.weights[list(group)] @ guess.score[list(group)]
            return reward(np.full(len(costs), score), (0.0, mass * guess.words), costs.T)
        below = np.sum([self._fixed(costs, part, count - 1) for part in self.parts(question, group)], axis=0)
        return reward(below, (mass, mass * question.words), costs.T)

    def most_telling(self, group: Group) -> Question | None:
        """Returns the question after which the likeliest answer is right most often; ``None``: none parts the state."""
        parting = [question for question in self.questions if len(self.parts(question, group)) > 1]
        return max(parting, key=lambda question: round(self.right_after(question, group), 9), default=None)

    def right(self, group: Group) -> float:
        """Returns the probability that the likeliest answer is right, times the weight of the state."""
        rows = list(group)
        return float(self.weights[rows] @ self.guess(group).score[rows])

    def right_after(self, question: Question, group: Group) -> float:
        """Returns the probability that the likeliest answer after a question is right, times the state's weight."""
        return sum(self.right(part) for part in self.parts(question, group))


def _guesses(task: Task, episode: Episode) -> list[Guess]:
    """All answers, as the oracle of the clarification game finds them, and none."""
    return [
        Guess(text, count_words(text), np.array([_score(task, text, i, episode) for i in _indices(episode)]))
        for text in (*guesses(task, episode), "")
    ]


def _score(task: Task, text: str, intent: int, episode: Episode) -> float:
    return float(task.score(text, intent, episode)) if text else 0.0


def _indices(episode: Episode) -> range:
    return range(len(episode.interpretations))


def _questions(task: Task, episode: Episode) -> list[Question]:
    """Questions that part the possibilities, each partition by its shortest question: whole, or one word of it."""
    shortest: dict[tuple[str, ...], Question] = {}
    for whole in task.questions(episode):
        for text in (whole, *whole.split()):
            replies = tuple(task.reply(text, i, episode) for i in _indices(episode))
            known = shortest.get(replies)
            if len(set(replies) - {NOT_UNDERSTOOD}) > 1 and (known is None or count_words(text) < known.words):
                shortest[replies] = Question(text, count_words(text), replies)
    return list(shortest.values())


def solve(task: Task, episodes: Sequence[Any], max_questions: int) -> list[Solved]:
    """Solves episodes; each can then be valued at any prices."""
    return [Solved(task, episode, max_questions) for episode in episodes]
