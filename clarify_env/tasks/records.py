"""What tasks that read data files share: JSON checked field by field, answers cleaned, labels tried out.

A mistake in a file is one sentence with the file, the line or record, and the field. What is right but cannot be played
is left out and counted by reason (`UnusableError`).
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


# Most bytes of a file that has to be read as a whole: fifty times AmbigQA's.
LARGEST_FILE = 200_000_000


class UnusableError(Exception):
    """A record that cannot be played; the message is the reason under which it is counted."""


def load_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: It cannot be read, is larger than `LARGEST_FILE` or is no JSON; the message names the file and the
            line.
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
    """Reads a file of one JSON value a line, a line at a time; empty lines are passed over.

    Args:
        path: The file.
        longest: Most bytes of a line, the newline included; no more than that is ever held.

    Yields:
        Where a value stands (file and line, for messages), and the value.

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
    """Returns a value of JSON that must be of a kind: `list`, `dict`, `str` or, for any number, `float`.

    Raises:
        ValueError: It is of another; the message begins with ``where`` and ``name``.
    """
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = number and abs(value) <= sys.float_info.max
    else:
        fits = isinstance(value, kind)
    if not fits:
        raise ValueError(f"{where}: {name} must be {_JSON[kind]}, not {type(value).__name__}")
    if kind is str and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{where}: {name} holds half a character (a lone surrogate)")
    return value


def field(record: Any, key: str, kind: type, where: str, name: str = "") -> Any:
    """Returns a field of an object, which must be there and of a kind; ``name`` is what the object is called."""
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
    """Answers on one line and without ``;``, which parts the items of a list; no two that score alike."""
    kept: dict[str, str] = {}
    for answer in answers:
        said = " ".join(answer.replace(";", "").split())
        kept.setdefault(normalize(said), said)
    kept.pop("", None)
    return tuple(kept.values())


def told_apart(task: Task, episode: Episode) -> bool:
    """Whether an offer of all labels parts the readings, and each label picks its own reading from a list."""
    labels = [reading.label for reading in episode.interpretations]
    items = [Item(label, "") for label in labels]
    offer = task.ask_readings(labels)
    replies = {task.reply(offer, intent, episode) for intent in range(len(labels))} - {NONE_OF_THESE, NOT_UNDERSTOOD}
    return len(replies) == len(labels) and all(task.pick(items, i, episode) == [i] for i in range(len(labels)))


SPLITS = ("train", "validation", "test")


def check_shares(validation: float, test: float, clear: float | None = None) -> None:
    """Refuses shares for validation and test that are not positive or leave nothing to train on; see `thin` too."""
    if clear is not None and clear < 0:
        raise ValueError(f"task.clear must be at least 0, not {clear}")
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(f"task.validation={validation} and task.test={test} must be positive and leave some to train")


def drawn_splits(entities: Sequence[str], validation: float, test: float, seed: int) -> dict[str, str]:
    """The split of each entity, drawn so that shares of them are for validation and for test."""
    order = [entities[i] for i in np.random.default_rng(seed).permutation(len(entities))]
    held = ["validation"] * round(validation * len(order)) + ["test"] * round(test * len(order))
    return dict(zip(order, held + ["train"] * (len(order) - len(held)), strict=True))


def thin(world: dict[str, list[Episode]], clear: float | None, seed: int) -> int:
    """Leaves at most ``clear`` clear episodes (all, if ``None``) for each ambiguous one in every split.

    Args:
        world: Episodes by split, with ``meta["ambiguous"]``; those left are numbered anew.
        clear: The ratio.
        seed: Draws which stay in.

    Returns:
        How many were left out.
    """
    left_out = 0
    for split, episodes in world.items():
        places = [i for i, episode in enumerate(episodes) if not episode.meta["ambiguous"]]
        most = len(places) if clear is None else round(clear * (len(episodes) - len(places)))
        drawn = np.random.default_rng([seed, len(episodes)]).permutation(len(places))[most:]
        gone = {places[i] for i in drawn}
        kept = [episode for i, episode in enumerate(episodes) if i not in gone]
        world[split] = [episode._replace(id=f"{split}/{i}") for i, episode in enumerate(kept)]
        left_out += len(gone)
    return left_out


def account(path: str, kept: int, read: int, dropped: dict[str, int], what: str = "questions") -> str:
    """One sentence on what of a file was kept, and what was left out and why."""
    reasons = ", ".join(f"{reason} ({count})" for reason, count in dropped.items())
    return f"{path}: {kept} of {read} {what} usable; dropped: {reasons or 'none'}"
