"""Configs of commands, and what a command's function is called with."""

import importlib

from hydra import compose, initialize_config_dir

from trainers.runs.command import COMMANDS, CONF


def config_of(command, *overrides):
    """The config of a command line."""
    importlib.import_module(f"trainers.{command}")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, list(overrides))


def arguments_of(command, *overrides):
    """The experiment and the options by parameter."""
    config = config_of(command, *overrides)  # imports the command
    return COMMANDS[command].read(config)


def stored_run(folder, command, overrides, games):
    """A run directory with some games, as a command leaves it; its config is that of a command line."""
    from trainers.runs.identity import claim, run_identity
    from trainers.runs.store import ChunkWriter

    (folder / "trajectories").mkdir(parents=True)
    claim(folder, run_identity(command, config_of(command, *overrides)))
    ChunkWriter(folder / "trajectories" / "iteration-1.jsonl").append(list(games))
    return folder
