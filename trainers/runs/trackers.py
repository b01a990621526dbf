"""Sends a run's metrics to trackers: TensorBoard, trackio, wandb, mlflow (``report_to``, as transformers has it).

A metric is named ``GROUP/name``, with the groups ``play`` (games played), ``learn`` (updates) and ``eval`` (validation
episodes); docs/data.md lists all. ``metrics.jsonl`` in the run directory holds the same numbers whatever is chosen.
"""

import json
import logging
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from trainers.runs.store import read_json, write_json

# Trackers by name, each with the package that it needs.
PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow"}
NAMES = (*PACKAGES, "all", "none")
# Group and prefix of the metrics of each phase of a run.
PHASES = {
    "grow": ("play", ""),
    "import": ("play", ""),
    "weigh": ("learn", ""),
    "pairs": ("learn", "pairs_"),
    "update": ("learn", ""),
    "grpo": ("learn", ""),
    "validation": ("eval", ""),
}
PROJECT = "clarify-env"


class Tracker(Protocol):
    """A tracker of one run."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Records metrics of one group at a step."""
        ...

    def close(self) -> None:
        """Ends the run."""
        ...


def check_trackers(report_to: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the trackers of ``report_to``: ``all`` are those that are installed, ``none`` is none.

    Raises:
        ValueError: A package is missing, or ``none`` or ``all`` stands beside others.
    """
    names = (report_to,) if isinstance(report_to, str) else tuple(dict.fromkeys(report_to))
    if len(names) > 1 and (alone := {"none", "all"} & set(names)):
        raise ValueError(f"report_to: {min(alone)} stands alone, not beside others")
    installed = [name for name, package in PACKAGES.items() if find_spec(package) is not None]
    if names in (("all",), ("none",)):
        return tuple(installed) if names == ("all",) else ()
    if missing := [name for name in names if name not in installed]:
        raise ValueError(f"report_to: {missing[0]} is not installed (pip install {PACKAGES[missing[0]]})")
    return names


def grouped(phase: str, values: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics of a phase by their names in trackers."""
    group, prefix = PHASES[phase]
    return {f"{group}/{prefix}{name}": float(value) for name, value in values.items()}


class Trackers:
    """The trackers of one run.

    A tracker that cannot be started ends the command before any game. One that fails later is left out from then on,
    with a warning: what it was sent stands in ``metrics.jsonl``.

    Args:
        report_to: Names of trackers.
        folder: Run directory; its name is the run's.
        identity: Config of the run, recorded by trackers that do.
        log: Where a failure is said.

    Raises:
        ValueError: A tracker cannot be started.
    """

    def __init__(self, report_to: Sequence[str], folder: Path, identity: Mapping[str, Any], log: logging.Logger):
        self._log = log
        self._trackers: dict[str, Tracker] = {}
        # Last step of each iteration's update, so that the steps of a run's updates count on.
        self._last: dict[int, int] = {}
        for name in report_to:
            try:
                self._trackers[name] = _MAKERS[name](folder, identity)
            except Exception as error:  # whatever a tracker's package raises
                self.close()
                raise ValueError(f"report_to: {name} cannot be started: {' '.join(str(error).split())}") from error

    def note_earlier(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Takes note of the metrics of earlier processes of the run."""
        for line in lines:
            if line["phase"] == "update":
                self._note(line["iteration"], line["step"])

    def record(self, phase: str, iteration: int, step: int, values: Mapping[str, float]) -> None:
        """Sends the metrics of a phase to every tracker."""
        if phase == "update":
            self._note(iteration, step)
            step += sum(last for number, last in self._last.items() if number < iteration)
        metrics = grouped(phase, values)
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.log(metrics, step)
            except Exception as error:
                self._failed(name, error)

    def close(self) -> None:
        """Ends the run in every tracker."""
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.close()
            except Exception as error:
                self._failed(name, error)
        self._trackers = {}

    def _note(self, iteration: int, step: int) -> None:
        self._last[iteration] = max(step, self._last.get(iteration, 0))

    def _failed(self, name: str, error: Exception) -> None:
        del self._trackers[name]
        self._log.warning("report_to: %s failed and is left out from here on: %s", name, " ".join(str(error).split()))


class TensorBoard:
    """Event files in ``tensorboard/`` of the run directory; of a run without metrics, none."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        self._folder = folder / "tensorboard"
        self._writer: Any = None

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # imports torch: not for runs that learn nothing

            self._writer = SummaryWriter(str(self._folder))
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See `Tracker`."""
        if self._writer is not None:
            self._writer.close()


class Trackio:
    """A run of trackio; the project is in the environment variable ``TRACKIO_PROJECT``."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        self._run = trackio.init(project=project, name=folder.name, config=_flat(identity), resume="allow")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class Wandb:
    """A run of Weights & Biases; the project is in the environment variable ``WANDB_PROJECT``."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        import wandb

        state = folder / "wandb.json"  # the run's id there, so that a continued run continues there too
        run_id = read_json(state)["id"] if state.exists() else uuid.uuid4().hex
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.name,
            id=run_id,
            resume="allow",
            dir=str(folder),
            config=dict(identity),
        )
        write_json(state, {"id": run_id})
        for group in sorted({group for group, _ in PHASES.values()}):
            # Each group has steps of its own; wandb's own must rise from call to call.
            self._run.define_metric(f"{group}/step", hidden=True)
            self._run.define_metric(f"{group}/*", step_metric=f"{group}/step")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        group = next(iter(metrics)).partition("/")[0]
        self._run.log({**metrics, f"{group}/step": step})

    def close(self) -> None:
        """See `Tracker`."""
        self._run.finish()


class Mlflow:
    """A run of MLflow; server and experiment are in its environment variables, as ``MLFLOW_TRACKING_URI``."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        import mlflow

        self._client = mlflow.MlflowClient()
        state = folder / "mlflow.json"
        if state.exists():
            self._id = read_json(state)["run_id"]
            self._client.update_run(self._id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        self._id = self._client.create_run(experiment_id, run_name=folder.name).info.run_id
        write_json(state, {"run_id": self._id})
        for key, value in _flat(identity).items():
            self._client.log_param(self._id, key, str(value)[:500])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        for name, value in metrics.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self._id)


_MAKERS: dict[str, Any] = {"tensorboard": TensorBoard, "trackio": Trackio, "wandb": Wandb, "mlflow": Mlflow}


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Returns nested values by their whole names; lists as JSON."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = json.dumps(value) if isinstance(value, list | Mapping) else value
    return flat
