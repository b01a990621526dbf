"""The `sql` task: requests that leave open which column, table, filter or statistic of a database is meant.

Modelled on AmbigSQL (arXiv 2406.00222). Every episode has a new database. An answer is a SQL query; it is right if it
returns the rows of the gold query (`clarify_env.scores.execution`).
"""

import sqlite3
import tempfile
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clarify_env.scores.execution import Rows, execute, execution_match, is_ordered, same_rows
from clarify_env.tasks import sql_words as words
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.records import told_apart

_SPLITS = ("train", "validation", "test")
_ROWS = (8, 14)
# Distribution of the number of open slots of a request, and weights of the options of a slot, by their number.
_OPEN = {0: 0.15, 1: 0.5, 2: 0.35}
_LIKELY = {2: ((0.5, 0.5), (0.7, 0.3), (0.9, 0.1)), 3: ((0.34, 0.33, 0.33), (0.6, 0.3, 0.1), (0.8, 0.1, 0.1))}
_FILTERED = 0.5
_MOST_DRAWS = 100


class _Option(NamedTuple):
    label: str
    phrase: str
    sql: str


class _Slot(NamedTuple):
    """A part of a request: its wording if it is left open, and the options that it may mean."""

    name: str
    vague: str
    options: tuple[_Option, ...]


class _Request(NamedTuple):
    """Templates of text and SQL query, with the names of the slots as fields."""

    text: str
    query: str
    slots: tuple[_Slot, ...]


@register
class SQL(Task):
    """Ambiguous requests to small databases; the answer is a query, scored by execution.

    A request asks for a column, a statistic or an order of the rows of one of three similar tables, with or without a
    filter. Up to two of its parts are left open. The context is the schema with two rows per table, and the possible
    meanings of a word such as "recent". No two episodes share a database, so queries cannot be memorised. A query is
    run on the episode's database and on a second one of the same schema, read-only and within limits.

    Args:
        world_seed: Seed of all episodes.
        train: Number of episodes for training.
        validation: Number of episodes for validation.
        test: Number of episodes for test.

    Version history: 1, first version; 2, comparisons with signs and quoted names are scored like any others.
    """

    name = "sql"
    version = 2
    attributes = {
        "column": ("column", "field"),
        "table": ("table", "kind"),
        "filter": ("filter", "criterion"),
        "measure": ("measure", "statistic"),
        "order": ("order", "sorting"),
    }

    def __init__(self, world_seed: int = 0, train: int = 2000, validation: int = 200, test: int = 400):
        self.world_seed = world_seed
        self.sizes = dict(zip(_SPLITS, (train, validation, test), strict=True))
        if min(train, validation, test) < 1:
            raise ValueError(f"task sql needs episodes in every split, not {self.sizes}")
        self._open()

    def _open(self) -> None:
        """Makes the folder of the databases, and the caches of what is made."""
        self._folder = tempfile.TemporaryDirectory(prefix="clarify-env-sql-")  # removed with the task
        self._made = lru_cache(maxsize=4096)(self._make)
        self._scored = lru_cache(maxsize=65536)(self._execution)

    def __getstate__(self) -> dict[str, Any]:
        # Another process makes the same databases in a folder of its own.
        return {"world_seed": self.world_seed, "sizes": self.sizes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def databases(self, episode: Episode) -> list[Path]:
        """Files on which queries are run: the database of the context, and another one of the same schema."""
        split, _, index = episode.id.rpartition("/")
        return self._made(split, int(index))[1]

    def score(self, answer: str, intent: int, episode: Episode) -> float:
        """Execution match on both databases: 1.0 or 0.0."""
        return self._scored(answer, intent, episode.id)

    def _execution(self, answer: str, intent: int, episode_id: str) -> float:
        episode = self.lookup(episode_id)
        return execution_match(answer, episode.interpretations[intent].answers[0], self.databases(episode))

    def _episode(self, split: str, index: int) -> Episode:
        return self._made(split, index)[0]

    def _make(self, split: str, index: int) -> tuple[Episode, list[Path]]:
        """Draws episodes until replies, labels and results of the gold queries separate the readings."""
        rng = np.random.default_rng([self.world_seed, _SPLITS.index(split), index])
        paths = [Path(self._folder.name) / f"{split}-{index}-{which}.sqlite" for which in ("shown", "other")]
        for _ in range(_MOST_DRAWS):
            domain = words.DOMAINS[rng.integers(len(words.DOMAINS))]
            fills = [_fill(domain, rng) for _ in paths]
            for path, fill in zip(paths, fills, strict=True):
                _write(path, domain, fill)
            episode = _draw(f"{split}/{index}", domain, fills[0], rng)
            golds = [reading.answers[0] for reading in episode.interpretations]
            results_of = [[_gold_rows(path, gold) for gold in golds] for path in paths]
            ordered = is_ordered(golds[0])
            differ = all(not same_rows(a, b, ordered) for a, b in combinations(results_of[0], 2))
            # Results must not be empty: an empty one would not show the effect of a filter.
            if differ and all(rows for rows_of in results_of for rows in rows_of) and told_apart(self, episode):
                return episode, paths
        raise RuntimeError(f"no episode could be made for {split}/{index} in {_MOST_DRAWS} draws")


def _gold_rows(database: Path, gold: str) -> Rows:
    rows = execute(database, gold)
    assert rows is not None, f"the gold query cannot be run: {gold}"
    return rows


Fill = dict[str, list[tuple]]


def _columns(domain: words.Domain) -> list[tuple[str, str]]:
    return [
        ("name", "TEXT"),
        *((column, "INTEGER") for column in (*domain.years, *domain.sizes)),
        *((column, "TEXT") for column in domain.places),
    ]


def _fill(domain: words.Domain, rng: np.random.Generator) -> Fill:
    """Draws rows for each table; the values of a column are distinct within a table, so that orders are unique."""

    def draw(values: Any, count: int) -> list:
        return [values[i] for i in rng.choice(len(values), size=count, replace=False)]

    fill: Fill = {}
    for table in domain.tables:
        count = int(rng.integers(*_ROWS))
        years = [draw(range(1900, 2020), count) for _ in domain.years]
        sizes = [draw(range(*bounds), count) for bounds in domain.sizes.values()]
        places = [draw(words.TOWNS, count) for _ in domain.places]
        fill[table] = list(zip(draw(words.NAMES, count), *years, *sizes, *places, strict=True))
    return fill


def _write(path: Path, domain: words.Domain, fill: Fill) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    columns = _columns(domain)
    with connection:
        for table, rows in fill.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(map(' '.join, columns))})")
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)
    connection.close()


def _draw(episode_id: str, domain: words.Domain, fill: Fill, rng: np.random.Generator) -> Episode:
    """Draws a request and its open slots, and builds its readings."""
    request = _request(domain, fill, rng)
    count = min(int(rng.choice(list(_OPEN), p=list(_OPEN.values()))), len(request.slots))
    open_slots = {request.slots[i].name for i in rng.choice(len(request.slots), size=count, replace=False)}
    options_of_slots: list[list[tuple[_Option, float]]] = []
    for slot in request.slots:
        size = 1 if slot.name not in open_slots else len(slot.options) if count == 1 else 2
        options = [slot.options[i] for i in rng.choice(len(slot.options), size=size, replace=False)]
        option_weights = _LIKELY[size][rng.integers(len(_LIKELY[size]))] if size > 1 else (1.0,)
        options_of_slots.append(list(zip(options, option_weights, strict=True)))
    names = [slot.name for slot in request.slots]
    wording = {
        slot.name: slot.vague if slot.name in open_slots else options[0][0].phrase
        for slot, options in zip(request.slots, options_of_slots, strict=True)
    }
    readings = []
    for combination in product(*options_of_slots):
        option_of = dict(zip(names, (option for option, _ in combination), strict=True))
        query = request.query.format(**{name: option.sql for name, option in option_of.items()})
        attributes = tuple((name, option_of[name].label) for name in names if name in open_slots)
        readings.append(
            Interpretation(
                label=" ".join(label for _, label in attributes) or "only",
                text=_sentence(request.text.format(**{name: option.phrase for name, option in option_of.items()})),
                # The alias without spaces around ">" has fewer words.
                answers=tuple(dict.fromkeys((query, query.replace(" > ", ">")))),
                weight=float(np.prod([share for _, share in combination])),
                attributes=attributes,
            )
        )
    total = sum(reading.weight for reading in readings)
    readings = [reading._replace(weight=reading.weight / total) for reading in readings]
    context = _schema(domain, fill)
    for slot in request.slots:
        if slot.name == "filter" and "filter" in open_slots:
            # The context states the possible meanings; only the user knows the intended one.
            context += f"\nThose{slot.vague}: {' or '.join(option.sql for option in slot.options)}"
    meta = {"entity": episode_id, "open": sorted(open_slots)}
    return Episode(episode_id, _sentence(request.text.format(**wording)), context, tuple(readings), meta)


def _request(domain: words.Domain, fill: Fill, rng: np.random.Generator) -> _Request:
    """Draws a request; its columns and its filter are of different kinds, so that their vague words differ."""
    table = _Slot("table", domain.rows, tuple(_Option(name, name, name) for name in domain.tables))
    kinds = {"years": domain.years, "sizes": tuple(domain.sizes), "places": domain.places}
    slots: tuple[_Slot, ...]
    match rng.integers(3):
        case 0:
            kind = ("years", "sizes", "places")[rng.integers(3)]
            options = tuple(_Option(name, f"{name} column", name) for name in kinds[kind])
            text, query = "show the {column} of the {table}{filter}", "SELECT {column} FROM {table}"
            slots = (_Slot("column", words.VAGUE_COLUMN[kind], options), table)
        case 1:
            kind, size = "sizes", list(domain.sizes)[rng.integers(len(domain.sizes))]
            options = tuple(_Option(label, phrase, function) for label, phrase, function in words.MEASURES)
            text = f"what is the {{measure}} {size} over the {{table}}{{filter}}"
            query = f"SELECT {{measure}}({size}) FROM {{table}}"
            slots = (_Slot("measure", "figure for", options), table)
        case _:
            kind = ("years", "sizes")[rng.integers(2)]
            options = tuple(_Option(name, f"by {name}", name) for name in kinds[kind])
            text, query = "list the {table}{filter} {order}", "SELECT name FROM {table} ORDER BY {order}"
            slots = (_Slot("order", "in order", options), table)
    others = [other for other in words.VAGUE_FILTER if other != kind]
    if rng.random() < _FILTERED:
        kind = others[rng.integers(len(others))]
        options = tuple(_above(name, _middle(domain, fill, name)) for name in kinds[kind])
        before, _, after = query.partition(" ORDER BY ")
        query = f"{before} WHERE {{filter}}" + (f" ORDER BY {after}" if after else "")
        slots = (*slots, _Slot("filter", f" that are {words.VAGUE_FILTER[kind]}", options))
    else:
        text = text.replace("{filter}", "")
    return _Request(text, query, slots)


def _above(column: str, bound: int) -> _Option:
    return _Option(column, f" with {column} above {bound}", f"{column} > {bound}")


def _middle(domain: words.Domain, fill: Fill, column: str) -> int:
    """Bound of a filter: the median of a column over the rows of all tables."""
    place = [name for name, _ in _columns(domain)].index(column)
    return int(np.median([row[place] for rows in fill.values() for row in rows]))


def _schema(domain: words.Domain, fill: Fill) -> str:
    columns = ", ".join(map(" ".join, _columns(domain)))
    return "\n".join(f"{table} ({columns}), such as {' and '.join(map(str, rows[:2]))}" for table, rows in fill.items())


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("?" if text.startswith("what") else ".")
