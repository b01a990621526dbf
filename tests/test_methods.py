"""The methods beside ReST from their command lines to the files they leave, with a tiny model."""

import json
from collections import Counter

import pytest
from conftest import SMALL

from trainers import contrastive, imitate, rest, rwsft, stargate
from trainers.learning import dpo as learning_dpo

TINY = [*SMALL, "budget.games=60", "update.learning_rate=1e-3", "update.least_steps=0", "eval.modes=[greedy]"]


def check_files(folder, *names):
    assert [name for name in names if not (folder / name).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["rwsft.weight=refit"], ["rollouts=all_readings", "rwsft.hindsight=4", "budget.games=160"]]
)
def test_reward_weighted_fine_tuning(command, tmp_path, options):
    folder = tmp_path / "run"
    assert command(rwsft, *TINY, *options, f"run_dir={folder}") == (0, "")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["method"] == ("refit" if "rwsft.weight=refit" in options else "swift")
    assert summary["budget"]["games"] <= 160 and min(summary["budget"].values()) > 0
    check_files(folder, "metrics.jsonl", "trajectories/iteration-1.jsonl", "checkpoints/iteration-1/model.safetensors")


@pytest.mark.slow
def test_imitation_of_the_oracle(command, tmp_path):
    folder = tmp_path / "run"
    assert command(imitate, *TINY, f"run_dir={folder}") == (0, "")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["method"], summary["budget"]["games"], summary["budget"]["generated_tokens"]) == ("imitate", 60, 0)
    check_files(folder, "metrics.jsonl", "checkpoints/iteration-1/model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["contrastive.rounds=1"],
        ["contrastive.on_policy=false"],
        ["contrastive.labels=gold", "contrastive.simulate=false"],
    ],
)
def test_contrastive_training(command, tmp_path, options):
    folder = tmp_path / "run"
    assert command(contrastive, *TINY, "budget.games=200", "update.batch=8", *options, f"run_dir={folder}") == (0, "")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["method"] == "contrastive" and min(summary["budget"].values()) > 0
    last = 3 if "contrastive.labels=gold" in options else 1
    check_files(folder, "metrics.jsonl", f"pairs/round-{last}.jsonl", f"checkpoints/iteration-{last}/model.safetensors")
    assert not (folder / "checkpoints" / f"iteration-{last + 1}").exists()
    pairs = [json.loads(line) for line in (folder / "pairs/round-1.jsonl").read_text().splitlines()]
    recorded = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    counted = next(line for line in recorded if line["phase"] == "pairs")
    cases = dict.fromkeys(("other_action", "good", "bad", "off_policy"), 0) | Counter(pair["case"] for pair in pairs)
    assert cases == {case: counted[f"pairs/{case}"] for case in cases}
    assert (cases["off_policy"] == len(pairs)) == ("contrastive.on_policy=false" in options)


@pytest.mark.slow
def test_a_contrastive_run_goes_on_after_a_kill(command, tmp_path, monkeypatch):
    """Killed in its second round, it ends with the weights of a run that was not."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = [*TINY, "budget.games=200", "contrastive.rounds=2", "update.batch=8"]
    assert command(contrastive, *options, f"run_dir={whole}") == (0, "")
    real = learning_dpo.dpo

    def dies(*args, seed, **kwargs):
        if seed == 2:
            raise OSError("killed")
        return real(*args, seed=seed, **kwargs)

    monkeypatch.setattr(learning_dpo, "dpo", dies)
    assert command(contrastive, *options, f"run_dir={killed}")[0] == 1
    monkeypatch.setattr(learning_dpo, "dpo", real)
    assert command(contrastive, *options, f"run_dir={killed}") == (0, "")
    name = "checkpoints/iteration-2/model.safetensors"
    assert (whole / name).read_bytes() == (killed / name).read_bytes()
    ends = [json.loads((folder / "summary.json").read_text()) for folder in (whole, killed)]
    for end in ends:
        del end["budget"]["seconds"]
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["contrastive.labels=mine"], "contrastive.labels must be estimated or gold, not 'mine'"),
        (["contrastive.references=1"], "contrastive.references must be a number between 0 and 1"),
        (["contrastive.rounds=0"], "contrastive.rounds must be a whole number of at least 1"),
        (["contrastive.threshold=2"], "contrastive.threshold must be a number in [0, 1]"),
        (["contrastive.beta=0"], "contrastive.beta must be a number above 0"),
        (["update.runs=2"], "update.runs must be 1"),
        (["update.lengths=mixed"], "update.lengths=mixed has no effect on contrastive, whose steps TRL's"),
        (["update.packed=true"], "update.packed=true has no effect on contrastive, whose steps TRL's"),
        (["update.contexts=8"], "update.contexts=8 has no effect on contrastive, whose steps TRL's"),
        (["rollouts=plain"], "choose rollouts=all_readings"),
        (["rollouts.each_role=true"], "rollouts.each_role must be false: contrastive training forces"),
        pytest.param(
            ["contrastive.max_tokens=5", "budget.games=120"],
            "round 1 has no pairs to learn from",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_contrastive_options_that_cannot_be(command, tmp_path, options, sentence):
    code, error = command(contrastive, *TINY, "contrastive.rounds=1", *options, f"run_dir={tmp_path / 'run'}")
    *warnings, last = error.splitlines()
    assert code == 1 and last.startswith("error: ") and sentence in last
    assert all("leaves out" in line for line in warnings)


@pytest.mark.slow
def test_stargate_and_its_control(command, tmp_path):
    folder = tmp_path / "run"
    assert command(stargate, *TINY, "stargate.iterations=2", f"run_dir={folder}") == (0, "")
    for where, method in ((folder, "stargate"), (folder / "control", "stargate, the base answers")):
        summary = json.loads((where / "summary.json").read_text())
        assert summary["method"] == method and min(summary["budget"].values()) > 0
    check_files(folder, "control/report.html", "checkpoints/iteration-2/model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["rest.rule=best"],
        ["rest.rule=top_k", "rollouts=plain", "rest.hindsight=0"],
        ["rest.rule=threshold", "rest.iterations=2"],
        ["rollouts=plain"],
    ],
)
def test_rest_by_other_rules(command, tmp_path, options):
    folder = tmp_path / "run"
    small = [*TINY, "budget.games=320", "rest.hindsight=4", *options]
    assert command(rest, *small, f"run_dir={folder}") == (0, "")
    check_files(folder, "summary.json", "checkpoints/iteration-1/model.safetensors")
