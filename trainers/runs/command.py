"""Entry point of every command: turns hydra's config into experiment and options, and errors into one sentence."""

import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clarify_env.games import find_game, game_names
from clarify_env.options import defaults, read, unknown
from clarify_env.streams import print_anything
from clarify_env.tasks.base import task_class, task_names
from trainers.runs.build import build, section
from trainers.runs.experiment import Experiment
from trainers.runs.help import help_page
from trainers.runs.identity import config_hash, run_identity
from trainers.runs.malloc import keep_freed
from trainers.runs.options import BudgetOptions, CommonOptions, EvalOptions, SelfPlayOptions
from trainers.runs.paths import at_home, quoted
from trainers.runs.plugins import offer_sources, plain_defaults, task_node
from trainers.runs.renamed import refuse_renamed
from trainers.runs.run import Run
from trainers.runs.sweep import UNFINISHED, end_sweep, in_sweep, record_job, sweep_folder

_HERE = Path(__file__).resolve().parents[1]
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
# Errors that a user can cause. All others are bugs and show their traceback.
_CAUSED = (ValueError, OSError, FloatingPointError, NotImplementedError, OmegaConfBaseException, HydraException)
# Overrides that may add keys: roles are the game's own, and options of a chat template the model's.
_NEW_KEY = re.compile(r"players\.|\w+\.template[.=]")
# Name of the section of a command's options if these are at the root of the config.
ROOT = ""


class Command:
    """A command of `trainers`: its function, and the options dataclass of each config section.

    The function is called with an `Experiment`, a `Run`, and one options dataclass for each other parameter: for
    ``options`` from the section named after the command, for any other from the section with the parameter's name.

    Args:
        name: Name of the command; its config is ``conf/NAME.yaml``.
        function: The command.
        learns: Whether it has a budget of games to learn from.
        measures: Whether it ends in an evaluation.
        root: Whether ``options`` is the root of the config and there is no experiment.
    """

    def __init__(self, name: str, function: Callable[..., None], learns: bool, measures: bool, root: bool):
        self.name, self.function, self.learns, self.measures, self.root = name, function, learns, measures, root
        self.parameters: dict[str, tuple[str, type]] = {}  # parameter: section and dataclass
        self.with_experiment = False
        for parameter in inspect.signature(function).parameters.values():
            annotation: Any = parameter.annotation
            if annotation is Experiment:
                self.with_experiment = True
            elif is_dataclass(parameter.annotation):
                options_section = ROOT if root else name
                section_name = options_section if parameter.name == "options" else parameter.name
                self.parameters[parameter.name] = (section_name, annotation)

    def sections(self) -> dict[str, type]:
        """Returns the options dataclass of each section, including those of the experiment."""
        shared = {"selfplay": SelfPlayOptions, "eval": EvalOptions} if self.with_experiment else {}
        if self.learns and self.with_experiment:
            shared["budget"] = BudgetOptions
        return shared | dict(self.parameters.values())

    def offer_defaults(self) -> None:
        """Stores the defaults of all sections as the config ``options/NAME``, the base of ``conf/NAME.yaml``."""
        node: dict[str, Any] = defaults(CommonOptions) if self.with_experiment else {}
        for name, cls in self.sections().items():
            node |= defaults(cls) if name == ROOT else {name: defaults(cls)}
        ConfigStore.instance().store(group="options", name=self.name, node=node, package="_global_")

    def known(self) -> list[str]:
        """Returns the names of all typed options."""
        names = ["run_dir", *(["seed"] if self.with_experiment else [])]
        for name, cls in self.sections().items():
            names += [f"{name}.{one.name}" if name else one.name for one in fields(cls)]
        return names

    def run(self, config: DictConfig) -> None:
        """Runs the command in its run directory."""
        with Run(Path(config.run_dir), run_identity(self.name, config)) as run:
            _save_hydra(run.dir / ".hydra", config)
            self.function(run=run, **self.read(config, run.identity["date"]))

    def read(self, config: DictConfig, date: str | None = None) -> dict[str, Any]:
        """Returns the arguments of the function: options by parameter, and the experiment. Seeds torch.

        Args:
            config: The command's config.
            date: Day of the run, for chat templates that state it; ``None``: today.

        Raises:
            ValueError: An option is wrong; the message names it.
        """
        self._refuse_unknown(config)
        arguments: dict[str, Any] = {}
        for parameter, (section_name, cls) in self.parameters.items():
            arguments[parameter] = read(cls, self._values(config, section_name), section_name)
        if self.with_experiment:
            # Training draws from torch's global generator, and from no other global state.
            torch.manual_seed(read(CommonOptions, {"seed": config.seed}, "").seed)
            arguments["experiment"] = build(config, learns=self.learns, measures=self.measures, date=date)
        return arguments

    def _refuse_unknown(self, config: DictConfig) -> None:
        groups = (
            ("task", "game", "assistant", "user", "players", "learn", "prompts", "costs")
            if self.with_experiment
            else ()
        )
        top = {name.partition(".")[0] for name in self.known()} | set(groups)
        for key in config:
            if key not in top:
                raise ValueError(unknown(str(key), self.known()))

    @staticmethod
    def _values(config: DictConfig, section_name: str) -> dict[str, Any]:
        if section_name != ROOT:
            return section(config, section_name)
        plain: Any = OmegaConf.to_container(config, resolve=True)
        return {key: value for key, value in plain.items() if key not in ("run_dir", "hydra")}


COMMANDS: dict[str, Command] = {}


def command(
    function: Callable[..., None], *, learns: bool = True, measures: bool = True, root: bool = False
) -> Callable[[], None]:
    """Makes a command from a function; NAME in ``conf/NAME.yaml`` is the function's module. See `Command`."""
    name = Path(function.__code__.co_filename).stem  # `__module__` may be "__main__"
    entry = COMMANDS[name] = Command(name, function, learns, measures, root)
    OmegaConf.register_new_resolver("run_hash", lambda *, _root_: config_hash(_root_), replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, use_cache=True, replace=True)
    _offer_plugins()
    entry.offer_defaults()

    @hydra.main(config_path=str(CONF), config_name=name, version_base="1.3")
    def job(config: DictConfig) -> None:
        keep_freed()
        print_anything()  # a launcher may run this in a process of its own
        config = at_home(config)
        try:
            record_job(config, UNFINISHED)
            entry.run(config)
            record_job(config, None)
        except (Exception, SystemExit) as error:
            if not in_sweep() and not isinstance(error, _CAUSED):
                raise
            record_job(config, _report(error, config))
            if not in_sweep():
                sys.exit(1)  # the other jobs of a sweep are run; its table is followed by exit status 1

    def main() -> None:
        print_anything()
        sys.argv[1:] = overrides = appended(sys.argv[1:])
        if {"--help", "-h"} & set(overrides):
            offer_sources(overrides)
            with initialize_config_dir(str(CONF), version_base="1.3"):
                config = compose(name, [word for word in overrides if not word.startswith("-")])
            print(help_page(entry.name, entry.sections(), config, CONF))
            return
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hydra raises its errors; they are printed here
        try:
            refuse_renamed(overrides)
            offer_sources(overrides)
            try:
                job()
            finally:
                end_sweep()  # of one that was interrupted, or whose launcher failed
        except _CAUSED as error:
            print(f"error: {_why_no_plugin(overrides) or hydra_sentence(error, entry.known())}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted: the same command goes on from here", file=sys.stderr)
            sys.exit(130)

    return main


def appended(overrides: Sequence[str]) -> list[str]:
    """Returns overrides as hydra takes them.

    Options of players and of chat templates may be new keys. Paths at home are quoted: hydra cannot read a bare ``~``.
    """
    return [f"++{word}" if _NEW_KEY.match(word) else word for word in map(_home_quoted, overrides)]


def _home_quoted(word: str) -> str:
    key, equals, value = word.partition("=")
    parts = [quoted(part) if part.startswith("~") else part for part in value.split(",")]
    return key + equals + ",".join(parts)


def hydra_sentence(error: Exception, known: list[str]) -> str:
    """Returns an error of hydra as one sentence; for an unknown option it names the closest known one."""
    text = str(error).partition("Config search path")[0]
    missing = re.search(r"Could not override '([^']+)'", text)
    if missing and "No match in the defaults list" not in text:
        return unknown(missing[1], known)
    return " ".join(text.split())


def _why_no_plugin(overrides: list[str]) -> str | None:
    """Returns why the game of ``game=NAME`` or the task of ``task=NAME`` cannot be loaded; ``None`` if both can."""
    for group, find in (("game", find_game), ("task", task_class)):
        for name in (word.partition("=")[2] for word in overrides if word.startswith(f"{group}=")):
            try:
                find(name)
            except ValueError as error:
                return str(error)
    return None


def _report(error: BaseException, config: DictConfig) -> str:
    """Prints an error as one sentence and returns it; the traceback goes to the run's log, of a bug also to stderr."""
    message = " ".join(str(error).split())
    if not isinstance(error, _CAUSED):
        traceback.print_exc()
        message = f"{type(error).__name__}: {message}"
    print(f"error: {message}", file=sys.stderr)
    folder = Path(str(OmegaConf.select(config, "run_dir", default=".")))
    if folder.is_dir() and os.access(folder, os.W_OK):
        with (folder / "run.log").open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(traceback.format_exc())
    return message


def _save_hydra(folder: Path, config: DictConfig) -> None:
    """Writes the config, hydra's own and the overrides to ``.hydra``, as hydra does in the folders that it makes."""
    folder.mkdir(exist_ok=True)
    hydra_config: Any = HydraConfig.instance().cfg
    OmegaConf.save(config, folder / "config.yaml")
    OmegaConf.save(hydra_config, folder / "hydra.yaml")
    OmegaConf.save(hydra_config.hydra.overrides.task, folder / "overrides.yaml")


def _offer_plugins() -> None:
    """Stores the defaults of games, planes and tasks, those of other packages included, as hydra configs.

    A game that cannot be loaded is left out; such a task is offered by its name alone, and refused when it is made.
    """
    store = ConfigStore.instance().store
    for name in game_names():
        try:
            game = find_game(name)
        except ValueError:
            continue  # the error is reported when the game is chosen: see `_why_no_plugin`
        store(group="options/game", name=name, node={"name": name} | plain_defaults(game.options))
        prices = dict.fromkeys(game.usage, 0.0) if game.plane_options is None else plain_defaults(game.plane_options)
        store(group="options/costs", name=name, node=prices)
        if not (CONF / "costs" / f"{name}.yaml").exists():
            store(group="costs", name=name, node=prices)
        if not (CONF / "game" / f"{name}.yaml").exists():
            store(group="game", name=name, node={"name": name} | plain_defaults(game.options))
    for name in task_names():
        if not (CONF / "task" / f"{name}.yaml").exists():
            store(group="task", name=name, node=task_node(name))
