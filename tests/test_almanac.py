"""What the almanac promises: its size, its shape, and that its cost plane needs steering."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.oracle import action_map, solve, summarize
from clarify_env.games.clarification.plans import shortest_answer, shortest_label
from clarify_env.scores.answers import normalize
from clarify_env.tasks import make_task
from clarify_env.testing import check_task
from clarify_env.words import count_words


@pytest.fixture(scope="module")
def task():
    return make_task("almanac")


@pytest.fixture(scope="module")
def episodes(task):
    return {split: list(task.episodes(split)) for split in task.sizes}


@pytest.fixture(scope="module")
def everything(episodes):
    return [episode for split in episodes.values() for episode in split]


@pytest.fixture(scope="module")
def solved(task, episodes):
    return solve(task, episodes["test"])


def test_it_keeps_the_rules_of_tasks(task):
    check_task(task)


def test_the_world_is_large_enough(episodes):
    names = {split: {e.meta["entity"] for e in chosen} for split, chosen in episodes.items()}
    assert len(names["test"]) >= 150 and len(names["validation"]) >= 50 and sum(map(len, names.values())) >= 300
    for one, other in combinations(names.values(), 2):
        assert not one & other
    readings = {e.meta["entity"]: len(e.interpretations) for chosen in episodes.values() for e in chosen}
    assert sum(readings.values()) >= 800
    for split, chosen in episodes.items():
        assert {len(e.interpretations) for e in chosen} == {1, 2, 3, 4, 5}, split


def test_names_are_asked_about_with_the_same_readings(episodes):
    for chosen in episodes.values():
        about = {}
        for episode in chosen:
            known = tuple((r.attributes, r.weight) for r in episode.interpretations)
            assert about.setdefault(episode.meta["entity"], known) == known
        assert len({e.query for e in chosen}) == len(chosen)


def test_weights_are_skewed_and_sum_to_one(everything):
    weights = [[r.weight for r in e.interpretations] for e in everything]
    assert all(abs(sum(w) - 1) < 1e-9 and min(w) >= 0.03 and w == sorted(w, reverse=True) for w in weights)
    ambiguous = [w for w in weights if len(w) > 1]
    assert np.mean([w[0] > 2 * w[1] for w in ambiguous]) > 0.1


def test_answers_are_of_one_to_four_words_and_tell_readings_apart(task, everything):
    lengths = set()
    for episode in everything:
        known = [set(map(normalize, r.answers)) for r in episode.interpretations]
        assert all(one.isdisjoint(other) for one, other in combinations(known, 2)), episode
        for i, reading in enumerate(episode.interpretations):
            counts = {count_words(answer) for answer in reading.answers}
            # No alias is cheaper than another, whatever the score overlooks.
            assert counts == {count_words(shortest_answer(task, episode, i))}, reading
            lengths |= counts
    assert lengths == {1, 2, 3, 4}


def test_one_word_labels_every_reading(task, everything):
    for episode in everything:
        assert all(count_words(shortest_label(task, episode, i)) == 1 for i in range(len(episode.interpretations)))


def test_what_is_asked_matters(everything):
    ambiguous = [e for e in everything if len(e.interpretations) > 1]
    telling, parting = [], []
    for episode in ambiguous:
        values = list(zip(*(dict(r.attributes).values() for r in episode.interpretations), strict=True))
        telling.append(sum(len(set(v)) > 1 for v in values))
        parting.append(sum(len(set(v)) == len(v) for v in values))
    assert np.mean(np.array(telling) == 1) >= 0.2, "only the right attribute tells them apart"
    assert np.mean(np.array(telling) == 2) >= 0.2, "another tells some apart"
    assert min(parting) == 1


def test_each_action_is_right_on_a_fifth(solved):
    shares = action_map(solved, *CostPlane().grid()).shares.mean((0, 1))
    assert shares.min() >= 0.2, shares


@pytest.mark.parametrize("costs, most", [("between", 0.90), ("beyond_both", 0.82)])
def test_no_fixed_strategy_does(solved, costs, most):
    means = summarize(solved, CostPlane().sets()[costs])
    assert max(means["fixed"].values()) <= most * means["oracle"], means


def test_it_is_the_same_in_any_process_and_differs_by_world_seed(episodes):
    code = "from clarify_env.tasks import make_task; print([*make_task('almanac').episodes('validation')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(episodes["validation"])
    assert list(make_task("almanac", world_seed=1).episodes("validation")) != episodes["validation"]


WRONG = [
    ({"train_names": 10_000}, "names to share"),
    ({"test_names": 0}, "names to share"),
    ({"metric": "bleu"}, "task.metric must be"),
    ({"names": 3}, "names"),
]


@pytest.mark.parametrize("options, said", WRONG)
def test_wrong_options_end_in_one_sentence(options, said):
    with pytest.raises(ValueError, match=said):
        make_task("almanac", **options)
