"""The interview's oracle: exact, against brute force; its strategies, measures and the world it is solved for."""

import json

import numpy as np
import pytest
from test_interview import COSTS, GAME, MILL, Looked

from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import check_not_beaten, reference
from clarify_env.evaluation.summary import summarize
from clarify_env.games.base import Reply
from clarify_env.games.interview.measures import measures
from clarify_env.games.interview.oracle import ASK, Solved, solve
from clarify_env.games.setup import Setup
from clarify_env.tasks.registry import make_task

TASK = make_task("workshop", validation=20, test=20)
EPISODES = list(TASK.episodes("validation"))
PRICES = GAME.plane().sets()["between"][::7]


def brute(solved, costs, group, left):
    """The best expected reward over all plans, by enumeration; times the weight of the group."""
    mass = sum(solved.weights[list(group)])
    best = max(
        sum(solved.weights[i] * guess.score[i] for i in group) - costs[1] * guess.words * mass
        for guess in solved.guesses
    )
    for question in solved.questions if left else ():
        parts = {}
        for i in group:
            parts.setdefault(solved.task.reply(question.text, i, solved.episode), []).append(i)
        below = sum(brute(solved, costs, part, left - 1) for part in parts.values())
        best = max(best, below - mass * (costs[0] + costs[1] * question.words))
    return best


@pytest.mark.parametrize("left", [0, 1, 2, 4])
def test_the_oracle_is_the_best_of_all_plans(left):
    for episode in EPISODES[:8]:
        solved = Solved(TASK, episode, left)
        values = solved.oracle(np.array(PRICES))[0]
        for value, costs in zip(values, PRICES, strict=True):
            assert value == pytest.approx(brute(solved, costs, solved.everyone, min(left, 3)))


def test_stopping_by_hand():
    solved = Solved(Looked(), MILL, 4)
    cases = {  # (alpha, beta): value, questions
        (0.05, 0.0): (1 - 0.05 - 0.5 * 0.05, 1.5),  # noise, and smell if it is quiet
        (0.25, 0.0): (1 - 0.25 - 0.5 * 0.25, 1.5),
        (0.35, 0.0): (0.5, 0.0),  # 1 - 1.5 * 0.35 is less
        (0.05, 0.1): (1 - 0.05 - 0.025 - 0.1 * 2.5, 1.5),  # a word each
        (5.0, 2.0): (0.0, 0.0),  # no answer
    }
    for costs, (value, questions) in cases.items():
        prices = np.array([costs])
        assert solved.oracle(prices)[0][0] == pytest.approx(value), costs
        assert solved.used(prices)["questions"][0] == pytest.approx(questions), costs
        assert (solved.oracle(prices)[1][0] == ASK) == (questions > 0), costs
        assert solved.by_action(prices).max() == pytest.approx(value), costs
    assert solved.used(np.array([(5.0, 2.0)]))["words"][0] == 0


def answers_of(folder, *readings):
    """A task with one episode, whose readings are (answer, weight), and which no question parts."""
    listed = [{"text": answer, "label": answer, "answers": [answer], "weight": weight} for answer, weight in readings]
    path = folder / "readings.jsonl"
    path.write_text(json.dumps({"question": "Which?", "interpretations": listed}), encoding="utf-8")
    task = make_task("qa_jsonl", path=str(path), validation=0, test=1)
    return task, task.episode("test", 0)


def test_the_oracle_leaves_out_the_words_that_score_nothing(tmp_path):
    task, episode = answers_of(tmp_path, ("The Beatles", 0.75), ("The Who", 0.25))
    (value,), _ = Solved(task, episode, 0).oracle(np.array([(0.45, 0.05)]))
    assert value == pytest.approx(0.75 - 0.05)


def test_the_scripted_oracle_says_the_answer_that_it_is_worth(tmp_path):
    task, episode = answers_of(tmp_path, ("New York City", 0.55), ("Rome", 0.45))
    for costs, said in (((0.9, 0.1), "#ANSWER Rome"), ((0.9, 0.01), "#ANSWER New York City"), ((0.9, 0.6), "#ANSWER")):
        view = GAME.deal(task, episode, 0, costs).view("assistant")
        assert GAME.player("assistant", task, "oracle").act([view], [0])[0].text == said


def test_a_question_that_parts_nothing_is_worth_its_price_less():
    lone = MILL._replace(interpretations=(MILL.interpretations[0]._replace(weight=1.0),))
    ask, answer = Solved(Looked(), lone, 4).by_action(np.array([COSTS]))[0]
    assert (ask, answer) == pytest.approx((0.97 - 0.2, 0.97))


@pytest.mark.parametrize("name", GAME.players["assistant"])
def test_scripted_assistants_earn_their_value(name):
    setup, against = Setup(GAME, TASK), reference(solve(TASK, EPISODES, 4), PRICES)
    players = {role: GAME.player(role, TASK, name if role == "assistant" else "scripted") for role in GAME.roles}
    played = play_all(setup, EPISODES, PRICES, players, ("assistant",), seed=0, chunk=64)
    check_not_beaten(played, against, EPISODES)
    entry = summarize(GAME, played, against, EPISODES, 0)
    if name in against.fixed:
        np.testing.assert_allclose(played.values["reward"], against.fixed[name])
    if name == "oracle":
        np.testing.assert_allclose(played.values["reward"], against.oracle)
        for used in ("questions", "words"):
            np.testing.assert_allclose(played.values[used], against.used[used])
        np.testing.assert_allclose(played.values["questions"], played.values["oracle_questions"])
        assert entry["optimal_match"] == 1 and entry["stopped_early"] == entry["asked_late"] == 0
    elif name == "guess":
        assert entry["question_worth"] is None and entry["accuracy_1"] is None
        assert entry["stopped_early"] == pytest.approx((against.action == ASK).mean())
    elif name == "ask_all":
        assert entry["asked_late"] > 0.05


@pytest.mark.parametrize("most", [0, 1, 2])
def test_the_oracle_of_a_game_of_few_questions_decides_as_well_as_can_be(most):
    setup, episodes = Setup(GAME, TASK, {"max_questions": most, "leaks": "count"}), EPISODES[:6]
    against = reference(solve(TASK, episodes, most), PRICES)
    players = {
        "assistant": GAME.player("assistant", TASK, "oracle", max_questions=most),
        "user": GAME.player("user", TASK, "scripted"),
    }
    played = play_all(setup, episodes, PRICES, players, ("assistant",), seed=0, chunk=64)
    np.testing.assert_allclose(played.values["questions"], played.values["oracle_questions"])
    entry = summarize(GAME, played, against, episodes, 0)
    assert entry["optimal_match"] == 1 and entry["stopped_early"] == entry["asked_late"] == 0


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["#ANSWER fuse"], {"decisions": 1, "optimal_decisions": 0, "early": 1, "late": 0, "worth": 0, "ended_0": 1}),
        (
            ["#ASK noise", "noise loud.", "#ANSWER fuse"],
            {"decisions": 2, "optimal_decisions": 2, "early": 0, "late": 0, "worth": 0.25, "ended_1": 1, "right_1": 1},
        ),
        (
            ["#ASK Is it loud?", "noise loud.", "#ANSWER fuse"],
            {"optimal_decisions": 2, "late": 0, "worth": 0.25, "paid": 0.25, "words": 4},
        ),
        (
            ["#ASK noise", "noise loud.", "#ASK smell", "smell burnt.", "#ANSWER fuse"],
            {"optimal_decisions": 2, "late": 1, "worth": 0.25, "paid": 0.5, "ended_2": 1},
        ),
        (["#ASK lamp", "?", "#ANSWER belt"], {"optimal_decisions": 0, "early": 1, "worth": 0, "right_1": 0}),
        (["no tag"], {"decisions": 0, "invalid": 1, "questions": 0}),
    ],
)
def test_decisions_beside_the_oracle(messages, expected):
    task = Looked()
    game = GAME.deal(task, MILL, 0, (0.25, 0.0))
    for message in messages:
        game.apply(Reply(message))
    entry = measures(task, MILL, game)
    assert {name: entry[name] for name in expected} == pytest.approx(expected)


def test_pages_are_disjoint_and_sum_up():
    pages = {}
    for split, size in TASK.sizes.items():
        for index in range(size or 300):
            episode = TASK.episode(split, index)
            key = frozenset((r.attributes, r.answers, round(r.weight, 9)) for r in episode.interpretations)
            assert pages.setdefault(key, split) == split or split == "train" == pages[key]
            assert sum(GAME.weights(episode)) == pytest.approx(1)
            assert {r.answers[0] for r in episode.interpretations} == set(episode.meta["options"])
            assert len(episode.interpretations) <= 2 * len(episode.meta["options"])
            for reading in episode.interpretations:
                assert all(f"{name} " in episode.context for name, _ in reading.attributes)
    assert TASK.episode("train", 5) == make_task("workshop", validation=20, test=20).episode("train", 5)
    assert TASK.episode("train", 5) != make_task("workshop", world_seed=1).episode("train", 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"causes": 5}, "task.causes must be one of 2, 3, 4, not 5"),
        ({"test": 0}, "task.validation=100 and task.test=0 must be at least 1"),
    ],
)
def test_options_of_the_workshop(options, message):
    with pytest.raises(ValueError, match=message):
        make_task("workshop", **options)


@pytest.mark.parametrize(("options", "seed"), [({}, 27), ({"causes": 2}, 2), ({"causes": 2}, 14)])
def test_a_page_that_was_drawn_before_is_drawn_again(options, seed):
    task = make_task("workshop", world_seed=seed, **options)
    pages = [episode for split in ("validation", "test") for episode in task.episodes(split)]
    assert len({tuple(sorted((r.attributes, r.answers, r.weight) for r in p.interpretations)) for p in pages}) == 400


@pytest.mark.parametrize("causes", [2, 3, 4])
def test_probabilities_are_those_of_the_page(causes):
    """The weight of a case is its cause's share times that of each finding, as the page states them."""
    for episode in make_task("workshop", causes=causes, validation=20).episodes("validation"):
        listed, shares, reliability = {}, {}, {}
        for line in episode.context.splitlines()[1:]:
            header, entries = line.rstrip(".").split(": ")
            name, sure = header.split()
            reliability[name] = int(sure) / 100
            for entry in entries.split(", "):
                value, cause, share = entry.split()
                assert shares.setdefault(cause, int(share)) == int(share), "each line states the same shares"
                listed.setdefault(cause, {})[name] = value
        for reading in episode.interpretations:
            (cause,) = reading.answers
            weight = shares[cause] / 100
            for name, value in reading.attributes:
                weight *= reliability[name] if listed[cause][name] == value else 1 - reliability[name]
            assert reading.weight == pytest.approx(weight)


def test_steering_needs_the_prices():
    """Every fixed strategy earns less than 91 % of the oracle between costs, and each action is a fifth of its own."""
    task = make_task("workshop")
    solved = solve(task, list(task.episodes("validation")), 4)
    costs = np.array(GAME.plane().sets()["between"])
    against = reference(solved, [tuple(pair) for pair in costs])
    assert max(values.mean() for values in against.fixed.values()) < 0.91 * against.oracle.mean()
    assert 0.2 < (against.action == ASK).mean() < 0.8
    questions = against.used["questions"].mean(0).reshape(5, 4)
    assert (np.diff(questions, axis=0) <= 1e-9).all(), "fewer questions, the dearer they are"
    assert questions[0].mean() > 2 * questions[-1].mean()
