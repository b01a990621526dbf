"""Demonstrations of arithmetic on two numbers, as tasks over tables ask for it."""

from itertools import combinations

import numpy as np

from clarify_env.games.demonstration import Demonstration
from clarify_env.tasks import ledger_words as words
from clarify_env.tasks.tables import rising

# Exercises in one chat: questions in words, and calculations without words.
_SUMS = 8
_CALCULATIONS = 24
# Shares of the calculations of a chat. Sums are learned soonest.
_SHARES = {"sum": 0.1, "difference": 0.6, "percentage": 0.3}
# Rows of years: the last year, the share of rows with a whole percentage, and of those that name a region.
_LAST_YEAR = (2007, 2025)
_WHOLE_PERCENT = 0.35
_REGION = 0.7


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


def derived(rng: np.random.Generator) -> Demonstration:
    """Draws a row of figures by year, and works out what each two years give: their sum, rise, and rise in percent.

    As in a table, figures are looked up by their years first. A row has as many results per token as can be: a model
    that reads and does not calculate learns to do both at once.
    """
    years = int(rng.integers(*_LAST_YEAR)) - np.arange(rng.integers(2, 4))
    figures = [int(n) for n in rng.choice(np.arange(10, 100), size=len(years), replace=False)]
    if rng.random() < _WHOLE_PERCENT:
        column = int(rng.integers(len(years) - 1))
        figures[column + 1], figures[column], _ = rising(10, 99, rng)
    measures, _ = words.MEASURES[int(rng.integers(1, len(words.MEASURES) + 1))]
    name = measures[rng.integers(len(measures))]
    if rng.random() < _REGION:
        name += f" {words.REGIONS[rng.integers(len(words.REGIONS))]}"
    row = ", ".join(f"{year} {figure}" for year, figure in zip(years, figures, strict=True))
    lines = []
    for (last, after), (first, before) in combinations(zip(years, figures, strict=True), 2):
        lines.append(f"in {first} and {last} together: {words.working('sum', before, after)}")
        if after > before:
            lines.append(f"rise from {first} to {last}: {words.working('difference', before, after)}")
            if 100 * (after - before) % before == 0:
                percentage = words.working("percentage", before, after)
                lines.append(f"percentage from {first} to {last}: {percentage} {words.PERCENT}")
    messages = (("user", f"{name}: {row}\nWhat do each two years give?"), ("assistant", "\n".join(lines)))
    return Demonstration(messages, "derived")


def calculations(rng: np.random.Generator) -> Demonstration:
    """Draws a chat of calculations with two-digit numbers, worked out as in answers (`ledger_words.working`).

    A difference takes a tenth of the tokens that a query about a table takes.
    """
    kinds = list(_SHARES)
    queries, lines = [], []
    for index in rng.choice(len(kinds), size=_CALCULATIONS, p=list(_SHARES.values())):
        what = kinds[index]
        before, after = sorted(int(n) for n in rng.choice(np.arange(10, 100), size=2, replace=False))
        if what == "percentage":
            before, after, _ = rising(10, 99, rng)
        line = words.working(what, before, after) + (f" {words.PERCENT}" if what == "percentage" else "")
        queries.append(line.split(" = ")[0] + (" in percent" if what == "percentage" else ""))
        lines.append(line)
    messages = (("user", "Work out: " + "; ".join(queries)), ("assistant", "\n".join(lines)))
    return Demonstration(messages, "calculations")
