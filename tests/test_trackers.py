"""Trackers: what they are sent, which can be chosen, and what happens when one fails."""

import importlib.util
import json
import logging
import re
from pathlib import Path

import pytest
from configs import arguments_of

from trainers import rwsft
from trainers.grpo import reporter
from trainers.runs import trackers
from trainers.runs.run import Run
from trainers.runs.store import read_lines
from trainers.runs.trackers import PACKAGES, PHASES, Trackers, check_trackers

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`(?:play|learn|eval)/.*?) \| (.*?) \|", PAGE, re.MULTILINE)
DOCUMENTED = {
    (name, phase)
    for names, phases in ROWS
    for name in re.findall(r"`(.*?)`", names)
    for phase in re.findall(r"`(.*?)`", phases)
}
SMALL = ["eval.episodes=2", "eval.validation=2", "eval.grid=2", "eval.transcripts=0", "eval.modes=[greedy]"]
WORLD = ["task.train_names=4", "task.validation_names=2", "task.test_names=2"]


class Records:
    """A tracker that keeps what it is sent."""

    def __init__(self, folder, identity):
        self.sent, self.closed = [], False

    def log(self, metrics, step):
        self.sent.append((step, dict(metrics)))

    def close(self):
        self.closed = True


class Fails(Records):
    def log(self, metrics, step):
        raise RuntimeError("no\nnetwork")


class NeverStarts:
    def __init__(self, folder, identity):
        raise RuntimeError("no key")


@pytest.fixture
def recorded(monkeypatch):
    """Replaces TensorBoard by a tracker that keeps what it is sent; returns the trackers made."""
    made = []

    def make(folder, identity):
        made.append(Records(folder, identity))
        return made[-1]

    monkeypatch.setitem(trackers._MAKERS, "tensorboard", make)
    return made


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: [(e.step, round(e.value, 4)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_is_sent_grouped_metrics(tmp_path):
    with Run(tmp_path, {}, ["tensorboard"]) as run:
        run.record("grow", 1, 1, games=60)
        run.record("update", 1, 1, loss=0.5)
        run.record("update", 1, 7, loss=0.25)
    with Run(tmp_path, {}, ["tensorboard"]) as run:  # the same run, continued
        run.record("update", 2, 1, loss=0.125)
        run.record("validation", 2, 2, reward=1)
        run.record("pairs", 2, 2, good=3)
    assert scalars(tmp_path) == {
        "play/games": [(1, 60)],
        "learn/loss": [(1, 0.5), (7, 0.25), (8, 0.125)],
        "eval/reward": [(2, 1)],
        "learn/pairs_good": [(2, 3)],
    }
    (first, *_) = read_lines(tmp_path / "metrics.jsonl")
    assert first["grow/games"] == 60, "by phase, as ever"


CHOSEN = [
    ("tensorboard", ("tensorboard",)),
    (["tensorboard"], ("tensorboard",)),
    (["tensorboard", "tensorboard"], ("tensorboard",)),
    ("none", ()),
    (["none"], ()),
    ("all", ("tensorboard", "mlflow")),
    (["mlflow", "tensorboard"], ("mlflow", "tensorboard")),
]


@pytest.fixture
def installed(monkeypatch):
    """TensorBoard and mlflow are installed; trackio and wandb are not."""
    monkeypatch.setattr(trackers, "find_spec", lambda name: name in ("tensorboard", "mlflow") or None)


@pytest.mark.parametrize(("report_to", "names"), CHOSEN)
def test_trackers_are_chosen_as_in_transformers(installed, report_to, names):
    assert check_trackers(report_to) == names


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("report_to=wandb", "report_to: wandb is not installed (pip install wandb)"),
        ("report_to=[tensorboard,trackio]", "report_to: trackio is not installed (pip install trackio)"),
        ("report_to=[none,mlflow]", "report_to: none stands alone, not beside others"),
        ("report_to=nothing", "report_to must be one of tensorboard, trackio, wandb, mlflow, all, none or one or more"),
    ],
)
def test_trackers_that_cannot_be_are_refused_before_anything_is_written(command, installed, tmp_path, word, sentence):
    code, error = command(rwsft, word, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_is_the_same_run_whatever_it_reports_to():
    from configs import config_of

    from trainers.runs.identity import config_hash, run_identity

    one, other = config_of("rwsft"), config_of("rwsft", "report_to=none")
    assert config_hash(one) == config_hash(other) and run_identity("rwsft", one) == run_identity("rwsft", other)
    assert arguments_of("rwsft", "report_to=none")["experiment"].report_to == ()


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(monkeypatch, tmp_path, caplog):
    records = []
    monkeypatch.setitem(trackers._MAKERS, "wandb", Fails)
    monkeypatch.setitem(trackers._MAKERS, "mlflow", lambda *args: records.append(Records(*args)) or records[-1])
    log = logging.getLogger("of this test")
    both = Trackers(("wandb", "mlflow"), tmp_path, {}, log)
    for step in (1, 2):
        both.record("grow", step, step, {"games": 5})
    both.close()
    assert records[0].sent == [(1, {"play/games": 5.0}), (2, {"play/games": 5.0})] and records[0].closed
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["report_to: wandb failed and is left out from here on: no network"], "once, on one line"


def test_a_tracker_that_cannot_be_started_ends_the_command_before_any_game(monkeypatch, recorded, tmp_path):
    monkeypatch.setitem(trackers._MAKERS, "wandb", NeverStarts)
    with pytest.raises(ValueError, match="report_to: wandb cannot be started: no key"):
        Run(tmp_path, {}, ["tensorboard", "wandb"]).__enter__()
    assert recorded[0].closed
    with Run(tmp_path, {}, ["tensorboard"]):
        pass  # the directory is free again


@pytest.mark.parametrize("name", ["trackio", "wandb", "mlflow"])
def test_each_tracker_takes_a_run_and_its_continuation(name, monkeypatch, tmp_path):
    if importlib.util.find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'mlflow'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for _ in range(2):
        with Run(tmp_path / "run", {"command": "rest", "task": {"name": "almanac"}, "learn": None}, [name]) as run:
            run.record("grow", 1, 1, games=60)
            run.record("update", 1, 1, loss=0.5)
    assert "failed" not in (tmp_path / "run" / "run.log").read_text()


@pytest.mark.slow
def test_the_docs_list_what_a_run_logs(command, recorded, tmp_path):
    code, error = command(
        rwsft,
        *WORLD,
        *SMALL,
        "budget.games=60",
        "update.epochs=1",
        "update.runs=1",
        "eval.sets=[between]",
        f"run_dir={tmp_path / 'run'}",
    )
    assert code == 0, error
    check_documented(recorded[0].sent, tmp_path / "run")
    assert {name.partition("/")[0] for _, metrics in recorded[0].sent for name in metrics} == {"play", "learn", "eval"}


def check_documented(sent, folder):
    """Every metric that was sent is in the table, beside the phase under which metrics.jsonl holds it."""
    lines = list(read_lines(folder / "metrics.jsonl"))
    assert len(lines) == len(sent)
    for line, (_, metrics) in zip(lines, sent, strict=True):
        assert all(name.partition("/")[0] == PHASES[line["phase"]][0] for name in metrics)
        assert {(name, line["phase"]) for name in metrics} <= DOCUMENTED


def test_the_docs_list_the_other_metrics_of_commands(recorded, tmp_path):
    """What TRL logs, and the reasons for which contrastive training has no pair, as their commands record them."""
    with Run(tmp_path, {}, ["tensorboard"]) as run:
        logs = dict.fromkeys(
            (
                "loss",
                "learning_rate",
                "reward",
                "reward_std",
                "frac_reward_zero_std",
                "entropy",
                "kl",
                "grad_norm",
                "num_tokens",
            ),
            0.5,
        )
        reporter(run)(1, 2, logs)
        counts = ("other_action", "good", "bad", "off_policy", "no_reference", "identical", "rewritten", "too_long")
        run.record("pairs", 1, 1, **dict.fromkeys(counts, 0))
        run.record("import", 1, 1, games=3, reward_differs=0)
    check_documented(recorded[0].sent, tmp_path)
    assert "num_tokens" not in json.dumps(recorded[0].sent)


def test_the_table_names_every_phase():
    assert {phase for _, phase in DOCUMENTED} == set(PHASES)
    assert all(name.partition("/")[0] == PHASES[phase][0] for name, phase in DOCUMENTED)


@pytest.mark.parametrize(
    "line", ["{}", "[]", "3", '{"phase": "update", "iteration": "1", "step": 1, "seconds": 1}', "x"]
)
def test_metrics_that_no_run_writes_are_refused_by_file_and_line(tmp_path, line):
    with Run(tmp_path, {}) as run:
        run.record("update", 1, 1, loss=0.5)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: no"):
        Run(tmp_path, {})
