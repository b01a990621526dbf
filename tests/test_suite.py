"""Suites: what they fix, what they report, and the page that compares their results."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainers import evaluate as evaluating
from trainers.evaluation import suite
from trainers.evaluation.suite import check_models, follows, names, players, read_suite
from trainers.reporting.leaderboard import main, page

DOCS = Path(__file__).parents[1] / "docs" / "suite.md"
GRID = {"oracle": {"clarify": [[0.9, 0.9], [0.1, 0.1]]}}


@pytest.mark.parametrize(
    ("policy", "slope"),
    [
        ([[0.9, 0.9], [0.1, 0.1]], 1.0),
        ([[0.5, 0.5], [0.5, 0.5]], 0.0),
        ([[0.7, 0.7], [0.3, 0.3]], 0.5),
        ([[0.1, 0.1], [0.9, 0.9]], -1.0),
        ([[0.9, 0.1], [0.9, 0.1]], 0.0),
    ],
)
def test_how_far_behaviour_follows_the_costs(policy, slope):
    assert follows(GRID | {"policy": {"clarify": policy}}, "clarify") == pytest.approx(slope)


def test_an_oracle_that_never_changes_is_followed_by_nobody():
    constant = {"clarify": np.full((2, 2), 0.3)}
    assert follows({"policy": GRID["oracle"], "oracle": constant}, "clarify") == 0


@pytest.mark.parametrize(
    "word", ["task=almanac", "eval.episodes=3", "costs.alpha=[0.1,0.2]", "user=self", "seed=3", "x"]
)
def test_what_a_suite_fixes_is_refused(word):
    with pytest.raises(ValueError, match="a suite fixes everything but assistant, prompts, selfplay and run_dir"):
        players(["assistant=scripted", word])


def test_the_command_that_is_printed_and_stored_is_quoted_for_a_shell(tmp_path, monkeypatch, capsys):
    """So that it can be run again as it stands, whatever characters paths hold."""
    words = ["assistant=hf", "assistant.model=/models/my model", "selfplay={chunk: 4}"]
    summary = {"game": "clarification", "task": "almanac", "players": {}, "eval": {}, "steering": {}}
    for part in (small := suite.Suite("small", 1, {"one part": ["task=almanac"]})).parts:
        (tmp_path / part).mkdir()
        (tmp_path / part / "summary.json").write_text(json.dumps(summary | {"budget": {"seconds": 1.0}}))
        flat = {name: [[0.5, 0.5]] for name in ("clarify", "words")}
        grid = {"policy": flat, "oracle": flat}
        (tmp_path / part / "evaluation.json").write_text(json.dumps({"grid": grid}))
    ran = []
    monkeypatch.setattr(
        suite.subprocess, "run", lambda line: ran.append(line[1:]) or subprocess.CompletedProcess(line, 0)
    )
    result = suite.run_suite(small, words, tmp_path)
    printed = capsys.readouterr().out.strip()
    assert [shlex.split(printed)[1:]] == ran and ran[0][-1] == f"run_dir={tmp_path / 'one part'}"
    assert shlex.split(result["command"]) == ["python", "-m", "trainers.evaluate", "suite=small", *words]


def test_prompts_may_be_chosen():
    assert players(["assistant=smollm2"]) == ["assistant=smollm2", "prompts=natural"]
    assert players(["assistant=smollm2", "prompts=brief"]) == ["assistant=smollm2", "prompts=brief"]


@pytest.mark.parametrize("words", [[], ["assistant=pocket"], ["assistant=pocket", "assistant.model=pocket"]])
@pytest.mark.parametrize("name", names())
def test_a_part_without_an_embedded_model_is_refused_before_any_is_played(words, name, monkeypatch, capsys):
    monkeypatch.setattr(suite, "run_suite", lambda *_: pytest.fail("a part was played"))
    assert evaluating.of_suite([f"suite={name}", *words]) == 1
    assert capsys.readouterr().err.startswith("error: assistant.model: no embedded model is made for task preferences")


@pytest.mark.parametrize("words", [["assistant=scripted"], ["assistant=pocket", "assistant.model=FOLDER"]])
def test_a_named_player_plays_all_parts(words):
    check_models(read_suite("quick"), players(words))


def test_every_suite_names_its_parts():
    for name in names():
        suite = read_suite(name)
        assert suite.version >= 1 and all(any(w.startswith("task=") for w in words) for words in suite.parts.values())
    standard, quick = map(read_suite, ("standard", "quick"))
    for part, words in standard.parts.items():
        others = dict(zip(words, quick.parts[part], strict=True))
        assert {old.split("=")[0]: new for old, new in others.items() if old != new} == {
            "eval.episodes": "eval.episodes=2",
            "eval.sets": "eval.sets=[between]",
            "eval.grid": "eval.grid=2",
        }, "the quick form plays the same parts"
    with pytest.raises(ValueError, match="suite must be one of quick, standard, not 'standrad'"):
        read_suite("standrad")


def evaluate(*words):
    command = [sys.executable, "-m", "trainers.evaluate", *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_a_suite_of_two_players_and_its_page(tmp_path, capsys):
    files = {}
    (command,) = [line for line in DOCS.read_text().splitlines() if "suite=quick" in line and line.startswith("python")]
    for strategy in ("oracle", "guess"):
        folder = tmp_path / strategy
        words = command.replace("threshold", strategy).split()[3:-1]
        assert f"assistant.strategy={strategy}" in words
        done = evaluate(*words, f"run_dir={folder}")
        assert done.returncode == 0, done.stderr
        files[strategy] = folder / "suite.json"
        assert (folder / "suite.png").stat().st_size > 1000
    oracle, guess = (json.loads(path.read_text()) for path in files.values())
    assert oracle["steers"] == pytest.approx(1, abs=0.02) and guess["steers"] == pytest.approx(0, abs=1e-9)
    assert set(oracle["parts"]) == {"ledger", "preferences", "sql"}
    assert main([f"{name}={path}" for name, path in files.items()]) == 0
    text = capsys.readouterr().out
    assert text.index("| oracle |") < text.index("| guess |") and "assistant.strategy=guess" in text
    with pytest.raises(ValueError, match="cannot be compared: quick 1, quick 2"):
        page({"a": oracle, "b": guess | {"version": 2}})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["suite=standrad"], "error: suite must be one of quick, standard, not 'standrad'"),
        (["suite=quick", "task=sql"], "error: task=sql: a suite fixes everything but"),
        (["suite=quick", "--help"], "error: --help: a suite takes no flags; python -m trainers.evaluate --help lists"),
        (["suite=quick", "suite=standard"], "error: give one suite"),
        (["suite=quick", "run_dir="], "error: give one suite, and the directory of its run"),
    ],
)
def test_what_is_wrong_is_one_sentence(command, words, sentence):
    code, error = command(evaluating, *words)
    assert code == 1 and re.fullmatch(rf"{re.escape(sentence)}.*\n", error)


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_says_how_the_page_is_made(word, capsys):
    assert main([word]) == 0
    assert "NAME=FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name each result"),
        (["suite.json"], "name each result"),
        (["a=nowhere.json"], "a: cannot read nowhere.json: No such file"),
        (["a=.", "b=."], "a: cannot read .: Is a directory"),
        (["a=x.json", "a=y.json"], "two results have the name a"),
    ],
)
def test_what_is_wrong_with_files_is_one_sentence(words, sentence, capsys):
    assert main(words) == 1
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", "3", '{"parts": {}}', '{"parts": []}', '{"parts": {"a": {"eval": {"b": {}}}}}', '{"suite": 1}'],
)
def test_files_that_are_no_results_are_refused(content, tmp_path, capsys):
    path = tmp_path / "summary.json"
    path.write_text(content)
    assert main([f"x={path}"]) == 1
    assert capsys.readouterr().err == f"error: x: {path} is no result of a suite (suite.json)\n"
