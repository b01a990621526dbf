"""Execution match of SQL queries, run read-only and within limits.

A query is text from a model. SQLite opens the file read-only; an authorizer allows nothing but reading the tables of
the database and calling a few functions. The length of a query, its steps, and the rows and values it returns are
limited.
"""

import math
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
# Names that stand directly before a bracket: the name of a call counts as one word with the first argument.
_CALLS = _FUNCTIONS | {"cast"}
_COMPARISONS = frozenset(("<", "<=", ">", ">=", "=", "==", "!=", "<>"))


def execute(database: Path, query: str) -> Rows | None:
    """Runs one query.

    Args:
        database: A SQLite file.
        query: Any text.

    Returns:
        The rows; ``None`` if the query is not allowed, fails, or exceeds a limit. Text that is not UTF-8 has a lone
        surrogate for each byte that cannot be decoded.

    Raises:
        ValueError: The file is missing or is no SQLite database.
    """
    connection, tables = _opened(database)
    if len(query) > MOST_CHARACTERS or "\0" in query:
        connection.close()
        return None
    try:
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


def _opened(database: Path) -> tuple[sqlite3.Connection, set[str]]:
    """Opens a database read-only; returns (connection, names of its tables)."""
    if not database.is_file():
        raise ValueError(f"{database}: there is no such database")
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.text_factory = _decoded
    try:
        return connection, {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    except sqlite3.Error as error:
        connection.close()
        raise ValueError(f"{database}: no SQLite database can be read: {error}") from error


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


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
    arXiv 2010.02840). The order of rows matters only if the gold query orders them; see `is_ordered`.

    Raises:
        ValueError: The gold query cannot be run, or there is no database.
    """
    if not databases:
        raise ValueError("execution match needs a database")
    ordered = is_ordered(gold)
    for database in databases:
        expected = execute(database, gold)
        if expected is None:
            raise ValueError(f"the gold query cannot be run: {gold}")
        if query.strip() == gold.strip():
            continue
        if len(query) > MOST_CHARACTERS or runs_together(query):
            return 0.0
        rows = execute(database, query)
        if rows is None or not same_rows(rows, expected, ordered):
            return 0.0
    return 1.0


def is_ordered(query: str) -> bool:
    """Whether a query orders its rows: ORDER BY outside of all brackets, strings and comments."""
    depth, previous = 0, ""
    for token in _tokens(query) or ():
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        word = token.text.upper()
        if depth == 0 and (word.split() == ["ORDER", "BY"] or (previous, word) == ("ORDER", "BY")):
            return True
        previous = word
    return False


class _Token(NamedTuple):
    """A token as it is written, and whether white space stands before it."""

    text: str
    is_apart: bool


def _tokens(query: str) -> list[_Token] | None:
    """Tokens of a query in SQLite's dialect; ``None`` if it has none, for example because a string is not closed."""
    from sqlglot.dialects.sqlite import SQLite  # takes half a second to import
    from sqlglot.errors import SqlglotError

    tokens, end = [], 0
    for text in (query, f"{query}*/"):  # SQLite lets the end of the text close a comment
        try:
            sqlite_tokens = SQLite.Tokenizer().tokenize(text)
        except SqlglotError:
            continue
        for token in sqlite_tokens:
            if text_of := query[token.start : token.end + 1]:  # a comment alone gives an empty token
                tokens.append(_Token(text_of, any(map(str.isspace, query[end : token.start]))))
                end = token.end + 1
        return tokens
    return None


def runs_together(query: str) -> bool:
    """Whether a query has words with no space between them, which SQL allows at quotes, brackets and comments.

    Messages are charged per word, so such a spelling would be cheaper than the usual one. What people write without a
    space counts as one word: a name with its table (``"t".name``), a comparison (``born>-5``), and a call with its
    first argument (``count(*)``, ``round(x, 2)``).
    """
    tokens = _tokens(query)
    if tokens is None:
        return True
    group: list[str] = []
    for token in [*tokens, _Token("", True)]:
        if token.is_apart:
            if _words(group) > 1:
                return True
            group = []
        group.append(token.text)
    return False


def _words(group: Sequence[str]) -> int:
    """Number of words of tokens that stand together, as `runs_together` counts them."""
    count, was_compared = 0, False
    for i, text in enumerate(group):
        before = group[i - 1] if i else ""
        if not _is_word(text) and not (text == "*" and before == "("):
            continue
        if text.lower() in _CALLS and group[i + 1 : i + 2] == ["("]:
            continue
        if before == "." and i > 1 and _is_word(group[i - 2]):
            continue  # a name after that of its table
        left = i - 1
        while left > 0 and group[left] in (".", "+", "-"):  # -.5
            left -= 1
        is_comparison = (
            left > 0 and group[left] in _COMPARISONS and (_is_word(group[left - 1]) or group[left - 1] == ")")
        )
        was_compared = is_comparison and not was_compared
        count += not was_compared
    return count


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] in "_\"'`[" or not token[0].isascii()


def _value(value: object) -> object:
    # Rounds floats: the last digits of a sum depend on the order of the rows.
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.9g}")
    return value
