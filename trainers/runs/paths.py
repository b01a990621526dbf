"""Values and paths of the command line: quoting of overrides, ``~``, and the check of a run directory."""

import os
import re
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

# ``~/…`` and ``~NAME/…``; a lone ``~`` and other text that begins with it are no paths.
_HOME = re.compile(r"~[\w.-]*/")


def quoted(value: Any) -> str:
    """Returns a value (text, number, truth value, ``None``, list or dictionary) as the right side of a hydra override.

    Text is quoted, so that ``key=...`` gives the same text again, whatever characters it holds: commas are no sweep,
    brackets no list, digits no number, ``${...}`` no interpolation.
    """
    if isinstance(value, (str, Path)):
        # OmegaConf reads "\\${" as "${", and each pair of backslashes before it as one.
        text = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", str(value))
        return QuotedString(text, Quote.single).with_quotes()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(quoted, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{quoted(item)}" for key, item in value.items()) + "}"
    return "null" if value is None else str(value).lower()


def at_home(config: DictConfig) -> DictConfig:
    """Returns a config in which every text that begins with ``~/`` or ``~NAME/`` begins with that home directory.

    This is the only place where ``~`` is read, for every option: ``run_dir``, ``cells``, ``assistant.model``,
    ``task.path``.
    """
    return OmegaConf.create(plain_at_home(OmegaConf.to_container(config, resolve=False)))


def plain_at_home(value: Any) -> Any:
    """Returns a value of a config (text, number, truth value, ``None``, list or dictionary) as `at_home` changes it."""
    if isinstance(value, dict):
        return {key: plain_at_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_at_home(item) for item in value]
    return os.path.expanduser(value) if isinstance(value, str) and _HOME.match(value) else value


def make_run_dir(folder: Path, option: str = "run_dir") -> None:
    """Creates a run directory with its parents, if it is missing.

    Args:
        folder: The directory.
        option: Name of the option that chose it, for errors.

    Raises:
        ValueError: It cannot be created, or no file can be written in it; the message names the option.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option}: {_why_not(folder, error)}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{option}: nothing can be written in {folder}; choose another folder")


def _why_not(folder: Path, error: OSError) -> str:
    for path in (folder, *folder.parents):
        # `os.path` answers False where `Path` may raise.
        if os.path.islink(path) and not os.path.exists(path):
            return f"{path} is a link to {os.readlink(path)}, which does not exist"
        if os.path.exists(path) and not os.path.isdir(path):
            return f"{path} is a file, not a folder"
    return f"{folder} cannot be created ({error.strerror or error}); choose another folder"
