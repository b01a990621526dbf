"""Cheap ratings as estimates of strong ones: G is replaced by E[H | G], learned from items that both raters rated.

A cheap rater need not mean by 0.8 what the strong one means: token F1 is high for a SQL query with one wrong column.
The estimate of the mean is unbiased for any function of cheap ratings that is learned from other items than those it is
used on, and the strong ratings of a burn-in enter it by themselves; what is gained is variance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clarify_env.scores.calibration import Isotonic, fit_isotonic

Lookup = Callable[[list[int]], Sequence[Any]]
_FOLDS = 5


class Recalibrated:
    """A cheap rater whose ratings are estimates of the strong rater's, non-decreasing in its own.

    The first items it is asked about are those of a burn-in, which the strong rater rates as well: from them the
    function is learned, and their own estimates are held out, each by a function learned from four fifths without it,
    so that they err as later ones do.

    Args:
        cheap: Function from indices of items to cheap ratings.
        strong: Function from indices to strong ratings, ``None`` where there is none yet.
        curve: E[H | G], as from another run; ``None``: it is learned from the first items.
    """

    def __init__(self, cheap: Lookup, strong: Lookup, curve: Isotonic | None = None):
        self._cheap, self._strong, self._curve = cheap, strong, curve

    def __call__(self, items: list[int]) -> list[float]:
        """Returns the estimates of some items; those of a burn-in that still waits for a person: cheap ratings."""
        cheap = np.array(self._cheap(items), dtype=float)
        if self._curve is not None:
            return self._curve(cheap).tolist()
        strong = list(self._strong(items))
        if None in strong:
            return cheap.tolist()
        self._curve = fit_isotonic(cheap.tolist(), strong)
        return held_out(cheap, np.array(strong, dtype=float)).tolist()


def held_out(cheap: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """Returns E[H | G] of each item, learned from the items outside its fold; folds are stretches of the order.

    Args:
        cheap: Cheap ratings, shape [items].
        strong: Strong ratings of the same items.
    """
    if len(cheap) < 2:
        return cheap
    folds = np.arange(len(cheap)) * min(_FOLDS, len(cheap)) // len(cheap)
    estimates = np.empty(len(cheap))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        estimates[inside] = fit_isotonic(cheap[outside].tolist(), strong[outside].tolist())(cheap[inside])
    return estimates
