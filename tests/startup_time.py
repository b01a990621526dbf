"""Run by CI: how long commands take to show their help or to refuse a config, beside the import of hydra.

``python startup_time.py``: prints the CPU seconds of both and their ratio; exits with status 1 if one takes too long.
"""

import os
import resource
import subprocess
import sys
import tempfile

# Most CPU seconds beside 1 for the import of hydra.
MOST = 3.0
REPEATS = 8
# Bytecode is kept, as in every installation: where it is not, each run compiles this project's modules and not hydra's.
# One thread of numpy's linear algebra: the others do nothing but wait, which counts as CPU time and not for the user.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
    "NO_PROGRESS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
BESIDE = ["-c", "import hydra"]
# What is shown or refused: the words of the command line, and what must stand in the output.
SPOKEN = {
    "help": (["-m", "trainers.rest", "--help"], "rest.rule"),
    "a misspelt option": (["-m", "trainers.rest", "rest.hindsigt=3"], "rest.hindsight"),
    "a value of another type": (["-m", "trainers.rest", "update.learning_rate=fast"], "update.learning_rate"),
    "costs that cannot be": (["-m", "trainers.rest", "costs.alpha=[2,1]"], "costs.alpha"),
    "a missing model": (["-m", "trainers.rest", "assistant=hf"], "assistant.model"),
    "a file that is not there": (
        ["-m", "trainers.evaluate", "assistant=scripted", "task=qa_jsonl", "task.path=none.jsonl"],
        "none.jsonl",
    ),
}


def cpu_seconds(arguments: list[str], folder: str) -> tuple[float, str]:
    """Returns the CPU seconds of one run of Python, and what it wrote."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout + done.stderr


def main() -> int:
    """Measures all, in turn with the import of hydra, and takes the fewest seconds; returns the exit status."""
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, (arguments, words) in SPOKEN.items():
            beside, spent, output = [], [], ""
            for _ in range(REPEATS):
                beside.append(cpu_seconds(BESIDE, folder)[0])
                seconds, output = cpu_seconds(arguments, folder)
                spent.append(seconds)
            ratio = min(spent) / min(beside)
            fault = "" if words in output and "Traceback" not in output else f"; {words} is not said: {output[-300:]}"
            failed |= bool(fault) or ratio > MOST
            print(
                f"{name}: {min(spent):.2f} s of CPU, import hydra {min(beside):.2f} s: "
                f"{ratio:.1f} times as long (at most {MOST:g}){fault}"
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
