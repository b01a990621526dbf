"""Joint plans of both helpers for one question, and the best of them: the reference of reports."""

from collections.abc import Sequence

import numpy as np

from clarify_env.games.base import reward
from clarify_env.games.helpers.actions import KINDS
from clarify_env.games.helpers.retrieval import search
from clarify_env.tasks.base import Episode
from clarify_env.tasks.passages import PassageTask

# The kinds of first messages; the first message of a game is the asker's.
ACTIONS = KINDS[:-1]
# Plans of which the best is taken. No plan in which both call is better: one archive holds the answer, or none.
BEST = ("memory", "call_0", "call_1")
# Values that differ by no more than this, in units of reward, differ by rounding.
EQUAL = 1e-9


class Plans:
    """The plans of an episode, priced. The best one stands where other games have an oracle.

    It is what perfect players earn who know what memory holds and what both archives return: they call nobody where
    memory is right, else the helper whose archive finds the answer, if that is worth the price. It bounds a policy on
    average; a wrong memory that is right by luck may earn more.

    Args:
        score: Score of each plan by name, before prices.
        calls: Calls of each plan.
    """

    def __init__(self, score: dict[str, float], calls: dict[str, int]):
        self.score, self.calls = score, calls

    def _rewards(self, names: Sequence[str], costs: np.ndarray) -> np.ndarray:
        score, calls = (np.array([of[name] for name in names])[:, None] for of in (self.score, self.calls))
        return np.asarray(reward(score, (calls,), costs.T))

    def best(self, price: float) -> str:
        """Name of the best plan at a price; of equal ones, the first of `BEST`."""
        return self.all_best(price)[0]

    def all_best(self, price: float, plans: Sequence[str] = BEST) -> list[str]:
        """Names of those plans that are worth the most at a price, in the order given."""
        values = self._rewards(plans, np.array([[price]]))[:, 0]
        return [name for name, one in zip(plans, values, strict=True) if one >= values.max() - EQUAL]

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the reward of the best plan, and the index of its first action, always ``say``; shapes [C]."""
        return self._rewards(BEST, costs).max(0), np.zeros(len(costs), dtype=int)

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Returns the reward of the best plan that begins with each action, shape [C, actions]; -inf: none does."""
        values = np.full((len(costs), len(ACTIONS)), -np.inf)
        values[:, 0] = self.oracle(costs)[0]
        return values

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the reward of the plans ``memory``, ``careful`` (call where unsure) and ``search`` (always)."""
        names = ("memory", "careful", "search")
        return dict(zip(names, self._rewards(names, costs), strict=True))

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the calls of the best plan, shape [C]."""
        calls = np.array([self.calls[name] for name in BEST])
        return {"calls": calls[self._rewards(BEST, costs).argmax(0)]}


def solve(task: PassageTask, episodes: Sequence[Episode], results: int = 1) -> list[Plans] | None:
    """Tries memory and both archives on some episodes; ``None``: the task knows nothing of any memory."""
    solved = []
    for episode in episodes:
        memory = task.memory(episode)
        if memory is None:
            return None
        text, sure = memory
        by_memory = float(task.score(text, 0, episode))
        found = [task.read(episode, search(corpus, episode.query, results)) for corpus in task.corpora]
        read = [None if answer is None else float(task.score(answer, 0, episode)) for answer in found]
        after = [by_memory if score is None else max(by_memory, score) for score in read]
        searched = max((score for score in read if score is not None), default=by_memory)
        score = {"memory": by_memory, "call_0": after[0], "call_1": after[1]}
        score |= {"careful": by_memory if sure else searched, "search": searched}
        calls = {"memory": 0, "call_0": 1, "call_1": 1, "careful": 0 if sure else 2, "search": 2}
        solved.append(Plans(score, calls))
    return solved
