"""The run directory: recorded config, lock, log, metrics and progress of one run."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trainers.runs.identity import claim
from trainers.runs.paths import make_run_dir
from trainers.runs.store import append_lines, read_lines
from trainers.runs.trackers import Trackers

LOG = "clarify_env.run"


class Run:
    """A run directory, locked while in use.

    The same command continues its run. The directory is named on stderr at the start, and the last line on stdout names
    the report.

    Args:
        folder: The directory; created if it is missing.
        identity: Everything that the run's results depend on; see `identity.run_identity`.
        report_to: Trackers that are sent the metrics; see `trainers.runs.trackers`.

    Attributes:
        report: File with the results, once it has been written.
        continues: Whether the directory already held this run.

    Raises:
        ValueError: The directory cannot be made or written, it holds a run of another config (the message shows the
            difference), or another process uses it.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], report_to: Sequence[str] = ()):
        from filelock import FileLock

        self.dir, self._report_to = folder, report_to
        self.report: Path | None = None
        make_run_dir(self.dir)
        self.continues = (self.dir / "config.json").exists()
        self.identity = claim(self.dir, identity)
        self._lock = FileLock(self.dir / ".lock", timeout=0)  # the system releases it when the process is killed
        self.log = logging.getLogger(LOG)
        self._started = time.monotonic()
        self._before = self._seconds_before()

    def __enter__(self) -> "Run":
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout:
            raise ValueError(f"run_dir: another process is at work in {self.dir}; let it end or stop it") from None
        # Imported here, since a refused config need not wait for it.
        from trainers.runs.progress import Phases

        try:
            self._trackers = Trackers(self._report_to, self.dir, self.identity, self.log)
        except ValueError:
            self._lock.release()
            raise
        self._trackers.note_earlier(self._metrics())
        self.progress = Phases()
        self.progress.say(f"run directory: {self.dir}" + (", continued" if self.continues else ""))
        self.progress.start()
        handler = logging.FileHandler(self.dir / "run.log", encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        if logging.lastResort is not None:
            self.log.addHandler(logging.lastResort)  # warnings go to standard error as well
        self.log.setLevel(logging.INFO)
        self.log.addHandler(handler)
        self.log.propagate = False
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()
        if self.report is not None and exception[0] is None:
            print(f"report: {self.report}", flush=True)
        self._trackers.close()
        for handler in list(self.log.handlers):
            self.log.removeHandler(handler)
            handler.close()
        self._lock.release()

    @property
    def seconds(self) -> float:
        """Returns the seconds spent on this run, including earlier processes."""
        return self._before + time.monotonic() - self._started

    def _seconds_before(self) -> float:
        return max((line["seconds"] for line in self._metrics()), default=0.0)

    def _metrics(self) -> Iterator[dict[str, Any]]:
        """Yields the lines of ``metrics.jsonl``.

        Raises:
            ValueError: A line is none that `record` writes.
        """
        path = self.dir / "metrics.jsonl"
        for number, line in enumerate(read_lines(path), 1):
            if not isinstance(line, dict) or not (
                isinstance(line.get("phase"), str)
                and all(isinstance(line.get(name), int | float) for name in ("iteration", "step", "seconds"))
            ):
                raise ValueError(f"{path}, line {number}: no metrics of a run")
            yield line

    def record(self, phase: str, iteration: int, step: int, **values: float) -> None:
        """Writes numbers to ``metrics.jsonl``, under the names ``phase/name``, and sends them to the trackers."""
        scalars = {f"{phase}/{key}": float(value) for key, value in values.items()}
        line = {"phase": phase, "iteration": iteration, "step": step, "seconds": round(self.seconds, 2)}
        append_lines(self.dir / "metrics.jsonl", [line | scalars])
        self._trackers.record(phase, iteration, step, values)
        self.log.info("%s %d: %s", phase, iteration, ", ".join(f"{k}={v:.4g}" for k, v in values.items()))

    def recorded(self, phase: str, iteration: int) -> bool:
        """Returns whether a phase of an iteration has been recorded."""
        return any((line["phase"], line["iteration"]) == (phase, iteration) for line in self._metrics())

    def bar(self, description: str, total: int, unit: str) -> Callable[[int], None]:
        """Starts a phase, whose duration is logged; returns a function to call with the units just completed."""
        show, start, completed = self.progress.phase(description, total, unit), time.monotonic(), 0

        def advance(units: int) -> None:
            nonlocal completed
            completed += units
            show(units)
            if completed >= total:
                self.log.info("%s: %d %s in %.1f s", description, completed, unit, time.monotonic() - start)

        return advance

    def steps(self, description: str, iteration: int) -> Callable[[int, int, dict[str, Any]], None]:
        """Returns the ``report`` of `learning.update.update`: it advances a bar, and records loss and learning rate."""
        advance, last_step = None, 0

        def report(step: int, steps: int, logs: dict[str, Any]) -> None:
            nonlocal advance, last_step
            advance = advance or self.bar(description, steps, "steps")
            advance(step - last_step)
            last_step = step
            if "loss" in logs:
                self.record("update", iteration, step, loss=logs["loss"], learning_rate=logs["learning_rate"])

        return report
