"""Sweeps: their folder, their table, and jobs that fail. Whole sweeps are in test_commands.py."""

import warnings
from pathlib import Path

import pytest
from hydra._internal.callbacks import Callbacks
from omegaconf import OmegaConf
from test_report import summary

from trainers.reporting import sweeps
from trainers.reporting.sweeps import markdown, tabulate, write_sweep
from trainers.runs import sweep
from trainers.runs.store import read_json, write_json
from trainers.runs.sweep import UNFINISHED, SweepTable, end_sweep, sweep_folder


def job(folder, number, overrides, reward=None, error=None, oracle=0.5):
    """The record of a job, whose run directory has a summary if it was measured."""
    run = folder / f"run-{number}"
    run.mkdir()
    if reward is not None:
        record = summary()
        entry = {
            "temperature": next(iter(record["eval"].values()))["temperature"] | {"reward": reward, "oracle": oracle}
        }
        write_json(run / "summary.json", record | {"eval": {"between": entry, "beyond_both": entry}})
    return {"number": number, "overrides": overrides, "run_dir": str(run), "error": error}


FAILED = "rest.margin must be a number of at least 0, not -1"
TABLES = [
    (
        "seeds alone differ: one row",
        [(["task=ledger", f"seed={seed}"], 0.4 + 0.01 * seed, None) for seed in range(3)],
        ["seeds", "between", "beyond both"],
        [["3", "82.0 (80.0 to 84.0)", "82.0 (80.0 to 84.0)"]],
    ),
    (
        "only the options that differ",
        [
            (["task=ledger", f"rest.hindsight={hindsight}", f"seed={seed}"], 0.1 * hindsight + 0.01 * seed, None)
            for hindsight in (3, 4)
            for seed in (0, 1)
        ],
        ["rest.hindsight", "seeds", "between", "beyond both"],
        [["3", "2", *["61.0 (60.0 to 62.0)"] * 2], ["4", "2", *["81.0 (80.0 to 82.0)"] * 2]],
    ),
    (
        "failed jobs are rows, and no part of a mean",
        [
            (["rest.margin=0.05", "seed=0"], 0.4, None),
            (["rest.margin=0.05", "seed=1"], 0.1, UNFINISHED),
            (["rest.margin=-1", "seed=0"], None, FAILED),
            (["rest.margin=-1", "seed=1"], None, FAILED),
        ],
        ["rest.margin", "seeds", "between", "beyond both"],
        [["0.05", "1 of 2", "80.0", "80.0"], ["-1", "0 of 2", "failed", "failed"]],
    ),
    (
        "an option that some jobs do not have, and one given twice",
        [(["++players.user.kind=self", "a=1"], 0.25, None), (["a=1", "a=2"], 0.5, None)],
        ["players.user.kind", "a", "between", "beyond both"],
        [["self", "1", "50.0", "50.0"], ["–", "2", "100.0", "100.0"]],
    ),
    ("one job", [(["seed=4"], 0.45, None)], ["between", "beyond both"], [["90.0", "90.0"]]),
    (
        "nothing was measured",
        [(["seed=4"], None, None), (["seed=5"], None, FAILED), (["seed=5", "update=full"], None, FAILED)],
        ["update", "seeds", "result"],
        [["–", "1 of 2", "done"], ["full", "0 of 1", "failed"]],
    ),
    (
        "brackets and colons",
        [(["a=1", f"assistant.name={name}"], 0.4, None) for name in ("[red]", "[/x]", ":smile:")],
        ["assistant.name", "between", "beyond both"],
        [[name, "80.0", "80.0"] for name in ("[red]", "[/x]", ":smile:")],
    ),
]


@pytest.mark.parametrize(("jobs", "columns", "rows"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_the_table_shows_what_differs(tmp_path, capsys, jobs, columns, rows):
    records = [job(tmp_path, number, *record) for number, record in enumerate(jobs)]
    table = tabulate(records)
    assert (table.columns, table.rows) == (columns, rows)
    (tmp_path / "sweep").mkdir()
    write_sweep(tmp_path / "sweep", records)
    printed, text = capsys.readouterr().out, (tmp_path / "sweep" / "table.md").read_text()
    assert text == markdown(table, records)
    for shown in (printed, text):
        for row in rows:
            assert all(cell in shown for cell in row), "brackets are no markup"
    lines = printed.splitlines()
    for record in records:
        assert record["run_dir"] in text
        if record["error"] == FAILED:
            end = f"{record['overrides'][-1]}: {FAILED}"
            assert any(line.startswith("failed: ") and line.endswith(end) for line in lines)
    assert sum(line.startswith("failed: ") for line in lines) == sum(record["error"] is not None for record in records)
    assert lines[-1] == f"table: {tmp_path / 'sweep' / 'table.md'}"


def test_where_an_oracle_earns_nothing_the_table_is_of_rewards(tmp_path):
    table = tabulate([job(tmp_path, 0, ["seed=0"], 0.25, oracle=0.0)])
    assert (table.measure, table.rows) == ("reward", [["0.250", "0.250"]])


def test_values_are_sampled_ones_whatever_the_order_of_the_modes(tmp_path):
    """As the caption says; a run may have been measured greedily first, or alone."""
    record = job(tmp_path, 0, ["eval.modes=[greedy,temperature]"], 0.2)
    path = Path(record["run_dir"]) / "summary.json"
    stored = read_json(path)
    for modes in stored["eval"].values():
        modes["greedy"] = modes["temperature"] | {"reward": 0.4}
    by_mode = {name: dict(reversed(modes.items())) for name, modes in stored["eval"].items()}
    assert [list(modes) for modes in by_mode.values()] == [["greedy", "temperature"]] * 2
    write_json(path, stored | {"eval": by_mode})
    assert tabulate([record]).rows == [["40.0", "40.0"]]
    write_json(path, stored | {"eval": {name: {"greedy": modes["greedy"]} for name, modes in by_mode.items()}})
    assert tabulate([record]).rows == [["80.0", "80.0"]]


def test_the_table_is_not_cut_at_80_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "/models/" + "long-name-" * 12
    write_sweep(tmp_path, [job(tmp_path, number, [f"assistant.model={name}{number}"], 0.4) for number in range(2)])
    rows = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert [row.split()[1:] for row in rows] == [["80.0", "80.0"]] * 2


def test_sweeps_of_the_same_second_have_their_own_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep.time, "strftime", lambda _: "20260101-000000")
    made = [sweep_folder(str(tmp_path / "runs" / "sweeps")) for _ in range(3)]
    assert [Path(folder).name for folder in made] == ["20260101-000000", "20260101-000000-2", "20260101-000000-3"]
    assert all(Path(folder).is_dir() for folder in made)


def a_file(folder):
    folder.write_text("")
    return folder


def under_a_file(folder):
    return a_file(folder) / "sweeps"


def a_dangling_link(folder):
    folder.symlink_to("nowhere")
    return folder


@pytest.mark.parametrize("place", [a_file, under_a_file, a_dangling_link])
def test_a_place_that_cannot_be_written_does_not_end_the_sweep(tmp_path, monkeypatch, capsys, place):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    parent = place(tmp_path / "runs")
    folder = Path(sweep_folder(str(parent)))
    assert folder.is_dir() and folder.parent == tmp_path
    said = capsys.readouterr().err
    assert said.startswith(f"{parent} cannot be written (") and said.endswith(f"this sweep's table is in {folder}\n")


def ended(folder, records):
    """Ends a sweep as hydra does, which makes a warning of what a callback raises."""
    (folder / "jobs").mkdir()
    write_json(folder / "jobs" / "77.json", job(folder, 77, ["a=77"], None, "of an earlier sweep in this folder"))
    callbacks = Callbacks()
    callbacks.callbacks = [SweepTable()]
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        callbacks.on_multirun_start(config)
        for record in records:
            write_json(folder / "jobs" / f"{record['number']}.json", record)
        callbacks.on_multirun_end(config)
    assert not end_sweep(), "once"


def test_the_exit_status_says_whether_a_job_failed(tmp_path, capsys):
    for name, error, status in (("good", None, None), ("bad", FAILED, 1), ("killed", UNFINISHED, 1)):
        folder = tmp_path / name
        folder.mkdir()
        records = [job(folder, 10, ["a=10"], 0.4, error), job(folder, 9, ["a=9"], 0.3)]
        if status is None:
            ended(folder, records)
        else:
            with pytest.raises(SystemExit) as end:
                ended(folder, records)
            assert end.value.code == status
        assert (folder / "table.md").read_text().index("| 9 |") < (folder / "table.md").read_text().index("| 10 |")
        assert (f"failed: a=10: {error}" in capsys.readouterr().out) == (error is not None)


def test_a_table_that_cannot_be_written_is_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "tabulate", lambda jobs: 1 / 0)
    with pytest.raises(SystemExit) as end:
        ended(tmp_path, [job(tmp_path, 0, ["a=1"])])
    assert end.value.code == 1 and "the sweep's table could not be written: division by zero" in capsys.readouterr().err
