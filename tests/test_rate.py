"""Ratings by people and by raters: files that fit and files that do not, budgets, killed and continued."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from configs import arguments_of, stored_run
from conftest import SMALL as SMALL_EVALUATION

from clarify_env import make_task
from clarify_env.games import find_game
from clarify_env.games.setup import Setup
from clarify_env.selfplay import Start, play
from trainers import compare, evaluate, rate, reverify
from trainers.data.ratings import COLUMNS, Ratings, form_items, read_form, write_form
from trainers.evaluation import raters
from trainers.evaluation.compared import RatingChoice
from trainers.evaluation.items import FOLDER, GAMES, open_study
from trainers.evaluation.rating import bounds, plan_study, rate_study
from trainers.evaluation.rating_options import CheapRaterOptions, RaterOptions, RatingOptions
from trainers.evaluation.stored_games import stored_games
from trainers.rating.estimate import Estimate
from trainers.reporting.rating import caption
from trainers.runs import store
from trainers.runs.store import read_json

ALMANAC = ["task.train_names=4", "task.validation_names=2", "task.test_names=2"]
# Enough of a burn-in and a budget for a small run.
SMALL = ["rating.burn_in=8", "rating.budget=400"]
CHOICE = RatingOptions(burn_in=8, budget=400.0), RaterOptions(kind="em"), CheapRaterOptions()


@pytest.fixture(scope="module")
def games():
    """Games of the strategy that guesses, at several costs."""
    setup = Setup(find_game("clarification"), make_task("almanac", train_names=4, validation_names=2, test_names=2))
    players = {"user": setup.game.player("user", setup.task, "scripted")}
    players["assistant"] = setup.game.player("assistant", setup.task, "guess")
    rng, starts = np.random.default_rng(0), []
    for number in range(60):
        episode = setup.task.episode("train", number % setup.task.sizes["train"])
        starts.append(Start(episode, setup.game.draw(episode, rng), (0.1 + 0.01 * number, 0.02), seed=number))
    return list(play(starts, players, task=setup.task))


@pytest.fixture
def run(tmp_path, games):
    """A run that stored these games."""
    return stored_run(tmp_path / "played", "evaluate", [*ALMANAC, "assistant=scripted"], games)


def drawn(run, rater):
    """The probabilities on file of a strong rater."""
    (entry,) = [one for one in read_json(run / FOLDER / "drawn.json")["raters"] if one["rater"] == rater]
    return entry["rates"]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def fill(path, by, rows=None):
    """Fills in a file as a person does: the ratings that ``by`` gives to the first rows."""
    with path.open(newline="") as file:
        form = list(csv.DictReader(file))
    for row in form[:rows]:
        row["rating"] = by(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(form)


def right(row):
    return str(int(row["answer"] in row["reference"].split(" / ")))


@pytest.fixture
def rating(command, run, tmp_path):
    """Runs the command on the run, each action in a run directory of its own."""

    def act(action, *overrides):
        stem = next((Path(word).stem for word in overrides if word.startswith("file=")), "")
        return command(rate, f"run={run}", f"action={action}", f"run_dir={tmp_path / (action + stem)}", *overrides)

    return act


def test_the_human_path_from_export_to_estimate(rating, run, games, tmp_path):
    """Burn-in, sampled items, estimate, all by files that say nothing of method, costs or other raters."""
    while rating("estimate", *SMALL)[0]:
        assert rating("export", *SMALL) == (0, "")
        number = len(list((tmp_path / "export").glob("items-*.csv")))
        path = tmp_path / "export" / f"items-{number}.csv"
        text = path.read_text()
        assert text.splitlines()[0] == ",".join(COLUMNS)
        assert "guess" not in text and "0.02" not in text and "#ANSWER" not in text
        items = [row["item"] for row in csv.DictReader(path.open(newline=""))]
        assert items == sorted(items), "in the order of hashes, which is none of the run"
        fill(path, right)
        assert rating("import", f"file={path}") == (0, "")
        assert number < 5, "burn-in, then sampled"
        if number == 2:
            assert set(drawn(run, "person").values()) == {1.0}, "what is learned from so far"
    report = read_json(tmp_path / "estimate" / "rating.json")
    (entry,) = report["methods"].values()
    low, high = entry["interval"]
    assert low <= np.mean([game.result.score for game in games]) <= high
    assert (
        report["money"] <= 400
        and entry["strong"] < 60
        and "Always strong" in (tmp_path / "estimate/rating.md").read_text()
    )
    # The same as by the rater that the person imitated.
    by_metric = rate_study(open_study(run), *CHOICE).report
    assert by_metric["methods"] == report["methods"]


def test_the_probability_of_each_strong_rating_is_on_file(run):
    rate_study(open_study(run), *CHOICE)
    rates = drawn(run, "em")
    assert set(rates) == set(Ratings(run / FOLDER).of("em")) and min(rates.values()) < 1 == max(rates.values())
    # And stays there when others rate; a file from before there could be several is that of one pair.
    store.write_json(run / FOLDER / "drawn.json", {"rater": "em", "cheap_rater": "f1", "rates": rates})
    other = RaterOptions(kind="f1", price=10), CheapRaterOptions("em")
    rate_study(open_study(run), CHOICE[0], *other)
    assert drawn(run, "em") == rates and len(drawn(run, "f1")) >= 8
    planned = [plan_study(open_study(run), *raters) for raters in (CHOICE, (CHOICE[0], *other))]
    assert all(len(one.budgets) for one in planned)


BROKEN = [
    {"rater": "em", "cheap_rater": "f1", "rates": {"g1": 0}},
    {"raters": [{"rater": "em", "cheap_rater": "f1", "rates": {"g1": 2}}]},
    {"raters": [{"rater": "em", "rates": {"g1": 0.5}}]},
    {"raters": 3},
    [],
]


@pytest.mark.parametrize("content", BROKEN, ids=str)
def test_probabilities_that_are_none_are_refused(run, content):
    (run / FOLDER).mkdir()
    store.write_json(run / FOLDER / "drawn.json", content)
    with pytest.raises(ValueError, match=r"drawn\.json: rates must hold a probability above 0 and at most 1"):
        rate_study(open_study(run), *CHOICE)


def test_a_file_that_is_filled_in_bit_by_bit(rating, run, tmp_path):
    rating("export", *SMALL)
    path = tmp_path / "export" / "items-1.csv"
    before = path.read_text()
    assert rating("export", *SMALL) == (0, "") and path.read_text() == before, "not written twice"
    fill(path, right, rows=3)
    assert rating("import", f"file={path}") == (0, "")
    assert rating("import", f"file={path}") == (0, ""), "equal ratings may be read again"
    assert len(Ratings(run / FOLDER).of("person")) == 3
    assert rating("export", *SMALL) == (0, "")
    assert right_rows(path) == 3, "what was filled in stays"
    rest = list(csv.DictReader((tmp_path / "export" / "items-2.csv").open(newline="")))
    assert len(rest) == len(before.splitlines()) - 1 - 3


def right_rows(path):
    return sum(row["rating"] != "" for row in csv.DictReader(path.open(newline="")))


def test_without_the_right_answer_if_a_person_is_to_know_it_alone(rating, tmp_path):
    rating("export", "reference=false", "format=jsonl", "most=2", *SMALL)
    rows = lines_of(tmp_path / "export" / "items-1.jsonl")
    assert len(rows) == 2 and all(row["reference"] == "" and row["answer"] and row["rating"] is None for row in rows)


HEAD = "item,rating\n"
BAD = [
    ("x.csv", "", "x.csv: is empty"),
    ("x.csv", HEAD, "x.csv: holds no items"),
    ("x.csv", "item,score\na,1\n", "line 1: there is no column rating, only item, score"),
    ("x.csv", "item,rating,rating\na,1,1\n", "line 1: there is more than one column rating"),
    ("x.csv", HEAD + "a,1\nzz,1\n", 'line 3: item "zz" is none of the 3 items of this run'),
    ("x.csv", HEAD + "a,1\n,1\n", 'line 3: item "" is none of the 3 items'),
    ("x.csv", HEAD + "a,1\nb,2\n", 'line 3: rating must be a number in [0, 1], not "2"'),
    ("x.csv", HEAD + "a,-0.1\n", 'line 2: rating must be a number in [0, 1], not "-0.1"'),
    ("x.csv", HEAD + "a,yes\n", 'line 2: rating must be a number in [0, 1], not "yes"'),
    ("x.csv", HEAD + "a,nan\n", 'line 2: rating must be a number in [0, 1], not "nan"'),
    ("x.csv", HEAD + "a,inf\n", 'line 2: rating must be a number in [0, 1], not "inf"'),
    ("x.csv", HEAD + "a,1.0001\n", 'line 2: rating must be a number in [0, 1], not "1.0001"'),
    ("x.csv", HEAD + "a,0_1\n", 'line 2: rating must be a number in [0, 1], not "0_1"'),
    ("x.csv", HEAD + "a,\u0661\n", "line 2: rating must be a number in [0, 1], not "),
    ("x.csv", HEAD + "a,=1\n", 'line 2: rating must be a number in [0, 1], not "=1"'),
    ("x.csv", HEAD + "a,1\nb,0\na,1\n", "line 4: item a stands in line 2 already"),
    ("x.csv", HEAD + "c,1\n", "line 2: rating 1 of item c is 0.25 in the ratings so far"),
    ("x.csv", HEAD + "a,1,1\n", "line 2: 3 cells, but the header names 2 columns"),
    ("x.csv", HEAD + 'a,1\n"b,1\n', "line 3: no CSV"),
    ("x.csv", HEAD + '"b\n\n",1\na,3\n', "line 5: rating must be"),
    ("x.csv", b"item,rating\na,\xff\n", "line 2: not UTF-8 (invalid start byte): save it as UTF-8"),
    ("x.jsonl", "[1]\n", "line 1: must be an object with item and rating, not [1]"),
    ("x.jsonl", '[{"item": "a", "rating": 1}]', 'line 1: must be an object with item and rating, not [{"item": "a", '),
    ("x.jsonl", '{"item": "a", "rating": 1}\n{"item": "b"}\n', "line 2: rating is missing"),
    ("x.jsonl", '{"rating": 1}\n', "line 1: item is missing"),
    ("x.jsonl", '{"item": "a", "rating": 1, "rating": 0}\n', "line 1: rating stands twice"),
    ("x.jsonl", '{"item": "a", "rating": true}\n', "line 1: rating must be a number in [0, 1], not true"),
    ("x.jsonl", '{"item": "a", "rating": NaN}\n', "line 1: rating must be a number in [0, 1], not NaN"),
    ("x.jsonl", '{"item": ["a"], "rating": 1}\n', 'line 1: item ["a"] is none of the 3 items'),
    ("x.jsonl", '{"item": "a", "rating": 1\n', "line 1: not JSON"),
    ("x.jsonl", '{"item": "a", "rating": 1' + "0" * 5000 + "}\n", "line 1: "),
    ("x.jsonl", "[" * 100_000 + "\n", "line 1: not JSON"),
    ("x.txt", "a 1\n", "x.txt: a filled file ends in .csv or .jsonl"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[f"{name}-{m[:40]}" for name, _, m in BAD])
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        read_form(path, ["a", "b", "c"], {"c": 0.25})
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


GOOD = [
    ("x.csv", "\ufeffItem;Rating\r\na;0,5\r\nb;\r\n\r\n", "as a spreadsheet of another country writes it"),
    ("x.csv", 'question,rating,item\n"why, and\nhow",0.5,a\n,,b\n', "columns in another order, a cell of two lines"),
    ("x.csv", "item\trating\tnote\na\t.5\tunsure\nb\t \t\n", "tabs, and a column of the person's own"),
    ("x.jsonl", '{"item": "a", "rating": 0.5}\n\n{"rating": null, "item": "b", "note": "?"}', "JSON lines"),
]


@pytest.mark.parametrize(("name", "content", "why"), GOOD, ids=[why for *_, why in GOOD])
def test_a_file_that_fits_is_read(tmp_path, name, content, why):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_form(tmp_path / name, ["a", "b"], {"a": 0.5}) == ({"a": 0.5}, 1), why


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_what_is_written_is_read_whatever_it_holds(tmp_path, name):
    texts = ["", "a,b", 'he said "no"', "two\nlines", "a\rb", "a\r\nb", "=1+1", "\u2028 é", "\ud800", "\0", "{answer}"]
    rows = [dict.fromkeys(COLUMNS[:-1], text) | {"item": f"i{at}"} for at, text in enumerate(texts)]
    write_form(tmp_path / name, rows)
    assert read_form(tmp_path / name, [row["item"] for row in rows], {}) == ({}, len(rows))
    assert name != "x.csv" or "'=1+1" in (tmp_path / name).read_text(encoding="utf-8"), "no spreadsheet runs it"


def test_no_spreadsheet_takes_an_item_for_a_number(run):
    assert all(re.fullmatch("g[0-9a-f]{12}", item) for item in open_study(run).by_id())


def test_a_run_that_stored_no_games_says_how_it_stores_some(command, run, tmp_path):
    shutil.rmtree(run / "trajectories")
    code, error = command(rate, f"run={run}", f"run_dir={tmp_path / 'out'}")
    assert code == 1 and f"run: {run} holds no games" in error
    assert "its own command, run again with rating.games=1000, stores some to be rated" in error
    (run / FOLDER).mkdir(exist_ok=True)
    (run / FOLDER / GAMES).touch()
    code, error = command(rate, f"run={run}", f"run_dir={tmp_path / 'out'}")
    assert code == 1 and f"there is no whole chunk in {run / FOLDER / GAMES}\n" in error


def test_a_refused_file_changes_nothing(rating, run, tmp_path):
    rating("export", *SMALL)
    path = tmp_path / "export" / "items-1.csv"
    fill(path, right)
    text = path.read_text()
    path.write_text(text + "nobody,,,,,1\n")
    journal = (run / FOLDER / "ratings.jsonl").read_bytes()
    code, error = rating("import", f"file={path}")
    assert code == 1 and re.search(rf"error: {path}, line \d+: item \"nobody\" is none of the", error)
    assert (run / FOLDER / "ratings.jsonl").read_bytes() == journal and not (tmp_path / "import").exists()


LINES = [
    ("[]", "no rating: it is no JSON object"),
    ('{"rater": "em", "rating": 1, "price": 1}', "item must be a text, not null"),
    ('{"item": "a", "rater": 3, "rating": 1, "price": 1}', "rater must be a text, not 3"),
    ('{"item": "a", "rater": "em", "rating": 2, "price": 1}', r"rating must be a number in \[0, 1\], not 2"),
    ('{"item": "a", "rater": "em", "rating": true, "price": 1}', r"rating must be a number in \[0, 1\], not true"),
    ('{"item": "a", "rater": "em", "rating": 1, "price": -1}', "price must be a number of at least 0, not -1"),
    ("{", "not JSON"),
]


@pytest.mark.parametrize(("line", "message"), LINES, ids=[message for _, message in LINES])
def test_a_line_of_the_journal_that_is_no_rating_is_named(tmp_path, line, message):
    (tmp_path / "ratings.jsonl").write_text('{"item": "a", "rater": "em", "rating": 1, "price": 1}\n' + line + "\n")
    with pytest.raises(ValueError, match=f"ratings.jsonl, line 2: {message}"):
        Ratings(tmp_path)


def test_a_torn_last_line_is_dropped_and_the_rest_stays(tmp_path):
    Ratings(tmp_path).add("em", {"a": 1.0, "b": 0.5}, 2.0)
    path = tmp_path / "ratings.jsonl"
    path.write_bytes(path.read_bytes() + b'{"item": "c", "ra')
    journal = Ratings(tmp_path)
    journal.add("em", {"d": 0.0}, 2.0)
    assert Ratings(tmp_path).of("em") == {"a": 1.0, "b": 0.5, "d": 0.0} and Ratings(tmp_path).spent("em") == 6.0


def test_a_rater_that_is_stopped_goes_on_where_it_was(run, monkeypatch):
    """Whatever was rated is on disk: nothing is rated twice, and the estimate is that of an undisturbed run."""
    calls: list[int] = []
    by_text = raters.by_text

    def counted(metric, setup, played):
        if metric == "em":
            if len(calls) == 1:
                calls.append(0)
                raise KeyboardInterrupt
            calls.append(len(played))
        return by_text(metric, setup, played)

    monkeypatch.setattr(raters, "by_text", counted)
    monkeypatch.setattr("trainers.evaluation.rating._CHUNK", 5)
    with pytest.raises(KeyboardInterrupt):
        rate_study(open_study(run), *CHOICE)
    assert len(Ratings(run / FOLDER).of("em")) == calls[0] <= 5
    continued = rate_study(open_study(run), *CHOICE).report
    assert sum(calls) == len(Ratings(run / FOLDER).of("em")), "each once"
    (run / FOLDER / "ratings.jsonl").unlink()
    assert rate_study(open_study(run), *CHOICE).report == continued


@pytest.mark.parametrize("budget", [30.0, 120.0, 333.0, 10_000.0])
@pytest.mark.parametrize("policy", ["always", "uniform", "active"])
def test_the_budget_is_kept(run, budget, policy):
    _, *both = CHOICE
    options = RatingOptions(budget=budget, policy=policy)
    report = rate_study(open_study(run), options, *both).report
    (entry,) = report["methods"].values()
    assert report["money"] <= budget and entry["money"] == pytest.approx(report["money"], abs=11)
    journal = Ratings(run / FOLDER)
    assert report["paid"] == journal.spent("em") + journal.spent("f1") <= report["money"], "equal answers: once"
    stated = f" counted, {report['paid']:,g} paid (equal answers are rated once"
    assert (stated in caption(report)) == (report["paid"] < report["money"])
    assert budget < 1000 or report["paid"] < report["money"]


TYPED = "y\nn\n2\nperhaps\n0,5\n\nq\n"


def test_ratings_are_typed_and_each_is_on_disk_at_once(rating, run, monkeypatch, tmp_path):
    lines = iter(TYPED.splitlines())
    seen = []

    def typed(prompt):
        seen.append(len(Ratings(run / FOLDER).of("person")))
        return next(lines)

    monkeypatch.setattr("builtins.input", typed)
    code, error = rating("ask", *SMALL)
    assert code == 0 and error.count("a number from 0 (wrong) to 1 (right)") == 2
    assert seen == [0, 1, 2, 2, 2, 3, 3]
    assert sorted(Ratings(run / FOLDER).of("person").values()) == [0, 0.5, 1]


def test_an_answer_cannot_steer_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda prompt: "1")
    row = dict.fromkeys(COLUMNS, "") | {"answer": "Bonn\x1b[2J\rright\x9b\nAbc"}
    assert rate._answered(row, "1 of 1") == 1
    assert "answer: Bonn\ufffd[2J\ufffdright\ufffd\nAbc\n" in capsys.readouterr().out


def test_an_export_prints_the_command_that_reads_the_file(monkeypatch, command, run, tmp_path):
    printed, folder = [], tmp_path / "to rate"
    monkeypatch.setattr("builtins.print", lambda *texts, **_: printed.extend(texts))
    assert command(rate, f"run={run}", "action=export", f"run_dir={folder}", *SMALL)[0] == 0
    shown = next(line for line in printed if line.startswith("python -m trainers.rate "))
    words = shlex.split(shown)[3:]
    assert words == [f"run={run}", "action=import", f"file={folder / 'items-1.csv'}"]
    fill(folder / "items-1.csv", right)
    assert command(rate, *words, f"run_dir={tmp_path / 'import'}") == (0, "")


def test_a_file_of_an_earlier_export_that_is_broken_is_left_alone(rating, tmp_path):
    rating("export", *SMALL)
    path = tmp_path / "export" / "items-1.csv"
    path.write_bytes(b"item\xff")
    assert rating("export", *SMALL) == (0, "")
    assert path.read_bytes() == b"item\xff" and len(form_items(path.with_name("items-2.csv"))) > 1


def test_typing_to_the_end_gives_the_estimate(rating, run, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: "1")
    assert rating("ask", *SMALL) == (0, "") and rating("estimate", *SMALL) == (0, "")


def test_a_plan_says_what_a_budget_buys(rating, run, tmp_path):
    code, error = rating("plan", *SMALL)
    assert (code, error.count("\n")) == (1, 1) and "has 0 games that both person and f1 rated" in error
    rate_study(open_study(run), *CHOICE)
    assert rating("plan", "rater.kind=em", f"run_dir={tmp_path / 'planned'}") == (0, "")
    planned = read_json(tmp_path / "planned" / "plan.json")
    assert set(planned["widths"]) == {"always", "uniform", "active"} and (tmp_path / "planned" / "plan.png").exists()
    assert (tmp_path / "planned" / "plan.md").read_text().startswith("Width of the 95 % interval by budget")
    assert all(np.diff(widths).max() <= 1e-9 for widths in planned["widths"].values()), "more money, no wider"


def test_errors_learned_in_another_run_need_no_burn_in(rating, run, games, tmp_path):
    rate_study(open_study(run), *CHOICE)
    other = stored_run(tmp_path / "other", "evaluate", [*ALMANAC, "assistant=scripted"], games[::-1])
    options = RatingOptions(budget=300.0, transfer=str(run))
    report = rate_study(open_study(other), options, RaterOptions(kind="em"), CheapRaterOptions()).report
    assert report["money"] <= 300
    rates = drawn(other, "em")
    assert min(rates.values()) < 1
    # Nor does a person's turn count as one.
    shutil.copytree(run, known := tmp_path / "known")
    journal = Ratings(known / FOLDER)
    journal.add("person", journal.of("em"), 10)
    by_person = RaterOptions(kind="person")
    store.write_json(known / FOLDER / "drawn.json", {"rater": "person", "cheap_rater": "f1", "rates": drawn(run, "em")})
    waiting = rate_study(open_study(other), replace(options, transfer=str(known)), by_person, CheapRaterOptions())
    assert waiting.stage == "sampled" and {item.id for item in waiting.pending} == set(drawn(other, "person"))
    assert drawn(other, "person").items() <= rates.items()
    with pytest.raises(ValueError, match=r"rating.transfer: .*other has 0 games that both em and drop rated"):
        rate_study(
            open_study(run), RatingOptions(transfer=str(other)), RaterOptions(kind="em"), CheapRaterOptions("drop")
        )


# Entities enough for intervals.
MORE = ["task.test_names=8", "eval.episodes=16"]
EVALUATED = [
    *SMALL_EVALUATION,
    *MORE,
    "assistant=scripted",
    "assistant.strategy=guess",
    "eval.sets=[between]",
    "eval.modes=[temperature]",
]
RATED = ["rater.kind=em", "rating.games=40", *SMALL]


def test_an_evaluation_rates_its_games_and_is_the_same_without(command, tmp_path):
    out, plain = tmp_path / "out", tmp_path / "plain"
    assert command(evaluate, *EVALUATED, *RATED, f"run_dir={out}") == (0, "")
    assert command(evaluate, *EVALUATED, f"run_dir={plain}") == (0, "")
    report = read_json(out / "rating" / "rating.json")
    (entry,) = report["methods"].values()
    low, high = entry["interval"]
    (accuracy,) = [modes["temperature"]["accuracy"] for modes in read_json(out / "summary.json")["eval"].values()]
    assert f"<td>{entry['estimate']:.3f} [{low:.3f}, {high:.3f}]</td>" in (out / "report.html").read_text()
    assert "Ratings</h3>" not in (plain / "report.html").read_text(), "nothing was rated"
    assert low <= accuracy <= high and report["games"] == 40 and report["money"] <= 400
    assert read_json(out / "config.json") == read_json(plain / "config.json"), "ratings change no run"
    same = ("evaluation.json", "transcripts.jsonl")
    assert [(out / name).read_bytes() for name in same] == [(plain / name).read_bytes() for name in same]
    # A finished run is rated by the same command with a rater: the games that it had not stored are played again.
    assert not (plain / "rating").exists()
    assert command(evaluate, *EVALUATED, *RATED, f"run_dir={plain}") == (0, "")
    assert read_json(plain / "rating" / "rating.json") == report
    # What an evaluation stored is what the command rates, and a person is told how.
    code, error = command(evaluate, *EVALUATED, *RATED, "rater.kind=person", f"run_dir={out}")
    assert code == 0 and f"games wait: python -m trainers.rate run={out} action=export" in error
    assert [game.id for _, game in open_study(out).run.games()] != [] and len(open_study(out).entities) == 40


def test_more_games_are_stored_while_none_is_rated(command, tmp_path):
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    line = (evaluate, *EVALUATED, *SMALL)

    def stored(folder):
        return (folder / FOLDER / GAMES).read_text().splitlines()

    assert command(*line, "rating.games=10", f"run_dir={out}") == (0, "") and len(stored(out)) == 10
    assert command(*line, "rating.games=40", "rater.kind=em", f"run_dir={out}") == (0, "")
    assert command(*line, "rating.games=40", f"run_dir={fresh}") == (0, "") and stored(out) == stored(fresh)
    assert read_json(out / "rating" / "rating.json")["games"] == 40
    code, error = command(*line, "rating.games=50", "rater.kind=em", f"run_dir={out}")
    assert code == 1 and error.startswith(f"error: rating.games=50: {out} holds ratings of the 40 games")
    assert error.count("\n") == 1 and len(stored(out)) == 40
    assert command(*line, "rater.kind=em", f"run_dir={out}")[0] == 0, "those on file"


def test_methods_on_the_same_episodes_are_compared_in_pairs(command, tmp_path):
    folder = tmp_path / "both"
    (folder / "rating").mkdir(parents=True)
    cells = {name: str(tmp_path / name) for name in ("guess", "ask")}
    for name, cell in cells.items():
        words = [*EVALUATED, f"assistant.strategy={name}", "rating.games=40", f"run_dir={cell}"]
        assert command(evaluate, *words) == (0, "")
    store.write_json(folder / "rating" / "study.json", cells)
    assert command(rate, f"run={folder}", "rater.kind=em", "rating.burn_in=10", f"run_dir={tmp_path / 'out'}") == (
        0,
        "",
    )
    report = read_json(tmp_path / "out" / "rating.json")
    assert report["ranking"] == ["ask", "guess"] and report["games"] == 40
    (difference,) = report["differences"]
    low, high = difference["interval"]
    assert difference["methods"] == ["guess", "ask"] and low < difference["estimate"] < high < 0
    single = report["methods"]["guess"]["interval"]
    assert high - low < 2 * (single[1] - single[0])
    assert "guess - ask: -0." in (tmp_path / "out" / "rating.md").read_text()
    # Other costs are other games.
    assert command(evaluate, *EVALUATED, "eval.seed=3", "rating.games=40", f"run_dir={tmp_path / 'third'}") == (0, "")
    store.write_json(folder / "rating" / "study.json", cells | {"third": str(tmp_path / "third")})
    code, error = command(rate, f"run={folder}", "rater.kind=em", f"run_dir={tmp_path / 'no'}")
    assert (code, error) == (1, "error: run: guess and third did not play the same episodes at the same costs\n")


NOT_RATED = [
    (["rater.kind=execution"], "rater.kind=execution: answers of task almanac are no queries"),
    (["rater.kind=em", "tune=true"], "rater.kind must be null with tune=true, which compares settings"),
    (["rater.kind=em", "rating.budget=20"], "rating.budget 20 is less than 22, the price of a burn-in of 2 items"),
    (["rater.kind=em", "rating.burn_in=9", "rating.games=8"], "rating.burn_in 9 is more than there are: 8"),
    (["rater.kind=em", "rating.policy=always", "rating.burn_in=9"], "rating.burn_in has no effect with rating.policy"),
    (
        ["rater.kind=em", "only=[stargate]", "reference=stargate", "seeds=[0]", "rating.budget=40", "rating.burn_in=3"],
        "rating.burn_in 3 is more than a budget of 40 pays for: 1, as both ratings of 2 cost 22",  # and its control
    ),
]


@pytest.mark.parametrize(("overrides", "message"), NOT_RATED, ids=[" ".join(words) for words, _ in NOT_RATED])
def test_a_comparison_says_before_its_runs_that_a_rater_cannot_rate(command, tmp_path, overrides, message):
    words = ["only=[guess,list]", "reference=guess", f"cells={tmp_path / 'cells'}", f"run_dir={tmp_path / 'out'}"]
    code, error = command(compare, *words, *overrides)
    assert code == 1 and error.startswith(f"error: {message}"), error
    assert not (tmp_path / "cells").exists()


@pytest.mark.slow
def test_a_comparison_stores_games_and_rates_all_methods_under_one_budget(command, tmp_path):
    overrides = ",".join(f"'{word}'" for word in [*SMALL_EVALUATION, *MORE, *EVALUATED[-2:]])
    words = ["only=[guess,list]", "reference=guess", f"overrides=[{overrides}]", f"cells={tmp_path / 'cells'}", *RATED]
    options, *choice = (arguments_of("compare", *words)[name] for name in ("options", "rating", "rater", "cheap_rater"))
    for cell in compare.make_cells(options, RatingChoice(*choice)):
        assert "rating.games=40" in cell.overrides and not cell.finished
        assert command(evaluate, *cell.overrides, f"run_dir={cell.folder}") == (0, "") and cell.finished
    assert command(compare, *words, f"run_dir={tmp_path / 'out'}") == (0, "")
    report = read_json(tmp_path / "out" / "rated" / "almanac" / "rating" / "rating.json")
    assert list(report["methods"]) == ["guess", "list"] and report["money"] <= 400
    assert sum(entry["money"] for entry in report["methods"].values()) == pytest.approx(report["money"])


@pytest.mark.parametrize(
    ("words", "stored"),
    [
        (["eval.episodes=3"], 3 * 20),
        (["eval.episodes=200", "task.test_names=100"], 1000),
        (["eval.episodes=3", "rating.games=50"], 50),
        (["task.test_names=1"], 2 * 20),
        (["eval.episodes=3", "eval.sets=[seen]"], 3 * 20),
    ],
)
def test_games_that_an_evaluation_stores_are_counted_before_it_plays(words, stored):
    """So that a burn-in of more is refused at once; 20 pairs of costs each."""
    line = ["evaluate", *ALMANAC, "assistant=scripted", "rater.kind=em", *words]
    assert stored_games(arguments_of(*line, f"rating.burn_in={stored}")["experiment"]) == stored
    with pytest.raises(ValueError, match=f"rating.burn_in {stored + 1} is more than there are: {stored}"):
        arguments_of(*line, f"rating.burn_in={stored + 1}")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.2, 0.4, [0.2, 0.4]),
        (-0.1, 0.4, [0.0, 0.4]),
        (0.9, 1.2, [0.9, 1.0]),
        (1.01, 1.2, [1.0, 1.0]),
        (-np.inf, np.inf, None),
    ],
)
def test_an_interval_stays_within_what_ratings_can_be(low, high, expected):
    assert bounds(Estimate((low + high) / 2, 0.1, low, high), 0.0, 1.0) == expected


def test_games_of_two_entities_have_no_interval_and_that_is_said(command, tmp_path):
    few = [word for word in EVALUATED if word not in MORE]
    assert command(evaluate, *few, *RATED, f"run_dir={tmp_path / 'out'}") == (0, "")
    (entry,) = read_json(tmp_path / "out" / "rating" / "rating.json")["methods"].values()
    assert entry["interval"] is None and "(no interval)" in (tmp_path / "out" / "rating" / "rating.md").read_text()


def test_stored_games_are_scored_by_any_rater(command, run, games, tmp_path):
    words = [f"run={run}", "rater.kind=f1", f"run_dir={tmp_path / 'out'}"]
    assert command(reverify, *words) == (0, "")
    result = read_json(tmp_path / "out" / "reverify.json")
    expected = raters.by_text("f1", open_study(run).setup, games).tolist()
    assert [game["rating"] for game in result["games"]] == expected and result["rating"] == np.mean(expected)
    assert result["rater"] == "f1" and set(Ratings(run / FOLDER).of("f1").values()) <= set(expected)
    code, error = command(reverify, f"run={run}", "rater.kind=person", f"run_dir={tmp_path / 'no'}")
    assert code == 1 and error.startswith("error: rater.kind=person: people rate by trainers.rate")


REFUSED = [
    (["action=import"], "file is the filled file of action=import, and of no other action"),
    (["action=export", "file=x.csv"], "file is the filled file of action=import, and of no other action"),
    (["action=import", "file=no.csv"], "file: no.csv is no file"),
    (["action=export", "rater.kind=em"], "action=export is for rater.kind=person; rater.kind=em rates by itself"),
    (["rater.kind=null"], "rater.kind must be the rater whose mean rating is estimated, not null"),
    (["rater.kind=execution"], "answers of task almanac are no queries to a database"),
    (["rating.budget=3"], "rating.budget 3 pays for no item"),
    (["rating.budget=11"], "rating.budget 11 is less than 22, the price of a burn-in of 2 items"),
    (["rating.burn_in=61"], "rating.burn_in 61 is more than there are: 60"),
    (["rating.burn_in=20", "rating.budget=99"], "rating.burn_in 20 is more than a budget of 99 pays for: 9"),
    (["rating.transfer={run}"], "rating.transfer must be another run than run"),
    (["rating.games=59"], "rating.games=59 is of the evaluation that stores games: "),
    (["rater.price=1e308"], "rater.price must be a number between 0 and 1e+09"),
    (["rating.policy=best"], "rating.policy must be one of always, uniform, active, not 'best'"),
    (["action=rate"], "action must be one of estimate, export, import, ask, plan, not 'rate'"),
    (["rating.transfer=nowhere"], "rating.transfer: nowhere is no run directory"),
    (["rating.budgets=3"], "there is no option rating.budgets; did you mean rating.budget?"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_a_wrong_option_leaves_nothing_behind(command, run, tmp_path, overrides, message):
    code, error = command(
        rate, f"run={run}", f"run_dir={tmp_path / 'out'}", *(word.format(run=run) for word in overrides)
    )
    assert code == 1 and message in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists() and not (run / FOLDER).exists()


@pytest.mark.slow  # processes of their own
def test_a_killed_process_has_lost_nothing(run, tmp_path):
    line = [sys.executable, "-u", "-m", "trainers.rate", f"run={run}", *SMALL]
    streams = {"stdout": subprocess.PIPE, "text": True, "env": os.environ | {"NO_PROGRESS": "1"}}
    asking = subprocess.Popen([*line, "action=ask", f"run_dir={tmp_path / 'ask'}"], stdin=subprocess.PIPE, **streams)
    asking.stdin.write("1\n0\n1\n")
    asking.stdin.flush()
    journal = run / FOLDER / "ratings.jsonl"
    while not journal.exists() or len(Ratings(run / FOLDER).of("person")) < 3:
        assert asking.poll() is None
        time.sleep(0.05)
    os.kill(asking.pid, signal.SIGKILL)
    asking.wait()
    before = journal.read_bytes()
    again = subprocess.run([*line, "action=ask", f"run_dir={tmp_path / 'ask'}"], input="q\n", **streams, check=True)
    assert again.returncode == 0 and journal.read_bytes() == before and len(Ratings(run / FOLDER).of("person")) == 3


def test_a_journal_is_cut_where_a_crash_left_it(run, monkeypatch, rating, tmp_path):
    """A process that dies in the middle of a write of many ratings: whole lines count, and the file is read again."""
    rating("export", *SMALL)
    path = tmp_path / "export" / "items-1.csv"
    fill(path, right)
    whole = store.append_lines

    def torn(target, records):
        whole(target, records)
        os.truncate(target, target.stat().st_size - 20)
        raise KeyboardInterrupt

    monkeypatch.setattr("trainers.data.ratings.append_lines", torn)
    assert rating("import", f"file={path}")[0] == 130
    monkeypatch.setattr("trainers.data.ratings.append_lines", whole)
    assert rating("import", f"file={path}") == (0, "")
    assert len(Ratings(run / FOLDER).of("person")) == right_rows(path)


@pytest.mark.parametrize(("confidence", "stated"), [(0.95, "95%"), (0.975, "97.5%"), (0.29, "29%"), (0.9999, "99.99%")])
def test_the_confidence_is_stated_as_it_is(run, confidence, stated):
    rating, *raters_of = CHOICE
    report = rate_study(open_study(run), replace(rating, confidence=confidence), *raters_of).report
    assert f" {stated} interval" in caption(report)


def test_equal_ratings_cost_nothing_to_know(run, monkeypatch):
    # 0.9: the squares of such ratings leave a variance of rounding alone.
    monkeypatch.setattr(raters, "by_text", lambda metric, setup, games: np.full(len(games), 0.9))
    (entry,) = rate_study(open_study(run), *CHOICE).report["methods"].values()
    assert entry["always"] is None
