"""Reading of data files for tasks: JSON with checked fields, cleaned answers, tested labels, splits.

A mistake in a file raises ValueError with one sentence that names the file, the line or record, and the field. A
correct record that cannot be played raises `UnusableError`; tasks drop it and count it by reason.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD, Episode, Item, Task

_JSON: dict[type, str] = {list: "a list", dict: "an object", str: "a string", float: "a finite number"}


# Largest file in bytes that is read as a whole: fifty times the size of AmbigQA's.
LARGEST_FILE = 200_000_000


class UnusableError(Exception):
    """A correct record that cannot be played; the message is the reason by which it is counted."""


def load_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: The file cannot be read, is larger than `LARGEST_FILE` or is no JSON; the message names the file
            and the line.
    """
    try:
        file = Path(path).expanduser()
        if (size := file.stat().st_size) > LARGEST_FILE:
            raise ValueError(f"{path}: {size:,} bytes, more than the {LARGEST_FILE:,} that are read at once")
        return json.loads(file.read_bytes())
    except OSError as error:
        raise ValueError(f"task.path: cannot read {path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON: not Unicode text at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: not JSON that can be read: nested too deep") from error


def json_lines(path: str | os.PathLike, longest: int) -> Iterator[tuple[str, Any]]:
    """Reads a file with one JSON value per line, line by line; empty lines are skipped.

    Args:
        path: The file.
        longest: Largest line in bytes, including the newline; at most one line is in memory.

    Yields:
        (file and line for error messages, value).

    Raises:
        ValueError: The file cannot be read, or a line is too long or no JSON.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            number = 0
            while line := file.readline(longest + 1):
                number += 1
                where = f"{path}, line {number}"
                if len(line) > longest:
                    raise ValueError(f"{where}: longer than {longest:,} bytes")
                if line.strip():
                    yield where, _parsed(line.rstrip(b"\r\n"), where)
    except OSError as error:
        raise ValueError(f"task.path: cannot read {path}: {error.strerror}") from error


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line, parse_constant=_no_number)
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
    if kind is str and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{where}: {name} holds half a character (a lone surrogate)")
    return value


def field(record: Any, key: str, kind: type, where: str, name: str = "") -> Any:
    """Returns a field of an object and checks its type as `typed` does; ``name`` names the object in messages."""
    inside = f"{name}.{key}" if name else key
    if key not in typed(record, dict, where, name or "the record"):
        raise ValueError(f"{where}: {inside} is missing")
    return typed(record[key], kind, where, inside)


def strings(record: Any, key: str, where: str, name: str = "") -> tuple[str, ...]:
    """Returns a field that is a list of strings."""
    values = field(record, key, list, where, name)
    inside = f"{name}.{key}" if name else key
    return tuple(typed(value, str, where, f"{inside}[{i}]") for i, value in enumerate(values))


def clean(answers: Sequence[str]) -> tuple[str, ...]:
    """Cleans answers: one line each, no ``;`` (it separates the items of a list), no duplicates after normalisation."""
    by_normal_form: dict[str, str] = {}
    for answer in answers:
        text = " ".join(answer.replace(";", "").split())
        by_normal_form.setdefault(normalize(text), text)
    by_normal_form.pop("", None)
    return tuple(by_normal_form.values())


def told_apart(task: Task, episode: Episode) -> bool:
    """Whether a question that offers all labels separates the readings, and each label picks its reading in a list."""
    labels = [reading.label for reading in episode.interpretations]
    items = [Item(label, "") for label in labels]
    offer = task.ask_readings(labels)
    replies = {task.reply(offer, intent, episode) for intent in range(len(labels))} - {NONE_OF_THESE, NOT_UNDERSTOOD}
    return len(replies) == len(labels) and all(task.pick(items, i, episode) == [i] for i in range(len(labels)))


SPLITS = ("train", "validation", "test")


def check_shares(validation: float, test: float, clear: float | None = None) -> None:
    """Checks the shares of validation and test, and the ratio ``clear`` of `thin`.

    Raises:
        ValueError: A share is not positive, nothing is left to train on, or the ratio is negative.
    """
    if clear is not None and clear < 0:
        raise ValueError(f"task.clear must be at least 0, not {clear}")
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(f"task.validation={validation} and task.test={test} must be positive and leave some to train")


def drawn_splits(entities: Sequence[str], validation: float, test: float, seed: int) -> dict[str, str]:
    """Draws the split of each entity; ``validation`` and ``test`` are shares of the entities."""
    order = [entities[i] for i in np.random.default_rng(seed).permutation(len(entities))]
    splits = ["validation"] * round(validation * len(order)) + ["test"] * round(test * len(order))
    return dict(zip(order, splits + ["train"] * (len(order) - len(splits)), strict=True))


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


def account(path: str, usable: int, total: int, dropped: dict[str, int], unit: str = "questions") -> str:
    """One sentence on the numbers of usable and of dropped records of a file, with reasons."""
    reasons = ", ".join(f"{reason} ({count})" for reason, count in dropped.items())
    return f"{path}: {usable} of {total} {unit} usable; dropped: {reasons or 'none'}"
