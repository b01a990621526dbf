"""The `boxes` task: K boxes, one of which holds a prize with stated or hidden probabilities. Procedural."""

import zlib
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from clarify_env.costs import is_price
from clarify_env.options import whole_number
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Interpretation, Task, register

PRIORS = ("stated", "hidden")
MOST_BOXES = 8
LABELS = "ABCDEFGH"
# Kinds of boxes of hidden priors: probabilities are in proportion to odds that belong to the world.
KINDS = ("oak", "tin", "clay", "glass", "cork", "iron", "paper", "silk", "stone", "brass", "wax", "bone")
# Share of priors that belong to validation and to test; the others belong to train.
_VALIDATION, _TEST = 0.15, 0.25
# Most draws for an episode of a split, and draws within which each split must get one before a task is made.
_MOST_TRIES, _FEW_TRIES = 20_000, 500
_QUERY = "Which box holds the prize?"


@register
class Boxes(Task):
    """K boxes, exactly one of which holds a prize.

    Stated priors are whole percents drawn from a symmetric Dirichlet distribution. Hidden priors follow from the kinds
    of the boxes, whose odds belong to the world: the searcher sees the kinds alone. Splits are by priors: no set of
    probabilities (or of kinds), whatever its order, is in two splits.

    Args:
        world_seed: Splits, probabilities and odds follow from it.
        boxes: Number of boxes, from 2 to 8.
        priors: ``"stated"`` or ``"hidden"``.
        concentration: Concentration of the Dirichlet distribution of stated priors; above 0.
        discounts: Discounts from which each episode's is drawn, each in [0, 1]; empty: looks cost their price alone.
        validation: Number of validation episodes.
        test: Number of test episodes.

    Raises:
        ValueError: An option is out of range.

    Version history: 1, first version.
    """

    name = "boxes"
    version = 1
    pretraining: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(
        self,
        world_seed: int = 0,
        boxes: int = 3,
        priors: str = "stated",
        concentration: float = 1.0,
        discounts: list[float] | None = None,
        validation: int = 200,
        test: int = 400,
    ):
        self.world_seed = whole_number("task.world_seed", world_seed, least=0)
        self.boxes = whole_number("task.boxes", boxes, least=2)
        if self.boxes > MOST_BOXES:
            raise ValueError(f"task.boxes must be from 2 to {MOST_BOXES}, not {boxes}")
        if priors not in PRIORS:
            raise ValueError(f"task.priors must be one of {', '.join(PRIORS)}, not {priors!r}")
        if not 0 < concentration < float("inf"):
            raise ValueError(f"task.concentration must be above 0, not {concentration}")
        if not isinstance(discounts, list | tuple | None) or not all(
            is_price(one) and one <= 1 for one in discounts or ()
        ):
            raise ValueError(f"task.discounts must be a list of numbers in [0, 1], not {discounts}")
        self.discounts = tuple(discounts or ())
        self.priors, self.concentration = priors, concentration
        self.sizes = {
            "train": None,
            "validation": whole_number("task.validation", validation, least=1),
            "test": whole_number("task.test", test, least=1),
        }
        odds = np.random.default_rng([self.world_seed, 7]).permutation(
            np.geomspace(1, 30, len(KINDS)).round().astype(int)
        )
        self.odds = dict(zip(KINDS, odds.tolist(), strict=True))
        self._cached = lru_cache(maxsize=65_536)(self._made)
        self._check_splits()

    def __reduce__(self) -> tuple:
        return type(self), self._options(self.priors)

    def _options(self, priors: str) -> tuple:
        options = (self.world_seed, self.boxes, priors, self.concentration, list(self.discounts))
        return (*options, self.sizes["validation"], self.sizes["test"])

    @cached_property
    def hidden(self) -> "Boxes":
        """The same task with hidden priors."""
        return type(self)(*self._options("hidden"))

    def _episode(self, split: str, index: int) -> Episode:
        return self._cached(split, index)

    def _made(self, split: str, index: int) -> Episode:
        rng = np.random.default_rng([self.world_seed, list(self.sizes).index(split), index])
        for _ in range(_MOST_TRIES):
            kinds, percents, entity = self._drawn(rng)
            if self._split_of(entity) == split:
                break
        else:
            raise ValueError(self._few_priors(split))
        labels = LABELS[: self.boxes]
        shown = kinds or [f"{percent}%" for percent in percents]
        readings = tuple(
            Interpretation(label, f"the prize is in box {label}", (label,), percent / 100)
            for label, percent in zip(labels, percents, strict=True)
        )
        meta: dict = {"entity": entity}
        if self.discounts:
            meta["discount"] = float(self.discounts[int(rng.integers(len(self.discounts)))])
        context = ", ".join(f"{label} {text}" for label, text in zip(labels, shown, strict=True))
        return Episode(f"{split}/{index}", _QUERY, context, readings, meta)

    def _drawn(self, rng: np.random.Generator) -> tuple[list[str], list[int], str]:
        """Draws the kinds (of hidden priors), the percents, and the entity by which they belong to a split."""
        kinds = rng.choice(KINDS, size=self.boxes, replace=False).tolist() if self.priors == "hidden" else []
        percents = self._percents(kinds, rng)
        return kinds, percents, "-".join(sorted(kinds) or [f"{percent:02d}" for percent in sorted(percents)])

    def _check_splits(self) -> None:
        """Checks that each split gets some of a few hundred priors: an extreme concentration makes them all alike."""
        rng, left = np.random.default_rng([self.world_seed, len(self.sizes)]), set(self.sizes)
        for _ in range(_FEW_TRIES):
            left.discard(self._split_of(self._drawn(rng)[2]))
            if not left:
                return
        raise ValueError(self._few_priors(min(left)))

    def _few_priors(self, split: str) -> str:
        return (
            f"task.concentration={self.concentration} draws priors of task.boxes={self.boxes} boxes that are so much "
            f"alike that split {split} gets none"
        )

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """There is no user to ask: no question is understood."""
        return NOT_UNDERSTOOD

    def _percents(self, kinds: list[str], rng: np.random.Generator) -> list[int]:
        """Draws whole percents of at least 1 that sum to 100; of kinds, they are in proportion to their odds."""
        if kinds:
            shares = np.array([self.odds[kind] for kind in kinds], dtype=float)
            shares /= shares.sum()
        else:
            shares = rng.dirichlet(np.full(self.boxes, self.concentration))
        exact = 1 + shares * (100 - self.boxes)
        percents = np.floor(exact).astype(int)
        # Largest remainders first, so that the sum is 100.
        percents[np.argsort(percents - exact, kind="stable")[: 100 - percents.sum()]] += 1
        return percents.tolist()

    def _split_of(self, entity: str) -> str:
        place = zlib.crc32(f"{self.world_seed}/{self.boxes}/{entity}".encode()) / 2**32
        return "test" if place < _TEST else "validation" if place < _TEST + _VALIDATION else "train"
