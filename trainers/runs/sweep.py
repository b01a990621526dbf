"""Sweeps (``-m``): their folder, the record of each job, and the callback that ends one (`reporting.sweeps`)."""

import itertools
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from trainers.runs.store import read_json, write_json

# Error of a job that has begun; it stays if the job's process is killed.
UNFINISHED = "it did not come to its end"
# Folder of the jobs' records in the folder of a sweep.
_JOBS = "jobs"
# Folder of the sweep that has begun in this process and has no table yet.
_OPEN: list[Path] = []


def sweep_folder(parent: str) -> str:
    """Creates the folder of a sweep, named by the time; resolver ``sweep_folder`` of the config.

    Sweeps that begin in the same second have different folders. If nothing can be written in ``parent``, the folder is
    a temporary one, and a sentence on stderr says so.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = Path(parent) / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except OSError as error:
            if folder.is_dir():
                continue  # it is that of another sweep
            folder = Path(tempfile.mkdtemp(prefix=f"clarify-env-sweep-{stamp}-"))
            print(f"{parent} cannot be written ({error.strerror}): this sweep's table is in {folder}", file=sys.stderr)
            break
    return str(folder)


def in_sweep() -> bool:
    """Returns whether this process runs a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def record_job(config: DictConfig, error: str | None) -> None:
    """Writes the record of the current job in the sweep's folder; outside a sweep it does nothing.

    Args:
        config: Config of the job.
        error: Why it failed; ``None``: it did not.
    """
    if not in_sweep():
        return
    hydra = HydraConfig.get()
    overrides = [override for override in hydra.overrides.task if not override.startswith("run_dir=")]
    began = Path(hydra.runtime.cwd)  # where the table is written, wherever hydra.job.chdir leads
    run_dir = Path(str(OmegaConf.select(config, "run_dir", default=None))).absolute()
    shown = run_dir.relative_to(began) if run_dir.is_relative_to(began) else run_dir
    job = {"number": hydra.job.num, "overrides": overrides, "run_dir": str(shown), "error": error}
    folder = began / hydra.sweep.dir / _JOBS
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{hydra.job.num}.json", job)


class SweepTable(Callback):
    """Writes and prints the table of a sweep after its last job, and exits with status 1 if a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Removes the records of an earlier sweep in the same folder (``hydra.sweep.dir=FOLDER``)."""
        _OPEN.append(Path(config.hydra.sweep.dir))
        for path in (_OPEN[-1] / _JOBS).glob("*.json"):
            path.unlink()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes ``table.md`` and prints the table."""
        if end_sweep():
            sys.exit(1)


def end_sweep() -> bool:
    """Writes and prints the table of the sweep that has begun in this process, if it has not been written.

    Hydra ends a sweep only if its launcher came to the end of it, so a command calls this as well.

    Returns:
        Whether a job failed, or the table could not be written.
    """
    from trainers.reporting.sweeps import write_sweep  # jobs need none of it

    failed = False
    while _OPEN:
        folder = _OPEN.pop()
        try:
            jobs = sorted(map(read_json, (folder / _JOBS).glob("*.json")), key=lambda job: job["number"])
            write_sweep(folder, jobs)
            failed = failed or any(job["error"] is not None for job in jobs)
        except Exception as error:  # hydra would turn it into a warning
            traceback.print_exc()
            print(f"error: the sweep's table could not be written: {error}", file=sys.stderr)
            failed = True
    return failed
