"""Whole jobs of a chat model on a GPU without a network: warm start, ReST, evaluation, and the model as it came.

``python benchmarks/gpu_jobs.py --out FOLDER [JOB ...] [-- OVERRIDE ...]``: `ledger`, then `pacific` and `abgcoqa`, of
SmolLM2 by default. Each job has a time limit. A command that reaches it is interrupted as by Ctrl-C, so the same call
continues it. The folder gets ``jobs.json`` (commands, seconds, exit status, rewards) and an archive of each job's
summaries, reports, logs and transcripts. Overrides behind ``--`` go to every command, or to one if they begin with the
name of its step, as ``rest:budget.games=4000``. ``ledger --assistant pocket -- size=quick`` is a small form for a CPU.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# Files of a run that are archived.
KEPT = ("config.json", "run.log", "summary.json", "report.html", "transcripts.jsonl")
# Runs on the way are measured on few episodes.
BRIEFLY = ("eval.episodes=20", "eval.validation=20", "eval.modes=[greedy]")
STEPS = ("sft", "rest", "evaluate", "prompted")
# Seconds between an interrupt and the end of a command.
GRACE = 30


class Job(NamedTuple):
    """A task to learn.

    Attributes:
        seconds: Time limit of all its commands.
        options: Overrides of all its commands.
        data: Its data file below ``--data``; empty: it needs none.
    """

    seconds: float
    options: tuple[str, ...]
    data: str = ""


JOBS = {
    "ledger": Job(360, ("costs=ledger", "assistant.max_new_tokens=72")),
    "pacific": Job(540, ("task.clear=1", "assistant.max_new_tokens=128"), "pacific/validation.json"),
    "abgcoqa": Job(540, ("task.clear=1", "assistant.max_new_tokens=128"), "abg_coqa/coqa_abg_val.json"),
}


def commands(name: str, assistant: str, data: Path, work: Path, overrides: Sequence[str]) -> dict[str, list[str]]:
    """Returns the arguments of each command of a job, by step; each starts from the model of the step before.

    Args:
        name: Name of the job, one of `JOBS`.
        assistant: The config group ``assistant``.
        data: Folder of data files.
        work: Folder of the run directories.
        overrides: Further overrides of every command, or of a step: ``STEP:OVERRIDE``.
    """
    job = JOBS[name]
    common = [f"task={name}", f"assistant={assistant}", *job.options]
    if job.data:
        common.append(f"task.path={data / job.data}")

    def others(step: str) -> set[str]:
        return set(STEPS) - {step}

    def command(step: str, start: str | None, *options: str) -> list[str]:
        module = "evaluate" if start == "rest" else step
        model = [f"assistant.model={work / f'{name}-{start}' / 'checkpoints' / 'iteration-1'}"] if start else []
        further = [word.removeprefix(f"{step}:") for word in overrides if word.partition(":")[0] not in others(step)]
        return [f"trainers.{module}", *common, *model, *options, *further, f"run_dir={work / f'{name}-{step}'}"]

    return {
        "sft": command("sft", None, *BRIEFLY),
        "rest": command("rest", "sft", *BRIEFLY, "update.packed=true", "update.runs=1"),
        "evaluate": command("evaluate", "rest"),
        "prompted": command("prompted", None),
    }


def execute(arguments: Sequence[str], seconds: float, log: Path) -> int | None:
    """Runs a command; ``None``: the time was over, and it was interrupted.

    Args:
        arguments: Module and arguments.
        seconds: Time limit.
        log: File of its output.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_PROGRESS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w", encoding="utf-8") as output:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        signal.signal(signal.SIGINT, before)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return None


def run(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Runs the commands of a job until one fails or the time is over, and archives their results."""
    limit = JOBS[name].seconds if args.seconds is None else args.seconds
    end = time.monotonic() + limit
    steps: dict[str, Any] = {}
    for step, arguments in commands(name, args.assistant, args.data, args.work, args.overrides).items():
        log = args.out / f"{name}-{step}.log"
        start = time.monotonic()
        status = execute(arguments, end - start, log) if start < end else None
        steps[step] = {"command": arguments, "seconds": round(time.monotonic() - start, 1), "status": status}
        summary = args.work / f"{name}-{step}" / "summary.json"
        if status == 0 and summary.exists():
            steps[step]["summary"] = json.loads(summary.read_text(encoding="utf-8"))
        outcome = f"over its limit of {limit:.0f} s" if status is None else f"exit status {status}"
        print(f"{name} {step}: {steps[step]['seconds']:.0f} s, {outcome}", flush=True)
        if status != 0:
            if log.exists():
                print("\n".join(log.read_text(encoding="utf-8").splitlines()[-5:]), flush=True)
            break
    with tarfile.open(args.out / f"{name}.tar.gz", "w:gz") as archive:
        for step in steps:
            log, folder = args.out / f"{name}-{step}.log", args.work / f"{name}-{step}"
            for file in (log, *(folder / kept for kept in KEPT)):
                if file.exists():
                    archive.add(file, f"{name}-{step}/{file.name if file != log else 'output.log'}")
            log.unlink(missing_ok=True)
    return steps


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the jobs; returns 0 if every command of every job ended well."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, overrides = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; default: all")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="folder of the run directories")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of pacific and abg_coqa")
    parser.add_argument("--assistant", default="smollm2", help="config group of the model")
    parser.add_argument("--seconds", type=float, help="time limit of each job; default: 360 of ledger, 540 of others")
    args = parser.parse_args(words)
    args.overrides, args.data = overrides, args.data.resolve()
    names = args.jobs or list(JOBS)
    for name in names:
        if name not in JOBS:
            parser.error(f"there is no job {name!r}, but {', '.join(JOBS)}")
        if JOBS[name].data and not (args.data / JOBS[name].data).is_file():
            parser.error(f"--data: {name} needs {args.data / JOBS[name].data}, which is not there")
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for name in names:
        results[name] = run(name, args)
        (args.out / "jobs.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if all(step["status"] == 0 for steps in results.values() for step in steps.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
