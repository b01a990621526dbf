"""Confidence intervals by bootstrap over entities and runs."""

from collections.abc import Sequence

import numpy as np


def entities(episodes: Sequence) -> list[str]:
    """Returns the entity that each episode is about; the episode itself where none is named."""
    return [episode.meta.get("entity", episode.id) for episode in episodes]


def bootstrap(values: np.ndarray, episodes: Sequence, seed: int, draws: int = 1000) -> list[float]:
    """95 % interval of the mean by bootstrap over entities, each with all of its episodes and prices."""
    return intervals([values], episodes, seed, draws)[0]


def intervals(measures: Sequence[np.ndarray], episodes: Sequence, seed: int, draws: int = 1000) -> list[list[float]]:
    """95 % interval of the mean of each measure by bootstrap over entities; the same resamples for all measures.

    Args:
        measures: Each of shape [episodes, prices].
        episodes: The episodes.
        seed: Seed of the draws.
        draws: Number of resamples.
    """
    owner, sizes, resampled = _resampled(episodes, seed, draws)
    numbers = sizes[resampled].sum(1)
    sums = [np.bincount(owner, weights=values.mean(1), minlength=len(sizes)) for values in measures]
    return [np.quantile(of_entity[resampled].sum(1) / numbers, [0.025, 0.975]).tolist() for of_entity in sums]


def share_interval(
    part: np.ndarray, whole: np.ndarray, episodes: Sequence, seed: int, draws: int = 1000
) -> list[float] | None:
    """95 % interval of the share sum(part) / sum(whole) by bootstrap over entities.

    Args:
        part: What is counted, shape [episodes, prices]; at most ``whole``.
        whole: What it is a share of, shape [episodes, prices].
        episodes: The episodes.
        seed: Seed of the draws.
        draws: Number of resamples; those without anything to be a share of are left out.

    Returns:
        Lower and upper end, in [0, 1]; ``None``: ``whole`` is 0 everywhere.
    """
    owner, sizes, resampled = _resampled(episodes, seed, draws)
    parts, wholes = (
        np.bincount(owner, weights=counts.sum(1), minlength=len(sizes))[resampled].sum(1) for counts in (part, whole)
    )
    nonempty = wholes > 0
    return np.quantile(parts[nonempty] / wholes[nonempty], [0.025, 0.975]).tolist() if nonempty.any() else None


def clustered_share(hits: np.ndarray, totals: np.ndarray) -> list[float] | None:
    """95 % interval of the share sum(hits) / sum(totals) by Wilson's formula at the effective sample size.

    The effective sample size is p (1 - p) / var(p), where var is that of a ratio over clusters, and at most the number
    of trials; at a share of 0 or 1, whose variance cannot be estimated, it is the number of clusters. So no hit among a
    few clusters still has an upper end well above 0, where a bootstrap would say 0.

    Args:
        hits: Hits of each cluster, shape [clusters].
        totals: Trials of each cluster, shape [clusters].

    Returns:
        Lower and upper end, in [0, 1]; ``None``: there are no trials.
    """
    trials, clusters = totals.sum(), int((totals > 0).sum())
    if not trials:
        return None
    share, size = hits.sum() / trials, float(clusters)
    if 0 < share < 1:
        variance = clusters / max(clusters - 1, 1) * np.square(hits - share * totals).sum() / trials**2
        size = float(min(trials, share * (1 - share) / variance)) if variance else float(trials)
    z = 1.959964
    centre, spread = share + z**2 / (2 * size), z * np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2))
    bounds = (np.array([centre - spread, centre + spread]) / (1 + z**2 / size)).clip(0, 1)
    return bounds.tolist()


def _resampled(episodes: Sequence, seed: int, draws: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (index of each episode's entity, number of episodes of each entity, entities of each resample)."""
    owner, sizes, rng = *_owners(entities(episodes)), np.random.default_rng(seed)
    rng.integers(1, size=(draws, 1))  # as `interval` draws of one run
    return owner, sizes, rng.integers(len(sizes), size=(draws, len(sizes)))


def _owners(about: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns (index of each episode's entity, number of episodes of each entity)."""
    _, owner = np.unique(about, return_inverse=True)
    return owner, np.bincount(owner)


def interval(values: np.ndarray, about: Sequence[str], seed: int, draws: int = 1000) -> list[float]:
    """95 % interval of the mean by bootstrap over runs and over entities, each with all of its episodes.

    Args:
        values: Shape [runs, episodes]; of one run, only entities are drawn.
        about: Entity of each episode.
        seed: Seed of the draws.
        draws: Number of resamples.
    """
    owner, sizes = _owners(about)
    sums = np.stack([np.bincount(owner, weights=row, minlength=len(sizes)) for row in values])
    rng = np.random.default_rng(seed)
    runs = rng.integers(len(values), size=(draws, len(values)))
    resampled = rng.integers(len(sizes), size=(draws, len(sizes)))
    of_runs = np.stack([sums[run].mean(0) for run in runs])
    means = np.take_along_axis(of_runs, resampled, 1).sum(1) / sizes[resampled].sum(1)
    return np.quantile(means, [0.025, 0.975]).tolist()
