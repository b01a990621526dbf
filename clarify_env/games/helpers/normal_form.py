"""The one-shot game of two helpers in normal form: pure strategies, values, equilibria, and the joint maximum.

Each helper either is sure of what it remembers, which is then right, or it is not. In each of these cases it answers
from memory or after a search, and asserts its answer or hedges it: 16 pure strategies. All earn the probability that
the asker's answer is right less the price of all calls, so it is a game of common interest.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

# Values that differ by no more than this, in units of reward, differ by rounding.
EQUAL = 1e-9


class Move(NamedTuple):
    """What a helper does in one case: whether it searches, and whether it asserts."""

    searches: bool
    asserts: bool

    def __str__(self) -> str:
        return f"{'s' if self.searches else 'm'}{'!' if self.asserts else '?'}"


MOVES = tuple(Move(searches, asserts) for searches in (False, True) for asserts in (True, False))


class Strategy(NamedTuple):
    """What a helper does where it is sure, and where it is not."""

    sure: Move
    unsure: Move

    def __str__(self) -> str:
        return f"{self.sure} {self.unsure}"


STRATEGIES = tuple(Strategy(*moves) for moves in product(MOVES, repeat=2))
# How the asker chooses between an asserted and a hedged answer, or between helpers that it can tell apart.
ANONYMOUS, NAMED = ("assert", "hedge", "any"), ("helper_0", "helper_1")


class Profile(NamedTuple):
    """One strategy each, and what it earns.

    Attributes:
        helpers: Strategy of each helper.
        asker: The asker's rule.
        value: Expected reward.
        calls: Expected calls.
    """

    helpers: tuple[Strategy, Strategy]
    asker: str
    value: float
    calls: float

    def __str__(self) -> str:
        first, second = self.helpers
        return f"{first} | {second} | {self.asker}"


@dataclass(frozen=True)
class Setting:
    """One instance of the game.

    Attributes:
        known: Probability that each helper is sure.
        quality: Probability that each helper's search finds the answer.
        price: Price of a call.
        guess: Probability that a memory which is not sure is right.
        shared: Whether both helpers are sure or neither is.
        askers: The rules that the asker may choose from.
    """

    known: tuple[float, float]
    quality: tuple[float, float]
    price: float
    guess: float = 0.0
    shared: bool = False
    askers: tuple[str, ...] = ("assert",)

    def __post_init__(self) -> None:
        for name in ("known", "quality"):
            if not all(0 <= one <= 1 for one in getattr(self, name)):
                raise ValueError(f"{name} must be in [0, 1], not {list(getattr(self, name))}")
        if not 0 <= self.guess <= 1:
            raise ValueError(f"guess must be in [0, 1], not {self.guess}")
        if not 0 <= self.price < np.inf:
            raise ValueError(f"price must be at least 0, not {self.price}")
        if self.shared and self.known[0] != self.known[1]:
            raise ValueError(f"shared=true needs the same known of both helpers, not {list(self.known)}")

    def cases(self) -> dict[tuple[bool, bool], float]:
        """Returns the probability of each case that can be: whether each helper is sure."""
        if self.shared:
            odds = {(True, True): self.known[0], (False, False): 1 - self.known[0]}
        else:
            first, second = self.known
            odds = {
                (a, b): (first if a else 1 - first) * (second if b else 1 - second)
                for a, b in product((True, False), repeat=2)
            }
        return {case: share for case, share in odds.items() if share > 0}

    def strategies(self, helper: int) -> tuple[Strategy, ...]:
        """Returns the strategies of a helper; those that differ only in a case that cannot be are one."""
        return tuple(
            strategy
            for strategy in STRATEGIES
            if (self.known[helper] > 0 or strategy.sure == MOVES[0])
            and (self.known[helper] < 1 or strategy.unsure == MOVES[0])
        )

    def right(self, helper: int, sure: bool, move: Move) -> float:
        """Returns the probability that a helper's answer is right."""
        return self.quality[helper] if move.searches else 1.0 if sure else self.guess


@dataclass(frozen=True)
class Solution:
    """All profiles of a setting, and which of them are equilibria.

    Args:
        setting: The setting.
    """

    setting: Setting

    @cached_property
    def _tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Expected reward and expected calls of each profile, shape [first helper, second helper, asker]."""
        setting = self.setting
        own = [setting.strategies(helper) for helper in (0, 1)]
        score = np.zeros((len(own[0]), len(own[1]), len(setting.askers)))
        calls = np.zeros(score.shape)
        for case, share in setting.cases().items():
            moves = [[s.sure if case[i] else s.unsure for s in own[i]] for i in (0, 1)]
            right = [np.array([setting.right(i, case[i], move) for move in moves[i]]) for i in (0, 1)]
            asserts = [np.array([move.asserts for move in moves[i]]) for i in (0, 1)]
            searches = [np.array([move.searches for move in moves[i]], dtype=float) for i in (0, 1)]
            for a, rule in enumerate(setting.askers):
                first = _taken(rule, asserts[0][:, None], asserts[1][None, :])
                score[:, :, a] += share * (first * right[0][:, None] + (1 - first) * right[1][None, :])
            calls += share * (searches[0][:, None] + searches[1][None, :])[:, :, None]
        return score - setting.price * calls, calls

    @property
    def values(self) -> np.ndarray:
        """Expected reward of each profile, shape [first helper, second helper, asker]."""
        return self._tables[0]

    @cached_property
    def stable(self) -> np.ndarray:
        """Whether no player alone could earn more, by profile; shape as of `values`."""
        values = self.values
        return np.all([values >= values.max(axis, keepdims=True) - EQUAL for axis in range(3)], axis=0)

    def equilibria(self) -> list[Profile]:
        """Returns the equilibria, those of the highest value first."""
        profiles = [self._profile(*index) for index in np.argwhere(self.stable).tolist()]
        return sorted(profiles, key=lambda profile: -profile.value)

    def best(self) -> list[Profile]:
        """Returns the profiles of the highest value, which are all equilibria."""
        values = self.values
        return [self._profile(*index) for index in np.argwhere(values >= values.max() - EQUAL).tolist()]

    def _profile(self, first: int, second: int, asker: int) -> Profile:
        setting, index = self.setting, (first, second, asker)
        helpers = setting.strategies(0)[first], setting.strategies(1)[second]
        values, calls = self._tables
        return Profile(helpers, setting.askers[asker], float(values[index]), float(calls[index]))


def _taken(rule: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Probability that the asker takes the first helper's answer, by whether each asserts."""
    if rule in NAMED:
        return np.full(np.broadcast_shapes(first.shape, second.shape), float(rule == NAMED[0]))
    if rule == "any":
        return np.full(np.broadcast_shapes(first.shape, second.shape), 0.5)
    sign = 1 if rule == "assert" else -1
    return (1 + sign * (first.astype(float) - second.astype(float))) / 2
