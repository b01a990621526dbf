import json
from collections import Counter
from functools import partial
from itertools import islice

import numpy as np
import pytest
from conftest import ALMANAC, SMALL

from clarify_env.costs import CostPlane
from clarify_env.games import find_game
from clarify_env.games.clarification.oracle import solve
from clarify_env.games.clarification.pretraining.demonstrations import demonstrations
from clarify_env.tasks import make_task
from clarify_env.testing import check_game, check_task
from trainers import rest

TASKS = {"almanac": ALMANAC, "ledger": {"validation": 3, "test": 6}, "preferences": {"test": 5}}


@pytest.fixture(scope="module")
def task():
    return make_task("mix", tasks=TASKS)


def test_every_task_has_the_same_share_of_each_split(task):
    assert task.sizes == {"train": 24, "validation": 9, "test": 12}, "three times the smallest; endless ones aside"
    for split in task.sizes:
        assert len(set(Counter(episode.meta["task"] for episode in task.episodes(split)).values())) == 1
    endless = make_task("mix", tasks={"ledger": {}, "almanac": {}})
    assert endless.sizes == {"train": 720, "validation": 200, "test": 600}


def test_episodes_are_those_of_the_tasks(task):
    for index in range(12):
        episode, own = task.episode("test", index), task.parts[list(TASKS)[index % 3]]
        inner = own.episode("test", index // 3)
        assert episode.interpretations == inner.interpretations and episode.context == inner.context
        assert episode.meta["entity"] == f"{own.name}/{inner.meta['entity']}"
        everyone = range(len(inner.interpretations))
        for question in (*own.questions(inner), "What?"):
            assert [task.reply(question, i, episode) for i in everyone] == [
                own.reply(question, i, inner) for i in everyone
            ]
        answer = inner.interpretations[-1].answers[0].split()[0]
        assert [task.score(answer, i, episode) for i in everyone] == [own.score(answer, i, inner) for i in everyone]
        costs = np.array(CostPlane().train()[::99])
        (one,), (other,) = solve(task, [episode]), solve(own, [inner])
        np.testing.assert_array_equal(one.oracle(costs)[0], other.oracle(costs)[0])


@pytest.mark.slow
def test_it_keeps_a_tasks_promises(task):
    check_task(task, make=partial(make_task, "mix", tasks=TASKS))
    check_game(task)


def test_each_task_shows_what_may_be_shown_of_it(task):
    shown = list(islice(demonstrations(task, "train", np.random.default_rng(0), CostPlane().train()), 900))
    shown_text = "\n".join(text for d in shown for _, text in d.messages)
    almanac, ledger = task.parts["almanac"], task.parts["ledger"]
    names = {episode.meta["entity"] for split in almanac.sizes for episode in almanac.episodes(split)}
    assert all(name in shown_text for name in names), "facts of the almanac's test questions are pretraining material"
    assert not any(e.context in shown_text for split in ("validation", "test") for e in ledger.episodes(split)), (
        "tables not"
    )


def test_kinds_are_shown_in_the_shares_of_each_task(task):
    shares = {"almanac": {"page": 0.5, "card": 0.1}, "ledger": {"aloud": 0.3}, "preferences": {"card": 0.1}}
    stream = demonstrations(task, "train", np.random.default_rng(0), CostPlane().train(), shares)
    shown = Counter((d.kind, d.messages[0][0] == "system") for d in islice(stream, 2000))
    assert {kind: shown[kind] / 2000 for kind in shown} == {
        ("page", False): pytest.approx(0.5, abs=0.04),
        ("card", False): pytest.approx(0.1, abs=0.03),
        ("card", True): pytest.approx(0.1, abs=0.03),
        ("aloud", True): pytest.approx(0.3, abs=0.04),
    }
    with pytest.raises(ValueError, match="must name each of almanac, ledger, preferences, and no other; chess, ledger"):
        next(
            demonstrations(
                task,
                "train",
                np.random.default_rng(0),
                CostPlane().train(),
                {"almanac": {}, "chess": {}, "preferences": {}},
            )
        )


def test_a_mix_knows_no_odds_that_one_of_its_tasks_does_not_know(tmp_path):
    cases = [{"question": f"Which of {n}?", "answers": ["a"], "facts": [f"fact {n}", "more"]} for n in range(12)]
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    mixed = make_task("mix", tasks={"workshop": {}, "cases_jsonl": {"path": str(path)}})
    assert not mixed.known_odds and make_task("mix").known_odds
    assert find_game("interview").solve(mixed, [mixed.episode("test", 0), mixed.episode("test", 1)]) is None


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ({"almanac": {}}, "at least two tasks, not 1"),
        ({"almanac": {}, "nothing": {}}, "unknown task 'nothing'"),
        ({"almanac": {}, "ledger": {"cells": 1}}, "task.cells must lie in"),
        ({"almanac": {}, "mix": {}}, "cannot hold mix itself"),
    ],
)
def test_tasks_that_cannot_be_mixed(tasks, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_task("mix", tasks=tasks)


@pytest.mark.slow
def test_a_mixed_run_is_reported_for_each_task(command, tmp_path):
    folder = tmp_path / "run"
    small = [option for option in SMALL if not option.startswith("task.")]
    small += [f"task.tasks.almanac.{key}={value}" for key, value in ALMANAC.items()]
    small = [f"+{option}" if option.startswith("task.") else option for option in small]
    done = command(
        rest,
        "task=mix",
        *small,
        "eval.episodes=6",
        "budget.games=200",
        "rest.hindsight=4",
        "update.learning_rate=1e-3",
        "update.least_steps=0",
        f"run_dir={folder}",
    )
    assert done == (0, "")
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["tasks"]) == {"almanac", "ledger"} and summary["task"] == "mix"
    both = [its["eval"]["between"]["temperature"] for its in summary["tasks"].values()]
    whole = summary["eval"]["between"]["temperature"]
    assert whole["reward"] == pytest.approx(np.mean([entry["reward"] for entry in both])), "three questions of each"
    assert set(both[0]) == set(whole) and set(summary["tasks"]["ledger"]["steering"]) == set(summary["steering"])
    html = (folder / "report.html").read_text()
    assert "on almanac alone" in html and "on ledger alone" in html
