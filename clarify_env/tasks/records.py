"""Reading of data files for tasks: JSON with checked fields, cleaned answers, tested labels, splits.

A mistake in a record raises ValueError with one sentence that names the file, the line or record, and the field. A
correct record that cannot be played raises `UnusableError`. `clarify_env.tasks.reader` drops and counts both.
"""

import codecs
import gzip
import io
import json
import os
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from clarify_env.scores.answers import normalize_with_symbols
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD, Episode, Item, Task

_JSON: dict[type, str] = {list: "a list", dict: "an object", str: "a string", float: "a finite number"}


# Largest file in bytes that is read as a whole: fifty times the size of AmbigQA's.
LARGEST_FILE = 200_000_000
# Most files of a folder that an error names.
_LISTED = 5
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP = b"\x1f\x8b"  # the first bytes of a file


class UnusableError(Exception):
    """A correct record that cannot be played; the message is the reason by which it is counted."""


class _Repeating(dict):
    """A JSON object in which a key stands twice; ``repeated`` is the first such key."""

    repeated = ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    repeating = _Repeating(record)
    repeating.repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return repeating


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[io.BufferedIOBase]:
    """Opens a data file; what is compressed by gzip, whatever its name, is decompressed.

    Raises:
        ValueError: The file cannot be read, while it is open included.
    """
    try:
        place = _checked(path).expanduser()
        if place.is_dir():
            files = ", ".join(sorted(one.name for one in place.iterdir() if one.is_file())[:_LISTED]) or "no file"
            raise ValueError(f"task.path must be the data file itself, not {path}, which is a folder (with {files})")
        with place.open("rb") as file:
            yield gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
    except (OSError, EOFError, zlib.error, RuntimeError) as error:  # RuntimeError: no home folder for ~
        raise ValueError(f"task.path: cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def _checked(path: str | os.PathLike) -> Path:
    """Returns a path that can be one.

    Raises:
        ValueError: It holds a null character, or is no path.
    """
    if not isinstance(path, str | os.PathLike) or "\0" in str(path):
        raise ValueError(f"task.path must be a path, not {path!r}")
    return Path(path)


def load_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file, which may be compressed by gzip.

    Raises:
        ValueError: The file cannot be read, is larger than `LARGEST_FILE` or is no JSON; the message names the file
            and the line.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(LARGEST_FILE + 1) if size <= LARGEST_FILE else b""
    if size > LARGEST_FILE or len(content) > LARGEST_FILE:
        total = f"{size:,} bytes, more" if size > LARGEST_FILE else "more bytes"
        raise ValueError(f"{path}: {total} than the {LARGEST_FILE:,} that are read at once")
    try:
        return json.loads(content, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON: not Unicode text at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: not JSON that can be read: nested too deep") from error
    except ValueError as error:  # an integer of too many digits
        raise ValueError(f"{path}: not JSON that can be read: {error}") from error


def json_lines(path: str | os.PathLike, longest: int) -> Iterator[tuple[str, bytes | None]]:
    """Reads the lines of a file, which may be compressed by gzip, one by one; empty lines are skipped.

    Args:
        path: The file.
        longest: Largest line in bytes, including the newline; at most one line is in memory.

    Yields:
        (file and line for error messages, line; ``None`` if it is too long); `parse_line` parses it.

    Raises:
        ValueError: The file cannot be read, or is UTF-16.
    """
    with opened(path) as file:
        number = 0
        while line := file.readline(longest + 1):
            number += 1
            where = f"{path}, line {number}"
            if number == 1:
                if line.startswith(_UTF16) or b"\0" in line[:4]:
                    raise ValueError(f"{where}: is no text in UTF-8")
                line = line.removeprefix(codecs.BOM_UTF8)
            if len(line) > longest:
                while line and not line.endswith(b"\n"):  # the rest of it is not kept
                    line = file.readline(longest)
                yield where, None
            elif line.strip():
                yield where, line.rstrip(b"\r\n")


# First bytes of files in other formats that people try.
_OTHER_FORMATS = (
    (b"PAR1", "a parquet file"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet"),
    (b"\xff\xfe", "a text in UTF-16"),
    (b"\xfe\xff", "a text in UTF-16"),
    (b"[", "a JSON list"),
)
_COLUMNS = re.compile(rb'\s*\{"\w+":\s*\{')


def other_format(path: str | os.PathLike) -> str | None:
    """Returns what a file is that holds no JSON lines, as far as its beginning and its name tell; else ``None``."""
    with opened(path) as file:
        beginning = file.read(1000).lstrip()
    for first_bytes, kind in _OTHER_FORMATS:
        if beginning.startswith(first_bytes):
            return kind
    if beginning.rstrip() == b"{" or beginning.startswith((b"{\n", b"{\r")):
        return "JSON over several lines"
    if _COLUMNS.match(beginning):
        return "a JSON object of columns"
    if not beginning.startswith(b"{") and Path(path).suffix.lower() in (".csv", ".tsv"):
        return "a table"
    return None


def parse_line(line: bytes, where: str) -> Any:
    """Parses a line of JSON.

    Raises:
        ValueError: It is no JSON; the message begins with ``where``.
    """
    try:
        # Not json.loads(bytes), which reads the first line of a text in UTF-16 and no other.
        return json.loads(line.decode("utf-8-sig"), parse_constant=_no_number, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error.msg} (character {error.colno})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: not JSON: not Unicode text at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError(f"{where}: not JSON that can be read: nested too deep") from error
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def typed(value: Any, kind: type, where: str, name: str) -> Any:
    """Returns a JSON value if it has a type: `list`, `dict`, `str` or, for any finite number, `float`.

    Raises:
        ValueError: It has another type; the message begins with ``where`` and ``name``.
    """
    if kind is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_valid = is_number and abs(value) <= sys.float_info.max
    else:
        is_valid = isinstance(value, kind)
    if not is_valid:
        raise ValueError(f"{where}: {name} must be {_JSON[kind]}, not {type(value).__name__}")
    if isinstance(value, _Repeating):
        raise ValueError(f"{where}: {name} has the key {value.repeated!r} twice")
    if kind is str and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{where}: {name} holds half a character (a lone surrogate)")
    return value


def field(record: Any, key: str, kind: type, where: str, name: str = "") -> Any:
    """Returns a field of an object and checks its type as `typed` does; ``name`` names the object in messages.

    A field of value null is missing, as in files that other programs write.
    """
    inside = f"{name}.{key}" if name else key
    if typed(record, dict, where, name or "the record").get(key) is None:
        raise ValueError(f"{where}: {inside} is missing")
    return typed(record[key], kind, where, inside)


def strings(record: Any, key: str, where: str, name: str = "") -> tuple[str, ...]:
    """Returns a field that is a list of strings."""
    values = field(record, key, list, where, name)
    inside = f"{name}.{key}" if name else key
    return tuple(typed(value, str, where, f"{inside}[{i}]") for i, value in enumerate(values))


def once(places: dict[str, str], key: str, where: str, name: str) -> None:
    """Adds a key and its place to those of a file.

    Raises:
        ValueError: The key is there already; the message says with ``name`` what the key is.
    """
    if (first := places.setdefault(key, where)) != where:
        raise ValueError(f"{where}: {name} already, at {first}")


def clean(answers: Sequence[str]) -> tuple[str, ...]:
    """Cleans answers: one line each, no ``;`` (it separates the items of a list), none blank or twice.

    Two answers are the same if they are equal after normalisation with symbols kept.
    """
    by_normal_form: dict[str, str] = {}
    for answer in answers:
        text = " ".join(answer.replace(";", "").split())
        by_normal_form.setdefault(normalize_with_symbols(text), text)
    by_normal_form.pop("", None)
    return tuple(by_normal_form.values())


def told_apart(task: Task, episode: Episode) -> bool:
    """Whether a question that offers all labels separates the readings, and each label picks its reading in a list."""
    labels = [reading.label for reading in episode.interpretations]
    items = [Item(label, "") for label in labels]
    offer = task.ask_readings(labels)
    replies = {task.reply(offer, intent, episode) for intent in range(len(labels))} - {NONE_OF_THESE, NOT_UNDERSTOOD}
    return len(replies) == len(labels) and all(task.pick(items, i, episode) == [i] for i in range(len(labels)))


def refuse_unlabelled(path: str, is_labelled: bool, fields: str) -> None:
    """Raises ValueError if a file has no labels, as the test files of many data sets; ``fields`` would hold them."""
    if not is_labelled:
        raise ValueError(f"{path}: this file has no labels: no record has {fields}, so no answer can be scored")


SPLITS = ("train", "validation", "test")


def check_shares(validation: float, test: float, clear: float | None = None) -> tuple[str, ...]:
    """Checks the shares of validation and test, and the ratio ``clear`` of `thin`.

    Returns:
        The splits that must have episodes: those whose share is above 0. ``train`` has the remaining share.

    Raises:
        ValueError: A share is negative, they exceed 1 together, or the ratio is negative.
    """
    if clear is not None and clear < 0:
        raise ValueError(f"task.clear must be at least 0, not {clear}")
    if not (validation >= 0 and test >= 0 and validation + test <= 1):
        raise ValueError(f"task.validation={validation} and task.test={test} must be at least 0 and at most 1 together")
    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    return tuple(split for split, share in shares.items() if share > 1e-9)


def drawn_splits(entities: Sequence[str], validation: float, test: float, seed: int) -> dict[str, str]:
    """Draws the split of each entity; ``validation`` and ``test`` are shares of the entities."""
    order = [entities[i] for i in np.random.default_rng(seed).permutation(len(entities))]
    splits = ["validation"] * round(validation * len(order)) + ["test"] * round(test * len(order))
    splits = [*splits, *["train"] * (len(order) - len(splits))][: len(order)]
    return dict(zip(order, splits, strict=True))


def thin(world: dict[str, list[Episode]], clear: float | None, seed: int) -> int:
    """Drops clear episodes beyond a ratio of clear to ambiguous ones, in every split and in place.

    Args:
        world: Episodes by split, with ``meta["ambiguous"]``; the remaining episodes are renumbered.
        clear: Largest ratio of clear to ambiguous episodes; ``None``: no limit.
        seed: Seed of the choice.

    Returns:
        Number of dropped episodes.
    """
    count = 0
    for split, episodes in world.items():
        clear_indices = [i for i, episode in enumerate(episodes) if not episode.meta["ambiguous"]]
        most = len(clear_indices) if clear is None else round(clear * (len(episodes) - len(clear_indices)))
        choice = np.random.default_rng([seed, len(episodes)]).permutation(len(clear_indices))[most:]
        dropped = {clear_indices[i] for i in choice}
        remaining = [episode for i, episode in enumerate(episodes) if i not in dropped]
        world[split] = [episode._replace(id=f"{split}/{i}") for i, episode in enumerate(remaining)]
        count += len(dropped)
    return count
