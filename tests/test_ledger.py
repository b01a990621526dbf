import re
from collections import Counter
from functools import partial
from itertools import islice

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.oracle import solve
from clarify_env.games.clarification.pretraining.demonstrations import demonstrations
from clarify_env.games.clarification.prompts import messages
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.tasks import ledger, make_task
from clarify_env.tasks.base import Interpretation
from clarify_env.testing import check_game, check_task
from clarify_env.words import count_words

MANY = 600
YEAR = re.compile(r"\b20\d\d\b")


@pytest.fixture(scope="module")
def task():
    return make_task("ledger")


@pytest.fixture(scope="module")
def many(task):
    return [task.episode("train", index) for index in range(MANY)]


@pytest.mark.slow
def test_it_keeps_a_tasks_promises(task):
    check_task(task, episodes=100, make=partial(make_task, "ledger"))
    check_task(make_task("ledger", cells=30, dimensions=3, derived=1.0), episodes=50)
    check_game(task)


def cells(context):
    """Reads a table as a person would: {(row, year): figure}."""
    figures = {}
    for line in context.splitlines()[1:]:
        name, colon, content = line.partition(":")
        if colon:
            pairs = [part.split() for part in content.split(",")]
        else:
            name, _, content = line.rstrip(".").partition(" came to ")
            pairs = [part.split(" in ")[::-1] for part in content.replace(" and ", ", ").split(", ")]
        figures |= {(name, year): int(figure) for year, figure in pairs}
    return figures


def rows_asked(reading, table):
    """The row a reading's text names: the one whose words are all in it, and the most of them."""
    words = set(re.findall(r"\w+", reading.text))
    return max((row for row, _ in table if set(row.split()) <= words), key=lambda row: len(row.split()))


def test_every_answer_can_be_read_off_its_table(many):
    for episode in many:
        table, what = cells(episode.context), episode.meta["what"]
        for reading in episode.interpretations:
            row, years = rows_asked(reading, table), YEAR.findall(reading.text)
            figures = [table[row, year] for year in years]
            expected = {
                "cell": lambda f: f[0],
                "difference": lambda f: f[1] - f[0],
                "sum": lambda f: f[0] + f[1],
                "percentage": lambda f: 100 * (f[1] - f[0]) / f[0],
            }[what](figures)
            number, _, unit = reading.answers[0].partition(" ")
            assert int(number) == expected, episode
            assert unit == "percent" if what == "percentage" else unit in episode.context.splitlines()[0]


def test_a_question_leaves_out_what_its_readings_differ_in_and_nothing_else(many):
    for episode in many:
        open_, first = episode.meta["open"], dict(episode.interpretations[0].attributes)
        values = {name: {dict(r.attributes)[name] for r in episode.interpretations} for name in first}
        for name, held in values.items():
            assert (len(held) > 1) == (name == open_), episode
            assert (name == open_) != (first[name] in episode.query), episode
        assert len({reading.answers for reading in episode.interpretations}) == len(episode.interpretations)
        if not open_:
            assert len(episode.interpretations) == 1


def test_all_kinds_of_questions_come_as_often_as_said(many):
    open_ = Counter(episode.meta["open"] for episode in many)
    shares = Counter()
    for share, name, *_ in ledger.PROFILES:
        shares[name or ""] += share
    for name, share in shares.items():
        assert abs(open_[name] / MANY - share) < 0.05, name
    derived = [episode for episode in many if episode.meta["what"] != "cell"]
    able = [episode for episode in many if episode.meta["open"] not in ("year", "unit")]
    assert abs(len(derived) / len(able) - 0.15) < 0.05
    assert {episode.meta["what"] for episode in derived} == set(ledger.words.DERIVED)
    assert {count_words(episode.interpretations[0].answers[0]) for episode in many} == {1, 2, 3, 4}
    told = sum(" came to " in episode.context for episode in many) / MANY
    assert 0.1 < told < 0.25


def test_every_table_is_another_and_no_larger_than_said(many):
    assert len({episode.context for episode in many}) == MANY
    assert max(len(cells(episode.context)) for episode in many) == 8
    large = make_task("ledger", cells=20, dimensions=3)
    assert max(len(cells(large.episode("test", i).context)) for i in range(100)) > 12
    assert make_task("ledger", test=7).episode("test", 3) == make_task("ledger").episode("test", 3), (
        "whatever the sizes"
    )
    assert make_task("ledger", world_seed=1).episode("test", 3) != make_task("ledger").episode("test", 3)


def test_the_derived_share_is_as_said():
    for derived in (0.0, 1.0):
        task = make_task("ledger", derived=derived)
        episodes = [task.episode("test", index) for index in range(200)]
        able = [e for e in episodes if e.meta["open"] not in ("year", "unit")]
        assert all((episode.meta["what"] != "cell") == bool(derived) for episode in able)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cells": 4}, "task.cells must lie in 5 to 40, not 4"),
        ({"cells": 41}, "task.cells must lie in 5 to 40, not 41"),
        ({"dimensions": 0}, "task.dimensions must lie in 1 to 4, not 0"),
        ({"derived": 1.5}, "task.derived must lie in 0 to 1, not 1.5"),
        ({"test": 0}, "at least one episode in each split"),
    ],
)
def test_options_that_cannot_be(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_task("ledger", **options)


def test_the_default_plane_asks_for_steering(task):
    """Each action is the oracle's on a fifth of the pairs, and nothing fixed earns 90 % of it, between."""
    cells = np.array(CostPlane().sets()["between"])
    solved = solve(task, [task.episode("validation", index) for index in range(200)])
    values, actions = zip(*(its.oracle(cells) for its in solved), strict=True)
    oracle = np.mean(values)
    fixed = [its.fixed(cells) for its in solved]
    for name in fixed[0]:
        assert np.mean([row[name] for row in fixed]) <= 0.9 * oracle, name
    shares = np.bincount(np.concatenate(actions), minlength=3) / np.size(actions)
    assert sorted(shares)[-3] >= 0.2


def test_only_the_assistant_sees_the_table(task):
    episode = task.episode("test", 0)
    table = episode.context.splitlines()[1]
    game = ClarificationGame(task, episode, 0, CostPlane().train()[0])
    assert table in messages(game.view("assistant"), "pocket")[0]["content"]
    assert table not in messages(game.view("user"), "pocket")[0]["content"]
    assert task.reply("Which region?", 0, episode).startswith("The ")


def test_pretraining_shows_tables_of_the_train_split_alone(task):
    assert task.pretraining == ("train",)
    held = {e.context for split in ("validation", "test") for e in task.episodes(split)}
    shown = list(islice(demonstrations(task, "train", np.random.default_rng(0), CostPlane().train()), 500))
    kinds = {demonstration.kind for demonstration in shown}
    assert {"page", "card", "told", "assistant/clarify", "assistant/answer", "assistant/multi_answer"} <= kinds
    for demonstration in shown:
        before = demonstration.messages[0][1]
        assert not any(context in before for context in held)
        if demonstration.kind in ("page", "card"):
            assert demonstration.messages[0][0] == "system" and "\n" in before, "facts come with the table they are of"


def test_facts_are_all_that_a_table_says(task):
    for index in range(50):
        episode = task.episode("train", index)
        table, facts = cells(episode.context), task.facts(episode)
        replies = dict(facts)
        assert len(replies) == len(facts), "each question means one thing"
        for reading in episode.interpretations:
            assert replies[reading.text] == reading.answers[0]
        figures = [question for question in replies if " rise " not in question and " together" not in question]
        assert len(figures) == 2 * len(table), "every figure, in two wordings"
        for question, answer in facts:
            row, years = rows_asked(Interpretation("", question, (), 1.0), table), YEAR.findall(question)
            read = [table[row, year] for year in years]
            number = int(re.search(r"\d+", answer)[0])
            assert number in (read[0], read[-1] - read[0], sum(read)) or 100 * (read[1] - read[0]) == number * read[0]


def test_working_is_right_beside_the_answer_and_is_demonstrated():
    task, plain = make_task("ledger", derived=1.0, working=True), make_task("ledger", derived=1.0)
    kinds = Counter()
    for index in range(100):
        episode, same = task.episode("train", index), plain.episode("train", index)
        for i, (reading, other) in enumerate(zip(episode.interpretations, same.interpretations, strict=True)):
            assert reading.answers[0] == other.answers[0] and task.score(reading.answers[0], i, episode) == 1
            if episode.meta["what"] == "cell":
                assert reading.answers == other.answers and task.demonstrated(i, episode) is None
                continue
            steps, _, result = task.demonstrated(i, episode).rpartition(" = ")
            assert result == reading.answers[0] and task.score(f"{steps} = {result}", i, episode) == 1
            assert plain.score(f"{steps} = {result}", i, same) == 0 == task.score(f"9{steps} = {result}", i, episode)
            before, after = (
                cells(episode.context)[rows_asked(reading, cells(episode.context)), year]
                for year in YEAR.findall(reading.text)
            )
            rise = f"{after} - {before} = {after - before}"
            formula = {
                "sum": f"{before} + {after}",
                "difference": f"{after} - {before}",
                "percentage": f"{rise}, {after - before} / {before}",
            }
            assert steps == formula[episode.meta["what"]]
            kinds[episode.meta["what"]] += 1
    assert min(kinds[what] for what in ledger.words.DERIVED) > 10


def test_lessons_hold_about_as_many_derived_figures_as_the_queries():
    for share in (0.0, 0.1, 0.2):
        task = make_task("ledger", derived=share)
        derived = total = 0
        for index in range(100):
            episode = task.episode("train", index)
            lessons = task.lessons(episode, np.random.default_rng(index))
            assert set(lessons) <= set(task.facts(episode)) and len(set(lessons)) == len(lessons)
            derived += sum(" rise " in query or " together" in query for query, _ in lessons)
            total += len(lessons)
        assert derived / total == pytest.approx(share, abs=0.03)


def test_rows_differ_in_so_many_dimensions():
    for dimensions in (1, 2):
        task = make_task("ledger", cells=16, dimensions=dimensions)
        most = 0
        for index in range(150):
            names = [set(row.split()) for row in {row for row, _ in cells(task.episode("train", index).context)}]
            every = set.union(*names)
            varying = every - set.intersection(*names)
            # One word of each dimension stands in a row, and words of one dimension never together.
            most = max(most, max(len(name & varying) for name in names))
        assert most == dimensions
