"""Rates items in random order under a budget: a burn-in, then strong ratings with the policy's probabilities.

The number of items is the largest that the budget pays for along a random order, with each item's strong rating drawn
before it is known whether it can be paid for; the first item that cannot be is left out. Given that the first t items
cost at most the budget and t + 1 items cost more, the first t are exchangeable, so their mean contribution is unbiased.
(Stopping as soon as the next item *might* cost too much would not be: it stops after strong ratings.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating.errors import Calibration, calibrate
from trainers.rating.estimate import estimate
from trainers.rating.policies import ALWAYS, NAMES, Prices, SamplingPolicy, policy_for
from trainers.rating.ratings import Ratings

# Items of the burn-in, if the budget pays for thrice as many; least probability of a strong rating.
BURN_IN, FLOOR = 200, 0.02

CheapRater = Callable[[list[int]], Sequence[float]]
StrongRater = Callable[[list[int]], Sequence[float | None]]


class Pending(NamedTuple):
    """Strong ratings that are drawn but not there yet, as those of a person; call `rate` again when they are.

    Attributes:
        items: The items, in the order of rating.
        stage: ``burn-in`` or ``sampled``.
        policy: The policy that drew them.
        money: What all ratings so far and these cost.
    """

    items: list[int]
    stage: str
    policy: SamplingPolicy
    money: float


class Rules(NamedTuple):
    """How items are rated.

    Attributes:
        prices: Prices of the raters.
        budget: Money, never exceeded.
        policy: ``always``, ``uniform`` or ``active``. ``always`` buys no cheap ratings.
        burn_in: Items (or blocks) rated by both raters at the start, from which the policy is computed. ``None``: 200,
            or a third of what the budget pays for; 0 with a calibration from elsewhere.
        floor: Least probability of a strong rating, in (0, 1].
        model: How the cheap rater's error is learned from the burn-in; see `trainers.rating.errors.calibrate`.
        width: Stop when the interval is at most so wide; ``None``: when the money is spent.
        confidence: Coverage of that interval.
        interval: Kind of that interval. ``normal`` covers less than stated when looked at often.
        look: Items between two looks at the interval.
        seed: Seed of the order and of the draws.
    """

    prices: Prices
    budget: float
    policy: str = "active"
    burn_in: int | None = None
    floor: float = FLOOR
    model: str = "isotonic"
    width: float | None = None
    confidence: float = 0.95
    interval: str = "anytime"
    look: int = 10
    seed: int = 0

    def check(self) -> None:
        """Checks what can be known before anything is rated.

        Raises:
            ValueError: A price, the budget, the floor or the burn-in is out of range, or the policy is unknown.
        """
        if not (self.prices.cheap >= 0 and self.prices.strong > 0):
            raise ValueError(f"prices {self.prices.cheap:g} and {self.prices.strong:g}: cheap >= 0, strong > 0")
        if self.policy not in NAMES:
            raise ValueError(f"unknown sampling policy {self.policy!r}; known: {', '.join(NAMES)}")
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor {self.floor:g}: a probability above 0 and at most 1")
        if not self.budget >= sum(self.prices):
            raise ValueError(f"a budget of {self.budget:g} pays for no item: both ratings cost {sum(self.prices):g}")


def rate(
    count: int,
    cheap: CheapRater,
    strong: StrongRater,
    rules: Rules,
    calibration: Calibration | None = None,
    features: np.ndarray | None = None,
    blocks: Sequence[int] | None = None,
) -> Ratings | Pending:
    """Rates items in random order until the money is spent, the interval is narrow enough or all are rated.

    The order and the draws depend on the seed alone, so a call with the same arguments asks for the same ratings:
    raters that look ratings up in a journal first make this function resumable, and a strong rater that returns
    ``None`` for ratings it does not have yet makes it return what is `Pending`.

    Args:
        count: Number of items.
        cheap: Function from indices to cheap ratings; called once for an item, with as many as are sure to be paid for.
        strong: Function from indices to strong ratings, ``None`` where there is none yet.
        rules: Prices, budget, policy, and when to stop.
        calibration: From another run; then there is no burn-in by default.
        features: What the error model knows of each item, shape [count, features].
        blocks: Block of each item; blocks are rated as wholes, in random order. Ratings of several methods on the same
            episodes keep each episode together. ``None``: each item is a block.

    Raises:
        ValueError: Rules are out of range, or the budget does not pay for the burn-in.
    """
    rules.check()
    run = _Run(count, cheap, strong, rules, features, blocks)
    return run.rate(calibration)


class _Run:
    """One call of `rate`."""

    def __init__(
        self,
        count: int,
        cheap: CheapRater,
        strong: StrongRater,
        rules: Rules,
        features: np.ndarray | None,
        blocks: Sequence[int] | None,
    ):
        rng = np.random.default_rng(rules.seed)
        _, owner = np.unique(np.arange(count) if blocks is None else np.asarray(blocks), return_inverse=True)
        members = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
        self.order = [members[block].tolist() for block in rng.permutation(len(members))]
        self.uniforms = rng.random(count)
        self.cheap_rater, self.strong_rater, self.rules, self.features = cheap, strong, rules, features
        self.bought = [0, 0]

    def money(self, cheap: int = 0, strong: int = 0) -> float:
        """What all ratings cost, and further ones would."""
        prices = self.rules.prices
        return (self.bought[0] + cheap) * prices.cheap + (self.bought[1] + strong) * prices.strong

    def affordable(self, cheap: int, strong: int) -> bool:
        return self.money(cheap, strong) <= self.rules.budget * (1 + 1e-12)

    def rate(self, calibration: Calibration | None) -> Ratings | Pending:
        """See the function of the name."""
        rules = self.rules
        head, tail = self.split(calibration is not None)
        first = [item for block in head for item in block]
        g, h = self.buy_cheap(first), self.buy_strong(first)
        if isinstance(h, list):
            return Pending(h, "burn-in", ALWAYS, self.money())
        if calibration is None and rules.policy != "always":
            known = None if self.features is None else self.features[first]
            calibration = calibrate(g, h, "constant" if rules.policy == "uniform" else rules.model, known)
        left = rules.budget - self.money()
        items = sum(map(len, tail))
        policy, planned = ALWAYS, float(items)
        if rules.policy != "always" and calibration is not None and items:
            policy = policy_for(
                rules.policy, rules.prices, calibration.variance, calibration.errors, items, left, rules.floor
            )
            cost = rules.prices.cheap + rules.prices.strong * policy.rates(calibration.errors).mean()
            planned = min(planned, left / cost)
        ratings = Ratings(np.array(first, dtype=int), g, h, np.ones(len(first)), len(first), planned, self.money())
        if rules.width is not None:
            ratings = ratings._replace(planned=None)
        for chunk in self.draw(tail, policy, calibration):
            scores = self.buy_strong(chunk.drawn)
            if isinstance(scores, list):
                return Pending(scores, "sampled", policy, self.money())
            ratings = chunk.append(ratings, scores, self.money())
            if self.narrow(ratings):
                break
        return ratings._replace(money=self.money())

    def split(self, calibrated: bool) -> tuple[list[list[int]], list[list[int]]]:
        """Blocks of the burn-in and all later ones."""
        rules = self.rules
        if rules.policy == "always":
            return [], self.order
        sizes = np.cumsum([len(block) for block in self.order])
        paid = int(np.searchsorted(sizes * sum(rules.prices), rules.budget * (1 + 1e-12), side="right"))
        size = rules.burn_in
        if size is None:
            size = 0 if calibrated else min(BURN_IN, max(paid // 3, min(paid, 2)))
        if size > paid:
            raise ValueError(f"a budget of {rules.budget:g} pays for a burn-in of {paid}, not of {size}")
        if not calibrated and sizes[size - 1 : size].sum() < 2:
            raise ValueError("a burn-in has at least 2 items, unless the raters were calibrated elsewhere")
        return self.order[:size], self.order[size:]

    def buy_cheap(self, items: list[int]) -> np.ndarray:
        self.bought[0] += len(items)
        return np.array(self.cheap_rater(items) if items else [], dtype=float)

    def buy_strong(self, items: list[int]) -> np.ndarray | list[int]:
        """Strong ratings, or the items that have none yet."""
        self.bought[1] += len(items)
        scores = list(self.strong_rater(items)) if items else []
        missing = [item for item, score in zip(items, scores, strict=True) if score is None]
        return missing or np.array(scores, dtype=float)

    def draw(
        self, blocks: list[list[int]], policy: SamplingPolicy, calibration: Calibration | None
    ) -> Iterator[_Chunk]:
        """Draws who rates the later blocks, until the first that cannot be paid for."""
        step = self.rules.look if self.rules.width is not None else None
        needs_cheap = self.rules.policy != "always"
        while blocks:
            sizes = np.cumsum([len(block) for block in blocks])
            price = self.rules.prices.strong + needs_cheap * self.rules.prices.cheap
            sure = int(np.searchsorted(self.money() + sizes * price, self.rules.budget * (1 + 1e-12), side="right"))
            number = max(1, sure if step is None else min(sure, step))
            items = [item for block in blocks[:number] for item in block]
            if not self.affordable(len(items) * needs_cheap, 0):
                return
            g = self.buy_cheap(items) if needs_cheap else np.zeros(len(items))
            rates = np.ones(len(items))
            if needs_cheap and calibration is not None:
                known = None if self.features is None else self.features[items]
                rates = policy.rates(calibration.rmse(g, known))
            sampled = self.uniforms[items] < rates
            if not self.affordable(0, int(sampled.sum())):
                return
            yield _Chunk(items, g, rates, sampled)
            blocks = blocks[number:]

    def narrow(self, ratings: Ratings) -> bool:
        """Whether the interval is narrow enough to stop."""
        rules = self.rules
        if rules.width is None or len(ratings.items) < 2:
            return False
        return estimate(ratings, rules.confidence, interval=rules.interval).width <= rules.width


class _Chunk(NamedTuple):
    """Items whose strong ratings were drawn."""

    items: list[int]
    cheap: np.ndarray
    rates: np.ndarray
    sampled: np.ndarray

    @property
    def drawn(self) -> list[int]:
        return [item for item, drawn in zip(self.items, self.sampled, strict=True) if drawn]

    def append(self, ratings: Ratings, scores: np.ndarray, money: float) -> Ratings:
        strong = np.full(len(self.items), np.nan)
        strong[self.sampled] = scores
        return ratings._replace(
            items=np.concatenate([ratings.items, self.items]),
            cheap=np.concatenate([ratings.cheap, self.cheap]),
            strong=np.concatenate([ratings.strong, strong]),
            rates=np.concatenate([ratings.rates, self.rates]),
            money=money,
        )
