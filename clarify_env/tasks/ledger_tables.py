"""Tables of the `ledger` task: draws rows, years and figures, and the meaning of a query about them."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from clarify_env.tasks import ledger_words as words
from clarify_env.tasks.tables import rising

# Largest number of values of a dimension that is not left out, and the probability of one more value while it fits.
LIMITS = {"measure": 3, "kind": 2, "region": 3, "year": 3}
_EXTEND = 0.75
_YEARS = (2005, 2025)

# Range of the rate between two units of a figure.
_RATES = (0.5, 0.85)
_FIGURES = (10, 99)

Row = dict[str, str]  # value by dimension
Figures = dict[tuple[str, ...], int]  # by (*values of the row, year)


class Table(NamedTuple):
    """A table without its figures.

    Attributes:
        firm: Name of the firm.
        units: Units of the figures; if there are several, each figure is given in each unit.
        rows: Dimensions of each row: ``measure``, and ``kind``, ``region`` or ``unit`` if the table has several values.
        years: The columns, last year first.
    """

    firm: str
    units: tuple[str, ...]
    rows: tuple[Row, ...]
    years: tuple[str, ...]


class Meaning(NamedTuple):
    """The meaning of a query: rows, years and answers of its readings.

    Attributes:
        what: ``"cell"``, or one of `ledger_words.DERIVED`.
        rows: One row per reading; all equal if the year is left out.
        years: The year of each reading; for a derived figure, its first and its last year.
        answers: One number per reading.
    """

    what: str
    rows: tuple[Row, ...]
    years: tuple[str, ...]
    answers: tuple[int, ...]


def draw_table(
    left_out: str | None, n: int, length: int, limits: tuple[int, int], what: str, rng: np.random.Generator
) -> Table:
    """Draws a table: ``n`` values of the dimension left out, and as many of the others as fit."""
    sizes = {"measure": 1, "kind": 1, "region": 1, "unit": 1, "year": 1 if what == "cell" else 2}
    if left_out:
        sizes[left_out] = n
    while (extendable := _extendable(sizes, left_out, limits)) and rng.random() < _EXTEND:
        sizes[extendable[rng.integers(len(extendable))]] += 1

    def draw(values: Sequence[str], size: int) -> list[str]:
        return [values[i] for i in rng.permutation(len(values))[:size]]

    measures, units = words.MEASURES[length]
    units_of_table = draw(units, sizes["unit"])
    values = {
        "measure": draw(measures, sizes["measure"]),
        "kind": words.KINDS[length][: sizes["kind"]],
        "region": draw(words.REGIONS, sizes["region"]),
        "unit": [unit.split()[-1] for unit in units_of_table if unit],
    }
    dimensions = [name for name in values if name == "measure" or sizes[name] > 1]
    rows = [dict(zip(dimensions, row, strict=True)) for row in product(*(values[name] for name in dimensions))]
    last_year = int(rng.integers(_YEARS[0] + sizes["year"], _YEARS[1]))
    years = tuple(str(last_year - i) for i in range(sizes["year"]))
    return Table(words.FIRMS[rng.integers(len(words.FIRMS))], tuple(units_of_table), tuple(rows), years)


def _extendable(sizes: dict[str, int], left_out: str | None, limits: tuple[int, int]) -> list[str]:
    """Dimensions, other than the one left out, for which one more value fits into the table."""
    most_cells, dimensions = limits
    varied = [name for name, size in sizes.items() if size > 1 and name != "year"]
    return [
        name
        for name, limit in LIMITS.items()
        if name != left_out
        and sizes[name] < limit
        and math.prod(sizes.values()) // sizes[name] * (sizes[name] + 1) <= most_cells
        and (name in ("year", *varied) or len(varied) < dimensions)
    ]


def draw_figures(table: Table, left_out: str | None, rng: np.random.Generator) -> Figures:
    """Draws distinct figures; if the unit is left out, those in the second unit are converted by a rate."""
    low, high = _FIGURES
    keys = [(*row.values(), year) for row in table.rows for year in table.years]
    figures = dict(zip(keys, (low + rng.permutation(high - low + 1)[: len(keys)]).tolist(), strict=True))
    if left_out == "unit":
        rate = rng.uniform(*_RATES)
        first, second = (row["unit"] for row in table.rows[:2])
        for key in keys:
            if first in key:
                figures[key] = max(figures[key], 2 * low)
                other = tuple(second if value == first else value for value in key)
                figures[other] = round(figures[key] * rate)
    return figures


def draw_meaning(table: Table, figures: Figures, left_out: str | None, what: str, rng: np.random.Generator) -> Meaning:
    """Draws the meaning of a query; for a derived figure, the figures of its rows are drawn again."""
    row = table.rows[rng.integers(len(table.rows))]
    if left_out == "year":
        answers = tuple(figures[*row.values(), year] for year in table.years)
        return Meaning(what, (row,) * len(table.years), table.years, answers)
    rows = tuple(other for other in table.rows if _same(other, row, left_out)) if left_out else (row,)
    if what == "cell":
        year = table.years[rng.integers(len(table.years))]
        return Meaning(what, rows, (year,) * len(rows), tuple(figures[*other.values(), year] for other in rows))
    column = int(rng.integers(len(table.years) - 1))
    last, first = table.years[column : column + 2]
    answers_so_far: list[int] = []
    for other in rows:
        before, after, answer = _pair(what, rng)
        while answer in answers_so_far:
            before, after, answer = _pair(what, rng)
        figures[*other.values(), first], figures[*other.values(), last] = before, after
        answers_so_far.append(answer)
    return Meaning(what, rows, (first, last), tuple(answers_so_far))


def all_meanings(table: Table, figures: Figures) -> Iterator[Meaning]:
    """Yields the meaning of every query about a table."""
    for row in table.rows:
        for year in table.years:
            yield Meaning("cell", (row,), (year,), (figures[*row.values(), year],))
        for last, first in pairwise(table.years):
            before, after = figures[*row.values(), first], figures[*row.values(), last]
            yield Meaning("sum", (row,), (first, last), (before + after,))
            if after > before:
                yield Meaning("difference", (row,), (first, last), (after - before,))
                if 100 * (after - before) % before == 0:
                    yield Meaning("percentage", (row,), (first, last), (100 * (after - before) // before,))


def _same(row: Row, other: Row, dimension: str) -> bool:
    return all(row[name] == other[name] for name in row if name != dimension)


def _pair(what: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draws (first figure, last figure, derived figure) of two years."""
    low, high = _FIGURES
    if what == "percentage":
        return rising(low, high, rng)
    before, after = (int(n) for n in np.sort(rng.choice(np.arange(low, high + 1), size=2, replace=False)))
    return before, after, after - before if what == "difference" else before + after
