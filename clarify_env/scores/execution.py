"""Execution match of SQL queries, run read-only and within limits.

A query is text from a model. SQLite opens the file read-only; an authorizer allows nothing but reading the tables of
the database and calling a few functions. The length of a query, its steps, and the rows and values it returns are
limited.
"""

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

Rows = list[tuple]

# Far above what a request about tables of a few dozen rows needs; a query at these limits takes a tenth of a second and
# a few megabytes.
MOST_CHARACTERS = 2_000
MOST_ROWS = 1_000
_MOST_STEPS = 200_000
_STEPS_A_CHECK = 1_000
_LONGEST_VALUE = 10_000

_FUNCTIONS = frozenset(
    """abs avg coalesce count ifnull iif instr length like lower max min nullif round substr substring sum total trim
    ltrim rtrim upper date strftime""".split()
)
# Patterns that people write without a space, each with the single word that replaces it: count(distinct name),
# count(*)>=500, 'Ada Brandt'. In round(x, 2) the name of the function counts as one word with the first argument.
_QUOTED = r"'(?:[^']|'')*'"
_CALL = rf"\b(?:{'|'.join(sorted(_FUNCTIONS))})\("
_UNITS = [
    (re.compile(rf"{_CALL}\s*(?:distinct\s+)?[\w.*]+\s*\)", re.IGNORECASE), "(x)"),
    (re.compile(_CALL, re.IGNORECASE), "("),
    (re.compile(rf"(?:[\w.]+|\(x\))(?:<=|>=|<>|!=|==|=|<|>)(?:{_QUOTED}|[\w.]+)"), "(x)"),
    (re.compile(_QUOTED), "(x)"),
]
_WORD = re.compile(r"[^\W_]+(?:\.[^\W_]+)*")


def execute(database: Path, query: str) -> Rows | None:
    """Runs one query.

    Args:
        database: A SQLite file.
        query: Any text.

    Returns:
        The rows; ``None`` if the query is not allowed, fails, or exceeds a limit.
    """
    if len(query) > MOST_CHARACTERS or "\0" in query:
        return None
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        _fence(connection, tables)
        cursor = connection.execute(query)
        rows = cursor.fetchmany(MOST_ROWS + 1)
    # ProgrammingError: several statements. DatabaseError: not authorised. OperationalError: interrupted, or no SQL.
    # DataError: a value is too big. UnicodeEncodeError: surrogates cannot be sent to SQLite.
    except (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError):
        return None
    finally:
        connection.close()
    return rows if cursor.description and len(rows) <= MOST_ROWS else None


def _fence(connection: sqlite3.Connection, tables: set[str]) -> None:
    """Restricts a connection to reading these tables, within the limits."""
    connection.execute("PRAGMA temp_store = MEMORY")  # no temporary files
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * MOST_CHARACTERS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 50)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 10)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100)

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and first in tables:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    steps_left = _MOST_STEPS // _STEPS_A_CHECK

    def is_over_limit() -> int:
        nonlocal steps_left
        steps_left -= 1
        return steps_left < 0

    connection.set_authorizer(authorize)
    connection.set_progress_handler(is_over_limit, _STEPS_A_CHECK)


def same_rows(rows: Rows, gold: Rows, ordered: bool) -> bool:
    """Whether two results are equal: as lists if ``ordered``, else as multisets."""
    values, gold_values = ([tuple(map(_value, row)) for row in result] for result in (rows, gold))
    return values == gold_values if ordered else Counter(values) == Counter(gold_values)


def execution_match(query: str, gold: str, databases: Sequence[Path]) -> float:
    """Execution match: 1.0 if a query returns the rows of the gold query on every database, else 0.0.

    A query that only spells out the rows of one database fails on another one of the same schema (Zhong et al. 2020,
    arXiv 2010.02840). The order of rows matters only if the gold query orders them.

    Raises:
        ValueError: The gold query cannot be run.
    """
    if len(query) > MOST_CHARACTERS or runs_together(query):
        return 0.0
    for database in databases:
        expected = execute(database, gold)
        if expected is None:
            raise ValueError(f"the gold query cannot be run: {gold}")
        rows = execute(database, query)
        if rows is None or not same_rows(rows, expected, bool(re.search(r"\border\s+by\b", gold, re.IGNORECASE))):
            return 0.0
    return 1.0


def runs_together(query: str) -> bool:
    """Whether a query has words with no space between them, which SQL allows at quotes, brackets and comments.

    Messages are charged per word, so such a spelling would be cheaper than the usual one.
    """
    for unit, replacement in _UNITS:
        query = unit.sub(replacement, query)
    return any(len(_WORD.findall(piece)) > 1 for piece in re.split(r"[\s_]+", query))


def _value(value: object) -> object:
    # Rounds floats: the last digits of a sum depend on the order of the rows.
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.9g}")
    return value
