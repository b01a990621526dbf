"""Joint plans of both helpers for one question, and the best of them: the reference of reports."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.games.base import reward
from clarify_env.games.helpers.actions import KINDS
from clarify_env.games.helpers.facts import HELPERS
from clarify_env.games.helpers.retrieval import search
from clarify_env.tasks.base import Episode
from clarify_env.tasks.passages import PassageTask

# The kinds of first messages; unless a helper plays alone, the first message is the asker's.
ACTIONS = KINDS[:-1]
# Values that differ by no more than this, in units of reward, differ by rounding.
EQUAL = 1e-9
_SAY, _SEARCH, _ASSERT, _HEDGE = map(KINDS.index, ("say", "search", "assert", "hedge"))
FIXED = ("memory", "careful", "search")


class Plan(NamedTuple):
    """What a plan earns before prices, and its number of calls."""

    score: float
    calls: int


class Plans:
    """The plans of an episode, priced. The best one stands where other games have an oracle.

    It is what perfect players earn who know what memory holds and what both archives return: they call nobody where
    memory is right, else the helper whose archive finds the answer, if that is worth the price. It bounds a policy on
    average; a wrong memory that is right by luck may earn more.

    Args:
        plans: Each plan by name: ``memory``, ``call_i`` of each helper ``i`` that may call, and the strategies
            ``careful`` (all call where memory is not sure) and ``search`` (all always call).
        alone: Whether a helper plays alone, so that the first message is its own.
    """

    def __init__(self, plans: Mapping[str, Plan], alone: bool = False):
        self.plans, self._alone = plans, alone
        # No plan in which both call is better: one archive holds the answer, or none.
        self._candidates = [name for name in plans if name == "memory" or name.startswith("call_")]

    def _rewards(self, names: Sequence[str], costs: np.ndarray) -> np.ndarray:
        score, calls = (np.array(column)[:, None] for column in zip(*(self.plans[name] for name in names), strict=True))
        return np.asarray(reward(score, (calls,), costs.T))

    def best(self, price: float) -> list[str]:
        """Names of the plans that are worth the most at a price, ``memory`` first."""
        values = self._rewards(self._candidates, np.array([[price]]))[:, 0]
        return [name for name, one in zip(self._candidates, values, strict=True) if one >= values.max() - EQUAL]

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the reward of the best plan, and its first action as an index into `ACTIONS`; shapes [C]."""
        rewards = self._rewards(self._candidates, costs)
        memory = rewards[0] >= rewards.max(0) - EQUAL
        action = np.where(memory, _ASSERT, _SEARCH) if self._alone else np.full(len(costs), _SAY)
        return rewards.max(0), action

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Returns the reward of the best plan that begins with each action, shape [C, actions]; -inf: none does."""
        rewards = self._rewards(self._candidates, costs)
        values = np.full((len(costs), len(ACTIONS)), -np.inf)
        if self._alone:
            values[:, _SEARCH] = rewards[1:].max(0, initial=-np.inf)
            values[:, _ASSERT] = values[:, _HEDGE] = rewards[0]
        else:
            values[:, _SAY] = rewards.max(0)
        return values

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the reward of the strategies of `FIXED`, shape [C]."""
        return dict(zip(FIXED, self._rewards(FIXED, costs), strict=True))

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the calls of the best plan, shape [C]."""
        calls = np.array([self.plans[name].calls for name in self._candidates])
        return {"calls": calls[self._rewards(self._candidates, costs).argmax(0)]}


def solve(
    task: PassageTask, episodes: Sequence[Episode], calls: int = 1, results: int = 1, alone: str = "none"
) -> list[Plans] | None:
    """Tries memory and the archives on some episodes.

    Args:
        task: The task.
        episodes: The episodes.
        calls: Most calls of each helper; a second one finds nothing that the first did not.
        results: Most passages that a call returns.
        alone: Who plays alone; as the game's option.

    Returns:
        Their plans; ``None``: the task knows nothing of any memory.
    """
    helpers = [i for i, helper in enumerate(HELPERS) if calls and alone in ("none", helper)]
    solved = []
    for episode in episodes:
        memory = task.memory(episode)
        if memory is None:
            return None
        text, sure = memory
        by_memory = float(task.score(text, 0, episode))
        plans = {"memory": Plan(by_memory, 0)}
        read = []
        for i in helpers:
            answer = task.read(episode, search(task.corpora[i], episode.query, results))
            if answer is not None:
                read.append(float(task.score(answer, 0, episode)))
            plans[f"call_{i}"] = Plan(by_memory if answer is None else max(by_memory, read[-1]), 1)
        searched = Plan(max(read, default=by_memory), len(helpers))
        strategies = {"careful": plans["memory"] if sure else searched, "search": searched}
        solved.append(Plans(plans | strategies, alone in HELPERS))
    return solved
