from collections import Counter
from functools import partial

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.oracle import solve
from clarify_env.tasks import make_task
from clarify_env.tasks.base import NOT_UNDERSTOOD
from clarify_env.tasks.preferences import DOMAINS
from clarify_env.testing import check_game, check_task


@pytest.fixture(scope="module")
def task():
    return make_task("preferences")


@pytest.fixture(scope="module")
def many(task):
    return [task.episode("train", index) for index in range(300)]


@pytest.mark.slow
def test_it_keeps_a_tasks_promises(task):
    check_task(task, episodes=15, make=partial(make_task, "preferences"))
    check_task(make_task("preferences", personas=5, attributes=2), episodes=8)
    check_game(task)


def test_personas_differ_and_the_context_says_who_they_are(many):
    assert Counter(len(episode.interpretations) for episode in many).keys() == {1, 2, 3, 4}
    assert {episode.meta["domain"] for episode in many} == set(DOMAINS)
    for episode in many:
        assert len({reading.attributes for reading in episode.interpretations}) == len(episode.interpretations)
        for reading in episode.interpretations:
            line = f"{round(100 * reading.weight)}%: {', '.join(' '.join(pair) for pair in reading.attributes)}"
            assert line in episode.context


def test_no_value_stands_for_two_attributes():
    for _, attributes in DOMAINS.values():
        values = [value for its in attributes.values() for value in its]
        assert len(set(values)) == len(values) and not set(values) & set(attributes)


def test_an_answer_is_worth_what_it_satisfies(task, many):
    episode = next(e for e in many if len(e.interpretations) == 1)
    values = episode.interpretations[0].answers[0].split()
    assert task.score(" ".join(values), 0, episode) == task.score(" ".join(values[::-1]), 0, episode) == 1
    assert task.score(" ".join(values[:2]), 0, episode) == pytest.approx(0.8), "2 of 2 and 2 of 3"
    assert task.score(values[0], 0, episode) == pytest.approx(0.5)
    assert task.score(" ".join([*values, "everything", "else"]), 0, episode) == pytest.approx(0.75)


def test_the_user_answers_one_thing_at_a_time(task, many):
    episode = next(e for e in many if len(e.interpretations) == 4)
    names = [name for name, _ in episode.interpretations[0].attributes]
    for intent, reading in enumerate(episode.interpretations):
        meant = dict(reading.attributes)
        for name in names:
            assert task.reply(f"Which {name}?", intent, episode) == f"The {meant[name]} one."
        both = task.reply(f"Which {names[1]} and {names[0]}?", intent, episode)
        assert both == f"The {meant[names[1]]} one.", "the first asked about"
        offer = task.ask_readings([r.label for r in episode.interpretations])
        assert task.reply(offer, intent, episode) == f"The {meant[names[0]]} one.", "an offer of whole personas too"
        assert task.reply("Which colour?", intent, episode) == NOT_UNDERSTOOD


def test_some_requests_need_two_questions(task):
    """The oracle, where questions are cheap and words dear, is better off with two than with one."""
    episodes = [task.episode("validation", index) for index in range(60)]
    costs = np.array([[0.05, 0.02]])
    one, two = (np.mean([s.oracle(costs)[0] for s in solve(task, episodes, most)]) for most in (1, 2))
    assert two > one + 0.005


def test_everything_follows_from_the_worlds_seed(task):
    assert make_task("preferences", test=7).episode("test", 3) == task.episode("test", 3), "whatever the sizes"
    assert make_task("preferences", world_seed=1).episode("test", 3) != task.episode("test", 3)
    assert task.pretraining == ("train",) and len(CostPlane().train()) > 100


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"personas": 1}, "task.personas must lie in 2 to 5, not 1"),
        ({"attributes": 4}, "task.attributes must be 2 or 3, not 4"),
        ({"train": 0}, "needs episodes in each split"),
    ],
)
def test_options_that_cannot_be(options, said):
    with pytest.raises(ValueError, match=said):
        make_task("preferences", **options)
