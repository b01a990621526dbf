"""Files of a run: append-only JSON lines, JSON files written aside and renamed, model folders; no pickles."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.selfplay import trajectory
from clarify_env.games.base import Reply, Trajectory
from clarify_env.games.setup import Setup


def write_json(path: Path, value: Any) -> None:
    """Writes JSON to a temporary file and renames it, so that readers see the old or the new file, never a part."""
    aside = path.with_name(path.name + ".part")
    with aside.open("w") as file:
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
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error


def append_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Appends records, one JSON line each, in one write, and waits until they are on disk.

    An incomplete last line (from a crash while writing) is removed first.
    """
    text = "".join(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n" for record in records)
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
    with path.open() as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: not JSON: {error.msg}") from error


class ChunkLog:
    """An append-only file of trajectories, written in whole chunks.

    Each chunk ends in a marker line. Opening the file truncates it after the last marker.

    Args:
        path: The file; created when the first chunk is written.
    """

    def __init__(self, path: Path):
        self.path, self.chunks, self.dropped = path, 0, 0
        whole = position = 0
        if path.exists():
            with path.open("rb") as file:
                pending = 0
                for line in file:
                    position += len(line)
                    pending += 1
                    if line.startswith(b'{"chunk":') and line.endswith(b"\n"):
                        whole, self.chunks, pending = position, self.chunks + 1, 0
            self.dropped = pending
            if whole < position:
                os.truncate(path, whole)

    def append(self, trajectories: list[Trajectory]) -> None:
        """Writes a chunk."""
        marker = {"chunk": self.chunks, "games": len(trajectories)}
        append_lines(self.path, [*(trajectory.to_json() for trajectory in trajectories), marker])
        self.chunks += 1

    def read(self, setup: Setup) -> Iterator[list[Trajectory]]:
        """Yields the chunks; each game is replayed from its messages."""
        chunk: list[Trajectory] = []
        for record in read_lines(self.path):
            if "chunk" in record:
                yield chunk
                chunk = []
            else:
                chunk.append(replay(record, setup))


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
    if record["game"] != setup.game.name:
        raise ValueError(f"game {record['id']} is one of {record['game']}, not of {setup.game.name}")
    prices = setup.game.check_prices(record["prices"] if "prices" in record else record["costs"])
    hidden = record["hidden"] if "hidden" in record else record["intent"]
    agents = record["agents"] if "agents" in record else {"user": record["user"]}
    game = setup.deal(setup.task.lookup(record["episode_id"]), hidden, prices)
    for turn in record["turns"]:
        ids = {key: turn[key] and tuple(turn[key]) for key in ("prompt_ids", "ids", "logprobs")}
        game.apply(Reply(turn["text"], **ids, forced=turn["forced"]))
    if game.result is None:
        raise ValueError(f"game {record['id']}: its messages do not end the game")
    return trajectory(record["id"], record["seed"], game, agents)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Saves a model folder of transformers, written to a temporary folder and renamed."""
    aside = path.with_name(path.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    shutil.rmtree(path, ignore_errors=True)
    aside.rename(path)
