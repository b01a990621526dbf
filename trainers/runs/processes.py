"""Runs jobs in parallel, one process per job.

Two updates of the small embedded model, each on one core, finish sooner than one after the other on both cores
(docs/results.md, "Speed").
"""

import importlib.machinery
import io
import multiprocessing
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from trainers.runs.malloc import keep_freed

# A report of progress: step, number of steps, logs.
Report = Callable[[int, int, dict[str, Any]], None]


class TransferError(ValueError):
    """An object cannot be handed to another process; see `check_transfer`."""


def check_transfer(parts: Mapping[str, Any]) -> None:
    """Checks that objects can be pickled, and unpickled in another process; tensors are taken for granted.

    Args:
        parts: The objects by what they are, for the error.

    Raises:
        TransferError: One of them cannot; the message names it and the way out.
    """
    for name, part in parts.items():
        try:
            reader = _Reader(_Writer.bytes_of(part))
            reader.load()
        except Exception as error:  # whatever the methods of a foreign object raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise TransferError(_no_transfer(name, reason)) from error
        for module in sorted(reader.modules):
            root = module.partition(".")[0]
            if root not in sys.builtin_module_names and root != "__main__" and not _is_importable(root):
                raise TransferError(_no_transfer(name, f"module {module} can only be found in this process"))


def _no_transfer(name: str, reason: str) -> str:
    return (
        f"{name} cannot be handed to another process ({reason}); with OMP_NUM_THREADS=1 one process plays and learns "
        "everything"
    )


def _is_importable(module: str) -> bool:
    finders = importlib.machinery.FrozenImporter, importlib.machinery.PathFinder
    return any(finder.find_spec(module) is not None for finder in finders)


class _Writer(pickle.Pickler):
    """Pickles an object without the values of its tensors."""

    def persistent_id(self, value: Any) -> Any:
        # Parameters with a class of their own are pickled, since that class must be known there.
        return "tensor" if type(value) in (torch.Tensor, torch.nn.Parameter) else None

    @classmethod
    def bytes_of(cls, value: Any) -> bytes:
        """Returns an object pickled."""
        buffer = io.BytesIO()
        cls(buffer).dump(value)
        return buffer.getvalue()


class _Reader(pickle.Unpickler):
    """Unpickles an object of `_Writer` and lists the modules that this takes."""

    def __init__(self, pickled: bytes):
        super().__init__(io.BytesIO(pickled))
        self.modules: set[str] = set()

    def persistent_load(self, pid: Any) -> Any:
        return torch.zeros(0)

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module)
        return super().find_class(module, name)


def run_processes(
    work: Callable[..., Any],
    jobs: Sequence[tuple],
    report: Callable[[int, int, int, dict[str, Any]], None],
    at_once: int,
) -> list[Any]:
    """Runs jobs in parallel, with torch's threads divided among them.

    Args:
        work: Function to call, with a job's values and, as ``report``, a `Report`. It must be a module's function,
            because each process imports it.
        jobs: Arguments of each call. They must be picklable.
        report: Called with the index of a job and the arguments of its report.
        at_once: Maximum number of processes at a time.

    Returns:
        The result of each job, in order.

    Raises:
        ValueError, FloatingPointError: A job raised it.
        RuntimeError: The process of a job died.
    """
    results: dict[int, Any] = {}
    for first in range(0, len(jobs), at_once):
        wave = {number: jobs[number] for number in range(first, min(first + at_once, len(jobs)))}
        results |= _at_once(work, wave, report, max(1, torch.get_num_threads() // at_once))
    return [results[number] for number in range(len(jobs))]


def _at_once(work: Callable, wave: dict[int, tuple], report: Callable, threads: int) -> dict[int, Any]:
    context = multiprocessing.get_context("spawn")  # forked processes would inherit torch's threads in any state
    running: dict[Any, int] = {}  # pipe: job
    processes, results = [], {}
    try:
        for number in wave:
            with _uninterrupted():  # a process that has started is one that is ended below
                pipe, child_pipe = context.Pipe()
                process = context.Process(target=_carry_out, args=(child_pipe, threads), daemon=True)
                process.start()
                child_pipe.close()
                processes.append(process)
                running[pipe] = number
        for pipe, number in running.items():
            _send(pipe, (work, wave[number]), number)
        while running:
            pipes: list[Any] = wait(list(running))
            for ready in pipes:
                number = running[ready]
                try:
                    kind, value = ready.recv()
                except (EOFError, ConnectionResetError):
                    raise _died(number) from None
                if kind == "report":
                    report(number, *value)
                elif kind == "error":
                    raise value
                else:
                    results[number] = value
                    del running[ready]
    finally:
        for process in processes:
            if running:
                process.terminate()
            process.join()
    return results


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Puts off Ctrl-C until the end, and blocks SIGINT for the processes started inside: their parent ends them.

    Blocking it here as well would not do: another thread of this process may take the signal.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # it would unblock SIGINT when the first process starts it
    interrupts: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if interrupts:
        raise KeyboardInterrupt


def _send(pipe: Connection, message: Any, number: int) -> None:
    # Sent by pipe, not as an argument of the process: `start` would block for ever if the process died at once.
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
        try:
            work, job = pipe.recv()
        except (AttributeError, ImportError) as error:
            raise ValueError(_no_transfer("a part of this run", str(error))) from error
        # If the parent has been killed, the next report raises BrokenPipeError and ends the work.
        result = work(*job, report=lambda *progress: pipe.send(("report", progress)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(1)
    except (ValueError, FloatingPointError) as error:
        pipe.send(("error", error))
    else:
        pipe.send(("result", result))
