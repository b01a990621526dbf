"""Sums of two numbers, for tasks over tables: what they may ask for, and demonstrations of it to pretrain on."""

import numpy as np

from clarify_env.games.clarification.pretraining.chats import Demonstration
from clarify_env.tasks.tables import rising

# Sums in one chat.
_SUMS = 8


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
