"""Reports of other games than the built-in one, and of files that version 0.1 wrote."""

import json

import numpy as np
import pytest
import test_report
from test_report import report

import clarify_env.games
from clarify_env.games.base import Game
from clarify_env.games.description import Description
from trainers.reporting import figures
from trainers.reporting.report import print_table
from trainers.reporting.sweeps import tabulate
from trainers.runs.store import append_lines, write_json


class Hints(Description):
    """A describer and a guesser; no oracle."""

    name, game = "hints", Game
    learns = ("describer",)
    usage = ("words",)
    actions = ("hint", "give_up")


@pytest.fixture
def hints(monkeypatch):
    """The game, installed."""
    monkeypatch.setitem(clarify_env.games._LOADED, "hints", Hints())


def entry(reward: float) -> dict:
    return {
        "reward": reward,
        "reward_ci": [reward - 0.02, reward + 0.02],
        "score": 0.715,
        "words": 4.25,
        "taboo_words": 0.125,
        "share": {"hint": 0.81, "give_up": 0.17, "invalid": 0.02},
    }


def summary() -> dict:
    return {
        "method": "rest",
        "game": "hints",
        "task": "objects",
        "split": "test",
        "seed": 0,
        "players": {"describer": "tiny", "guesser": "first_word"},
        "eval": {"fixed": {"temperature": entry(0.6), "greedy": entry(0.65)}},
        "budget": {"games": 100, "seconds": 1.0},
    }


def game(score: float) -> dict:
    return {
        "set": "fixed",
        "mode": "temperature",
        "episode_id": "test/0",
        "query": "Which object?",
        "intent": "1",
        "costs": [0.01],
        "turns": [["describer", "It floats."], ["guesser", "boat"]],
        "reward": score - 0.02,
        "oracle": None,
        "action": "hint",
        "score": score,
        "words": 2,
        "taboo_words": 0,
    }


def fill(folder):
    write_json(folder / "config.json", {"command": "rest", "game": {"name": "hints"}})
    write_json(folder / "summary.json", summary())
    episodes = {"entities": ["boat"], "reward": {"fixed": {"temperature": [0.6]}}}
    write_json(folder / "evaluation.json", {"grid": None, "sets": {}, "episodes": episodes})
    append_lines(folder / "transcripts.jsonl", [game(1.0), game(0.0)])
    validation = {f"validation/{name}": value for name, value in (("reward", 0.5), ("hint", 0.8), ("give_up", 0.1))}
    lines = [{"phase": "validation", "iteration": k, "step": k, "seconds": 1.0} | validation for k in (0, 1)]
    append_lines(folder / "metrics.jsonl", lines)
    return folder


ORACLE_WORDS = ("oracle", "regret", "gap", "dominance", "fixed strategies", "Steering", "rank correlation")
CLARIFICATION_WORDS = ("clarif", "question", "ungrounded", "leak", "assistant", "pocket", "threshold")


def test_page_of_a_game_without_an_oracle(hints, tmp_path):
    html, page = report(fill(tmp_path))
    text = " ".join(part.strip() for part in page.text if part.strip())
    text = text[text.index("@media print") :]  # behind the style sheet
    for expected in ("game hints", "describer tiny", "guesser first_word", "0.580 to 0.620", "0.715", "taboo words"):
        assert expected in text, expected
    for word in (*ORACLE_WORDS, *CLARIFICATION_WORDS):
        assert word not in text, word
    titles = ["costs", "score", "words", "taboo words", "hint", "give_up", "invalid"]
    row = ["fixed", "0.715", "4.250", "0.125", "81.0", "17.0", "2.0"]
    assert " ".join([*titles, *row]) in text, "measures and actions stand in the order of the data"
    assert 'href="#plane"' not in html and "Cost plane" not in html
    assert ("ul", "class", "tiles") not in page.attributes
    assert json.loads(page.scripts[0][1])[0]["oracle"] is None
    shown = next(value for _, name, value in page.attributes if name == "data-game")
    assert json.loads(shown) == {"learns": ["describer"], "usage": ["words"], "hidden": "hidden"}


def test_figures_of_a_game_without_an_oracle(hints, tmp_path):
    html, _ = report(fill(tmp_path))
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"learning.png"}
    assert "give_up" in html and "reward on validation episodes" in html


def test_terminal_table_of_a_game_without_an_oracle(hints, capsys):
    print_table(summary())
    printed = capsys.readouterr().out
    for expected in ("describer tiny, guesser first_word, seed 0", "± 0.020", "0.715", "taboo words", "81", "2.0"):
        assert expected in printed, expected
    for word in (*ORACLE_WORDS, *CLARIFICATION_WORDS):
        assert word not in printed, word


def test_no_measure_is_cut_off_on_a_narrow_terminal(hints, capsys):
    wide = summary()
    for modes in wide["eval"].values():
        for values in modes.values():
            values |= {f"measure_number_{k}": k + 0.5 for k in range(12)}
    print_table(wide)
    printed = capsys.readouterr().out
    assert "measure number 11" in printed and "11.500" in printed and "…" not in printed


def test_a_run_that_was_killed_is_reported_by_the_game_of_its_config(hints, tmp_path):
    (fill(tmp_path) / "summary.json").unlink()
    assert "give_up" in report(tmp_path)[0], "the learning curves know the game's actions"


def test_a_game_that_is_not_installed_is_said_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"unknown game 'hints'; known: .*clarification"):
        report(fill(tmp_path))


def test_an_oracle_without_a_grid_has_tiles_and_no_maps(hints, tmp_path):
    """Fixed prices: nothing to steer by."""
    fill(tmp_path)
    beside = {
        "oracle": 0.8,
        "regret": 0.2,
        "regret_action": 0.1,
        "gap_closed": 0.5,
        "fixed": {"first": 0.4, "longest": 0.3},
        "dominance": 1.0,
    }
    table = {"fixed": {"temperature": entry(0.6) | beside}}
    write_json(tmp_path / "summary.json", summary() | {"eval": table})
    html, page = report(tmp_path)
    text = " ".join(part.strip() for part in page.text if part.strip())
    assert "75.0 % of the oracle’s reward, fixed costs" in text and "first longest % of oracle" in text
    assert "Cost plane" not in html and "rank correlation" not in html


def test_maps_are_drawn_of_any_actions_and_prices():
    rng = np.random.default_rng(0)
    names = ("call", "answer", "words", "reward")
    side = {name: rng.uniform(size=(2, 3)).tolist() for name in names}
    grid = {"alphas": [0.1, 0.2], "betas": [1, 2, 3], "policy": side, "oracle": side}
    axes = figures.steering(grid, ("price of calls", "price of turns")).axes
    titles = [axis.get_title() for axis in axes if axis.get_title()]
    assert titles == ["first action call, %", "first action answer, %", "words"]
    assert {axis.get_xlabel() for axis in axes} >= {"price of calls"} and axes[0].get_ylabel() == "price of turns"
    for quantity, price, points in (("call", 0, 2), ("words", 1, 3)):
        [axis] = figures.steering_lines({"rest": grid}, quantity, price, ("price of calls", "price of turns")).axes
        assert [len(line.get_xdata()) for line in axis.lines] == [points, points]
        values = np.array(side[quantity]).mean(1 - price) * (100 if quantity == "call" else 1)
        assert axis.lines[0].get_ydata() == pytest.approx(values)
        assert axis.get_xlabel() == ("price of calls", "price of turns")[price]


def version_0_1() -> dict:
    summary = test_report.summary()
    del summary["game"]
    return summary | summary.pop("players")


def test_files_of_version_0_1_are_reported_alike(tmp_path, capsys):
    pages = []
    for name, record in (("now", test_report.summary()), ("then", version_0_1())):
        (tmp_path / name).mkdir()
        test_report.fill(tmp_path / name)
        write_json(tmp_path / name / "summary.json", record)
        write_json(tmp_path / name / "evaluation.json", {"sets": {}, "questions": {"entities": [], "reward": {}}})
        pages.append(report(tmp_path / name)[0])
    assert pages[0] == pages[1]
    print_table(test_report.summary())
    now = capsys.readouterr().out
    print_table(version_0_1())
    assert capsys.readouterr().out == now and "assistant pocket, user scripted" in now


def test_a_sweep_shows_rewards_where_a_game_has_no_oracle(tmp_path):
    jobs = []
    for index, record in enumerate((version_0_1(), summary())):
        folder = tmp_path / str(index)
        folder.mkdir()
        write_json(folder / "summary.json", record)
        jobs.append({"number": index, "overrides": [f"game=g{index}"], "run_dir": str(folder), "error": None})
    first = tabulate(jobs[:1])
    assert first.measure == "% of the oracle" and first.rows[0][:2] == ["96.8", "93.5"]
    both = tabulate(jobs)
    assert both.measure == "reward" and both.columns[-2:] == ["beyond both", "fixed"]
    assert both.rows[-1] == ["g1", *["–"] * 5, "0.600"]
