"""Entry point of every command: turns hydra's config into experiment and options, and runs it.

What takes long comes last: a config is read and checked as a whole before torch is imported, models are loaded before
the run directory is made, and games are played after that.
"""

import gc
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clarify_env.options import convert, defaults, read, unknown
from clarify_env.streams import print_anything
from trainers.evaluation import rating_options
from trainers.runs.build import build, section
from trainers.runs.composition import composed, flags_and_overrides, save_config
from trainers.runs.conf import CONF
from trainers.runs.errors import CAUSED, first_line, hydra_sentence, report_error, sentence
from trainers.runs.experiment import Experiment
from trainers.runs.help import help_page
from trainers.runs.identity import check_claim, check_one_process, config_hash, run_identity
from trainers.runs.malloc import keep_freed
from trainers.runs.options import BudgetOptions, CommonOptions, EvalOptions, RolloutOptions, SelfPlayOptions
from trainers.runs.overrides import EXPERIMENT, CommandLine, on_players
from trainers.runs.paths import at_home
from trainers.runs.plugins import offer_plugins
from trainers.runs.run import Run
from trainers.runs.schema import RUN_DIR, option_types, task_of
from trainers.runs.served import check_served, stored_replies
from trainers.runs.sweep import UNFINISHED, end_sweep, in_sweep, record_job, sweep_folder

# Name of the section of a command's options if these are at the root of the config.
ROOT = ""
INTERRUPTED = "interrupted: the same command goes on from here"


class Command:
    """A command of `trainers`: its function, and the options dataclass of each config section.

    The function is called with an `Experiment`, a `Run`, and one options dataclass for each other parameter: for
    ``options`` from the section named after the command, for any other from the section with the parameter's name.

    Args:
        name: Name of the command; its config is ``conf/NAME.yaml``.
        function: The command.
        check: Checks that arguments fit together, before a model is loaded; takes some of the function's parameters.
        learns: Whether it has a budget of games to learn from.
        measures: Whether it ends in an evaluation.
        plays: Whether the players of the experiment play, so that their models must be there.
        root: Whether ``options`` is the root of the config and there is no experiment.
        tries: Whether a run first tries whether its chat model can play at all, and says so where it cannot.
        served: Whether a server can play what it learns from: with the model it starts from, and with checkpoints.
        load: Loads what the function needs, before the run directory is made; takes some of the function's parameters,
            and returns others by name.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., None],
        check: Callable[..., None] | None,
        learns: bool,
        measures: bool,
        plays: bool,
        root: bool,
        tries: bool,
        served: bool,
        load: Callable[..., dict[str, Any]] | None,
    ):
        self.name, self.function, self.check = name, function, check
        self.learns, self.measures, self.plays = learns, measures, plays
        self.root, self.tries, self.served, self.load_arguments = root, tries, served, load
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
        shared: dict[str, type] = {"selfplay": SelfPlayOptions, "eval": EvalOptions} if self.with_experiment else {}
        if self.measures and self.with_experiment:
            shared |= rating_options.SECTIONS
        if self.learns and self.with_experiment:
            shared["budget"] = BudgetOptions
        return shared | dict(self.parameters.values())

    def offer_defaults(self) -> None:
        """Stores the defaults of all sections as the config ``options/NAME``, the base of ``conf/NAME.yaml``."""
        node: dict[str, Any] = defaults(CommonOptions) if self.with_experiment else {}
        for name, cls in self.sections().items():
            node |= defaults(cls) if name == ROOT else {name: defaults(cls)}
        ConfigStore.instance().store(group="options", name=self.name, node=node, package="_global_")

    def command_line(self, sweep: bool = False) -> CommandLine:
        """Returns what reads the command's overrides."""
        return CommandLine(self.name, self.sections(), sweep)

    def prepare(self, config: DictConfig) -> "Prepared":
        """Reads and checks a config; nothing is written.

        Raises:
            ValueError: An option is wrong; the message names it. Or this is one of several processes.
        """
        check_one_process()
        arguments = self.read(config)
        identity = check_claim(run_dir(config), run_identity(self.name, config))
        if self.with_experiment:
            arguments["experiment"] = arguments["experiment"].dated(identity["date"])
        return Prepared(identity, arguments, (run_dir(config) / "config.json").exists())

    def load(self, prepared: "Prepared") -> None:
        """Seeds torch and loads the models of the players, before the run directory is made; without a model, neither.

        Raises:
            ValueError: A model cannot be loaded; the message names its option.
        """
        keep_freed()
        if self.with_experiment and (self.learns or prepared.arguments["experiment"].has_models):
            import torch  # takes seconds, as transformers does
            from transformers.utils.logging import disable_progress_bar

            # Training draws from torch's global generator, and from no other global state.
            experiment = prepared.arguments["experiment"]
            torch.manual_seed(experiment.seed)
            disable_progress_bar()  # of transformers: it would disturb ours
            if self.plays:
                experiment.load_models(prepared.continues)
        if self.load_arguments is not None:
            prepared.arguments.update(self.load_arguments(**_taken(self.load_arguments, prepared.arguments)))

    def run(self, config: DictConfig, prepared: "Prepared") -> None:
        """Runs the command in its run directory, with the result of `prepare` and its models loaded."""
        experiment = prepared.arguments.get("experiment")
        report_to = () if experiment is None else experiment.report_to
        with Run(run_dir(config), prepared.identity, report_to) as run, stored_replies(run, experiment):
            save_config(run.dir / ".hydra", config)
            if self.tries and not run.continues:
                self._try_model(run, **prepared.arguments)
            self.function(run=run, **prepared.arguments)

    def _try_model(
        self, run: Run, experiment: Experiment, rollouts: RolloutOptions | None = None, **others: object
    ) -> None:
        """Warns if almost no message of the policy's model is valid, before the long part of a run."""
        from trainers.evaluation.readiness import try_model, warning

        trial = try_model(experiment, forced=rollouts is not None and rollouts.forced > 0)
        words = shlex.join(on_players(HydraConfig.get().overrides.task))
        if trial and (sentence := warning(trial, experiment.setup.game, words, self.learns)):
            run.log.warning(sentence)

    def read(self, config: DictConfig) -> dict[str, Any]:
        """Returns the arguments of the function: options by parameter, and the experiment.

        Raises:
            ValueError: An option is wrong; the message names it.
        """
        self._refuse_unknown(config)
        arguments: dict[str, Any] = {}
        for parameter, (section_name, cls) in self.parameters.items():
            arguments[parameter] = read(cls, self._values(config, section_name), section_name)
        if self.with_experiment:
            arguments["experiment"] = build(config, learns=self.learns, measures=self.measures)
        if self.check is not None:
            self.check(**_taken(self.check, arguments))
        if self.with_experiment and self.plays:
            arguments["experiment"].check_players()
            if self.learns:
                check_served(arguments["experiment"], self.name, arguments.get("update"), self.served)
        run_dir(config)
        return arguments

    def _refuse_unknown(self, config: DictConfig) -> None:
        sections = [*self.sections(), *(EXPERIMENT if self.with_experiment else ())]
        choices: dict[str, list[str]] = {"task": [], "game": []} if self.with_experiment else {}
        known = [*option_types(self.sections(), choices), *sections]
        top = {name.partition(".")[0] for name in known}
        for key in config:
            if key not in top:
                raise ValueError(unknown(str(key), known))

    def _values(self, config: DictConfig, section_name: str) -> dict[str, Any]:
        if section_name != ROOT:
            return section(config, section_name)
        others = [name for name in self.sections() if name != ROOT]
        return {k: value for k, value in section(config, ROOT).items() if k not in ("run_dir", "hydra", *others)}


class Prepared(NamedTuple):
    """What a config is read as.

    Attributes:
        identity: Everything that the run's results depend on, its day included; see `identity.check_claim`.
        arguments: Arguments of the command's function, but for ``run``.
        continues: Whether the run has begun already.
    """

    identity: dict[str, Any]
    arguments: dict[str, Any]
    continues: bool = False


def _taken(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in inspect.signature(function).parameters}


def run_dir(config: DictConfig) -> Path:
    """Returns the run directory of a config.

    Raises:
        ValueError: It is no text, or empty.
    """
    try:
        value = config.run_dir
    except OmegaConfBaseException as error:
        raise ValueError(f"run_dir: {first_line(error)}") from error
    folder = convert("run_dir", value, *RUN_DIR["run_dir"])
    if not folder.strip():
        raise ValueError("run_dir must be the directory of the run, not an empty text")
    return Path(folder)


COMMANDS: dict[str, Command] = {}


def command(
    function: Callable[..., None],
    *,
    check: Callable[..., None] | None = None,
    learns: bool = True,
    measures: bool = True,
    plays: bool = True,
    root: bool = False,
    tries: bool = False,
    served: bool = False,
    load: Callable[..., dict[str, Any]] | None = None,
) -> Callable[[], None]:
    """Makes a command from a function; NAME in ``conf/NAME.yaml`` is the function's module. See `Command`."""
    name = Path(function.__code__.co_filename).stem  # `__module__` may be "__main__"
    entry = COMMANDS[name] = Command(name, function, check, learns, measures, plays, root, tries, served, load)
    OmegaConf.register_new_resolver("run_hash", lambda *, _root_: config_hash(_root_), replace=True)
    OmegaConf.register_new_resolver("task_of", task_of, replace=True)
    OmegaConf.register_new_resolver("sweep_folder", sweep_folder, use_cache=True, replace=True)
    offer_plugins()
    entry.offer_defaults()
    ready: list[Prepared] = []

    @hydra.main(config_path=str(CONF), config_name=name, version_base="1.3")
    def job(config: DictConfig) -> None:
        print_anything()  # a launcher may run this in a process of its own
        config = at_home(config)
        try:
            record_job(config, UNFINISHED)
            if ready:
                prepared = ready.pop()
            else:  # a job of a sweep
                prepared = entry.prepare(config)
                entry.load(prepared)
            entry.run(config, prepared)
            record_job(config, None)
        except (Exception, SystemExit) as error:
            if not in_sweep() and not isinstance(error, CAUSED):
                raise
            record_job(config, report_error(error, config))
            if not in_sweep():
                sys.exit(1)  # the other jobs of a sweep are run; its table is followed by exit status 1

    def main() -> None:
        print_anything()
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # hydra raises its errors; they are printed here
        try:
            with _uncollected():
                go = start()
            if go:
                for prepared in ready:  # one, but for a sweep
                    entry.load(prepared)
                try:
                    job()
                finally:
                    end_sweep()  # of one that was interrupted, or whose launcher failed
        except CAUSED as error:
            print(f"error: {sentence(error)}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print(INTERRUPTED, file=sys.stderr)
            sys.exit(130)

    def start() -> bool:
        """Reads the command line; returns whether there is something to run."""
        ready.clear()
        flags, words = flags_and_overrides(sys.argv[1:])
        line = entry.command_line(sweep=flags.multirun)
        try:
            overrides = line.hydra_overrides(words)
            sys.argv[1:] = [word for word in sys.argv[1:] if word not in words] + overrides
            if flags.help:
                print(_help(entry, line, overrides))
                return False
            if not (flags.multirun or flags.cfg or flags.info or flags.hydra_help or flags.shell_completion):
                ready.append(entry.prepare(at_home(composed(name, overrides))))
        except HydraException as error:
            raise ValueError(hydra_sentence(error, line.known())) from error
        return True

    return main


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps the garbage collector from looking through what imports and configs are made of.

    It would take a third of the time to an answer, most of it at the end of the process. What was made stays.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _help(entry: Command, line: CommandLine, overrides: list[str]) -> str:
    """Returns the help of a command line: options with their values there and their defaults."""
    groups = [word for word in overrides if word.partition("=")[0] in line.choices]
    config = composed(entry.name, overrides)
    defaults_config = config if groups == overrides else composed(entry.name, groups)
    return help_page(entry.name, entry.sections(), config, CONF, defaults_config)
