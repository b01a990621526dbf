"""Profiles of procedural tasks: weights of the readings and lengths of the answers."""

import numpy as np

# Distributions of the length of an answer, in words: lists pay if answers are short and cost too much if they are long.
SHORT, LONG, ANY = {1: 0.85, 2: 0.15}, {3: 0.25, 4: 0.75}, {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25}


def geometric(n: int, skew: float) -> list[float]:
    """Weights with ratio ``skew`` between neighbours, in whole hundredths of at least 0.03, with sum 1."""
    exact = skew ** -np.arange(n)
    parts = np.maximum(3, np.floor(100 * exact / exact.sum())).astype(int)
    parts[0] += 100 - parts.sum()
    return (parts / 100).tolist()


def draw_length(lengths: dict[int, float], rng: np.random.Generator) -> int:
    """Draws a number of words from a distribution."""
    return int(rng.choice(list(lengths), p=list(lengths.values())))
