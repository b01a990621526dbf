"""Demonstrations of arithmetic on two numbers, as tasks over tables ask for it."""

import numpy as np

from clarify_env.games.demonstration import Demonstration
from clarify_env.tasks.tables import rising

# Exercises in one chat.
_SUMS = 8


def sums(rng: np.random.Generator) -> Demonstration:
    """Draws a chat of exercises: sums, differences and whole percentages of two-digit numbers.

    Such a chat has more exercises per token than queries about a table.
    """
    chat = []
    for _ in range(_SUMS):
        low, high = sorted(int(n) for n in rng.choice(np.arange(10, 100), size=2, replace=False))
        match rng.integers(3):
            case 0:
                query, answer = f"How much are {low} and {high} together?", f"{low + high}"
            case 1:
                query, answer = f"By how much does it rise from {low} to {high}?", f"{high - low}"
            case _:
                low, high, rise = rising(10, 99, rng)
                query, answer = f"By what percentage does it rise from {low} to {high}?", f"{rise} percent"
        chat += [("user", query), ("assistant", f"It was {answer}.")]
    return Demonstration(tuple(chat), "sums", every=True)
