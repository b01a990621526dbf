"""The `ledger` task: questions about small tables of figures that only the assistant sees, made anew for every episode.

"What was net revenue in 2021?" has an answer for each region, "What was net revenue in Asia?" one for each year. Facts
are in the episode's context and nowhere else, so a table must be read; nothing about it can be remembered.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from clarify_env.tasks import ledger_words as words
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.profiles import ANY, LONG, SHORT, draw_length, geometric
from clarify_env.tasks.tables import rising

_SPLITS = ("train", "validation", "test")
# What questions leave out: (share, what, how many readings that makes, how much likelier each is than the next, lengths
# of the answers). Of years the last is meant most often, of net and gross the net figure; what else is left out is
# equally likely. Numbers, weights and lengths are those of the almanac, whose shares solve a linear program, so that
# the default plane of costs asks for steering here too (README, oracle map).
PROFILES = (
    (0.08, None, 1, 1.0, ANY),
    (0.22, "region", 2, 1.05, SHORT),
    (0.12, "kind", 2, 1.05, SHORT),
    (0.11, "kind", 2, 8.0, LONG),
    (0.05, "unit", 2, 1.05, LONG),
    (0.21, "region", 3, 1.05, LONG),
    (0.06, "year", 4, 1.5, LONG),
    (0.15, "year", 5, 2.5, LONG),
)
_MOST_YEARS = 5
# Most values a table has of what a question does not leave out, and how often it gets one more while there is room.
_LIMITS = {"measure": 3, "kind": 2, "region": 3, "year": 3}
_MORE = 0.75
# In this share of tables one row stands in a sentence below.
_TOLD = 0.25
_MOST_CELLS = 40
_YEARS = (2005, 2025)

# A figure given in two units is so many times the one in the other.
_RATES = (0.5, 0.85)
_FIGURES = (10, 99)

Row = dict[str, str]  # what tells a row from others: dimension and value
Figures = dict[tuple[str, ...], int]  # by the values of a row and the year


class _Table(NamedTuple):
    """A table as drawn.

    Attributes:
        firm: Whose figures.
        units: Of the figures; several where each is given in each.
        rows: What tells each row from the others: ``measure``, and ``kind``, ``region`` or ``unit`` where the table has
            several.
        years: The columns, the last first.
    """

    firm: str
    units: tuple[str, ...]
    rows: tuple[Row, ...]
    years: tuple[str, ...]


class _Wanted(NamedTuple):
    """What is asked for: the row of each reading, the years, and the figures that answer.

    Attributes:
        what: ``"cell"``, or one of `ledger_words.DERIVED`.
        rows: A row for each reading; all the same where the year is left out.
        years: The year of each reading, or the first and the last that a derived figure is worked out from.
        answers: A number for each reading.
    """

    what: str
    rows: tuple[Row, ...]
    years: tuple[str, ...]
    answers: tuple[int, ...]


@register
class Ledger(Task):
    """Questions about figures of a firm that leave out the year, the region, the kind or the unit.

    Args:
        world_seed: Everything follows from it.
        validation: Episodes for validation.
        test: Episodes for test. The train split is endless.
        cells: Most figures in a table, at least 5.
        dimensions: Most of measure, kind, region and unit by which a table's rows differ at once: with 1 a row is found
            by one word, with 2 by two.
        derived: Share of the questions that want a difference, a sum or a percentage of two years' figures, among those
            that leave out neither year nor unit.

    Version history: 1, first version.
    """

    name = "ledger"
    version = 1
    attributes = words.CUES
    pretraining = ("train",)

    def __init__(
        self,
        world_seed: int = 0,
        validation: int = 200,
        test: int = 400,
        cells: int = 8,
        dimensions: int = 1,
        derived: float = 0.15,
    ):
        if not _MOST_YEARS <= cells <= _MOST_CELLS:
            raise ValueError(f"task.cells must lie in {_MOST_YEARS} to {_MOST_CELLS}, not {cells}")
        if not 1 <= dimensions <= len(_LIMITS):
            raise ValueError(f"task.dimensions must lie in 1 to {len(_LIMITS)}, not {dimensions}")
        if not 0 <= derived <= 1:
            raise ValueError(f"task.derived must lie in 0 to 1, not {derived}")
        if min(validation, test) < 1:
            raise ValueError(f"task ledger needs at least one episode in each split, not {validation} and {test}")
        self.world_seed, self._drawn_by = world_seed, (world_seed, cells, dimensions, derived)
        self.sizes = {"train": None, "validation": validation, "test": test}

    def _episode(self, split: str, index: int) -> Episode:
        return _drawn(*self._drawn_by, split, index)[0]

    def read_out(self, episode: Episode, rng: np.random.Generator) -> str:
        """The figures in another order of rows and, in each row, of years."""
        split, _, index = episode.id.partition("/")
        _, table, figures = _drawn(*self._drawn_by, split, int(index))
        rows = [table.rows[i] for i in rng.permutation(len(table.rows))]
        return "\n".join(
            _line(row, [table.years[i] for i in rng.permutation(len(table.years))], figures) for row in rows
        )

    def facts(self, episode: Episode) -> list[tuple[str, str]]:
        """Every figure of the table, and every difference, sum and whole percentage of two years in a row.

        Answers are sentences, so that figures follow a space, as in tables and lists: after one, the pocket model's
        tokenizer keeps them whole.
        """
        split, _, index = episode.id.partition("/")
        _, table, figures = _drawn(*self._drawn_by, split, int(index))
        return [
            (_worded(wanted, 0, set(), form), f"It was {_said(wanted, 0, table)}.")
            for wanted in _everything(table, figures)
            for form in range(len(words.ASKED[wanted.what]))
        ]


# A game asks for its episode several times.
@lru_cache(maxsize=4096)
def _drawn(
    world_seed: int, most_cells: int, dimensions: int, derived: float, split: str, index: int
) -> tuple[Episode, _Table, Figures]:
    rng = np.random.default_rng([world_seed, _SPLITS.index(split), index])
    _, open_, n, skew, lengths = PROFILES[rng.choice(len(PROFILES), p=[share for share, *_ in PROFILES])]
    length = draw_length(lengths, rng)
    what = "cell"
    if open_ not in ("year", "unit") and rng.random() < derived:
        what = words.DERIVED[rng.integers(len(words.DERIVED))]
    table = _table(open_, n, length, (most_cells, dimensions), what, rng)
    figures = _figures(table, open_, rng)
    wanted = _wanted(table, figures, open_, what, rng)
    episode = Episode(
        f"{split}/{index}",
        _asked(wanted, open_, rng),
        _shown(table, figures, rng),
        tuple(_readings(wanted, table, open_, geometric(n, skew))),
        {"entity": f"{split}/{index}", "open": open_ or "", "what": what},
    )
    return episode, table, figures


def _table(
    open_: str | None, n: int, length: int, most: tuple[int, int], what: str, rng: np.random.Generator
) -> _Table:
    """Draws what a table shows: ``n`` values of what is left out, and of the rest as many as there is room for."""
    sizes = {"measure": 1, "kind": 1, "region": 1, "unit": 1, "year": 1 if what == "cell" else 2}
    if open_:
        sizes[open_] = n
    while (wider := _wider(sizes, open_, most)) and rng.random() < _MORE:
        sizes[wider[rng.integers(len(wider))]] += 1

    def some(values: Sequence[str], size: int) -> list[str]:
        return [values[i] for i in rng.permutation(len(values))[:size]]

    measures, units = words.MEASURES[length]
    chosen = some(units, sizes["unit"])
    values = {
        "measure": some(measures, sizes["measure"]),
        "kind": words.KINDS[length][: sizes["kind"]],
        "region": some(words.REGIONS, sizes["region"]),
        "unit": [unit.split()[-1] for unit in chosen if unit],
    }
    named = [name for name in values if name == "measure" or sizes[name] > 1]
    rows = [dict(zip(named, row, strict=True)) for row in product(*(values[name] for name in named))]
    last = int(rng.integers(_YEARS[0] + sizes["year"], _YEARS[1]))
    years = tuple(str(last - i) for i in range(sizes["year"]))
    return _Table(words.FIRMS[rng.integers(len(words.FIRMS))], tuple(chosen), tuple(rows), years)


def _wider(sizes: dict[str, int], open_: str | None, most: tuple[int, int]) -> list[str]:
    """The dimensions, other than the one left out, of which a table has room for one value more."""
    cells, dimensions = most
    wide = [name for name, size in sizes.items() if size > 1 and name != "year"]
    return [
        name
        for name, limit in _LIMITS.items()
        if name != open_
        and sizes[name] < limit
        and math.prod(sizes.values()) // sizes[name] * (sizes[name] + 1) <= cells
        and (name in ("year", *wide) or len(wide) < dimensions)
    ]


def _figures(table: _Table, open_: str | None, rng: np.random.Generator) -> Figures:
    """Draws the figures, no two alike; in another unit, each is what the rate makes of it."""
    low, high = _FIGURES
    keys = [(*row.values(), year) for row in table.rows for year in table.years]
    figures = dict(zip(keys, (low + rng.permutation(high - low + 1)[: len(keys)]).tolist(), strict=True))
    if open_ == "unit":
        rate = rng.uniform(*_RATES)
        first, second = (row["unit"] for row in table.rows[:2])
        for key in keys:
            if first in key:
                figures[key] = max(figures[key], 2 * low)
                other = tuple(second if value == first else value for value in key)
                figures[other] = round(figures[key] * rate)
    return figures


def _wanted(table: _Table, figures: Figures, open_: str | None, what: str, rng: np.random.Generator) -> _Wanted:
    """Draws what is asked for; a derived figure gives its readings' cells new figures that it comes of."""
    row = table.rows[rng.integers(len(table.rows))]
    if open_ == "year":
        answers = tuple(figures[*row.values(), year] for year in table.years)
        return _Wanted(what, (row,) * len(table.years), table.years, answers)
    rows = tuple(other for other in table.rows if _same(other, row, open_)) if open_ else (row,)
    if what == "cell":
        year = table.years[rng.integers(len(table.years))]
        return _Wanted(what, rows, (year,) * len(rows), tuple(figures[*its.values(), year] for its in rows))
    at = int(rng.integers(len(table.years) - 1))
    last, first = table.years[at : at + 2]
    found: list[int] = []
    for its in rows:
        before, after, answer = _pair(what, rng)
        while answer in found:
            before, after, answer = _pair(what, rng)
        figures[*its.values(), first], figures[*its.values(), last] = before, after
        found.append(answer)
    return _Wanted(what, rows, (first, last), tuple(found))


def _same(row: Row, other: Row, but: str) -> bool:
    return all(row[name] == other[name] for name in row if name != but)


def _pair(what: str, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draws the figures of two years and what is worked out from them."""
    low, high = _FIGURES
    if what == "percentage":
        return rising(low, high, rng)
    before, after = (int(n) for n in np.sort(rng.choice(np.arange(low, high + 1), size=2, replace=False)))
    return before, after, after - before if what == "difference" else before + after


def _asked(wanted: _Wanted, open_: str | None, rng: np.random.Generator) -> str:
    """Words the question, without what it leaves out."""
    return _worded(wanted, 0, {open_}, int(rng.integers(len(words.ASKED[wanted.what]))))


def _worded(wanted: _Wanted, reading: int, without: set[str | None], form: int) -> str:
    row = {name: value for name, value in wanted.rows[reading].items() if name not in without}
    derived = wanted.what != "cell"
    return words.ASKED[wanted.what][form].format(
        what=" ".join(row[name] for name in ("kind", "measure") if name in row),
        where=f" in {row['region']}" if "region" in row else "",
        unit=f", in {row['unit']}" if "unit" in row else "",
        when="" if derived or "year" in without else f" in {wanted.years[reading]}",
        much="many" if row["measure"] in words.COUNTED else "much",
        first=wanted.years[0],
        last=wanted.years[-1],
    )


def _readings(wanted: _Wanted, table: _Table, open_: str | None, weights: Sequence[float]) -> Iterator[Interpretation]:
    for i, (row, weight) in enumerate(zip(wanted.rows, weights, strict=True)):
        about = {name: value for name, value in row.items() if name != "measure"}
        if wanted.what == "cell":
            about["year"] = wanted.years[i]
        yield Interpretation(
            label=about[open_] if open_ else "only",
            text=_worded(wanted, i, set(), 0),
            answers=(_said(wanted, i, table),),
            weight=weight,
            attributes=tuple(about.items()),
        )


def _said(wanted: _Wanted, reading: int, table: _Table) -> str:
    """The answer in words, with its unit."""
    unit = words.PERCENT
    if wanted.what != "percentage":
        unit = next((unit for unit in table.units if unit.endswith(wanted.rows[reading].get("unit", ""))), "")
    return f"{wanted.answers[reading]} {unit}".rstrip()


def _everything(table: _Table, figures: Figures) -> Iterator[_Wanted]:
    """All that can be asked about a table."""
    for row in table.rows:
        for year in table.years:
            yield _Wanted("cell", (row,), (year,), (figures[*row.values(), year],))
        for last, first in pairwise(table.years):
            before, after = figures[*row.values(), first], figures[*row.values(), last]
            yield _Wanted("sum", (row,), (first, last), (before + after,))
            if after > before:
                yield _Wanted("difference", (row,), (first, last), (after - before,))
                if 100 * (after - before) % before == 0:
                    yield _Wanted("percentage", (row,), (first, last), (100 * (after - before) // before,))


def _shown(table: _Table, figures: Figures, rng: np.random.Generator) -> str:
    """Writes the table out, a row a line and each figure beside its year; perhaps one row as a sentence instead."""
    told = rng.integers(len(table.rows)) if len(table.rows) > 1 and rng.random() < _TOLD else None
    lines, sentences = [", ".join([table.firm, *table.units] if table.units != ("",) else [table.firm])], []
    for index, row in enumerate(table.rows):
        if index == told:
            cells = ", ".join(f"{figures[*row.values(), year]} in {year}" for year in reversed(table.years))
            sentences.append(f"{_named(row)} came to {cells}.")
        else:
            lines.append(_line(row, table.years[::-1], figures))
    return "\n".join([*lines, *sentences])


def _named(row: Row) -> str:
    return " ".join(row[part] for part in ("kind", "measure", "region", "unit") if part in row)


def _line(row: Row, years: Sequence[str], figures: Figures) -> str:
    return f"{_named(row)}: {', '.join(f'{year} {figures[*row.values(), year]}' for year in years)}"
