"""Ratings on disk: the journal of all ratings of a study, and the files that a person fills in."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clarify_env.data.records import is_number
from clarify_env.streams import whole_characters
from trainers.runs.store import append_lines, read_lines, write_text

JOURNAL = "ratings.jsonl"
# Columns of a file to fill in. Of a filled one, only the first and the last are read.
ITEM, RATING = "item", "rating"
COLUMNS = (ITEM, "question", "context", "reference", "answer", RATING)
FORMATS = ("csv", "jsonl")
_DELIMITERS = ",;\t"
_LONGEST_CELL = 2**24
# A number as people and spreadsheets write it; `float` would take 1_0 and digits of other scripts too.
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
# First characters of a cell that a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Ratings:
    """The journal of a study: append-only JSON lines, one rating each, on disk as soon as it is given.

    Each line holds ``item``, ``rater`` (name and version), ``rating`` in [0, 1], and ``price``, the money it cost. A
    torn last line, from a crash while writing, is dropped.

    Args:
        folder: Folder of the study; created with the first rating.

    Raises:
        ValueError: A line is no rating; the message names file, line and field.
    """

    def __init__(self, folder: Path):
        self.path = folder / JOURNAL
        self._by_rater: dict[str, dict[str, float]] = {}
        self._spent: dict[str, float] = {}
        for number, record in enumerate(read_lines(self.path), 1):
            fault = _fault(record)
            if fault:
                raise ValueError(f"{self.path}, line {number}: {fault}")
            self._keep(record["rater"], record["item"], record["rating"], record["price"])

    def of(self, rater: str) -> Mapping[str, float]:
        """Returns the ratings of a rater by item."""
        return self._by_rater.get(rater, {})

    def spent(self, rater: str) -> float:
        """Returns the money that the ratings of a rater cost."""
        return self._spent.get(rater, 0.0)

    def add(self, rater: str, ratings: Mapping[str, float], price: float) -> None:
        """Appends ratings; they are on disk when this returns.

        Args:
            rater: Name of the rater.
            ratings: Rating of each item.
            price: Money of one rating.
        """
        if not ratings:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines: list[dict[str, Any] | None] = [
            {"item": item, "rater": rater, "rating": float(rating), "price": float(price)}
            for item, rating in ratings.items()
        ]
        append_lines(self.path, lines)
        for item, rating in ratings.items():
            self._keep(rater, item, float(rating), float(price))

    def _keep(self, rater: str, item: str, rating: float, price: float) -> None:
        self._by_rater.setdefault(rater, {})[item] = rating
        self._spent[rater] = self._spent.get(rater, 0.0) + price


def _fault(record: Any) -> str:
    """Returns what is wrong with a line of the journal; empty: nothing."""
    if not isinstance(record, dict):
        return "no rating: it is no JSON object"
    for name in ("item", "rater"):
        if not isinstance(record.get(name), str):
            return f"{name} must be a text, not {_short(record.get(name))}"
    if not is_number(record.get("rating")) or not 0 <= record["rating"] <= 1:
        return f"rating must be a number in [0, 1], not {_short(record.get('rating'))}"
    if not is_number(record.get("price")) or record["price"] < 0:
        return f"price must be a number of at least 0, not {_short(record.get('price'))}"
    return ""


def write_form(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Writes a file to fill in, CSV or JSON lines by its ending, whole or not at all.

    Args:
        path: The file.
        rows: Values of `COLUMNS` but for ``rating``, which is left empty.
    """
    if path.suffix == ".jsonl":
        lines = (json.dumps({name: row[name] for name in COLUMNS[:-1]} | {RATING: None}) for row in rows)
        write_text(path, "".join(f"{line}\n" for line in lines))
        return
    text = io.StringIO(newline="")
    text.write(f"{','.join(COLUMNS)}\n")
    # A lone carriage return, which ends a row for readers, is quoted only where all is.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([*(_cell(row[name]) for name in COLUMNS[:-1]), ""] for row in rows)
    write_text(path, text.getvalue())


def _cell(text: str) -> str:
    """Returns a text as a spreadsheet shows it: what it would run as a formula begins with an apostrophe."""
    text = whole_characters(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_form(path: Path, known: Iterable[str], rated: Mapping[str, float]) -> tuple[dict[str, float], int]:
    """Reads a filled file: CSV (separated by commas, semicolons or tabs) or JSON lines, by its ending.

    Args:
        path: The file.
        known: Items that may be rated.
        rated: Ratings so far; an equal one may stand in the file again.

    Returns:
        Rating of each item that is rated in the file, and the number of items that are not yet.

    Raises:
        ValueError: The file cannot be read, a row does not fit, an item is rated twice or was rated otherwise before;
            the message names file, line and field.
    """
    known, ratings, lines, empty = set(known), dict[str, float](), dict[str, int](), 0
    for number, item, stated in _rows(path):
        at = f"{path}, line {number}"
        if not isinstance(item, str) or item not in known:
            raise ValueError(f"{at}: item {_short(item)} is none of the {len(known)} items of this run")
        if item in lines:
            raise ValueError(f"{at}: item {item} stands in line {lines[item]} already")
        lines[item] = number
        if stated is None or (isinstance(stated, str) and not stated.strip()):
            empty += 1
            continue
        rating = _rating(stated, at)
        if rated.get(item, rating) != rating:
            raise ValueError(f"{at}: rating {rating:g} of item {item} is {rated[item]:g} in the ratings so far")
        ratings[item] = rating
    if not lines:
        raise ValueError(f"{path}: holds no items")
    return ratings, empty


def form_items(path: Path) -> list[str]:
    """Returns the items of a file to fill in, whether they are rated or not."""
    return [item for _, item, _ in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[int, Any, Any]]:
    """Yields line number, item and rating of each row.

    Raises:
        ValueError: The file is of another format, or cannot be read.
    """
    read = {".csv": _csv_rows, ".jsonl": _jsonl_rows}.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path}: a filled file ends in .csv or .jsonl")
    return read(path)


def _rating(stated: Any, at: str) -> float:
    number: Any = typed_rating(stated) if isinstance(stated, str) else stated
    if not is_number(number) or not 0 <= number <= 1:
        raise ValueError(f"{at}: rating must be a number in [0, 1], not {_short(stated)}")
    return float(number)


def typed_rating(text: str) -> float | None:
    """Returns the rating that a person wrote, with a decimal point or comma; ``None``: no number in [0, 1]."""
    text = text.strip()
    rating = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else -1.0
    return rating if 0 <= rating <= 1 else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # spreadsheets begin with a mark of the byte order
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 ({error.reason}): save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error


def _csv_rows(path: Path) -> Iterator[tuple[int, Any, Any]]:
    """Yields line number, item and rating of each row."""
    text = _text(path)
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    csv.field_size_limit(_LONGEST_CELL)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    begin = 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise ValueError(f"{path}, line {begin}: no CSV: {error}") from error
        if row is None:
            break
        if not columns:
            columns = [name.strip().lower() for name in row]
            for name in (ITEM, RATING):
                if columns.count(name) != 1:
                    count = "no" if name not in columns else "more than one"
                    raise ValueError(f"{path}, line 1: there is {count} column {name}, only {', '.join(columns)}")
        elif any(map(str.strip, row)):
            if len(row) != len(columns):
                raise ValueError(f"{path}, line {begin}: {len(row)} cells, but the header names {len(columns)} columns")
            yield begin, row[columns.index(ITEM)].strip(), row[columns.index(RATING)]
        begin = rows.line_num + 1
    if not columns:
        raise ValueError(f"{path}: is empty")


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Any, Any]]:
    """Yields line number, item and rating of each line."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        at = f"{path}, line {number}"
        try:
            pairs = json.loads(line, object_pairs_hook=list)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise ValueError(f"{at}: not JSON: {reason}") from error
        if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
            raise ValueError(f"{at}: must be an object with item and rating, not {_short(json.loads(line))}")
        names = [name for name, _ in pairs]
        for name in (ITEM, RATING):
            if names.count(name) != 1:
                raise ValueError(f"{at}: {name} {'is missing' if name not in names else 'stands twice'}")
        record = dict(pairs)
        yield number, record[ITEM], record[RATING]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
