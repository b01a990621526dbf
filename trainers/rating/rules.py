"""How items are rated: prices, budget, policy, burn-in, and when to stop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trainers.rating.errors import check_kind
from trainers.rating.intervals import find
from trainers.rating.policies import NAMES, Prices

# Items of the burn-in, if the budget pays for thrice as many; least probability of a strong rating.
BURN_IN, FLOOR = 200, 0.02
# What a sum of prices may be above the budget by rounding.
ROUNDING = 1 + 1e-12


class Rules(NamedTuple):
    """How items are rated.

    Attributes:
        prices: Prices of the raters.
        budget: Money, never exceeded.
        policy: ``always``, ``uniform`` or ``active``. ``always`` buys no cheap ratings.
        burn_in: Items (or blocks) rated by both raters at the start, from which the policy is computed. ``None``: 200,
            or a third of what the budget pays for; 0 with a calibration from elsewhere, and with ``always``.
        floor: Least probability of a strong rating, in (0, 1].
        model: How the cheap rater's error is learned from the burn-in; see `trainers.rating.errors.calibrate`.
        width: Stop when the interval is at most so wide; ``None``: when the money is spent.
        confidence: Coverage of that interval.
        interval: Kind of that interval. Any but ``anytime`` covers less than stated when looked at often.
        look: Blocks between two looks at the interval.
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
            ValueError: A number is out of range, or a policy, model or interval is unknown.
        """
        if not (self.prices.cheap >= 0 and self.prices.strong > 0):
            raise ValueError(f"prices {self.prices.cheap:g} and {self.prices.strong:g}: cheap >= 0, strong > 0")
        if self.policy not in NAMES:
            raise ValueError(f"unknown sampling policy {self.policy!r}; known: {', '.join(NAMES)}")
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor {self.floor:g}: a probability above 0 and at most 1")
        if not self.budget >= sum(self.prices):
            raise ValueError(f"budget {self.budget:g} pays for no item: both ratings cost {sum(self.prices):g}")
        if self.burn_in is not None and self.burn_in < 0:
            raise ValueError(f"burn_in {self.burn_in}: at least 0")
        if self.burn_in and self.policy == "always":
            raise ValueError(f"burn_in {self.burn_in}: policy always has none, as the strong rater rates every item")
        if self.width is not None and not self.width > 0:
            raise ValueError(f"width {self.width:g}: above 0")
        if self.look < 1:
            raise ValueError(f"look {self.look}: at least 1")
        check_kind(self.model)
        find(self.interval)

    def burn_in_blocks(self, ends: np.ndarray, calibrated: bool) -> int:
        """Returns the number of blocks of the burn-in, which needs no rating to be known.

        Args:
            ends: Number of items of the first 1, 2, ... blocks, shape [blocks].
            calibrated: Whether the raters were calibrated elsewhere.

        Raises:
            ValueError: There are too few items, or the budget does not pay for it.
        """
        if self.policy == "always":
            return 0
        price = sum(self.prices)
        affordable = int(np.searchsorted(ends * price, self.budget * ROUNDING, side="right"))
        size = self.burn_in
        if size is None:
            size = 0 if calibrated else min(BURN_IN, max(affordable // 3, min(affordable, 2)))
        if not calibrated and ends[-1] < 2:
            raise ValueError(f"burn_in: at least 2 items, unless the raters were calibrated elsewhere, not {ends[-1]}")
        if size > len(ends):
            raise ValueError(f"burn_in {size} is more than there are: {len(ends)}")
        if size > affordable:
            raise ValueError(
                f"burn_in {size} is more than a budget of {self.budget:g} pays for: {affordable}, as both ratings of "
                f"{int(ends[0])} cost {ends[0] * price:g}"
            )
        if calibrated or (size > 0 and ends[size - 1] >= 2):
            return size
        if self.burn_in is None:
            least = ends[ends >= 2][0] * price
            raise ValueError(f"budget {self.budget:g} is less than {least:g}, the price of a burn-in of 2 items")
        raise ValueError(f"burn_in {size}: at least 2 items, unless the raters were calibrated elsewhere")
