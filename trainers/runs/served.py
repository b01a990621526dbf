"""Servers of a run: their replies and unplayed games, which are stored, and whether a method can learn from one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clarify_env.games.agents import PlayerError
from trainers.runs.errors import sentence
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import write_json

if TYPE_CHECKING:
    from trainers.learning.options import UpdateOptions


@contextmanager
def stored_replies(run: Run, experiment: Experiment | None) -> Iterator[None]:
    """Stores the replies of servers in a run's directory, and the games that could not be played."""
    if experiment is None or not experiment.models.has_servers:
        yield
        return
    servers, failed = experiment.models.servers, run.dir / "failed.json"
    servers.open(run.dir)
    try:
        yield
        failed.unlink(missing_ok=True)
    except PlayerError as error:
        write_json(failed, {"error": sentence(error), "games": list(error.games)})
        raise
    finally:
        servers.close()


def check_served(experiment: Experiment, method: str, update: UpdateOptions | None, keeps_up: bool) -> None:
    """Checks that a server that plays the learning roles can be kept in step with what is learned here.

    Args:
        experiment: The experiment; without a server, nothing is checked.
        method: Name of the method.
        update: Options of its updates; ``None``: it has none.
        keeps_up: Whether the method plays with the model it starts from, and with saved checkpoints alone.

    Raises:
        ValueError: It cannot.
    """
    served, role = experiment.served, experiment.learns[0]
    if served is None:
        return
    section = experiment.sections.get(role, role)
    if not keeps_up:
        raise ValueError(
            f"{section}.kind=api: {method} plays with weights that a server cannot be given; rest, rwsft, imitate "
            "and sft can learn from what a server plays"
        )
    if served.adapters == "none":
        raise ValueError(
            f"{section}.adapters must be vllm or sglang, so that the server plays with the weights that {method} "
            "learns here"
        )
    if update is not None and update.lora_rank == 0:
        raise ValueError(
            f"update.lora_rank must be at least 1 with {section}.kind=api: the server is given low-rank adapters"
        )
