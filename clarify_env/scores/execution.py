"""Execution match of SQL queries: what a query gives, on a database that it can only read and not for long.

A query is text from a model. SQLite opens the file read-only; an authorizer allows reading the database's own tables
and a few functions and nothing else; the query's length, its steps, and the rows and values that it gives are limited.
"""

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

Rows = list[tuple]

# Far above what a question about tables of a few dozen rows needs; a query at these limits is over in a tenth of a
# second and holds a few megabytes.
MOST_CHARACTERS = 2_000
MOST_ROWS = 1_000
_MOST_STEPS = 200_000
_STEPS_A_CHECK = 1_000
_LONGEST_VALUE = 10_000

_FUNCTIONS = frozenset(
    """abs avg coalesce count ifnull iif instr length like lower max min nullif round substr substring sum total trim
    ltrim rtrim upper date strftime""".split()
)
# What people write without a space counts as one word, and is replaced by one: count(distinct name), count(*)>=500,
# 'Ada Brandt'; the name of a function goes with the first of several arguments, round(x, 2).
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
        database: A file of SQLite.
        query: Any text.

    Returns:
        The rows it gives; ``None`` where it is not a query that may be run, fails, or goes beyond the limits.
    """
    if len(query) > MOST_CHARACTERS or "\0" in query:
        return None
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        _fence(connection, tables)
        cursor = connection.execute(query)
        rows = cursor.fetchmany(MOST_ROWS + 1)
    # ProgrammingError of several statements, DatabaseError of what is not authorised, OperationalError of what is
    # interrupted or no SQL, DataError of what is too big; surrogates cannot be sent to SQLite.
    except (sqlite3.Error, sqlite3.Warning, UnicodeEncodeError):
        return None
    finally:
        connection.close()
    return rows if cursor.description and len(rows) <= MOST_ROWS else None


def _fence(connection: sqlite3.Connection, tables: set[str]) -> None:
    """Allows a connection nothing but reading these tables, in bounds."""
    connection.execute("PRAGMA temp_store = MEMORY")  # nothing is written beside the database either
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * MOST_CHARACTERS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 50)
    connection.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 10)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100)

    def allowed(action: int, one: str | None, two: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and one in tables:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and str(two).lower() in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    left = _MOST_STEPS // _STEPS_A_CHECK

    def spent() -> int:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_authorizer(allowed)
    connection.set_progress_handler(spent, _STEPS_A_CHECK)


def same_rows(rows: Rows, gold: Rows, ordered: bool) -> bool:
    """Whether two results are the same: as lists where the gold query orders its rows, else as bags."""
    ours, theirs = ([tuple(map(_value, row)) for row in result] for result in (rows, gold))
    return ours == theirs if ordered else Counter(ours) == Counter(theirs)


def execution_match(query: str, gold: str, databases: Sequence[Path]) -> float:
    """1.0 if a query gives what the gold query gives, on every database; else 0.0.

    Several databases of one schema tell a query from one that spells out the rows of the first (Zhong et al. 2020,
    arXiv 2010.02840). The order of rows matters only where the gold query orders them.

    Raises:
        ValueError: The gold query itself cannot be run.
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
    """Whether words are written without a space between them, as SQL allows at quotes, brackets and comments.

    Messages are charged by the word, so such a spelling would be cheaper than the same query written out.
    """
    for unit, word in _UNITS:
        query = unit.sub(word, query)
    return any(len(_WORD.findall(piece)) > 1 for piece in re.split(r"[\s_]+", query))


def _value(value: object) -> object:
    # 3 and 3.0 are the same number; sums of floats differ in their last digits by the order of the rows.
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.9g}")
    return value
