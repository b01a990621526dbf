"""Hydra's part of a command: its flags, the config that it composes, and the files that it writes of both."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from trainers.runs.conf import CONF


def flags_and_overrides(words: Sequence[str]) -> tuple[Any, list[str]]:
    """Returns the flags of a command line, as hydra has them, and its overrides.

    Raises:
        ValueError: There is no such flag.
    """
    parser: ArgumentParser = get_args_parser()

    def refuse(message: str) -> None:
        raise ValueError(f"{message}; options are written NAME=VALUE, and --help lists them")

    parser.error = refuse  # type: ignore[method-assign, assignment]
    flags, more = parser.parse_known_args(words)
    if strange := [word for word in more if word.startswith("-")]:
        refuse(f"there is no flag {strange[0]}")
    return flags, [*flags.overrides, *more]


def composed(name: str, overrides: Sequence[str]) -> DictConfig:
    """Returns the config of a command with overrides, inside a run of hydra or outside."""
    if GlobalHydra.instance().is_initialized():
        return compose(name, list(overrides))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


def save_config(folder: Path, config: DictConfig) -> None:
    """Writes the config, hydra's own and the overrides to ``.hydra``, as hydra does in the folders that it makes."""
    folder.mkdir(exist_ok=True)
    hydra_config: Any = HydraConfig.instance().cfg
    OmegaConf.save(config, folder / "config.yaml")
    OmegaConf.save(hydra_config, folder / "hydra.yaml")
    OmegaConf.save(hydra_config.hydra.overrides.task, folder / "overrides.yaml")
