"""Identity of a run: the hash in its directory's name; a directory belongs to one config and one process."""

import difflib
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.checks import is_folder
from agents.gguf import digest, is_gguf
from agents.pocket import SHIPPED
from agents.servers import options as servers
from trainers.runs.paths import plain_at_home
from trainers.runs.plugins import SOURCE
from trainers.runs.store import read_json, write_json

# Keys that do not change the results of a run and so do not enter the hash.
_NOT_IDENTITY = ("hydra", "run_dir", "size", "report_to")
# Nor do these, in an experiment: games are rated after they are played.
_RATING = ("rating", "rater", "cheap_rater")
# Key of the digests of what options name. Runs from before it was recorded have none, and are compared without.
_CONTENT = "content"


def check_one_process() -> None:
    """Checks that a launcher started no other process for the same run: each would play all games of one directory.

    Raises:
        ValueError: ``WORLD_SIZE``, which such launchers set, is not 1.
    """
    if (processes := os.environ.get("WORLD_SIZE") or "1") != "1":
        raise ValueError(
            f"WORLD_SIZE={processes}: a command runs in one process, and this is one of several, as accelerate launch "
            "or torchrun starts them; start it with python -m, or with one process"
        )


def config_hash(config: DictConfig) -> str:
    """Returns a hash, 8 hexadecimal digits, of everything that a run's results depend on."""
    identity = _identity(config, plain_at_home(OmegaConf.to_container(config, resolve=False)))
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def run_identity(command: str, config: DictConfig) -> dict[str, Any]:
    """Returns the content of ``config.json``: command, resolved config, digests of models and files that it names."""
    return {"command": command} | _identity(config, OmegaConf.to_container(config, resolve=True))


def _identity(config: DictConfig, plain: Any) -> dict[str, Any]:
    after = _RATING if "task" in plain else ()
    identity = {key: value for key, value in plain.items() if key not in (*_NOT_IDENTITY, *after)}
    for name in ("assistant", "user"):
        if isinstance(identity.get(name), dict):
            identity[name] = servers.identity(identity[name])
    if isinstance(players := identity.get("players"), dict):
        identity["players"] = {
            role: servers.identity(block) if isinstance(block, dict) else block for role, block in players.items()
        }
    task = str(_selected(config, "task.name"))
    if (model := _selected(config, "assistant.model")) and (weights := weights_digest(str(model), task)) is not None:
        identity["weights"] = weights
    digests = {name: _file_digest(str(_selected(config, name))) for name in _file_options(plain.get("task"), "task")}
    digests |= {
        name: weights_digest(str(model), task) for name in _model_options(plain) if (model := _selected(config, name))
    }
    if content := {name: digest for name, digest in digests.items() if digest is not None}:
        identity[_CONTENT] = content
    return identity


def _selected(config: DictConfig, option: str) -> Any:
    """Returns the value of an option, ``~`` read; ``None``: it has none."""
    return plain_at_home(OmegaConf.select(config, option, default=None, throw_on_missing=False))


def _model_options(plain: Any) -> Iterator[str]:
    """Yields the options that may name a model, but for the policy's."""
    yield from ("user.model", "model", "pretrain.start")
    if isinstance(players := plain.get("players"), dict):
        yield from (f"players.{role}.model" for role in players)


def _file_options(section: Any, prefix: str) -> Iterator[str]:
    """Yields the options of a task that name its file of data or of Python, those of the parts of a mix included."""
    for key, value in section.items() if isinstance(section, dict) else ():
        if key in ("path", SOURCE):
            yield f"{prefix}.{key}"
        yield from _file_options(value, f"{prefix}.{key}")


def _file_digest(name: str) -> str | None:
    """Returns the digest of a file, whose name the name of a class may follow; ``None``: it is no file."""
    file = next(filter(os.path.isfile, (name, name.rpartition(":")[0])), None)
    return None if file is None else digest(Path(file))


def weights_digest(model: str, task: str) -> Any:
    """Returns the digest of the weights of a pocket model or of a GGUF file; ``None``: it is another model.

    A pocket model may be rebuilt in the same folder, so its digest counts; other models have a name and a revision.
    """
    manifest = Path(model_path(model, task)) / "manifest.json"
    if is_folder(manifest.parent) and manifest.exists():
        return read_json(manifest).get("sha256")
    return digest(Path(model)) if is_gguf(model) and Path(model).is_file() else None


def model_path(model: str, task: str) -> str | Path:
    """Returns the folder of the model shipped for a task if the model is ``pocket``; else the model unchanged."""
    return SHIPPED.get(task, model) if model == "pocket" else model


def claim(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Records the identity of a run in its directory, with the day on which the run began.

    Chat templates may state the day (`agents.template`), so a run keeps its own however long it takes.

    Returns:
        The identity with its ``date``, such as 2026-11-27.

    Raises:
        ValueError: The directory holds a run of another config; the message shows the difference.
    """
    identity = check_claim(folder, identity)
    if not (folder / "config.json").exists():
        write_json(folder / "config.json", identity)
    return identity


def check_claim(folder: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Checks that a run directory, if there is one, is of the same run; nothing is written.

    Returns:
        The identity with the ``date`` of the run; see `claim`.

    Raises:
        ValueError: The directory holds a run of another config, whose difference the message shows, or cannot be read.
    """
    stored = folder / "config.json"
    try:
        exists = stored.exists()
    except OSError as error:  # such as a name that is too long
        raise ValueError(f"run_dir: {error.strerror}: {str(folder)!r}") from error
    if not exists:
        return {"date": date.today().isoformat()} | identity
    began = {"date": date.today().isoformat()} | read_json(stored)
    identity = {"date": began["date"]} | identity
    if _CONTENT not in began:
        identity = {key: value for key, value in identity.items() if key != _CONTENT}
    before, now = began.get("command"), identity.get("command")
    if before != now:
        raise ValueError(
            f"run_dir: {folder} holds a run of trainers.{before}, not of trainers.{now}; choose another run_dir"
        )
    lines_before, lines_now = (json.dumps(c, indent=1, sort_keys=True).splitlines() for c in (began, identity))
    if lines_before != lines_now:
        changes = [
            line for line in difflib.unified_diff(lines_before, lines_now, lineterm="", n=0) if line[:1] in "+-"
        ][2:]
        difference = "; ".join(" ".join(line.split()) for line in changes)
        raise ValueError(f"run_dir: {folder} holds a run of another config ({difference}); choose another run_dir")
    return identity
