"""How a command runs: hydra entry, run directory, players by config, logs and progress."""

import difflib
import hashlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import torch
from filelock import FileLock, Timeout
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter
from transformers.utils.logging import disable_progress_bar

from agents.hf import HFAgent, load
from agents.pocket import SHIPPED
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.costs import CostPlane
from clarify_env.games.base import Agent, Game
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.tasks.base import Task, make_task, task_class, task_names
from clarify_env.games.clarification.users import ScriptedUser
from trainers.runs.malloc import keep_freed
from trainers.runs.store import append_lines, read_json, read_lines, write_json

_HERE = Path(__file__).resolve().parents[1]
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"
_LOG = "clarify_env.run"
# What says how a run is carried out, not what it computes: these never change its directory's name.
_NOT_IDENTITY = ("hydra", "run_dir", "size")


def config_hash(config: DictConfig) -> str:
    """A name for everything a run's results depend on."""
    kept = _identity(config, OmegaConf.to_container(config, resolve=False))
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def _identity(config: DictConfig, plain: dict[str, Any]) -> dict[str, Any]:
    """What of a config a run's results depend on, and the digest of a pocket model's weights.

    Such a folder may be built anew, as the shipped one is now and then; other models are known by name and revision.
    """
    kept = {key: value for key, value in plain.items() if key not in _NOT_IDENTITY}
    model = OmegaConf.select(config, "assistant.model", default=None, throw_on_missing=False)
    manifest = Path(_model_path(str(model), config.task.name)) / "manifest.json" if model else None
    if manifest and manifest.exists():
        kept["weights"] = read_json(manifest).get("sha256")
    return kept


def _model_path(model: str, task: str) -> str | Path:
    return SHIPPED.get(task, model) if model == "pocket" else model


def command(function: Callable[[DictConfig, "Run"], None]) -> Callable[[], None]:
    """Makes a hydra command of a function; its config is ``conf/NAME.yaml``, NAME being its module's."""
    name = Path(function.__code__.co_filename).stem  # its module is "__main__", or another in a process beside
    OmegaConf.register_new_resolver("run_hash", lambda *, _root_: config_hash(_root_), replace=True)
    _offer_tasks()

    @hydra.main(config_path=str(CONF), config_name=name, version_base="1.3")
    def main(config: DictConfig) -> None:
        keep_freed()
        try:
            with Run(name, config) as run:
                function(config, run)
        except (ValueError, OSError, FloatingPointError, NotImplementedError, OmegaConfBaseException) as error:
            _fail(error, config)

    return main


def _fail(error: Exception, config: DictConfig) -> None:
    """Ends in one sentence; the traceback, for whoever needs it, goes to the run's log."""
    message = " ".join(str(error).split())
    folder = Path(str(OmegaConf.select(config, "run_dir", default=".")))
    if folder.is_dir():
        with (folder / "run.log").open("a") as log:
            log.write(traceback.format_exc())
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _offer_tasks() -> None:
    """Tasks from other packages, or without a YAML file, become ``task=NAME`` with their constructor's defaults."""
    for name in task_names():
        if not (CONF / "task" / f"{name}.yaml").exists():
            import inspect

            parameters = inspect.signature(task_class(name)).parameters.values()
            options = {p.name: p.default if p.default is not p.empty else "???" for p in parameters}
            ConfigStore.instance().store(group="task", name=name, node={"name": name} | options)


class Run:
    """A run directory: the resolved config, logs, metrics and progress of one run.

    The same command continues its run; a directory that holds another config, or in which another process is at work,
    is refused.

    Args:
        name: The command.
        config: Its whole config.

    Raises:
        ValueError: The directory holds another config, the message shows the difference; or it is in use.
    """

    def __init__(self, name: str, config: DictConfig):
        self.name, self.dir = name, Path(config.run_dir)
        self.config = {"command": name} | _identity(config, OmegaConf.to_container(config, resolve=True))
        self.dir.mkdir(parents=True, exist_ok=True)
        stored = self.dir / "config.json"
        if stored.exists():
            _refuse_other(stored, self.config)
        else:
            write_json(stored, self.config)
        self._lock = FileLock(self.dir / ".lock", timeout=0)  # the system frees it when a process is killed
        self.log = logging.getLogger(_LOG)
        self._started = time.monotonic()
        self._before = self._seconds_before()

    def __enter__(self) -> "Run":
        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(f"run_dir: another process is at work in {self.dir}; let it end or stop it") from None
        disable_progress_bar()  # of transformers: one bar at a time
        self.events = SummaryWriter(str(self.dir / "tensorboard"))
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.fields[rate]}"), TimeRemainingColumn()]
        self.progress = Progress(
            *columns, transient=not sys.stderr.isatty(), disable=bool(os.environ.get("NO_PROGRESS"))
        )
        self.progress.start()
        handler = logging.FileHandler(self.dir / "run.log")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        self.log.setLevel(logging.INFO)
        self.log.addHandler(handler)
        self.log.propagate = False
        return self

    def __exit__(self, *exception) -> None:
        self.progress.stop()
        self.events.close()
        for handler in list(self.log.handlers):
            self.log.removeHandler(handler)
            handler.close()
        self._lock.release()

    @property
    def seconds(self) -> float:
        """Seconds spent on this run, earlier sittings included."""
        return self._before + time.monotonic() - self._started

    def _seconds_before(self) -> float:
        return max((line["seconds"] for line in read_lines(self.dir / "metrics.jsonl")), default=0.0)

    def record(self, phase: str, iteration: int, step: int, **values: float) -> None:
        """Adds numbers to ``metrics.jsonl`` and to TensorBoard, named ``phase/name``."""
        named = {f"{phase}/{key}": float(value) for key, value in values.items()}
        line = {"phase": phase, "iteration": iteration, "step": step, "seconds": round(self.seconds, 2)}
        append_lines(self.dir / "metrics.jsonl", [line | named])
        for key, value in named.items():
            self.events.add_scalar(key, value, step)
        self.log.info("%s %d: %s", phase, iteration, ", ".join(f"{k}={v:.4g}" for k, v in values.items()))

    def recorded(self, phase: str, iteration: int) -> bool:
        """Whether an earlier sitting has recorded a phase of an iteration to its end."""
        lines = read_lines(self.dir / "metrics.jsonl")
        return any((line["phase"], line["iteration"]) == (phase, iteration) for line in lines)

    def bar(self, description: str, total: int | None, unit: str) -> Callable[[int], None]:
        """A progress bar with rate and time left; returns the function to call with the units just done."""
        bar, begun, done = self.progress.add_task(description, total=total, rate=""), time.monotonic(), 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            rate = done / max(time.monotonic() - begun, 1e-9)
            self.progress.update(bar, advance=n, rate=f"{rate:,.0f} {unit}/s")
            if total is not None and done >= total:
                self.log.info("%s: %d %s in %.1f s", description, done, unit, time.monotonic() - begun)

        return advance

    def steps(self, description: str, iteration: int) -> Callable[[int, int, dict[str, Any]], None]:
        """A bar for an update's steps that records loss and learning rate as well; see `trainers.learning.update.update`."""
        advance, seen = None, 0

        def report(step: int, steps: int, logs: dict[str, Any]) -> None:
            nonlocal advance, seen
            advance = advance or self.bar(description, steps, "steps")
            advance(step - seen)
            seen = step
            if "loss" in logs:
                self.record("update", iteration, step, loss=logs["loss"], learning_rate=logs["learning_rate"])

        return report


def _refuse_other(stored: Path, config: dict[str, Any]) -> None:
    before, now = (json.dumps(c, indent=1, sort_keys=True).splitlines() for c in (read_json(stored), config))
    if before != now:
        changes = [line for line in difflib.unified_diff(before, now, lineterm="", n=0) if line[:1] in "+-"][2:]
        difference = "; ".join(" ".join(line.split()) for line in changes)
        raise ValueError(
            f"run_dir: {stored.parent} holds a run of another config ({difference}); choose another run_dir"
        )


def make_plane(config: DictConfig) -> CostPlane:
    """The cost plane of ``costs.*``."""
    options = OmegaConf.to_container(config.costs, resolve=True)
    for name in ("alpha", "beta", "steps"):
        axis = options[name]
        if not (isinstance(axis, list) and len(axis) == 2 and all(isinstance(value, int | float) for value in axis)):
            kind = "two positive" if name == "steps" else "two increasing positive"
            raise ValueError(f"costs.{name} must be {kind} numbers, not {axis}")
        options[name] = tuple(axis)
    try:
        return CostPlane(**options)
    except TypeError as error:
        raise ValueError(f"costs: {error}") from error


def make_task_from(config: DictConfig) -> Task:
    """The task of ``task.*``."""
    options = OmegaConf.to_container(config.task, resolve=True)
    task = make_task(options.pop("name"), **options)
    logging.getLogger(_LOG).info(task.report())
    return task


def game_maker(config: DictConfig) -> Callable[..., Game]:
    """Makes games with the options of ``selfplay.*``."""
    options = config.selfplay
    limit, redact, reasoning = options.max_questions, options.redact_leaks, options.reasoning

    def make(task, episode, intent, costs):
        return ClarificationGame(task, episode, intent, costs, limit, redact, reasoning)

    return make


def load_model(config: DictConfig):
    """Model and tokenizer of ``assistant.*``; ``assistant.model=pocket`` is the shipped one for the task.

    Raises:
        ValueError: None is shipped for the task.
    """
    options, task = config.assistant, config.task.name
    path = _model_path(options.model, task)
    if path == "pocket":
        how = f"python -m trainers.pretrain task={task} pretrain.output=FOLDER"
        raise ValueError(f"assistant.model: no embedded model is made for task {task}; make one ({how}) and say "
                         "assistant.model=FOLDER")
    return load(path, revision=options.revision, trust_remote_code=options.trust_remote_code, device=options.device)


def hf_agent(config: DictConfig, model, tokenizer, temperature: float) -> HFAgent:
    """A language model as an agent, with the options of ``assistant.*``, ``prompts.*`` and ``selfplay.*``."""
    return HFAgent(model, tokenizer, style=config.prompts.style, temperature=temperature, name=config.assistant.name,
                   max_new_tokens=config.assistant.max_new_tokens, batch=config.selfplay.batch)


def make_user(config: DictConfig, task: Task, model, tokenizer) -> Agent:
    """The user of ``user.*``; ``self`` is the policy itself."""
    kind = config.user.kind
    if kind == "scripted":
        return ScriptedUser(task)
    if kind == "self":
        user = hf_agent(config, model, tokenizer, config.user.temperature)
    elif kind == "hf":
        user = hf_agent(config, *load(config.user.model, revision=config.user.revision, device=config.assistant.device),
                        config.user.temperature)
    else:
        raise ValueError(f"user.kind must be scripted, self or hf, not {kind!r}")
    user.name = kind
    return user


def make_scripted(config: DictConfig, task: Task) -> Agent:
    """The scripted assistant of ``assistant.strategy``."""
    return ScriptedAssistant(task, config.assistant.strategy, config.selfplay.max_questions)


def seed_everything(seed: int) -> None:
    """Seeds torch, which is all that draws from a global state in training."""
    torch.manual_seed(seed)
