"""benchmarks/pandora.py: its commands are those of this project, and its tables hold what the runs measured."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest
from configs import config_of

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "pandora.py"))
STAGES = [
    (model, stage) for model, stages in (("pocket", SCRIPT["POCKET"]), ("smollm2", SCRIPT["REAL"])) for stage in stages
]


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
@pytest.mark.parametrize(("model", "stage"), STAGES, ids=[f"{model}-{stage.name}" for model, stage in STAGES])
def test_stages_are_commands_that_a_config_allows(commands, tmp_path, model, stage, quick):
    SCRIPT["run"](stage, 1, tmp_path, model, quick, ["eval.transcripts=0"])
    ((module, *overrides),) = commands
    config = config_of(module.removeprefix("trainers."), *overrides)
    assert (config.game.name, config.task.name, config.seed) == ("pandora", "boxes", 1)
    assert config.task.priors == ("hidden" if "hidden" in stage.name else "stated")
    if stage.command == "rest":
        assert list(config.rollouts.actions) == ["look", "commit"] and config.rollouts.follow_ups >= 3
    starts = {"rest": model == "smollm2" and "warm", "hidden": "rest", "hidden-prior": "rest"}.get(stage.name)
    if starts:
        assert config.assistant.model == str(tmp_path / f"{starts}-1" / "checkpoints" / "iteration-1")
    assert not quick or config.eval.episodes == 8


def test_the_tables_hold_what_the_runs_measured(commands, tmp_path):
    entry = {
        "reward": 0.45,
        "reward_ci": [0.4, 0.5],
        "oracle": 0.5,
        "optimal_match": 0.75,
        "optimal_match_ci": [0.7, 0.8],
        "optimal_game": 0.6,
        "share": {"look": 0.25, "commit": 0.7, "invalid": 0.05},
    }
    (tmp_path / "rest-0").mkdir()
    (tmp_path / "rest-0" / "summary.json").write_text(json.dumps({"eval": {"between": {"temperature": entry}}}))
    side = {"look": [[0.9], [0.2]], "reward": [[0.5], [0.4]]}
    grid = {"alphas": [0.1, 0.6], "betas": [None], "policy": side, "oracle": side}
    (tmp_path / "rest-0" / "evaluation.json").write_text(json.dumps({"grid": grid}))
    text = SCRIPT["table"](tmp_path, SCRIPT["POCKET"], [0, 1]).splitlines()
    assert text[2] == "| rest | 0 | between | 0.450 [0.400, 0.500] | 90.0 | 75.0 [70.0, 80.0] | 60.0 | 5.0 |"
    assert text[4:] == [
        "| looks first, % | 0.1 | 0.6 | mean reward |",
        "|---|---|---|---|",
        "| rest 0 | 90 | 20 | 0.450 |",
        "| rest 0, oracle | 90 | 20 | 0.450 |",
    ]
    (rest,) = (stage for stage in SCRIPT["POCKET"] if stage.name == "rest")
    SCRIPT["run"](rest, 0, tmp_path, "pocket", False, [])
    assert commands == [], "a complete stage is not run again"
