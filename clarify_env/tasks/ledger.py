"""The `ledger` task: queries about small tables of figures, drawn for each episode, that only the assistant sees.

"What was net revenue in 2021?" has one answer per region, "What was net revenue in Asia?" one per year. Facts are in
the context of the episode and nowhere else, so a table must be read and cannot be memorised.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from clarify_env.tasks import ledger_words as words
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.ledger_tables import (
    LIMITS,
    Figures,
    Meaning,
    Row,
    Table,
    all_meanings,
    draw_figures,
    draw_meaning,
    draw_table,
)
from clarify_env.tasks.profiles import ANY, LONG, SHORT, draw_length, geometric

_SPLITS = ("train", "validation", "test")
# Profiles of queries: (share, dimension left out, number of readings, ratio of each weight to the next one, lengths of
# the answers). The last year and the net figure are the likeliest; values of other dimensions are about equally likely.
# Numbers, weights and lengths follow the almanac's profiles, so that the default cost plane needs steering here too.
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
# Share of tables with one row written as a sentence below the others.
_SENTENCE = 0.25
_MOST_CELLS = 40


@register
class Ledger(Task):
    """Queries about figures of a firm that leave out the year, the region, the kind or the unit.

    Args:
        world_seed: Seed of all episodes.
        validation: Number of episodes for validation.
        test: Number of episodes for test. The train split is endless.
        cells: Largest number of figures in a table, 5 to 40.
        dimensions: Largest number of dimensions (measure, kind, region, unit) in which rows differ, 1 to 4: it is the
            number of words that identify a row.
        derived: Share of queries for a difference, a sum or a percentage of the figures of two years, among those that
            leave out neither year nor unit.
        working: Whether a derived figure may also be answered with the way to it, "34 + 51 = 85 tonnes", every word of
            which is charged. Demonstrations and lessons then show it: a small model adds figures that it has written
            down, and not figures that it must look up at once.

    Version history: 1, first version.
    """

    name = "ledger"
    version = 1
    attributes = words.CUES
    pretraining = ("train",)
    # A sentence, so that figures follow a space, as in tables and lists: the pocket model's tokenizer encodes a figure
    # after a space in the same way everywhere.
    statement = "It was {}."

    def __init__(
        self,
        world_seed: int = 0,
        validation: int = 200,
        test: int = 400,
        cells: int = 8,
        dimensions: int = 1,
        derived: float = 0.15,
        working: bool = False,
    ):
        if not _MOST_YEARS <= cells <= _MOST_CELLS:
            raise ValueError(f"task.cells must lie in {_MOST_YEARS} to {_MOST_CELLS}, not {cells}")
        if not 1 <= dimensions <= len(LIMITS):
            raise ValueError(f"task.dimensions must lie in 1 to {len(LIMITS)}, not {dimensions}")
        if not 0 <= derived <= 1:
            raise ValueError(f"task.derived must lie in 0 to 1, not {derived}")
        if min(validation, test) < 1:
            raise ValueError(f"task ledger needs at least one episode in each split, not {validation} and {test}")
        self.world_seed, self._options = world_seed, (world_seed, cells, dimensions, derived, working)
        self.sizes = {"train": None, "validation": validation, "test": test}

    def _episode(self, split: str, index: int) -> Episode:
        return _draw(*self._options, split, index)[0]

    def read_out(self, episode: Episode, rng: np.random.Generator) -> str:
        """Writes the figures with rows, and the years of each row, in a random order."""
        split, _, index = episode.id.partition("/")
        _, table, figures = _draw(*self._options, split, int(index))
        rows = [table.rows[i] for i in rng.permutation(len(table.rows))]
        return "\n".join(
            _line(row, [table.years[i] for i in rng.permutation(len(table.years))], figures) for row in rows
        )

    def facts(self, episode: Episode) -> list[tuple[str, str]]:
        """Every figure of the table, and every difference, sum and whole percentage of consecutive years of a row."""
        return [fact for _, fact in self._facts(episode)]

    def demonstrated(self, intent: int, episode: Episode) -> str | None:
        """The answer with its working, where the task accepts one."""
        _, *worked = episode.interpretations[intent].answers
        return worked[0] if worked else None

    def lessons(self, episode: Episode, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Facts in a random order, with at most the share of derived figures that queries have (``derived``)."""
        facts = self._facts(episode)
        cells = sum(not derived for derived, _ in facts)
        share = self._options[3]
        most = len(facts) if share == 1 else round(cells * share / (1 - share))
        lessons = []
        for i in rng.permutation(len(facts)):
            derived, fact = facts[i]
            most -= derived
            if not derived or most >= 0:
                lessons.append(fact)
        return lessons

    def _facts(self, episode: Episode) -> list[tuple[bool, tuple[str, str]]]:
        """Whether a figure is derived, and (query, answer), of every fact."""
        split, _, index = episode.id.partition("/")
        _, table, figures = _draw(*self._options, split, int(index))
        working = figures if self._options[-1] else None
        return [
            (meaning.what != "cell", (_query_text(meaning, 0, set(), form), _answers(meaning, 0, table, working)[-1]))
            for meaning in all_meanings(table, figures)
            for form in range(len(words.ASKED[meaning.what]))
        ]


# Cached: a game uses its episode several times.
@lru_cache(maxsize=4096)
def _draw(
    world_seed: int, most_cells: int, dimensions: int, derived: float, working: bool, split: str, index: int
) -> tuple[Episode, Table, Figures]:
    rng = np.random.default_rng([world_seed, _SPLITS.index(split), index])
    _, left_out, n, skew, lengths = PROFILES[rng.choice(len(PROFILES), p=[share for share, *_ in PROFILES])]
    length = draw_length(lengths, rng)
    what = "cell"
    if left_out not in ("year", "unit") and rng.random() < derived:
        what = words.DERIVED[rng.integers(len(words.DERIVED))]
    table = draw_table(left_out, n, length, (most_cells, dimensions), what, rng)
    figures = draw_figures(table, left_out, rng)
    meaning = draw_meaning(table, figures, left_out, what, rng)
    episode = Episode(
        f"{split}/{index}",
        _query(meaning, left_out, rng),
        _context(table, figures, rng),
        tuple(_readings(meaning, table, left_out, geometric(n, skew), figures if working else None)),
        {"entity": f"{split}/{index}", "open": left_out or "", "what": what},
    )
    return episode, table, figures


def _query(meaning: Meaning, left_out: str | None, rng: np.random.Generator) -> str:
    """Writes the query in a random form, without the dimension that it leaves out."""
    return _query_text(meaning, 0, {left_out}, int(rng.integers(len(words.ASKED[meaning.what]))))


def _query_text(meaning: Meaning, reading: int, left_out: set[str | None], form: int) -> str:
    row = {name: value for name, value in meaning.rows[reading].items() if name not in left_out}
    derived = meaning.what != "cell"
    return words.ASKED[meaning.what][form].format(
        what=" ".join(row[name] for name in ("kind", "measure") if name in row),
        where=f" in {row['region']}" if "region" in row else "",
        unit=f", in {row['unit']}" if "unit" in row else "",
        when="" if derived or "year" in left_out else f" in {meaning.years[reading]}",
        much="many" if row["measure"] in words.COUNTED else "much",
        first=meaning.years[0],
        last=meaning.years[-1],
    )


def _readings(
    meaning: Meaning, table: Table, omitted: str | None, weights: Sequence[float], working: Figures | None
) -> Iterator[Interpretation]:
    for i, (row, weight) in enumerate(zip(meaning.rows, weights, strict=True)):
        attributes = {name: value for name, value in row.items() if name != "measure"}
        if meaning.what == "cell":
            attributes["year"] = meaning.years[i]
        yield Interpretation(
            label=attributes[omitted] if omitted else "only",
            text=_query_text(meaning, i, set(), 0),
            answers=_answers(meaning, i, table, working),
            weight=weight,
            attributes=tuple(attributes.items()),
        )


def _answers(meaning: Meaning, reading: int, table: Table, working: Figures | None) -> tuple[str, ...]:
    """Answer of a reading with its unit; then, for a derived figure, with its working from the figures."""
    unit, row = words.PERCENT, meaning.rows[reading]
    if meaning.what != "percentage":
        unit = next((unit for unit in table.units if unit.endswith(row.get("unit", ""))), "")
    texts = [str(meaning.answers[reading])]
    if working and meaning.what != "cell":
        texts.append(words.working(meaning.what, *(working[*row.values(), year] for year in meaning.years)))
    return tuple(f"{text} {unit}".rstrip() for text in texts)


def _context(table: Table, figures: Figures, rng: np.random.Generator) -> str:
    """Writes the table, one row per line with a year before each figure; one row may become a sentence."""
    sentence_index = rng.integers(len(table.rows)) if len(table.rows) > 1 and rng.random() < _SENTENCE else None
    lines, sentences = [", ".join([table.firm, *table.units] if table.units != ("",) else [table.firm])], []
    for index, row in enumerate(table.rows):
        if index == sentence_index:
            values = ", ".join(f"{figures[*row.values(), year]} in {year}" for year in reversed(table.years))
            sentences.append(f"{_row_name(row)} came to {values}.")
        else:
            lines.append(_line(row, table.years[::-1], figures))
    return "\n".join([*lines, *sentences])


def _row_name(row: Row) -> str:
    return " ".join(row[part] for part in ("kind", "measure", "region", "unit") if part in row)


def _line(row: Row, years: Sequence[str], figures: Figures) -> str:
    return f"{_row_name(row)}: {', '.join(f'{year} {figures[*row.values(), year]}' for year in years)}"
