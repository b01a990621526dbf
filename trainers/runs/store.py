"""Files of a run: append-only JSON lines, JSON files written aside and renamed, model folders; no pickles."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from agents.selfplay import trajectory
from clarify_env.data.records import TOKENS, check_agents, check_seed, replayed
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def write_json(path: Path, value: Any) -> None:
    """Writes JSON to a temporary file and renames it, so that readers see the old or the new file, never a part."""
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ValueError: It is not JSON; the message names file and line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of too many digits, or too deep
        raise ValueError(f"{path}: not JSON: {error}") from error


def append_lines(path: Path, records: Sequence[dict[str, Any] | None]) -> None:
    """Appends records, one JSON line each (``None``: an empty line), in one write, and waits until they are on disk.

    An incomplete last line (from a crash while writing) is removed first.
    """
    lines = ["" if record is None else json.dumps(record, separators=(",", ":"), allow_nan=False) for record in records]
    text = "".join(line + "\n" for line in lines)
    with path.open("ab+") as file:
        _cut_torn_line(file)
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _cut_torn_line(file: BinaryIO) -> None:
    end = position = file.seek(0, os.SEEK_END)
    while position:
        file.seek(position - 1)
        if file.read(1) == b"\n":
            break
        position -= 1
    if position < end:
        file.truncate(position)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the records of a JSON-lines file, without an incomplete last line (from a crash while writing).

    Raises:
        ValueError: A line before the last is not JSON.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            yield _record(line, path, number)


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(f"{path}, line {number}: not JSON: {reason}") from error


# Beginning of a game's line: number of its chunk, and number of games of that chunk.
_GAME = re.compile(rb'\{"chunk":(\d+),"chunk_games":(\d+),')
# Line after each chunk in files of version 0.1, whose games do not name their chunk.
_MARKER = re.compile(rb'\{"chunk":\d+,"games":\d+\}\n')


class ChunkLog:
    """Reads a file of trajectories, which is written in whole chunks; never writes.

    Every line is a game (``Trajectory.to_json``) that also holds the number of its chunk (``chunk``) and the number of
    games of that chunk (``chunk_games``), so a chunk is whole if all its games are there. A chunk without games is an
    empty line. Files of version 0.1, with a marker line after each chunk, are read as well.

    Args:
        path: The file; a missing file has no chunks. Chunks that are written later are not seen.

    Attributes:
        chunks: Number of whole chunks.
        dropped: Number of lines after the last whole chunk, from a crash while writing.

    Raises:
        ValueError: A chunk stands after one that is not whole: no crash has left it so, and nothing is dropped.
    """

    def __init__(self, path: Path):
        self.path, self.chunks, self.dropped = path, 0, 0
        self._end = 0  # of the last whole chunk, in bytes
        if path.exists():
            with path.open("rb") as file:
                self._scan(file)

    def _scan(self, file: BinaryIO) -> None:
        position = games = 0
        chunk: tuple[bytes, ...] | None = None  # number and size of the chunk that has begun
        torn = False
        for number, line in enumerate(file, 1):
            position += len(line)
            self.dropped += 1
            game = _GAME.match(line)
            torn = torn or not line.endswith(b"\n") or chunk not in (None, game and game.groups())
            if torn:
                if game is not None and int(game[1]) > self.chunks:
                    raise ValueError(
                        f"{self.path}, line {number}: chunk {int(game[1])} begins, but chunk {self.chunks} before it "
                        "is not whole: the file was changed"
                    )
                continue
            if game is not None:
                chunk, games = game.groups(), games + 1
            empty = line == b"\n" and self.dropped == 1
            if empty or (_MARKER.fullmatch(line) if game is None else games == int(game[2])):
                self._end, self.chunks, self.dropped = position, self.chunks + 1, 0
                chunk, games = None, 0

    def read(self, setup: Setup) -> Iterator[list[Trajectory]]:
        """Yields the chunks; each game is replayed from its messages.

        Raises:
            ValueError: A line is not JSON, or no game of this setup; the message names file and line. See `replay`.
        """
        chunk: list[Trajectory] = []
        for number, record in self._lines():
            if record:
                try:
                    chunk.append(replay(record, setup))
                except ValueError as error:
                    raise ValueError(f"{self.path}, line {number}: {error}") from error
            if not record or len(chunk) == record.get("chunk_games"):
                yield chunk
                chunk = []

    def records(self) -> Iterator[dict[str, Any]]:
        """Yields the records of the games of all whole chunks, as they stand on file.

        Raises:
            ValueError: A line is not JSON.
        """
        return (record for _, record in self._lines() if record)

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields number and record of each line of the whole chunks; a line without a game has an empty record."""
        if not self._end:
            return
        position = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                empty = line == b"\n" or _MARKER.fullmatch(line)
                yield number, {} if empty else _record(line, self.path, number)
                position += len(line)
                if position == self._end:
                    return


class ChunkWriter(ChunkLog):
    """Appends chunks to a file of trajectories, and reads them; the caller must hold the lock of the run (`Run`).

    Opening the file cuts off what a crash left after the last whole chunk.

    Args:
        path: The file; created when the first chunk is written.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        if self.dropped:
            os.truncate(path, self._end)

    def append(self, trajectories: list[Trajectory]) -> None:
        """Writes a chunk in one write."""
        place = {"chunk": self.chunks, "chunk_games": len(trajectories)}
        append_lines(self.path, [place | trajectory.to_json() for trajectory in trajectories] or [None])
        self.chunks, self._end = self.chunks + 1, self.path.stat().st_size


def replay(record: dict[str, Any], setup: Setup) -> Trajectory:
    """Rebuilds a trajectory from the output of `Trajectory.to_json` by replaying its messages; tools are not run again.

    Also reads records of version 0.1 (``costs``, ``intent`` and ``user`` instead of ``prices``, ``hidden`` and
    ``agents``).

    Args:
        record: The JSON record.
        setup: Game, task and options.

    Raises:
        ValueError: The record is of another game, or the game is not over after its messages.
    """
    number, turns = record.get("id"), record.get("turns")
    if record.get("game") != setup.game.name:
        raise ValueError(f"game {number} is one of {record.get('game')}, not of {setup.game.name}")
    if type(number) is not int:
        raise ValueError(f"id must be the number of the game, not {number!r}")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"game {number}: turns must be a list of messages")
    hidden: dict[str, Any] = {name: record[name] for name in ("hidden", "intent") if name in record}
    messages = [
        {"role": turn.get("role"), "content": turn.get("text")} | {key: turn[key] for key in TOKENS if key in turn}
        for turn in turns
    ]
    prices = record.get("prices", record.get("costs"))
    try:
        game = replayed(setup, record.get("episode_id"), hidden, prices, messages)
        agents = check_agents(record["agents"] if "agents" in record else {"user": record.get("user")}, setup)
        return trajectory(number, check_seed(record.get("seed")), game, agents)
    except ValueError as error:
        raise ValueError(f"game {number}: {error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file to a temporary file and renames it."""
    aside = path.with_name(path.name + ".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def checkpoint_folder(run_dir: Path, iteration: int) -> Path:
    """Returns the folder of the model that an iteration makes."""
    return run_dir / "checkpoints" / f"iteration-{iteration}"


def last_checkpoint(run_dir: Path) -> Path | None:
    """Returns the folder of the last iteration's model; ``None``: there is none."""
    count = 0
    while checkpoint_folder(run_dir, count + 1).exists():
        count += 1
    return checkpoint_folder(run_dir, count) if count else None


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    card: str | None = None,
    add: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Saves a model folder of transformers, written to a temporary folder and renamed.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        path: The folder; replaced if it exists.
        card: Content of ``README.md``; ``None``: there is none.
        add: Called with the temporary folder, to write what else belongs to the model.
    """
    aside = path.with_name(path.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    if card is not None:
        (aside / "README.md").write_text(card, encoding="utf-8")
    add(aside)
    shutil.rmtree(path, ignore_errors=True)
    aside.rename(path)
