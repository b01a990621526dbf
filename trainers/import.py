"""Imports games played elsewhere: ``python -m trainers.import import.path=GAMES.jsonl task=TASK``.

Each line holds the episode's id, the costs, and the messages with their roles. The games are replayed under our rules
(tools' recorded results are not run again), scored, and stored as a run's games, from which methods learn by
``rollouts.games=RUN`` (docs/data.md). No model is loaded.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clarify_env.data.records import read_games
from clarify_env.games.base import Trajectory
from clarify_env.options import option
from trainers.data.score import markdown, print_scores, score
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import ChunkWriter, read_json, write_json, write_text

# Games of a chunk of the file of trajectories.
CHUNK = 256


@dataclass(frozen=True)
class ImportOptions:
    """What is imported (``import.*``)."""

    path: str = option()
    """File of JSON lines, one game each."""


def check(experiment: Experiment, options: ImportOptions) -> None:
    """Reads the whole file, before anything is written.

    Raises:
        ValueError: There is no such file, it holds no games, or a line does not fit; the message names file and line.
    """
    if not Path(options.path).is_file():
        raise ValueError(f"import.path: {options.path} is no file")
    if not sum(1 for _ in read_games(Path(options.path), experiment.setup)):
        raise ValueError(f"import.path: {options.path} holds no games")


def import_games(experiment: Experiment, options: ImportOptions, run: Run) -> None:
    """Replays and scores the games, and writes ``trajectories/iteration-1.jsonl``, ``import.json`` and a table.

    Raises:
        ValueError: The run directory holds the games of the same file as it was before.
    """
    path, games, mismatches = Path(options.path), list[Trajectory](), list[int]()
    digest, stated = hashlib.sha256(path.read_bytes()).hexdigest(), run.dir / "import.json"
    if stated.exists() and read_json(stated).get("sha256", digest) != digest:
        raise ValueError(f"run_dir: {run.dir} holds games of {path} as it was before; choose another run_dir")
    for game, agrees in read_games(path, experiment.setup):
        games.append(game)
        mismatches += [] if agrees else [game.id]
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    aside = folder / "iteration-1.jsonl.part"
    aside.unlink(missing_ok=True)
    log = ChunkWriter(aside)
    for first in range(0, len(games), CHUNK):
        log.append(games[first : first + CHUNK])
    aside.replace(aside.with_suffix(""))
    if not run.recorded("import", 1):
        run.record("import", 1, 1, games=len(games), reward_differs=len(mismatches))
    scores = score(experiment.setup, games, [None])
    about = {"path": str(path), "sha256": digest, "games": len(games), "reward_differs": mismatches}
    write_json(stated, about | scores)
    write_text(run.dir / "import.md", markdown(scores))
    run.report = run.dir / "import.md"
    run.progress.stop()
    print_scores(scores)
    if mismatches:
        run.log.warning(
            "import.path: under our rules the reward of %d of %d games is not the one on file, first of game %d",
            len(mismatches),
            len(games),
            mismatches[0],
        )


main: Any = command(import_games, check=check, learns=False, measures=False, plays=False)

if __name__ == "__main__":
    main()
