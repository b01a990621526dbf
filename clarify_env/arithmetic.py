"""Sums of two numbers, for tasks over tables: what they may ask for, and demonstrations of it to pretrain on."""

import numpy as np

from clarify_env.tasks.base import Demonstration

# Sums in one chat.
_SUMS = 8
# Rises in percent that leave many numbers of two digits whole.
_RISES = (10, 20, 25, 30, 40, 50, 60, 75, 80, 100)


def sums(rng: np.random.Generator) -> Demonstration:
    """Differences, sums and whole percentages of numbers of two digits, one after another.

    Tasks over tables ask for them. In few tokens this shows many, where a table has a handful.
    """
    said = []
    for _ in range(_SUMS):
        low, high = sorted(int(n) for n in rng.choice(np.arange(10, 100), size=2, replace=False))
        match rng.integers(3):
            case 0:
                asked, answer = f"How much are {low} and {high} together?", f"{low + high}"
            case 1:
                asked, answer = f"By how much does it rise from {low} to {high}?", f"{high - low}"
            case _:
                low, high, rise = rising(10, 99, rng)
                asked, answer = f"By what percentage does it rise from {low} to {high}?", f"{rise} percent"
        said += [("user", asked), ("assistant", f"It was {answer}.")]
    return Demonstration(tuple(said), "sums", every=True)


def rising(low: int, high: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draws two whole numbers in a range, and the whole percentage by which the second is above the first."""
    rise = _RISES[rng.integers(len(_RISES))]
    fit = [n for n in range(low, high) if n * rise % 100 == 0 and n * (100 + rise) <= 100 * high]
    before = fit[rng.integers(len(fit))]
    return before, before + before * rise // 100, rise
