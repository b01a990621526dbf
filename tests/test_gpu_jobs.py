"""The script that runs whole jobs on a machine with a GPU: its commands, its time limit, and its small form."""

import json
import os
import re
import runpy
import tarfile
import time
from pathlib import Path

import pytest
from configs import config_of

from trainers.runs.command import COMMANDS

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "gpu_jobs.py"))
# A command that says how it ends.
SLEEPER = """
import time
try:
    print("begun", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("ended")
"""


@pytest.mark.parametrize("name", SCRIPT["JOBS"])
def test_commands_have_valid_options(name, tmp_path):
    """Each command of a job is one that its config allows, and begins where the one before ended."""
    further = ["rest:budget.games=40", "eval.seed=1"]
    commands = SCRIPT["commands"](name, "pocket", tmp_path, tmp_path / "runs", further)
    assert tuple(commands) == SCRIPT["STEPS"]
    for step, start in (("rest", "sft"), ("evaluate", "rest")):
        assert f"assistant.model={tmp_path}/runs/{name}-{start}/checkpoints/iteration-1" in commands[step]
    assert [step for step, words in commands.items() if "budget.games=40" in words] == ["rest"]
    for step in ("sft", "rest"):
        folder = tmp_path / "runs" / f"{name}-{step}" / "checkpoints" / "iteration-1"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    for module, *options in commands.values():
        config = config_of(module.removeprefix("trainers."), *options)
        assert config.eval.seed == 1 and config.task.name == name
        if name == "ledger":  # the others need their data, and a model that comes from elsewhere
            COMMANDS[module.removeprefix("trainers.")].read(config)


def test_a_command_that_takes_too_long_is_interrupted(tmp_path, monkeypatch):
    """As by Ctrl-C, so that it can end well."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    monkeypatch.chdir(tmp_path)
    log, start = tmp_path / "log", time.monotonic()
    assert SCRIPT["execute"](["sleeper"], 1, log) is None
    output = log.read_text()
    assert time.monotonic() - start < 50 and ("ended" in output or "begun" not in output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["chess"], "there is no job 'chess'"), (["pacific", "--data", "nowhere"], "pacific needs .*nowhere/pacific")],
)
def test_a_slip_is_refused_before_anything_runs(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        SCRIPT["main"]([*arguments, "--out", str(tmp_path / "out")])
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_small_form_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    small = ["size=quick", "sft:budget.games=8", "rest:budget.games=40", "eval.episodes=2", "eval.grid=2"]
    small += ["eval.sets=[between]", "eval.modes=[greedy]"]
    options = ["--assistant", "pocket", "--seconds", "3000", "--work", str(tmp_path / "runs")]
    out = tmp_path / "out"
    assert SCRIPT["main"](["ledger", "--out", str(out), *options, "--", *small]) == 0
    steps = json.loads((out / "jobs.json").read_text())["ledger"]
    assert all(step["status"] == 0 and step["summary"] for step in steps.values())
    with tarfile.open(out / "ledger.tar.gz") as archive:
        assert {f"ledger-{step}/report.html" for step in SCRIPT["STEPS"]} <= set(archive.getnames())
    assert sorted(file.name for file in out.iterdir()) == ["jobs.json", "ledger.tar.gz"]
