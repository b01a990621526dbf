"""Confidence intervals by bootstrap over entities and runs."""

from collections.abc import Sequence

import numpy as np


def entities(episodes: Sequence) -> list[str]:
    """Returns the entity that each episode is about; the episode itself where none is named."""
    return [episode.meta.get("entity", episode.id) for episode in episodes]


def bootstrap(values: np.ndarray, episodes: Sequence, seed: int, draws: int = 1000) -> list[float]:
    """95 % interval of the mean by bootstrap over entities, each with all of its episodes and prices."""
    return interval(values.mean(1)[None], entities(episodes), seed, draws)


def interval(values: np.ndarray, about: Sequence[str], seed: int, draws: int = 1000) -> list[float]:
    """95 % interval of the mean by bootstrap over runs and over entities, each with all of its episodes.

    Args:
        values: Shape [runs, episodes]; of one run, only entities are drawn.
        about: Entity of each episode.
        seed: Seed of the draws.
        draws: Number of resamples.
    """
    names, owner = np.unique(about, return_inverse=True)
    sizes = np.bincount(owner)
    sums = np.stack([np.bincount(owner, weights=row, minlength=len(names)) for row in values])
    rng = np.random.default_rng(seed)
    runs = rng.integers(len(values), size=(draws, len(values)))
    resampled = rng.integers(len(names), size=(draws, len(names)))
    of_runs = np.stack([sums[run].mean(0) for run in runs])
    means = np.take_along_axis(of_runs, resampled, 1).sum(1) / sizes[resampled].sum(1)
    return np.quantile(means, [0.025, 0.975]).tolist()
