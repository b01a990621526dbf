"""benchmarks/real_model.py: its commands are those of this project, and its table holds what the runs measured."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest
from configs import config_of

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "real_model.py"))
STAGES = {stage.name: stage for stage in SCRIPT["STAGES"]}


@pytest.fixture
def commands(monkeypatch):
    """The commands that the script starts, which are not run."""
    started = []

    def run(command, check):
        started.append(command[2:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return started


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", STAGES)
def test_stages_are_commands_that_a_config_allows(commands, tmp_path, name, quick):
    SCRIPT["run"](STAGES[name], tmp_path, "smollm2", quick, ["seed=1"])
    ((module, *overrides),) = commands
    config = config_of(module.removeprefix("trainers."), *overrides)
    assert config.task.name == "ledger" and config.seed == 1 and config.assistant.max_new_tokens >= 96
    assert config.eval.episodes == (2 if quick else 15 if name == "warm" else 30)
    assert config.eval.sets == (["between"] if quick or name == "warm" else ["between", "beyond_both"])
    starts_warm = config.assistant.model == str(tmp_path / "warm" / "checkpoints" / "iteration-1")
    assert starts_warm == (name in ("rest", "grpo"))


def test_a_complete_stage_is_not_run_again(commands, tmp_path):
    (tmp_path / "warm").mkdir()
    (tmp_path / "warm" / "summary.json").write_text("{}")
    SCRIPT["run"](STAGES["warm"], tmp_path, "smollm2", False, [])
    assert commands == []


def test_the_table_holds_what_the_runs_measured(tmp_path):
    entry = {
        "reward": 0.45,
        "reward_ci": [0.4, 0.5],
        "oracle": 0.5,
        "gap_closed": None,
        "optimal_match": 0.75,
        "fixed": {"guess": 0.3, "list": 0.35, "ask": 0.41, "threshold": 0.49},
        "share": {"clarify": 0.25, "answer": 0.5, "multi_answer": 0.2, "invalid": 0.05},
    }
    (tmp_path / "rest").mkdir()
    summary = {"eval": {"between": {"temperature": entry}, "seen": {"greedy": entry}}}
    (tmp_path / "rest" / "summary.json").write_text(json.dumps(summary))
    *_, row = SCRIPT["table"](tmp_path).splitlines()
    assert row == "| rest | between | 0.450 [0.400, 0.500] | 90.0 | 0.410 | - | 75.0 | 5.0 | 25.0 | 50.0 | 20.0 |"


def test_a_stage_that_failed_ends_the_study_with_its_status(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, 3))
    with pytest.raises(SystemExit) as ended:
        SCRIPT["run"](STAGES["warm"], tmp_path, "smollm2", False, [])
    assert ended.value.code == 3
