"""Reads a run directory: its experiment, by the config on file, and the games that it stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clarify_env.data.records import is_number
from clarify_env.data.rows import Styles
from clarify_env.games.base import Trajectory
from trainers.runs.build import build
from trainers.runs.errors import sentence
from trainers.runs.experiment import Experiment
from trainers.runs.store import ChunkLog, read_json


class StoredRun(NamedTuple):
    """A run directory.

    Attributes:
        folder: The directory.
        command: Command that made it.
        experiment: Its experiment; no model is loaded.
        files: Its files of trajectories, by iteration.
    """

    folder: Path
    command: str
    experiment: Experiment
    files: tuple[Path, ...]

    @property
    def finished(self) -> bool:
        """Returns whether the run has ended: its last step writes the summary."""
        return (self.folder / "summary.json").exists()

    def games(self) -> Iterator[tuple[Path, Trajectory]]:
        """Yields each game with its file, replayed by the rules.

        Raises:
            ValueError: A line is no game of this run; see `trainers.runs.store.replay`.
        """
        for path in self.files:
            for chunk in ChunkLog(path).read(self.experiment.setup):
                yield from ((path, game) for game in chunk)

    def rewards(self) -> Iterator[float | None]:
        """Yields the reward of each game as it stands on file; ``None`` in files of version 0.1."""
        for path in self.files:
            for record in ChunkLog(path).records():
                reward = record.get("reward")
                if reward is not None and not is_number(reward):
                    raise ValueError(f"{path}: the reward of game {record.get('id')} is no number: {reward!r}")
                yield reward

    def episode_ids(self) -> list[str]:
        """Returns the ids of the episodes that were played, each once, as they stand on file."""
        return list(dict.fromkeys(str(r.get("episode_id")) for path in self.files for r in ChunkLog(path).records()))

    def styles(self) -> Styles:
        """Returns the style of each role's prompts, where its player has one; a role of kind ``self``: the policy's."""
        experiment = self.experiment
        blocks = dict(experiment.blocks) | {
            role: experiment.blocks[experiment.learns[0]] for role in experiment.partners
        }
        styles = {role: getattr(block, "style", None) for role, block in blocks.items()}
        return {role: style for role, style in styles.items() if style in experiment.setup.game.styles}


def open_run(
    folder: str | Path,
    option: str = "run",
    files: tuple[Path, ...] | None = None,
    hint: str = "",
    empty: bool = False,
) -> StoredRun:
    """Opens a run directory.

    Args:
        folder: The directory.
        option: Name of the option that chose it, for errors.
        files: Files of trajectories to read; ``None``: those of ``trajectories``, by iteration.
        hint: What helps where there are no games, for errors.
        empty: Whether it may hold no games.

    Raises:
        ValueError: It holds no run, or one without games.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{option}: {folder} is no run directory: it has no config.json")
    identity = read_json(folder / "config.json")
    if not isinstance(identity, dict):
        raise ValueError(f"{option}: {folder / 'config.json'} holds no config")
    command = str(identity.get("command", "?"))
    if not isinstance(identity.get("task"), dict):
        raise ValueError(f"{option}: {folder} is a run of trainers.{command}, which stores no games")
    trajectories = folder / "trajectories"
    place = trajectories if files is None else ", ".join(map(str, files))
    numbers = {path.stem.removeprefix("iteration-"): path for path in trajectories.glob("iteration-*.jsonl")}
    if files is None:
        files = tuple(numbers[number] for number in sorted(filter(str.isdecimal, numbers), key=int))
    if not empty:
        _check_chunks(folder, option, files, f"{place}{hint}")
    try:
        experiment = build(OmegaConf.create(identity), learns=False, measures=False)
    except (ValueError, OmegaConfBaseException) as error:
        raise ValueError(f"{option}: {folder / 'config.json'}: {sentence(error)}") from error
    return StoredRun(folder, command, experiment, files)


def check_games(stored: StoredRun, option: str) -> None:
    """Checks that a run holds games.

    Raises:
        ValueError: It holds none.
    """
    _check_chunks(stored.folder, option, stored.files, str(stored.folder / "trajectories"))


def _check_chunks(folder: Path, option: str, files: tuple[Path, ...], place: str) -> None:
    if not any(ChunkLog(path).chunks for path in files):
        raise ValueError(f"{option}: {folder} holds no games: there is no whole chunk in {place}")
