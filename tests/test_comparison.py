"""Comparisons of runs, from run directories made by hand; and the command itself, on tiny cells."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ALMANAC
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from clarify_env.costs import SETS
from clarify_env.games.clarification.description import GAME
from trainers import compare as comparing
from trainers.compare import CompareOptions, make_cells
from trainers.evaluation.cells import Cell, run_cell
from trainers.reporting.comparison import compared, markdown, write_comparison
from trainers.runs.command import COMMANDS, CONF

ENTITIES = [f"name {i // 2}" for i in range(40)]
ROOT = Path(__file__).parents[1]


def finished(folder, method, seed, reward, entities=ENTITIES, games=100):
    """A finished cell whose episodes earn ``reward``, an array, in every cost set."""
    folder = folder / f"cell-{len(list(folder.iterdir()))}"
    folder.mkdir()
    entry = {
        "reward": float(reward.mean()),
        "oracle": 0.8,
        "regret": 0.8 - float(reward.mean()),
        "gap_closed": 0.5,
        "accuracy": 0.9,
        "questions": 0.2,
        "words": 4.0,
        "dominance": 1.0,
        "optimal_match": 0.873,
        "share": {"clarify": 0.2, "answer": 0.37, "multi_answer": 0.4, "invalid": 0.034},
    }
    side = {"clarify": [[0.5, 0.5], [0.1, 0.1]], "words": [[5.0, 4.0]] * 2, "reward": [[0.6, 0.6]] * 2}
    (folder / "summary.json").write_text(
        json.dumps(
            {
                "method": method,
                "game": "clarification",
                "task": "almanac",
                "seed": seed,
                "players": {"assistant": "pocket", "user": "scripted"},
                "eval": {name: {"temperature": entry} for name in SETS},
                "steering": {"ask_alpha": {"policy": -0.9, "oracle": -1.0, "range_ratio": 0.8}},
                "budget": {"games": games + 2 * seed, "seconds": 1.0},
            }
        )
    )
    (folder / "evaluation.json").write_text(
        json.dumps(
            {
                "grid": {"alphas": [0.1, 0.2], "betas": [0.01, 0.02], "policy": side, "oracle": side},
                "episodes": {
                    "entities": entities,
                    "reward": {name: {"temperature": reward.tolist()} for name in SETS},
                },
            }
        )
    )
    return method, "almanac", seed, folder


def finished_elsewhere(folder, method, seed, reward):
    """A finished cell of a game with one cost set, other measures and actions, and no oracle."""
    folder = folder / f"cell-{len(list(folder.iterdir()))}"
    folder.mkdir()
    entry = {
        "reward": float(reward.mean()),
        "score": 0.7,
        "words": 4.0,
        "taboo": 0.1,
        "share": {"hint": 0.7, "give_up": 0.2, "invalid": 0.1},
    }
    summary = {
        "method": method,
        "game": "hints",
        "task": "objects",
        "seed": seed,
        "players": {"describer": "tiny", "guesser": "tiny"},
        "eval": {"fixed": {"temperature": entry}},
        "budget": {"games": 100, "seconds": 1.0},
    }
    episodes = {"entities": ENTITIES, "reward": {"fixed": {"temperature": reward.tolist()}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "evaluation.json").write_text(json.dumps({"grid": None, "sets": {}, "episodes": episodes}))
    return method, "objects", seed, folder


def as_version_0_1(folder):
    """Rewrites a cell as version 0.1 would have written it."""
    summary, evaluation = (json.loads((folder / name).read_text()) for name in ("summary.json", "evaluation.json"))
    del summary["game"]
    (folder / "summary.json").write_text(json.dumps(summary | summary.pop("players")))
    evaluation["questions"] = evaluation.pop("episodes")
    (folder / "evaluation.json").write_text(json.dumps(evaluation))


@pytest.fixture
def cells(tmp_path):
    base = np.random.default_rng(0).uniform(0, 1, 40)
    made = [finished(tmp_path, "rest", seed, base + 0.01 * seed) for seed in range(3)]
    made += [finished(tmp_path, "worse", seed, base - 0.1) for seed in range(3)]
    return [*made, finished(tmp_path, "<b>list</b>", 0, np.full(40, 0.3))], base


def test_means_intervals_and_paired_differences(cells):
    cells, base = cells
    methods = compared(cells, "rest", 0)["tasks"]["almanac"]
    rest, worse, fixed = (methods[name]["eval"]["between"]["temperature"] for name in ("rest", "worse", "<b>list</b>"))
    assert rest["reward"] == pytest.approx(base.mean() + 0.01)
    assert rest["by_seed"] == pytest.approx([base.mean() + 0.01 * seed for seed in range(3)])
    assert rest["ci"][0] < rest["reward"] < rest["ci"][1] and rest["difference"] == 0 == max(rest["difference_ci"])
    # Episodes differ widely and the methods hardly: only pairing shows that one is surely worse.
    assert worse["ci"][1] > rest["ci"][0]
    assert worse["difference"] == pytest.approx(-0.11)
    # The seeds' differences are -0.10, -0.11 and -0.12.
    assert -0.13 < worse["difference_ci"][0] < -0.112 and -0.108 < worse["difference_ci"][1] < -0.09
    assert fixed["difference"] == pytest.approx(0.3 - base.mean() - 0.01), "one run against three"
    assert methods["rest"]["budget"]["games"] == 102 and methods["rest"]["seeds"] == [0, 1, 2]


def test_runs_on_other_episodes_are_not_compared(cells, tmp_path):
    cells, base = cells
    other = finished(tmp_path, "other", 0, base, entities=ENTITIES[::-1])
    with pytest.raises(ValueError, match="measured on other episodes"):
        compared([*cells, other], "rest", 0)


def test_tables_and_page(cells, tmp_path, capsys):
    comparison = compared(cells[0], "rest", 0)
    write_comparison(tmp_path, comparison)
    assert json.loads((tmp_path / "comparison.json").read_text()) == comparison
    text = (tmp_path / "comparison.md").read_text()
    assert text == markdown(comparison) and text.count("| worse | 3 |") == 1
    assert "greedy" not in text, "no table of what was not measured"
    row = next(line for line in text.splitlines() if line.startswith("| worse"))
    assert len(re.findall(r"-0\.110 \[|−0\.110 \[", row)) == len(SETS), "no difference without its interval"
    html = (tmp_path / "comparison.html").read_text()
    assert "<b>list</b>" not in html and "&lt;b&gt;list" in html
    assert html.count("<td>3.4</td><td>87.3</td></tr>") == 3 * len(SETS), "malformed messages are told from decisions"
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", html), "nothing is fetched from elsewhere"
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"steering-almanac.png", "plane-almanac.png"}
    assert "worse" in capsys.readouterr().out


def test_the_printed_table_is_not_cut_and_brackets_are_no_markup(cells, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("trainers.reporting.comparison._figures", lambda *_: {})
    name = "[red] a method of a very long name, longer than a terminal of 80 columns is wide, [/red] :smile:"
    comparison = compared(cells[0], "rest", 0)
    write_comparison(tmp_path, comparison)
    assert "almanac, temperature 1: % of the oracle" in capsys.readouterr().out.splitlines()
    methods = comparison["tasks"]["almanac"]
    methods[name] = methods["worse"]
    write_comparison(tmp_path, comparison)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if name in line)
    assert len(row.replace(name, "").split()) == len(SETS)


def test_a_game_without_an_oracle_is_compared_by_reward(tmp_path, capsys):
    base = np.linspace(0.2, 0.6, 40)
    runs = [finished_elsewhere(tmp_path, "rest", seed, base) for seed in range(2)]
    runs += [finished_elsewhere(tmp_path, "worse", seed, base - 0.1) for seed in range(2)]
    comparison = compared(runs, "rest", 0)
    worse = comparison["tasks"]["objects"]["worse"]
    assert worse["eval"]["fixed"]["temperature"]["taboo"] == pytest.approx(0.1)
    assert comparison["games"] == {"objects": "hints"} and not {"grid", "steering"} & set(worse)
    out = tmp_path / "out"
    out.mkdir()
    write_comparison(out, comparison)
    text, html = ((out / name).read_text() for name in ("comparison.md", "comparison.html"))
    assert "| method | seeds | fixed |" in text and "| worse | 2 | 0.300 [" in text and "; −0.100 [" in text
    for table in (text, html, capsys.readouterr().out):
        assert "oracle" not in table and "gap closed" not in table and "dominance" not in table
    assert "fixed costs" in html and "<figure>" not in html and not list((out / "figures").iterdir())


def test_files_of_version_0_1_are_compared_alike(cells):
    now = compared(cells[0], "rest", 0)
    for *_, folder in cells[0]:
        as_version_0_1(folder)
    assert compared(cells[0], "rest", 0) == now


def test_runs_of_several_games_are_not_compared(cells, tmp_path):
    method, _, seed, folder = finished_elsewhere(tmp_path, "other", 0, cells[1])
    with pytest.raises(ValueError, match="runs on almanac are of several games, clarification and hints"):
        compared([*cells[0], (method, "almanac", seed, folder)], "rest", 0)


def test_the_rule_on_reasoning_is_stated(cells, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.reporting.comparison._figures", lambda *_: {})
    sentence = "worse plays with reasoning before the tag: charged at beta."
    assert "before the tag" not in markdown(compared(cells[0], "rest", 0)), "where there is none nothing is said"
    for method, *_, folder in cells[0]:
        if method == "worse":
            path = folder / "summary.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"reasoning": "charged"}))
    comparison = compared(cells[0], "rest", 0)
    methods = comparison["tasks"]["almanac"]
    assert [entry["reasoning"] for entry in methods.values()] == ["none", "charged", "none"]
    write_comparison(tmp_path, comparison)
    assert (tmp_path / "comparison.md").read_text().count(sentence) == 1
    assert (tmp_path / "comparison.html").read_text().count(sentence) == 1


def test_the_command_of_the_docs_compares_variants_of_a_prompt():
    shown = re.search(r"^python -m trainers.compare .*?^```", (ROOT / "docs/methods.md").read_text(), re.S | re.M)[0]
    overrides = shlex.split(shown.removesuffix("```").replace("\\\n", ""))[3:]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cells = make_cells(COMMANDS["compare"].read(compose("compare", overrides))["options"])
        made = {cell.method: compose(cell.command, list(cell.overrides)) for cell in cells}
    assert {name: config.prompts.style or GAME.default_style for name, config in made.items()} == {
        "prompted": "zero_shot",
        "few_shot": "few_shot",
        "reasoning": "reasoning",
    }
    assert {config.game.reasoning for name, config in made.items() if name != "reasoning"} == {"none"}
    assert made["reasoning"].game.reasoning == "free" and made["reasoning"].assistant.max_new_tokens == 1024
    assert len({cell.folder for cell in cells}) == 3 and {c.command for c in cells} == {"prompted"}


def compare_line(tmp_path, tiny_folder, *overrides):
    """Overrides of a comparison of one cell of prompting with two of learning."""
    small = [
        f"assistant.model={tiny_folder}",
        *(f"task.{key}={value}" for key, value in ALMANAC.items()),
        "eval.episodes=2",
        "eval.validation=1",
        "eval.grid=3",
        "eval.modes=[greedy]",
    ]
    return [
        f"overrides={small}",
        "seeds=[0,1]",
        "games=[40]",
        f"cells={tmp_path}/cells",
        f"run_dir={tmp_path}/out",
        "only=[prompted,swift]",
        "reference=prompted",
        *overrides,
    ]


def compare(tmp_path, tiny_folder, *overrides):
    """Runs such a comparison as a program."""
    return subprocess.run(
        [sys.executable, "-m", "trainers.compare", *compare_line(tmp_path, tiny_folder, *overrides)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin", "NO_PROGRESS": "1", "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize(
    "cells", ["my cells (1)", "ab,alpha=1", "it's {a: [b]}", "20261127", "${seed} #1 %", "\\x", "~/x", "a b/é 漢"]
)
@pytest.mark.parametrize("code", [0, 1])
def test_cells_may_have_any_path(tmp_path, monkeypatch, cells, code):
    """And what a cell printed is read whatever its encoding; its last error is the reason."""
    seen = {}

    def run(line, env, **how):
        assert (tmp_path / cells).is_dir() and env["NO_PROGRESS"] == "1"
        [override] = OverridesParser.create().parse_overrides([line[-1]])
        seen["run_dir"] = OmegaConf.to_container(OmegaConf.create({"seed": 0, "path": override.value()}), resolve=True)
        return subprocess.CompletedProcess(line, code, stdout="error: a\nerror: eval.grid − 漢\nwhat follows\n")

    monkeypatch.setattr(comparing.subprocess, "run", run)
    folder = tmp_path / cells / "swift-almanac-0-abc"
    cell = Cell("swift", "almanac", 0, "rwsft", ("seed=0",), folder, 40, None, ())
    if code:
        with pytest.raises(ValueError, match=r"^swift on almanac, seed 0: eval\.grid − 漢$"):
            run_cell(cell)
    else:
        run_cell(cell)
    assert seen["run_dir"]["path"] == str(folder) and "eval.grid − 漢" in (folder / "output.txt").read_text("utf-8")


def test_a_cell_is_finished_when_its_control_is(tmp_path):
    """A killed run may have measured its policy alone."""
    cell = Cell("gate", "almanac", 0, "stargate", (), tmp_path, 40, None, (), rated=2)
    other = cell._replace(method="rest", command="rest")
    (tmp_path / "rating").mkdir()
    (tmp_path / "rating/games.jsonl").write_text("{}\n" * 2)
    (tmp_path / "summary.json").write_text("{}")
    assert other.finished and not cell.finished
    shutil.copytree(tmp_path, tmp_path / "control")
    assert cell.finished and [name for name, *_ in cell.parts()] == ["gate", "gate_control"]
    assert not cell._replace(rated=3).finished, "fewer games than are to be rated"
    (tmp_path / "control/rating/games.jsonl").unlink()
    assert not cell.finished and cell._replace(rated=0).finished


def test_sets_that_a_method_was_not_measured_at_are_left_out(cells, tmp_path):
    """A method's own overrides may ask for less than the others are measured at."""
    for method, *_, folder in cells[0]:
        path = folder / "summary.json"
        summary = json.loads(path.read_text())
        summary["eval"] = {name: summary["eval"][name] for name in (["between"] if method == "worse" else SETS[:2])}
        path.write_text(json.dumps(summary))
    comparison = compared(cells[0], "rest", 0)
    assert list(comparison["tasks"]["almanac"]["worse"]["eval"]) == ["between"]
    write_comparison(tmp_path, comparison)
    row = next(line for line in (tmp_path / "comparison.md").read_text().splitlines() if line.startswith("| worse"))
    assert [cell.strip() == "–" for cell in row.split("|")[3:-1]] == [True, False], (
        "no column of sets that no method has"
    )
    html = (tmp_path / "comparison.html").read_text()
    assert "seen costs" in html and "between costs" in html and "beyond beta costs" not in html


def test_a_set_that_the_reference_was_not_measured_at_is_said(cells):
    for method, *_, folder in cells[0]:
        if method == "rest":
            path = folder / "summary.json"
            summary = json.loads(path.read_text())
            del summary["eval"]["seen"]
            path.write_text(json.dumps(summary))
    with pytest.raises(ValueError, match=r"worse was measured at seen costs \(temperature\), rest was not"):
        compared(cells[0], "rest", 0)


@pytest.mark.slow
def test_cells_are_run_once_and_a_stopped_comparison_goes_on(tmp_path, tiny_folder):
    done = compare(tmp_path, tiny_folder)
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "cells").iterdir())
    assert [re.sub(r"-\w{8}$", "", folder.name) for folder in folders] == [
        "prompted-almanac-0",
        "swift-almanac-0",
        "swift-almanac-1",
    ]
    first = (tmp_path / "out" / "comparison.json").read_bytes()
    before = {folder: (folder / "summary.json").stat().st_mtime_ns for folder in folders}
    (folders[2] / "summary.json").unlink()
    (tmp_path / "out" / "comparison.json").unlink()
    again = compare(tmp_path, tiny_folder)
    assert again.returncode == 0, again.stderr
    after = {folder: (folder / "summary.json").stat().st_mtime_ns for folder in folders}
    assert [before[f] == after[f] for f in folders] == [True, True, False], "the missing cell alone"

    def less_time(text):
        return re.sub(rb'"seconds": [\d.]+', b"", text)

    assert less_time((tmp_path / "out" / "comparison.json").read_bytes()) == less_time(first)


@pytest.mark.slow
def test_cells_side_by_side(tmp_path, tiny_folder):
    done = compare(tmp_path, tiny_folder, "seeds=[0]", "launcher=joblib", "launcher_options={n_jobs: 1}")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "cells").glob("*/summary.json"))) == 2
    assert (tmp_path / "out" / "comparison.html").exists()
    left = (tmp_path / "out" / "jobs" / "multirun.yaml").read_text()  # what hydra leaves stands with the comparison
    assert "n_jobs: 1" in left


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_the_others_are_run(tmp_path, tiny_folder):
    done = compare(tmp_path, tiny_folder, "methods.swift.overrides=['rwsft.weight=nothing']")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "2 of 3 cells did not finish (swift/almanac/0, swift/almanac/1)" in done.stderr
    assert "rwsft.weight must be refit or swift" in done.stderr
    assert len(list((tmp_path / "cells").glob("prompted-*/summary.json"))) == 1


def test_methods_that_do_not_learn_have_nothing_to_tune():
    options = CompareOptions(only=["guess"], methods={"guess": {"command": "evaluate", "games": False}}, tune=True)
    with pytest.raises(ValueError, match=r"^only: tune=true compares settings of methods that learn, not guess$"):
        make_cells(options)


@pytest.mark.parametrize("word", ["task=ledger", "+task=./mine.py", "task.name=ledger"])
def test_a_task_is_no_override_of_every_cell(word):
    with pytest.raises(ValueError, match=r"^overrides: .*task.* write \"tasks={NAME: \['.*task"):
        CompareOptions(overrides=["eval.grid=2", word])
    CompareOptions(overrides=["task.test_names=3", "assistant=hf"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("only=[prompted,magic]", "only: magic is none of methods"),
        ("only=[swift]", "reference: prompted is not among"),
        (
            "methods.swift.overrides=['rwsft.speed=3']",
            "no config for swift on almanac: there is no option rwsft.speed",
        ),
        ("methods.swift.speed=3", "there is no option methods.swift.speed"),
        ("seeds=[]", "seeds must be one or more values, each once, not none"),
        ("seeds=[0,0,0]", "seeds must be one or more values, each once, not 0, 0, 0"),
        ("games=[]", "games must be one or more values, each once, not none"),
        ("curve_episodes=[]", "curve_episodes must be one or more values, each once, not none"),
        ("only=[swift,prompted,swift]", "only must be one or more values, each once, not swift, prompted, swift"),
        ("tasks={}", 'tasks must name one or more tasks, as "tasks='),
    ],
)
def test_bad_input_is_one_sentence(command, tmp_path, tiny_folder, override, message):
    code, error = command(comparing, *compare_line(tmp_path, tiny_folder, override))
    assert code == 1 and re.fullmatch(rf"error: .*{message}.*\n", error)
    assert not list(tmp_path.iterdir())
