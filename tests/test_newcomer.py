"""A newcomer's walk through the README: own data, own task, own agent, a sweep and a killed run, by commands alone.

Each step is what the README shows, in a folder of its own that holds nothing but the newcomer's files.
"""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
# What makes a step take seconds: little is played, and nothing is read off its figures.
SMALL = ["size=quick", "eval.episodes=3", "eval.modes=[greedy]", "eval.grid=2"]
LIMIT = 120  # seconds of one command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("newcomer")


def line_of(module, *words):
    return [sys.executable, "-m", module, *words]


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "NO_PROGRESS": "1", "OMP_NUM_THREADS": "1"}


def run(folder, *line, fails=False):
    """Runs a command line and returns what it wrote; a traceback is always a fault."""
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT)
    written = done.stdout + done.stderr
    assert "Traceback" not in written, written[-2000:]
    assert bool(done.returncode) == fails, written[-2000:]
    return written


def record(number, **more):
    """A record in the format of the README's example."""
    readings = [
        {"text": f"What is the capital of North Land {number}?", "answers": [f"North Town {number}"]},
        {"text": f"What is the capital of South Land {number}?", "answers": [f"South Town {number}"]},
    ]
    return {"question": f"What is the capital of Land {number}?", "interpretations": readings} | more


def write_lines(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def lines_of_json(path):
    """One object a line, as in docs/questions.jsonl."""
    write_lines(path, [record(n) for n in range(12)])


def written_by_datasets(path):
    """Every field of every record, null where it is missing, as `datasets` writes it."""
    from datasets import Dataset

    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    records = [record(n, split=split) for n, split in enumerate(splits)]
    records[0]["context"] = "A note on the north."
    records[1]["interpretations"][0]["label"] = "northern"
    Dataset.from_list(records).to_json(str(path))
    assert "null" in path.read_text()


def compressed(path):
    """The same lines, compressed."""
    path.write_bytes(gzip.compress("".join(json.dumps(record(n)) + "\n" for n in range(12)).encode()))


def counts_and_a_bad_record(path):
    """Test records alone, with counts for weights, and one record that cannot be used."""
    records = [record(n, split="test") for n in range(6)]
    for one in records:
        for reading, count in zip(one["interpretations"], (3, 1), strict=True):
            reading["weight"] = count
    records[4]["interpretations"][0]["answers"] = []
    write_lines(path, records)


DATA = {
    "plain.jsonl": (lines_of_json, 12, True),
    "datasets.jsonl": (written_by_datasets, 10, False),
    "packed.jsonl.gz": (compressed, 12, False),
    "counts.jsonl": (counts_and_a_bad_record, 5, True),
}
MEASURE = """
import sys, clarify_env
(row,) = clarify_env.evaluate("oracle", "qa_jsonl", (0.3, 0.03), task_options={"path": sys.argv[1]})
print(f"regret {row['regret']:.3f}")
"""


@pytest.mark.parametrize("name", DATA)
def test_own_data_is_checked_and_measured(folder, name):
    write, usable, by_command = DATA[name]
    write(folder / name)
    assert f"{usable} of " in run(folder, *line_of("clarify_env.tasks", "check", name))
    assert "regret 0.000" in run(folder, sys.executable, "-c", MEASURE, name)
    if by_command:
        scripted = ["assistant=scripted", "assistant.strategy=oracle", f"run_dir=runs/{name}"]
        run(folder, *line_of("trainers.evaluate", "task=qa_jsonl", f"task.path={name}", *scripted, *SMALL))
        summary = json.loads((folder / "runs" / name / "summary.json").read_text())
        assert summary["eval"]["between"]["greedy"]["regret"] == pytest.approx(0, abs=1e-9)


@pytest.fixture(scope="module")
def own_task(folder):
    """The README's complete task, saved in a file as it says."""
    code = next(code for code in PYTHON if "(Task)" in code)
    (folder / "capitals.py").write_text(code)
    return folder


def test_own_task_is_checked_and_measured(own_task):
    assert run(own_task, sys.executable, "capitals.py").startswith("ok: every check of task capitals passed")
    for task in ("./capitals.py", "capitals:Capitals"):
        command = line_of("trainers.evaluate", f"task={task}", "assistant=scripted", *SMALL, "eval.sets=[between]")
        assert "capitals/test" in run(own_task, *command)
    assert len(list(own_task.glob("runs/evaluate-capitals-*/report.html"))) == 2
    assert "South Korea" in run(
        own_task, *line_of("clarify_env.tasks", "show", "./capitals.py", "split=train", "episodes=2")
    )


def test_own_agent_is_measured_on_the_own_task(own_task):
    code = next(code for code in PYTHON if "clarify_env.evaluate" in code).replace('"almanac"', '"./capitals.py"')
    (own_task / "measure.py").write_text(f"{code}\nimport sys\nassert 'torch' not in sys.modules\n")
    written = run(own_task, sys.executable, "measure.py")
    assert "capitals/test: user scripted, assistant agent" in written and "% of oracle" in written


def test_a_sweep_with_a_failing_job(folder):
    jobs = "assistant.strategy=guess,cleverest,oracle"
    line = line_of("trainers.evaluate", "-m", "assistant=scripted", jobs, *SMALL, "eval.sets=[between]")
    written = run(folder, *line, fails=True)
    assert "assistant.strategy must be one of oracle, guess" in written
    (table,) = (folder / "runs" / "sweeps").glob("*/table.md")
    rows = table.read_text()
    assert "guess" in rows and "oracle" in rows and "cleverest" in rows, "the failed job stands in the table"


def test_a_killed_run_continues(folder):
    words = [*SMALL, "budget.games=400", "eval.sets=[between]", "eval.validation=3", "run_dir=runs/killed"]
    line = line_of("trainers.rest", *words)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(line, cwd=folder, env=environment(), start_new_session=True, **quiet)
    trajectories, until = folder / "runs" / "killed" / "trajectories", time.monotonic() + LIMIT
    try:
        while not list(trajectories.glob("*.jsonl")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        assert process.poll() is None, "it is killed in the middle of its games"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (folder / "runs" / "killed" / "summary.json").exists()
    written = run(folder, *line)
    assert "report.html" in written, "the last line names the report"
    assert (folder / "runs" / "killed" / "report.html").exists()
    budget = json.loads((folder / "runs" / "killed" / "summary.json").read_text())["budget"]
    assert 0 < budget["games"] <= 400
    assert "another config" in run(folder, *line_of("trainers.rest", *words, "seed=1"), fails=True)
