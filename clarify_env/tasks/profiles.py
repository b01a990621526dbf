"""What the ambiguity of procedural questions is like: how likely their readings are, and how long their answers."""

import numpy as np

# Lengths, in words, of a question's answers: lists are worth their words where answers are short, and dear where they
# are long.
SHORT, LONG, ANY = {1: 0.85, 2: 0.15}, {3: 0.25, 4: 0.75}, {1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25}


def geometric(n: int, skew: float) -> list[float]:
    """Weights of which each is ``skew`` times the next: whole hundredths, none below 0.03, that sum to exactly 1."""
    exact = skew ** -np.arange(n)
    parts = np.maximum(3, np.floor(100 * exact / exact.sum())).astype(int)
    parts[0] += 100 - parts.sum()
    return (parts / 100).tolist()


def draw_length(lengths: dict[int, float], rng: np.random.Generator) -> int:
    """Draws a number of words from their shares."""
    return int(rng.choice(list(lengths), p=list(lengths.values())))
