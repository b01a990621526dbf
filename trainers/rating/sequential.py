"""Rates items in random order under a budget: a burn-in, then strong ratings with the policy's probabilities.

The number of items is the largest that the budget pays for along a random order: each item's strong rating is drawn
before its price is compared with the money, and the first item that exceeds it is left out. Given that the first t
items cost at most the budget and t + 1 items more, the first t are exchangeable: their mean contribution is unbiased.
(To stop as soon as the next item *might* exceed it would bias it: that stops after strong ratings.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from trainers.rating.errors import Calibration, calibrate
from trainers.rating.estimate import estimate
from trainers.rating.policies import ALWAYS, SamplingPolicy, expected_items, expected_variance, policy_for
from trainers.rating.ratings import Ratings
from trainers.rating.rules import ROUNDING, Rules

# Mean squared error of the cheap rater, in units of Var H, that weights are chosen for before anything is rated.
_PRIOR_ERROR = 0.25

# Stage of `Pending` after the burn-in.
SAMPLED = "sampled"

CheapRater = Callable[[list[int]], Sequence[float]]
StrongRater = Callable[[list[int]], Sequence[float | None]]


class Pending(NamedTuple):
    """Strong ratings that are drawn but not there yet, as those of a person; call `rate` again when they are.

    Attributes:
        items: The items, in the order of rating.
        stage: ``burn-in`` or ``sampled``.
        policy: The policy that drew them.
        money: What all ratings so far and these cost.
        rates: Probability of a strong rating, of each item that was drawn before these and rated; of these if they are
            the first.
    """

    items: list[int]
    stage: str
    policy: SamplingPolicy
    money: float
    rates: dict[int, float]


def rate(
    count: int,
    cheap: CheapRater,
    strong: StrongRater,
    rules: Rules,
    calibration: Calibration | None = None,
    features: np.ndarray | None = None,
    blocks: Sequence[int] | None = None,
    entities: Sequence[str] | None = None,
) -> Ratings | Pending:
    """Rates items in random order until the money is spent, the interval is narrow enough or all are rated.

    The order and the draws depend on the seed alone, so a call with the same arguments asks for the same ratings:
    raters that look ratings up in a journal first make this function resumable, and a strong rater that returns
    ``None`` for ratings it does not have yet makes it return what is `Pending`.

    Args:
        count: Number of items.
        cheap: Function from indices to cheap ratings; called once for an item, for many at a time.
        strong: Function from indices to strong ratings, ``None`` where there is none yet.
        rules: Prices, budget, policy, and when to stop.
        calibration: From another run; then there is no burn-in by default.
        features: What the error model knows of each item, shape [count, features].
        blocks: Block of each item; blocks are rated as wholes, in random order, and the strong ratings of a block are
            drawn together. Ratings of several methods on the same episodes keep each episode together. ``None``: each
            item is a block.
        entities: The entity that each item is about, for the interval at which rating stops; ``None``: each is its own.

    Raises:
        ValueError: Rules are out of range, or the budget does not pay for the burn-in.
    """
    rules.check()
    run = _Run(cheap, strong, rules, features, entities)
    run.set_order(count, blocks)
    return run.rate(calibration)


class _Run:
    """One call of `rate`.

    Attributes:
        order: Indices of all items in random order, blocks as wholes, shape [items].
        ends: Where each block of ``order`` ends, shape [blocks].
        uniforms: What each item's strong rating is drawn with, the same for all items of a block, shape [items].
    """

    def __init__(
        self,
        cheap: CheapRater,
        strong: StrongRater,
        rules: Rules,
        features: np.ndarray | None,
        entities: Sequence[str] | None,
    ):
        self.cheap_rater, self.strong_rater, self.rules, self.features = cheap, strong, rules, features
        self.entities = None if entities is None else np.asarray(entities)
        self.limit = rules.budget * ROUNDING
        # Where every item is rated by the strong rater, no cheap rating is bought.
        self.needs_cheap = rules.policy != "always"
        self.counts = _Counts(0, 0)

    def set_order(self, count: int, blocks: Sequence[int] | None) -> None:
        """Draws the order of items, and what their strong ratings are drawn with."""
        rng = np.random.default_rng(self.rules.seed)
        if blocks is None:
            self.order, self.ends = rng.permutation(count), np.arange(1, count + 1)
            self.uniforms = rng.random(count)
        else:
            _, owner, sizes = np.unique(np.asarray(blocks), return_inverse=True, return_counts=True)
            places = rng.permutation(len(sizes))
            self.order = np.argsort(places[owner], kind="stable")
            self.ends = np.cumsum(sizes[np.argsort(places)])
            # One draw for a block: equal answers of several methods are then rated together or not at all, so that
            # what is left out cancels in their difference.
            self.uniforms = rng.random(len(sizes))[owner]

    def rate(self, calibration: Calibration | None) -> Ratings | Pending:
        """See the function of the name."""
        rules = self.rules
        blocks = self.rules.burn_in_blocks(self.ends, calibration is not None)
        size = int(self.ends[blocks - 1]) if blocks else 0
        first = self.order[:size]
        g, h = self.buy_cheap(first), self.buy_strong(first)
        if isinstance(h, list):
            return Pending(h, "burn-in", ALWAYS, self.money(), dict.fromkeys(first.tolist(), 1.0))
        if calibration is None and rules.policy != "always":
            feature_rows = None if self.features is None else self.features[first]
            calibration = calibrate(g, h, "constant" if rules.policy == "uniform" else rules.model, feature_rows)
        planned = self.planned(size)
        policy = self.plan(calibration, len(self.order) - size)
        ratings = Ratings(first, g, h, np.ones(size), size, planned, self.money())
        for chunk in [] if self.is_narrow(ratings) else self.draw(blocks, policy, calibration):
            scores = self.buy_strong(chunk.items[chunk.sampled])
            if isinstance(scores, list):
                # Some of these may be rated already, but which of them a person rates first has no known probability.
                whole = ratings if len(ratings.items) else chunk.append(ratings, np.zeros(int(chunk.sampled.sum())))
                return Pending(scores, SAMPLED, policy, self.money(), whole.strong_rates())
            ratings = chunk.append(ratings, scores)
            if self.is_narrow(ratings):
                break
        return ratings._replace(money=self.money())

    def planned(self, size: int) -> float | None:
        """Returns the number of items that later ones count for beside a burn-in, by prices and budget alone.

        Var H over the variance that the remaining money would reach with a cheap rater of a typical error. It does not
        depend on any rating: policies, and so the numbers of items that they pay for, do.
        """
        rules, after = self.rules, len(self.order) - size
        remaining = rules.budget - self.money()
        if not size or not after or rules.width is not None or remaining < sum(rules.prices):
            return None
        rmse = np.array([_PRIOR_ERROR**0.5])
        policy = policy_for("uniform", rules.prices, 1.0, rmse, after, remaining, rules.floor)
        return 1 / expected_variance(policy, rules.prices, 1.0, rmse, after, remaining)

    def plan(self, calibration: Calibration | None, items: int) -> SamplingPolicy:
        """Returns the policy after the burn-in."""
        rules, remaining = self.rules, self.rules.budget - self.money()
        if calibration is None or rules.policy == "always" or not items:
            return ALWAYS
        policy, variance = self.best(calibration, items, remaining)
        if rules.width is not None:
            # Money for that width alone: what is more would raise the probabilities. Looking while rating widens an
            # interval to 1.7 times the normal one; a fifth less variance is for errors of the calibration.
            target = 0.8 * (rules.width / (2 * 1.7 * 1.96)) ** 2
            low, high = sum(rules.prices), min(remaining, items * sum(rules.prices))
            while variance < target and high > 1.01 * low:
                middle = (low + high) / 2
                cheaper, variance_then = self.best(calibration, items, middle)
                low, high = (low, middle) if variance_then <= target else (middle, high)
                policy = cheaper if variance_then <= target else policy
        self.needs_cheap = policy.name != "always"
        return policy

    def best(self, calibration: Calibration, items: int, budget: float) -> tuple[SamplingPolicy, float]:
        """Returns the better of the policy and strong ratings alone, and the variance of the mean with the burn-in."""
        rules, variance, errors = self.rules, calibration.variance, calibration.errors
        policies = [policy_for(rules.policy, rules.prices, variance, errors, items, budget, rules.floor), ALWAYS]
        variances = [expected_variance(one, rules.prices, variance, errors, items, budget) for one in policies]
        policy, later = (policies[0], variances[0]) if variances[0] < variances[1] else (ALWAYS, variances[1])
        number = expected_items(policy, rules.prices, errors, items, budget)
        burn_in = len(self.order) - items
        return policy, (burn_in * variance + number**2 * later) / (burn_in + number) ** 2

    def draw(self, blocks: int, policy: SamplingPolicy, calibration: Calibration | None) -> Iterator[_Chunk]:
        """Draws who rates the blocks after the burn-in, until the first that exceeds the budget."""
        start = int(self.ends[blocks - 1]) if blocks else 0
        while blocks < len(self.ends):
            price = self.rules.prices.strong + self.needs_cheap * self.rules.prices.cheap
            last = start + (self.limit - self.money()) / price
            affordable = int(np.searchsorted(self.ends, last, side="right")) - blocks
            number = max(1, affordable if self.rules.width is None else min(affordable, self.rules.look))
            items = self.order[start : int(self.ends[blocks + number - 1])]
            if self.needs_cheap and self.money(_Counts(len(items), 0)) > self.limit:
                return
            g, rates = self.buy_cheap(items), np.ones(len(items))
            if calibration is not None and self.needs_cheap:
                feature_rows = None if self.features is None else self.features[items]
                rates = policy.rates(calibration.rmse(g, feature_rows))
            sampled = self.uniforms[items] < rates
            if self.money(_Counts(0, int(sampled.sum()))) > self.limit:
                return
            yield _Chunk(items, g, rates, sampled)
            blocks, start = blocks + number, start + len(items)

    def money(self, more: _Counts | None = None) -> float:
        """Returns what all ratings cost, with further ones."""
        cheap, strong = map(sum, zip(self.counts, more or (0, 0), strict=True))
        return cheap * self.rules.prices.cheap + strong * self.rules.prices.strong

    def buy_cheap(self, items: np.ndarray) -> np.ndarray:
        """Returns cheap ratings of items."""
        if not self.needs_cheap or not len(items):
            return np.zeros(len(items))
        self.counts = _Counts(self.counts.cheap + len(items), self.counts.strong)
        return np.array(self.cheap_rater(items.tolist()), dtype=float)

    def buy_strong(self, items: np.ndarray) -> np.ndarray | list[int]:
        """Returns strong ratings of items, or the items that have none yet."""
        if not len(items):
            return np.zeros(0)
        self.counts = _Counts(self.counts.cheap, self.counts.strong + len(items))
        scores = self.strong_rater(items.tolist())
        missing = [item for item, score in zip(items.tolist(), scores, strict=True) if score is None]
        return missing or np.array(scores, dtype=float)

    def is_narrow(self, ratings: Ratings) -> bool:
        """Returns whether the interval is narrow enough to stop."""
        rules = self.rules
        if rules.width is None or len(ratings.items) < 2:
            return False
        entities = None if self.entities is None else self.entities[ratings.items]
        return estimate(ratings, rules.confidence, entities, interval=rules.interval).width <= rules.width


class _Counts(NamedTuple):
    """Numbers of ratings."""

    cheap: int
    strong: int


class _Chunk(NamedTuple):
    """Items whose strong ratings were drawn."""

    items: np.ndarray
    cheap: np.ndarray
    rates: np.ndarray
    sampled: np.ndarray

    def append(self, ratings: Ratings, scores: np.ndarray) -> Ratings:
        """Returns the ratings with these items at their end."""
        strong = np.full(len(self.items), np.nan)
        strong[self.sampled] = scores
        return ratings._replace(
            items=np.concatenate([ratings.items, self.items]),
            cheap=np.concatenate([ratings.cheap, self.cheap]),
            strong=np.concatenate([ratings.strong, strong]),
            rates=np.concatenate([ratings.rates, self.rates]),
        )
