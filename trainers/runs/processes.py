"""Several pieces of work at once, each in a process of its own.

A model as small as the embedded one shares two cores badly: two updates of 867 steps took 300 seconds side by side, on
a core each; one after the other on both cores, at the 0.205 seconds of a step measured there, they take 355.
"""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from trainers.runs.malloc import keep_freed

# A report of progress: step, number of steps, logs.
Report = Callable[[int, int, dict[str, Any]], None]


def together(work: Callable[..., Any], jobs: Sequence[tuple], report: Callable[[int, int, int, dict[str, Any]], None],
             at_once: int) -> list[Any]:
    """Carries out jobs, so many at once, and shares torch's threads among them.

    Args:
        work: Called with a job's values and, as ``report``, a `Report`. A function of a module, since each process
            imports it anew.
        jobs: What to call it with: numbers, text and bytes, since processes share nothing.
        report: Called with the number of a job and what that job reports.
        at_once: Processes at a time.

    Returns:
        What each job returned, in their order.

    Raises:
        ValueError, FloatingPointError: As a job raised it.
        RuntimeError: A job's process died; if it wrote why, that stands above.
    """
    results: dict[int, Any] = {}
    for first in range(0, len(jobs), at_once):
        wave = {number: jobs[number] for number in range(first, min(first + at_once, len(jobs)))}
        results |= _at_once(work, wave, report, max(1, torch.get_num_threads() // at_once))
    return [results[number] for number in range(len(jobs))]


def _at_once(work: Callable, wave: dict[int, tuple], report: Callable, threads: int) -> dict[int, Any]:
    context = multiprocessing.get_context("spawn")  # forked processes would inherit torch's threads in any state
    open_: dict[Connection, int] = {}
    processes, results = [], {}
    try:
        for number in wave:
            ours, theirs = context.Pipe()
            process = context.Process(target=_carry_out, args=(theirs, threads), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            open_[ours] = number
        for pipe, number in open_.items():
            _send(pipe, (work, wave[number]), number)
        while open_:
            for pipe in wait(list(open_)):
                number = open_[pipe]
                try:
                    kind, value = pipe.recv()
                except (EOFError, ConnectionResetError):
                    raise _died(number) from None
                if kind == "report":
                    report(number, *value)
                elif kind == "error":
                    raise value
                else:
                    results[number] = value
                    del open_[pipe]
    finally:
        for process in processes:
            if open_:
                process.terminate()
            process.join()
    return results


def _send(pipe: Connection, message: Any, number: int) -> None:
    # Not as an argument of the process: whoever starts one that dies at once would wait for ever to hand it over.
    try:
        pipe.send(message)
    except (BrokenPipeError, ConnectionResetError):
        raise _died(number) from None


def _died(number: int) -> RuntimeError:
    return RuntimeError(f"the process of job {number + 1} died")


def _carry_out(pipe: Connection, threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed()
    try:
        work, job = pipe.recv()
        # Where the parent has been killed, the next report finds nobody to hear it and ends the work.
        result = work(*job, report=lambda *progress: pipe.send(("report", progress)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)
    except (ValueError, FloatingPointError) as error:
        pipe.send(("error", error))
    else:
        pipe.send(("result", result))
