"""What costs amount to: demonstrations to pretrain on beside those of games and facts.

A large model knows what numbers mean before it meets a cost. Here a small one learns it, at the costs of training
alone. No action is shown, so nothing says when to ask, list or guess. Sums of numbers are shown too, for tasks that
want them.
"""

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.prompts import messages
from clarify_env.tasks.base import Demonstration

# Sums in one chat.
_SUMS = 8
# Rises in percent that leave many numbers of two digits whole.
RISES = (10, 20, 25, 30, 40, 50, 60, 75, 80, 100)


def price(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is dearer at the costs of a prompt: a question, or some number of words."""
    n = int(rng.integers(1, 30))
    dearer = "a question" if costs.alpha > n * costs.beta else f"{n} words"
    return _asked(costs, f"Which costs more, a question or {n} words?", dearer, "price")


def worth(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is more at the costs of a prompt: a question, some number of words, or a chance, as pages write it.

    A right answer earns 1, so a cost weighs as much as that chance of being right.
    """
    n = int(rng.integers(1, 20))
    values = {"a question": costs.alpha, f"{n} words": n * costs.beta}
    name = list(values)[rng.integers(2)]
    # A chance of like size, so that the digits must be read and not the magnitude alone.
    exact = round(1000 * values[name])
    percent = int(np.clip(round(exact * np.exp(rng.uniform(-0.7, 0.7)) / 10), 1, 99))
    percent += 10 * percent == exact
    more = name if exact > 10 * percent else f"{percent}%"
    return _asked(costs, f"Which is more, {name} or {percent}%?", more, "worth")


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
    rise = RISES[rng.integers(len(RISES))]
    fit = [n for n in range(low, high) if n * rise % 100 == 0 and n * (100 + rise) <= 100 * high]
    before = fit[rng.integers(len(fit))]
    return before, before + before * rise // 100, rise


def _asked(costs: Costs, asked: str, said: str, shows: str) -> Demonstration:
    """A question about the costs that a game's prompt states."""
    system = messages(View("assistant", "", "", None, (), costs, 0, ""), "pocket")[0]["content"]
    return Demonstration((("system", system), ("user", asked), ("assistant", said)), shows)
