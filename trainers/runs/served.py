"""What a run keeps of its servers: their replies, and the games that they could not play."""

from collections.abc import Iterator
from contextlib import contextmanager

from clarify_env.games.agents import PlayerError
from trainers.runs.errors import sentence
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import write_json


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
