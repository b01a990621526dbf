"""What a run keeps on disk: append-only JSON lines, files written aside and renamed, model folders; no pickles."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from clarify_env.costs import Costs
from clarify_env.games.base import Game, Reply, Trajectory
from clarify_env.tasks.base import Task


def write_json(path: Path, value: Any) -> None:
    """Writes JSON aside and renames it, so that a reader finds the old file or the new one, whole."""
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
    """Appends records, one JSON line each, in one write that is on disk when this returns.

    A torn last line (a crash while writing) is cut off first, so that it spoils no line after it.
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
    """Yields the records of a JSON-lines file; a torn last line (a crash while writing) is left out.

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
    """An append-only file of trajectories in which a chunk counts only when it is whole.

    Each chunk ends in a marker line. Opening the file cuts off what stands behind the last marker.

    Args:
        path: The file; made when the first chunk is written.
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

    def read(self, task: Task, make_game: Callable[..., Game]) -> Iterator[list[Trajectory]]:
        """Yields the chunks, each game replayed by the rules from its messages."""
        chunk: list[Trajectory] = []
        for record in read_lines(self.path):
            if "chunk" in record:
                yield chunk
                chunk = []
            else:
                chunk.append(replay(record, task, make_game))


def replay(record: dict[str, Any], task: Task, make_game: Callable[..., Game]) -> Trajectory:
    """Rebuilds a trajectory from `Trajectory.to_json` by playing its messages again."""
    costs = Costs(*record["costs"])
    game = make_game(task, task.lookup(record["episode_id"]), record["intent"], costs)
    for turn in record["turns"]:
        ids = {key: turn[key] and tuple(turn[key]) for key in ("prompt_ids", "ids", "logprobs")}
        game.apply(Reply(turn["text"], **ids, forced=turn["forced"]))
    known = {key: record[key] for key in ("id", "game", "task", "split", "episode_id", "intent", "seed", "user")}
    return Trajectory(**known, costs=costs, turns=tuple(game.turns), outcome=game.outcome)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Saves an ordinary model folder, written aside and renamed."""
    aside = path.with_name(path.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    shutil.rmtree(path, ignore_errors=True)
    aside.rename(path)
