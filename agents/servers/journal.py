"""Replies of a server, stored as they arrive: what was paid for is never asked for again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

# Replies after which the file is synchronised with the disk; the system keeps all of them if the process is killed.
_SYNC = 200


class Answer(NamedTuple):
    """What a server replied.

    Attributes:
        text: The text; ``None``: the server refused to write one.
        ids: Token ids, if it returned any.
        logprobs: One log-probability (nats) an id.
        prompt_tokens: Tokens of the prompt, by the server's count.
        tokens: Tokens of the reply, by the server's count.
        ended: Whether the reply ended before the longest length.
        refused: Why the server refused; empty: it did not.
    """

    text: str | None
    ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    ended: bool = True
    refused: str = ""


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


# What each value of a stored answer must be.
_FITS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: value is None or isinstance(value, str),
    "ids": lambda value: value is None or (isinstance(value, list) and all(map(_is_count, value))),
    "logprobs": lambda value: (
        value is None or (isinstance(value, list) and all(isinstance(number, int | float) for number in value))
    ),
    "prompt_tokens": _is_count,
    "tokens": _is_count,
    "ended": lambda value: isinstance(value, bool),
    "refused": lambda value: isinstance(value, str),
}


class Journal:
    """An append-only JSONL file of answers by request, read when it is opened.

    A last line that a crash left incomplete is cut off. Only the run that holds the lock of its directory may open it.

    Args:
        path: The file; ``None``: answers are kept in memory alone.

    Attributes:
        answers: Answers by the key of their request.
        used: Tokens of prompts and replies of all answers.
        lost: Tokens of prompts and replies of requests that may have been paid for without a reply.
    """

    def __init__(self, path: Path | None):
        self.answers: dict[str, Answer] = {}
        self.used = self.lost = (0, 0)
        self._file: BinaryIO | None = None
        self._unsynced = 0
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
            self._read(path)

    def _read(self, path: Path) -> None:
        assert self._file is not None, "called with a file"
        whole = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    self._add(json.loads(line))
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{path}, line {number}: no stored reply: {error}") from error
        self._file.truncate(whole)

    def _add(self, record: Any) -> None:
        if not isinstance(record, dict):
            raise ValueError("it is no object")
        if "lost" in record:
            lost = record["lost"]
            if not (isinstance(lost, list) and len(lost) == 2 and all(map(_is_count, lost))):
                raise ValueError("lost holds two numbers of tokens")
            self._lose(*lost)
            return
        key = record.pop("key", None)
        if not isinstance(key, str) or "text" not in record:
            raise ValueError("it has no key or no text")
        for name, value in record.items():
            if name not in _FITS or not _FITS[name](value):
                raise ValueError(f"{name} is {json.dumps(value)[:60]}")
        for name in ("ids", "logprobs"):
            record[name] = None if record.get(name) is None else tuple(record[name])
        self._keep(key, Answer(**record))

    def _keep(self, key: str, answer: Answer) -> None:
        self.answers[key] = answer
        self.used = (self.used[0] + answer.prompt_tokens, self.used[1] + answer.tokens)

    def _lose(self, prompt: int, reply: int) -> None:
        self.lost = (self.lost[0] + prompt, self.lost[1] + reply)

    def store(self, key: str, answer: Answer) -> None:
        """Stores an answer; it is in the file when this returns."""
        self._keep(key, answer)
        shown = {name: value for name, value in answer._asdict().items() if value is not None}
        self._write({"key": key, "text": answer.text} | shown)

    def lose(self, prompt: int, reply: int) -> None:
        """Notes the tokens of a request that may have been paid for, and brought no reply."""
        self._lose(prompt, reply)
        self._write({"lost": [prompt, reply]})

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = memoryview(json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n")
        size = self._file.seek(0, os.SEEK_END)
        try:
            while line:  # a full disk raises OSError at the second write
                line = line[self._file.write(line) :]
        except OSError:
            self._file.truncate(size)  # the next line must not continue half a line
            raise
        self._unsynced += 1
        if self._unsynced >= _SYNC:
            self.sync()

    def sync(self) -> None:
        """Waits until all answers are on disk."""
        if self._file is not None and self._unsynced:
            os.fsync(self._file.fileno())
            self._unsynced = 0

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None
