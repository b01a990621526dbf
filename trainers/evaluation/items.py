"""What is rated: games of one or several methods on the same episodes, one item for each game.

A *study* stands in the folder ``rating`` of a run directory: the games that its evaluation stored, or, in a run that
stored none, all games that it played; of a comparison, the games of its runs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from trainers.data.stored import StoredRun, open_run
from trainers.evaluation.closing import shown
from trainers.runs.store import ChunkWriter, read_json

FOLDER, GAMES, STUDY = "rating", "games.jsonl", "study.json"
# Games of a chunk of the file of games.
_CHUNK = 256


class Item(NamedTuple):
    """One game to rate.

    Attributes:
        id: Hash of what a rater judges (`shown`): it says nothing of the method, and equal answers are rated once.
        method: Name of the method that played it.
        game: The game.
        entity: Entity of its episode; games of one entity are not independent.
    """

    id: str
    method: str
    game: Trajectory
    entity: str


class Study(NamedTuple):
    """Games to rate.

    Attributes:
        folder: Folder of the ratings.
        run: The run that is opened for game, task and policy.
        items: Items by method; the i-th items of all methods are of the same episode, reading and costs.
    """

    folder: Path
    run: StoredRun
    items: Mapping[str, tuple[Item, ...]]

    @property
    def setup(self) -> Setup:
        """Returns game, task and options."""
        return self.run.experiment.setup

    @property
    def entities(self) -> list[str]:
        """Returns the entity of each row of items."""
        return [item.entity for item in next(iter(self.items.values()))]

    def by_id(self) -> dict[str, Item]:
        """Returns all items by their identifiers."""
        return {item.id: item for items in self.items.values() for item in items}


def items_of(setup: Setup, games: Sequence[Trajectory], method: str) -> tuple[Item, ...]:
    """Returns the items of a method's games."""
    return tuple(Item(_identifier(setup, game), method, game, _entity(setup, game)) for game in games)


def _identifier(setup: Setup, game: Trajectory) -> str:
    content = [game.game, game.task, game.episode_id, *shown(setup, game).values()]
    # A spreadsheet would take a hash of digits, or of digits and an e, for a number and spell it otherwise.
    return f"g{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}"


def _entity(setup: Setup, game: Trajectory) -> str:
    meta: dict[str, Any] = getattr(setup.task.lookup(game.episode_id), "meta", {})
    return str(meta.get("entity", game.episode_id))


def write_games(run_dir: Path, games: Sequence[Trajectory]) -> None:
    """Writes the games of an evaluation that are to be rated, whole or not at all."""
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    aside = folder / f"{GAMES}.part"
    aside.unlink(missing_ok=True)
    log = ChunkWriter(aside)
    for first in range(0, len(games), _CHUNK):
        log.append(list(games[first : first + _CHUNK]))
    aside.replace(folder / GAMES)


def games_on_file(run_dir: Path) -> int:
    """Returns the number of games that an evaluation has stored to be rated."""
    try:
        with (run_dir / FOLDER / GAMES).open("rb") as file:
            return sum(1 for line in file if line.strip())
    except FileNotFoundError:
        return 0


def open_study(run_dir: str | Path, name: str = "run") -> Study:
    """Opens the games to rate of a run directory.

    Args:
        run_dir: Directory of a run that stored games, or of a comparison with a rater.
        name: Name of the option that chose it, for errors.

    Raises:
        ValueError: It holds no games, or the methods of a comparison played other episodes.
    """
    folder = Path(run_dir) / FOLDER
    if (folder / STUDY).exists():
        cells = read_json(folder / STUDY)
        opened = {method: _stored(Path(cell), name) for method, cell in cells.items()}
    else:
        run = _stored(Path(run_dir), name)
        opened = {run.command: run}
    runs = {method: run for method, run in opened.items()}
    items = {
        method: items_of(run.experiment.setup, [game for _, game in run.games()], method)
        for method, run in runs.items()
    }
    check_paired(items)
    return Study(folder, next(iter(runs.values())), items)


def check_paired(items: Mapping[str, Sequence[Item]]) -> None:
    """Checks that the methods played the same: episode, reading and costs, in the same order.

    Raises:
        ValueError: They did not.
    """
    dealt = {
        method: [(item.game.episode_id, item.game.hidden, tuple(item.game.prices)) for item in of_method]
        for method, of_method in items.items()
    }
    first, *others = dealt
    for other in others:
        if dealt[other] != dealt[first]:
            raise ValueError(f"run: {first} and {other} did not play the same episodes at the same costs")


def _stored(run_dir: Path, name: str) -> StoredRun:
    """Opens a run; its games are those that its evaluation stored to be rated, if it did."""
    path = run_dir / FOLDER / GAMES
    if path.exists():
        return open_run(run_dir, name, (path,))
    return open_run(run_dir, name, hint="; its own command, run again with rating.games=1000, stores some to be rated")
