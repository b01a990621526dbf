"""Lines of people's own data files: one JSON object each, with known fields, of a length that memory can hold."""

import os
from collections.abc import Iterator
from typing import Any

from clarify_env.tasks.records import json_lines, parse_line, typed

# Metrics of a task whose answers are texts of any kind.
METRICS = ("em", "f1", "em_symbols", "f1_symbols")
# Largest line in bytes: a long document fits; a file without newlines is refused before it fills the memory.
LONGEST_LINE = 4_000_000
HOW_WRITTEN = "write one JSON object per line in UTF-8"


def lines_of(path: str | os.PathLike) -> Iterator[tuple[str, bytes | None]]:
    """Yields file and line, for errors, and the line, of each line; see `clarify_env.tasks.records.json_lines`."""
    return json_lines(path, LONGEST_LINE)


def fields_of(line: bytes | None, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Parses a line of JSON into a record; a field of value null is missing.

    Programs that write tables, such as ``datasets``, give every record every field.

    Args:
        line: The line; ``None``: it is longer than `LONGEST_LINE`.
        where: File and line, for errors.
        known: Fields that a record may have.

    Raises:
        ValueError: It is too long, no object, or has another field; the message begins with ``where``.
    """
    if line is None:
        raise ValueError(f"{where}: longer than {LONGEST_LINE:,} bytes")
    given = typed(parse_line(line, where), dict, where, "the line")
    record = {key: value for key, value in given.items() if value is not None}
    refuse_unknown(record, known, where)
    return record


def refuse_unknown(record: dict[str, Any], known: tuple[str, ...], where: str, name: str = "") -> None:
    """Refuses fields of a record that are not known.

    Args:
        record: The record.
        known: Fields that it may have.
        where: File and line, for errors.
        name: What stands before the field's name in the message.

    Raises:
        ValueError: There is one; the message names the first.
    """
    if unknown := sorted(set(record) - set(known)):
        key = unknown[0] if unknown[0].isprintable() else repr(unknown[0])
        raise ValueError(f"{where}: {name}{key} is no field; known: {', '.join(known)}")
