import gc
import sqlite3
from collections import Counter
from functools import partial
from itertools import combinations

import pytest

from clarify_env.games.clarification.oracle import solve
from clarify_env.scores.execution import execute, runs_together, same_rows
from clarify_env.tasks import make_task
from clarify_env.testing import check_game, check_task
from clarify_env.words import count_words

SMALL = {"train": 40, "validation": 10, "test": 20}


@pytest.fixture(scope="module")
def task():
    return make_task("sql", **SMALL)


def everything(task):
    return [episode for split in task.sizes for episode in task.episodes(split)]


@pytest.mark.slow
def test_it_keeps_a_tasks_promises(task):
    check_task(task, make=partial(make_task, "sql", **SMALL))
    check_game(task)


def test_episodes_follow_from_the_worlds_seed(task):
    assert task.episode("test", 3) == make_task("sql", test=7).episode("test", 3), "whatever the sizes"
    assert task.episode("test", 3) != task.episode("train", 3) != make_task("sql", world_seed=1).episode("train", 3)


def test_every_part_of_a_request_is_left_open_somewhere(task):
    episodes = everything(task)
    parts = Counter(part for episode in episodes for part in episode.meta["open"])
    assert set(parts) == set(task.attributes) and min(parts.values()) >= 3
    assert {len(episode.meta["open"]) for episode in episodes} == {0, 1, 2}
    assert {len(episode.interpretations) for episode in episodes} == {1, 2, 3, 4}
    clear = [episode for episode in episodes if not episode.meta["open"]]
    assert all(episode.query == episode.interpretations[0].text for episode in clear), "a clear request says it all"


def test_readings_differ_in_what_their_queries_give(task):
    for episode in everything(task):
        shown = task.databases(episode)[0]
        golds = [reading.answers[0] for reading in episode.interpretations]
        given = [execute(shown, gold) for gold in golds]
        assert all(given), "and give something"
        for one, other in combinations(given, 2):
            assert not same_rows(one, other, ordered="ORDER" in golds[0])


def test_what_an_open_filter_may_mean_is_told_to_the_assistant_alone(task):
    episodes = [episode for episode in everything(task) if "filter" in episode.meta["open"]]
    for episode in episodes:
        for reading in episode.interpretations:
            condition = reading.answers[0].split(" WHERE ")[1].split(" ORDER ")[0]
            assert condition in episode.context and condition not in episode.query
    assert episodes


def test_gold_queries_score_and_their_rivals_do_not(task):
    for episode in everything(task)[:25]:
        for intent, reading in enumerate(episode.interpretations):
            assert not any(map(runs_together, reading.answers))
            for other, rival in enumerate(episode.interpretations):
                assert task.score(rival.answers[-1].lower(), intent, episode) == (other == intent)
            for text in ("", "no query", "SELECT", f"{reading.answers[0]}; DROP TABLE x", "SELECT 1"):
                assert task.score(text, intent, episode) == 0


def test_no_spelling_is_cheaper_than_the_oracles(task):
    for solved in solve(task, everything(task)[:10]):
        gold = solved.episode.interpretations[0].answers[-1]
        best = min(plan.words for plan in solved.plans if plan.accuracy[0] == 1)
        assert best == count_words(gold)
        for spelled in (
            gold.replace(" ", "/**/"),
            gold.replace(" FROM ", ' FROM"').replace(" WHERE", '" WHERE'),
            gold.replace("SELECT ", "SELECT(", 1).replace(" FROM", ")FROM", 1),
        ):
            if count_words(spelled) < best:
                assert task.score(spelled, 0, solved.episode) == 0


def test_the_databases_are_real_files_and_vanish_with_the_task():
    task = make_task("sql", **SMALL)
    shown, other = task.databases(task.episode("test", 0))
    tables = "SELECT name, sql FROM sqlite_master ORDER BY name"
    with sqlite3.connect(shown) as one, sqlite3.connect(other) as two:
        assert one.execute(tables).fetchall() == two.execute(tables).fetchall(), "of one schema"
        table = one.execute(tables).fetchone()[0]
        assert one.execute(f"SELECT * FROM {table}").fetchall() != two.execute(f"SELECT * FROM {table}").fetchall()
    del task
    gc.collect()
    assert not shown.exists()


def test_sizes():
    with pytest.raises(ValueError, match="task sql needs episodes in every split"):
        make_task("sql", test=0)
