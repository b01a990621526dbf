"""Points of a method: which cells a comparison has, its curves and its sweeps of settings."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from configs import arguments_of, config_of
from hydra import initialize_config_dir
from test_comparison import as_version_0_1, finished, finished_elsewhere

from trainers.compare import make_cells
from trainers.reporting.comparison import compared, write_comparison
from trainers.reporting.learning_curves import curves, markdown, write_tuning
from trainers.runs.command import CONF

LEARNERS = ["refit", "swift", "contrastive", "stargate", "grpo", "rest_plain", "rest", "imitate"]
FIXED = ["prompted", "guess", "list", "ask", "threshold"]


def cells_of(*overrides):
    made = arguments_of("compare", *overrides)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return make_cells(made["options"])


def configured(cell):
    return config_of(cell.command, *cell.overrides)


@pytest.mark.parametrize(
    ("option", "at"), [("games=[500,2000]", "games"), pytest.param("curve=true", "episodes", marks=pytest.mark.slow)]
)
def test_only_the_last_point_of_a_curve_is_measured_in_full(option, at):
    cells = cells_of(option, "only=[list,rest]", "seeds=[0]")
    sets = {getattr(cell, at): configured(cell).eval.sets for cell in cells}
    last = max(point for point in sets if point)
    assert {point for point, names in sets.items() if names is None} == {None, last}, "null: all sets"
    assert all(names == ["between"] for point, names in sets.items() if point not in (None, last))


def test_a_curve_shares_its_last_cells_with_the_comparison_itself():
    assert cells_of("only=[rest]", "games=[500,10000]")[3].folder == cells_of("only=[rest]")[0].folder


@pytest.mark.slow
def test_the_default_comparison_has_every_method_at_one_budget_with_three_seeds():
    cells = cells_of()
    assert list(dict.fromkeys(cell.method for cell in cells)) == FIXED + LEARNERS
    by_method = {m: [(c.seed, c.games) for c in cells if c.method == m] for m in FIXED + LEARNERS}
    assert all(by_method[m] == [(seed, 10000) for seed in range(3)] for m in LEARNERS)
    assert all(by_method[m] == [(0, None)] for m in FIXED), "one run where nothing depends on seed or games"
    assert len({cell.folder for cell in cells}) == len(cells)


def test_several_budgets_and_numbers_of_episodes_are_points_of_the_learning_methods():
    cells = cells_of("games=[500,2000]", "only=[list,rest]", "seeds=[0,1]")
    assert [(c.method, c.games, c.seed) for c in cells] == [
        ("list", None, 0),
        ("rest", 500, 0),
        ("rest", 500, 1),
        ("rest", 2000, 0),
        ("rest", 2000, 1),
    ]
    cells = cells_of("curve=true", "only=[list,rest]", "seeds=[0]")
    assert [(c.method, c.games, c.episodes) for c in cells] == [
        ("list", None, None),
        ("rest", 10000, 50),
        ("rest", 10000, 100),
        ("rest", 10000, 250),
    ]
    assert "budget.episodes=50" in cells[1].overrides


@pytest.mark.slow
def test_a_sweep_of_settings_has_one_seed_and_sees_validation_episodes_alone():
    cells = cells_of("tune=true")
    assert list(dict.fromkeys(cell.method for cell in cells)) == LEARNERS
    for method in LEARNERS:
        settings = [cell.setting for cell in cells if cell.method == method]
        assert settings[0] == () and len(set(settings)) == len(settings) >= 3
    assert {cell.seed for cell in cells} == {0}
    assert all("eval.split=validation" in cell.overrides for cell in cells)
    assert all(set(cell.setting) <= set(cell.overrides) for cell in cells)
    made = [configured(cell) for cell in cells]
    assert all(
        (list(c.eval.sets), list(c.eval.modes), c.eval.split) == (["between"], ["temperature"], "validation")
        for c in made
    )
    with pytest.raises(ValueError, match="tune and curve are two comparisons"):
        cells_of("tune=true", "curve=true")


@pytest.mark.slow
def test_the_quick_form_has_every_method_once():
    cells = cells_of("size=quick")
    assert [cell.method for cell in cells] == FIXED + LEARNERS and {cell.games for cell in cells} == {None, 600}
    learned = [configured(cell) for cell in cells if cell.command == "rest"]
    assert [(config["update"].least_steps, config.rest.hindsight > 0) for config in learned] == [(0, False), (0, True)]


def cell(where, *, games=None, episodes=None, setting=()):
    method, task, seed, folder = where
    return SimpleNamespace(
        method=method, task=task, seed=seed, folder=Path(folder), games=games, episodes=episodes, setting=setting
    )


@pytest.fixture
def points(tmp_path):
    """Two seeds of a method that earns 0.40, 0.56 and 0.76 of 0.80 at three budgets, and of one that is late."""
    noise = np.linspace(-0.02, 0.02, 40)
    made = []
    for games, reward in ((100, 0.40), (1000, 0.56), (10000, 0.76)):
        for seed, off in ((0, -0.01), (1, 0.01)):
            made.append(cell(finished(tmp_path, "rest", seed, reward + off + noise, games=games), games=games))
            made.append(cell(finished(tmp_path, "late", seed, 0.3 + off + noise, games=games), games=games))
    return [*made, cell(finished(tmp_path, "list", 0, 0.5 + noise))]


def test_reward_against_games(points):
    curve = curves(points, 0)["almanac"]
    assert curve["against"] == "games" and set(curve["methods"]) == {"rest", "late"}, "what learns nothing has no curve"
    assert curve["set"] == "between"
    rest = curve["methods"]["rest"]
    assert [point["at"] for point in rest] == [100, 1000, 10000]
    assert [point["reward"] for point in rest] == pytest.approx([0.40, 0.56, 0.76])
    assert all(point["ci"][0] < point["reward"] < point["ci"][1] for point in rest)
    assert rest[0]["games"] == 101, "as played"
    # 0.72 lies 0.16 above the second point and 0.04 below the third: four fifths of the way, of the games as played.
    assert curve["arrived"] == {"rest": pytest.approx(1001 + 0.8 * 9000), "late": None}


def test_a_first_point_that_has_arrived_is_where_it_arrived(points):
    assert curves([p for p in points if p.games in (10000, None)], 0) == {}, "one point is no curve"
    again = curves([p for p in points if p.games != 100], 0)["almanac"]
    assert again["arrived"]["rest"] == pytest.approx(8201)
    for point in points:
        if point.games:
            point.games, point.episodes = 10000, point.games // 10
    curve = curves(points, 0)["almanac"]
    assert curve["against"] == "episodes" and [p["at"] for p in curve["methods"]["rest"]] == [10, 100, 1000]


def test_curves_stand_in_the_table_and_on_the_page(points, tmp_path):
    full = [p for p in points if p.games in (10000, None)]
    comparison = compared([(p.method, p.task, p.seed, p.folder) for p in full], "rest", 0) | {
        "curves": curves(points, 0)
    }
    out = tmp_path / "out"
    out.mkdir()
    write_comparison(out, comparison)
    text = (out / "comparison.md").read_text()
    assert (
        "### almanac: % of the oracle at between costs, against games" in text
        and markdown(comparison["curves"]) in text
    )
    assert "| late | 37.5 [" in text and text.count("| 8,201 |") == 1 and "| – |" in text
    assert "8,201" in (out / "comparison.html").read_text()
    assert (out / "figures" / "curve-almanac.png").stat().st_size


def test_the_best_setting_is_that_of_the_highest_reward(tmp_path, capsys):
    made = [finished(tmp_path, "swift", 0, np.full(40, reward)) for reward in (0.5, 0.7, 0.6)]
    settings = [(), ("update.epochs=4",), ("update.learning_rate=5e-4",)]
    cells = [cell(where, games=10, setting=setting) for where, setting in zip(made, settings, strict=True)]
    sweep = write_tuning(tmp_path, cells)["almanac"]["swift"]
    assert sweep["best"] == ["update.epochs=4"] and [s["reward"] for s in sweep["settings"]] == pytest.approx(
        [0.5, 0.7, 0.6]
    )
    assert json.loads((tmp_path / "tuning.json").read_text())["almanac"]["swift"] == sweep
    text = (tmp_path / "tuning.md").read_text()
    assert (
        "| swift | update.epochs=4 (best) | 0.700 | 87.5 | 3.4 |" in text and "| swift | as shipped | 0.500 |" in text
    )
    assert text.strip() in capsys.readouterr().out


def test_curves_of_a_game_without_an_oracle_are_of_the_reward(tmp_path, capsys):
    noise = np.linspace(-0.02, 0.02, 40)
    rewards = {100: 0.4, 1000: 0.6}
    points = [
        cell(finished_elsewhere(tmp_path, "rest", 0, reward + noise), games=games) for games, reward in rewards.items()
    ]
    curve = curves(points, 0)["objects"]
    assert "arrived" not in curve and curve["set"] == "fixed"
    last = points[-1]
    comparison = compared([(last.method, last.task, last.seed, last.folder)], "rest", 0) | {
        "curves": {"objects": curve}
    }
    out = tmp_path / "out"
    out.mkdir()
    write_comparison(out, comparison)
    text = (out / "comparison.md").read_text()
    assert "### objects: reward at fixed costs, against games" in text and "| method | 100 | 1,000 |" in text
    assert "| rest | 0.400 [" in text
    assert "oracle" not in text + (out / "comparison.html").read_text() + capsys.readouterr().out
    assert (out / "figures" / "curve-objects.png").stat().st_size
    write_tuning(tmp_path, points)
    text = (tmp_path / "tuning.md").read_text()
    assert "at fixed costs on validation episodes" in text and "| rest | as shipped (best) | 0.600 | 10.0 |" in text


def test_curves_of_files_of_version_0_1(points):
    now = curves(points, 0)
    for point in points:
        as_version_0_1(point.folder)
    assert curves(points, 0) == now
