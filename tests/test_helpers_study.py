"""benchmarks/helpers.py: its commands are those of this project, and its table holds what the runs measured."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest
from configs import config_of

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "helpers.py"))


@pytest.mark.parametrize("quick", [False, True])
def test_stages_are_commands_that_a_config_allows(monkeypatch, tmp_path, quick):
    started = []

    def run(command, check):
        started.append(command[2:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    chosen = [s for s in SCRIPT["STAGES"] if "-helper_1" not in s.name and "sft-" not in s.name]
    for stage in chosen:
        SCRIPT["run"](stage, 1, tmp_path, "MODEL", quick, ["eval.transcripts=0"])
    assert len(started) == len(chosen)
    for stage, (module, *overrides) in zip(chosen, started, strict=True):
        config = config_of(module.removeprefix("trainers."), *overrides)
        assert (config.game.name, config.task.name, config.seed) == ("helpers", "archives", 1)
        assert config.game.identities == (stage.name == "rest-named"), "alone, there is nobody to be named"
        base, _, role = stage.name.rpartition("-")
        alone = role in SCRIPT["ALONE"]
        assert config.game.alone == (role if alone else "none")
        checkpoint = str(tmp_path / f"{base}-1" / "checkpoints" / "iteration-1")
        assert config.assistant.model == (checkpoint if alone and base != "model" else "MODEL")


def test_the_table_holds_what_the_runs_measured(tmp_path):
    entry = {"reward": 0.45, "reward_ci": [0.4, 0.5], "oracle": 0.5, "f1": 0.625, "calls": 0.5, "call_auroc": None}
    entry["f1_by_calls"] = [[0.2, 0.4], [0.4, 0.6], [0.6, 0.7]]
    (tmp_path / "rest-0").mkdir()
    (tmp_path / "rest-0" / "summary.json").write_text(json.dumps({"eval": {"between": {"temperature": entry}}}))
    *_, row = SCRIPT["table"](tmp_path, [0, 1]).splitlines()
    assert row == f"| rest | 0 | between | 0.450 [0.400, 0.500] | 90.0 | 0.625 | 0.50 |{' - |' * 8} 0.450 | 0.650 | - |"
