"""Progress of a run's phases: bars on a terminal, plain lines elsewhere, nothing with ``NO_PROGRESS=1``."""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

# Seconds from the beginning of a phase to its first plain line with what is left.
FIRST = 10.0
# Seconds between two plain lines of a phase after that.
INTERVAL = 60.0
# Seconds between two looks at the clock by the thread that prints them during a long step.
LOOK = 1.0


@dataclass
class _Phase:
    """A phase of a run, as plain lines show it.

    Attributes:
        description: What is done.
        total: Units to do.
        unit: What is counted, in the plural.
        begun: Time of its beginning, in seconds of the monotonic clock.
        due: Time of its next line.
        done: Units done.
    """

    description: str
    total: int
    unit: str
    begun: float
    due: float
    done: int = 0

    def rate(self, now: float) -> float:
        """Returns the units done a second."""
        return self.done / max(now - self.begun, 1e-9)

    def line(self, now: float) -> str:
        """Returns how far it is, and how long the rest takes at the same rate."""
        done = f"{self.description}: {self.done:,} of {self.total:,} {self.unit}"
        if not self.done:
            return f"{done} after {_duration(now - self.begun)}"
        rate = self.rate(now)
        left = _duration((self.total - self.done) / rate)
        return f"{done}, {rate:,.{0 if rate >= 10 else 2}f} {self.unit}/s, {left} left"


class Phases:
    """Shows the progress of each phase of a run on stderr.

    On a terminal each phase has a bar. Elsewhere a phase prints a line when it starts, one after ten seconds and each
    minute after that, with the time left, and one at its end; between `start` and `stop` a thread prints those of the
    current phase, however long one of its steps takes.
    With the environment variable ``NO_PROGRESS`` nothing is printed.
    """

    def __init__(self) -> None:
        silent = bool(os.environ.get("NO_PROGRESS"))
        self._plain = not silent and not sys.stderr.isatty()
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
        ]
        self._bars = Progress(*columns, console=Console(stderr=True), disable=silent or self._plain)
        self._current: _Phase | None = None
        self._between: tuple[float, float, str] | None = None  # end of the last phase, time of the next line, its name
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def say(self, line: str) -> None:
        """Prints a line about the run as a whole."""
        if self._plain or not self._bars.disable:
            self._print(line)

    def start(self) -> None:
        """Begins to draw the bars, or to look at the clock."""
        self._bars.start()
        if self._plain and self._thread is None:
            self._thread = threading.Thread(target=self._look, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the bars and the lines of the clock, so that something else can be printed."""
        self._bars.stop()
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def phase(self, description: str, total: int, unit: str) -> Callable[[int], None]:
        """Starts a phase.

        Args:
            description: Name of the phase.
            total: Number of units to do.
            unit: Name of the units, in the plural.

        Returns:
            A function to call with the number of units just completed.
        """
        bar = self._bars.add_task(description, total=total, rate="")
        now = time.monotonic()
        phase = self._current = _Phase(description, total, unit, now, now + FIRST)
        if self._plain:
            self._print(f"{description}: {total:,} {unit}")

        def advance(units: int) -> None:
            now = time.monotonic()
            with self._lock:
                before, phase.done = phase.done, phase.done + units
                self._current = phase
                if self._plain and before < total <= phase.done:
                    self._between = now, now + INTERVAL, description
                    self._print(f"{description}: {phase.done:,} {unit} in {_duration(now - phase.begun)}")
            self._bars.update(bar, advance=units, rate=f"{phase.rate(now):,.0f} {unit}/s")
            self._print_due(now)

        return advance

    def _look(self) -> None:
        while not self._stopped.wait(LOOK):
            self._print_due(time.monotonic())

    def _print_due(self, now: float) -> None:
        """Prints a line if one is due: of the current phase or, if that is at its end, of the time since then."""
        with self._lock:
            phase = self._current
            if not self._plain or phase is None:
                return
            if phase.done < phase.total:
                if now >= phase.due:
                    phase.due = now + INTERVAL
                    self._print(phase.line(now))
            elif self._between and now >= self._between[1]:
                end, _, name = self._between
                self._between = end, now + INTERVAL, name
                self._print(f"at work for {_duration(now - end)} since {name}")

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
