import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
import torch

from trainers.runs.processes import run_processes

pytestmark = pytest.mark.slow  # each process imports torch


def squares(number: int, report) -> tuple[int, int, int]:
    report(1, 2, {"number": number})
    report(2, 2, {})
    return number**2, os.getpid(), torch.get_num_threads()


def fails(error: BaseException, report) -> None:
    raise error


def dies(report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def waits(report) -> None:
    time.sleep(60)


def test_jobs_in_processes_of_their_own_in_order():
    seen = []
    results = run_processes(squares, [(n,) for n in range(3)], lambda *progress: seen.append(progress), 2)
    assert [result[0] for result in results] == [0, 1, 4]
    assert len({pid for _, pid, _ in results} | {os.getpid()}) == 4, "each in a process of its own"
    assert [threads for _, _, threads in results] == [1, 1, 1], "which share the threads there are"
    assert sorted(seen, key=lambda p: p[:2]) == [
        entry for n in range(3) for entry in ((n, 1, 2, {"number": n}), (n, 2, 2, {}))
    ]


@pytest.mark.parametrize("error", [ValueError("a weight is no number"), FloatingPointError("the loss became nan")])
def test_errors_are_raised_here(error):
    with pytest.raises(type(error), match=str(error)):
        run_processes(fails, [(error,)], print, 2)


def test_a_process_that_dies_is_named_and_the_others_end():
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="the process of job 1 died"):
        run_processes(_either, [(dies,), (waits,)], print, 2)
    assert time.monotonic() - begun < 45, "without waiting for the other"


def _either(which, report) -> None:
    which(report)


def test_work_ends_with_whoever_asked_for_it(tmp_path):
    """A killed run leaves no process behind that goes on with its updates."""
    (tmp_path / "asks.py").write_text(
        textwrap.dedent("""
        import os, pathlib, time
        from trainers.runs.processes import run_processes

        def works(folder, report):
            pathlib.Path(folder, "pid").write_text(str(os.getpid()))
            for step in range(600):
                time.sleep(0.05)
                report(step, 600, {})

        if __name__ == "__main__":
            run_processes(works, [(str(pathlib.Path(__file__).parent),)], lambda *progress: None, 2)
        """)
    )
    asks = subprocess.Popen([sys.executable, tmp_path / "asks.py"])
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        assert asks.poll() is None
        time.sleep(0.05)
    asks.kill()
    asks.wait()
    for _ in range(100):
        if _gone(int(pid.read_text())):
            return
        time.sleep(0.1)
    raise AssertionError("the work went on")


def test_ctrl_c_interrupts_whoever_asked_and_the_processes_say_nothing(tmp_path):
    """A terminal sends SIGINT to all of them, also while they import."""
    (tmp_path / "asks.py").write_text(
        textwrap.dedent("""
        import pathlib, signal, sys, time
        signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background are begun without it
        from trainers.runs.processes import run_processes

        def works(folder, report):
            pathlib.Path(folder, "begun").touch()
            time.sleep(600)

        if __name__ == "__main__":
            try:
                run_processes(works, [(str(pathlib.Path(__file__).parent),)] * 2, lambda *progress: None, 2)
            except KeyboardInterrupt:
                sys.exit("interrupted")
        """)
    )
    for ready in ("asks.py", "begun"):
        asks = subprocess.Popen([sys.executable, tmp_path / "asks.py"], stderr=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 100
        while len(psutil.Process(asks.pid).children()) < 2 or not (tmp_path / ready).exists():
            assert asks.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(asks.pid, signal.SIGINT)
        _, said = asks.communicate(timeout=100)
        assert (asks.returncode, said.decode()) == (1, "interrupted\n")


def test_a_process_that_cannot_begin_is_no_reason_to_wait(tmp_path):
    """It dies before it has taken over its job, which is more than a pipe holds."""
    (tmp_path / "broken.py").write_text(
        textwrap.dedent("""
        import sys
        from trainers.runs.processes import run_processes

        if __name__ == "__mp_main__":
            sys.exit("broken where it is imported")

        if __name__ == "__main__":
            run_processes(len, [(b"x" * 10_000_000,)], print, 2)
        """)
    )
    done = subprocess.run([sys.executable, tmp_path / "broken.py"], capture_output=True, text=True, timeout=100)
    assert "broken where it is imported" in done.stderr
    assert done.stderr.strip().endswith("RuntimeError: the process of job 1 died")


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
