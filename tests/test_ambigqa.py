"""The AmbigQA task on small files made here, and on the real data where it is at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clarify_env.games.clarification.actions import Item, parse
from clarify_env.games.clarification.oracle import solve
from clarify_env.games.clarification.plans import closing_plans, list_message, shortest_answer, shortest_label
from clarify_env.tasks import make_task
from clarify_env.tasks.ambigqa import ONLY
from clarify_env.tasks.base import distinguishing_labels
from clarify_env.testing import check_task

DATA = (
    Path(os.environ.get("CLARIFY_DATA", Path(__file__).parents[2] / "shared" / "data"))
    / "ambignq_light"
    / "dev_light.json"
)
needs_data = pytest.mark.skipif(not DATA.exists(), reason=f"no AmbigQA data at {DATA} (set CLARIFY_DATA)")


def single(*answers):
    return {"type": "singleAnswer", "answer": list(answers)}


def multi(**answers):
    """Readings of "Who won?", told apart by a word."""
    pairs = [
        {"question": f"Who won {word}?", "answer": [a] if isinstance(a, str) else a} for word, a in answers.items()
    ]
    return {"type": "multipleQAs", "qaPairs": pairs}


def record(number, *annotations, question="Who won?"):
    return {"id": str(number), "question": question, "annotations": list(annotations)}


PLAIN = [record(i, single(f"Abel{i}"), question=f"Who won cup {i}?") for i in range(6)]


@pytest.fixture
def load(tmp_path):
    def load(*records, **options):
        path = tmp_path / "questions.json"
        path.write_text(json.dumps([*PLAIN, *records]), encoding="utf-8")
        return make_task("ambigqa", path=path, **options)

    return load


def found(task, key):
    """The readings made of the record with this id, if it was used."""
    episodes = [e for split in task.sizes for e in task.episodes(split) if e.meta["entity"] == str(key)]
    return [(r.label, r.answers, r.weight) for r in episodes[0].interpretations] if episodes else None


TWO = [("golf", ("Abel",), 0.5), ("chess", ("Bauer",), 0.5)]
ONE = [(ONLY, ("Abel",), 1.0)]
GOLF_CHESS = multi(golf="Abel", chess="Bauer")
USED = [
    ([GOLF_CHESS], {}, TWO, "readings equally likely"),
    ([single("Abel")], {}, ONE, "no need to ask"),
    (
        [single("Abel"), single("Ada Abel", "abel!")],
        {},
        [(ONLY, ("Abel", "Ada Abel"), 1.0)],
        "aliases of annotators who agree",
    ),
    ([GOLF_CHESS, multi(football="Conti", tennis="Duval")], {}, TWO, "the first of two lists"),
    ([multi(golf="Abel")], {}, [(ONLY, ("Abel",), 1.0)], "a list of one reading"),
    (
        [multi(golf=["Abel; the great", "  ", "The", "Abel: he\nhimself"], chess="Bauer")],
        {},
        [("golf", ("Abel the great", "The", "Abel: he himself"), 0.5), TWO[1]],
        "answers without ;, on one line, none of them blank",
    ),
    ([single("Abel"), GOLF_CHESS], {"disagreement": "first"}, ONE, "the first annotator"),
    ([GOLF_CHESS, single("Abel")], {"disagreement": "first"}, TWO, "the first annotator"),
    ([single("Abel"), GOLF_CHESS, GOLF_CHESS], {"disagreement": "majority"}, TWO, "most annotators"),
    ([single("Abel"), single("Bauer")], {"disagreement": "majority"}, [(ONLY, ("Abel", "Bauer"), 1.0)], "both answers"),
    ([single("Abel"), single("Bauer")], {"disagreement": "first"}, ONE, "the first answer"),
    (
        [multi(**{"in 1990": "Abel", "in 1991": "Bauer"})],
        {},
        [("1990", ("Abel",), 0.5), ("1991", ("Bauer",), 0.5)],
        "years are kept",
    ),
    (
        [multi(golf="Abel", chess="the Abel")],
        {"overlap": "keep"},
        [TWO[0], ("chess", ("the Abel",), 0.5)],
        "kept apart",
    ),
    (
        [multi(golf="Abel", chess=["Bauer", "abel"])],
        {"overlap": "merge"},
        [(ONLY, ("Abel", "Bauer"), 1.0)],
        "merged into one",
    ),
    (
        [multi(golf="Abel", chess="Bauer", football=["Abel", "Bauer"], tennis="Conti")],
        {"overlap": "merge"},
        [("golf", ("Abel", "Bauer"), 0.75), ("tennis", ("Conti",), 0.25)],
        "a reading merges two; weights add up",
    ),
    (
        [multi(golf="Abel", chess=["one two three four", "Bauer"])],
        {"max_answer_words": 1},
        [TWO[0], ("chess", ("one two three four", "Bauer"), 0.5)],
        "one short alias is enough",
    ),
    ([multi(an="Abel", b="Bauer", c="Conti")], {"max_readings": 3}, None, "articles cannot be labels"),
    (
        [multi(a="Abel", b="Bauer")],
        {},
        [("a", ("Abel",), 0.5), ("b", ("Bauer",), 0.5)],
        "but letters can",
    ),
    (
        [multi(golf="A", chess=["+", "The The"])],
        {},
        [("golf", ("A",), 0.5), ("chess", ("+", "The The"), 0.5)],
        "answers of an article or a sign",
    ),
    (
        [multi(golf="-5", chess="5")],
        {},
        [("golf", ("-5",), 0.5), ("chess", ("5",), 0.5)],
        "answers that differ in a sign are not shared",
    ),
    (
        [multi(**{"red film": "Abel", "red opera": "Bauer", "blue film": "Conti", "blue opera": "Duval"})],
        {},
        [
            (label, (answer,), 0.25)
            for label, answer in (
                ("red film", "Abel"),
                ("red opera", "Bauer"),
                ("blue film", "Conti"),
                ("blue opera", "Duval"),
            )
        ],
        "no word of their own",
    ),
    (
        [multi(**{"film or of": "Abel", "opera": "Bauer"})],
        {},
        [("film", ("Abel",), 0.5), ("opera", ("Bauer",), 0.5)],
        "plain words go",
    ),
]


@pytest.mark.parametrize("annotations, options, readings, why", USED)
def test_what_a_record_becomes(load, annotations, options, readings, why):
    assert found(load(record(9, *annotations), **options), 9) == readings, why


DROPPED = [
    ([single("Abel"), GOLF_CHESS], {}, "annotators disagree on ambiguity"),
    ([single("Abel"), GOLF_CHESS], {"disagreement": "majority"}, "annotators disagree on ambiguity"),
    ([single("Abel"), single("Bauer")], {}, "annotators disagree on the answer"),
    ([multi(golf="Abel", chess=["Bauer", "The abel"])], {}, "readings share an answer"),
    ([multi(golf="Abel", chess=[" ", "\u200b"])], {}, "reading without an answer"),
    ([multi(golf="Abel", chess="Bauer", darts="Conti")], {"max_readings": 2}, "more than 2 readings"),
    ([single("one two three four five six seven")], {}, "answer of more than 6 words"),
    ([multi(golf="Abel Ada", chess="Bauer")], {"max_answer_words": 1}, "answer of more than 1 words"),
    ([multi(**{"golf": "Abel", "": "Bauer"})], {}, "reading without words of its own"),
    ([multi(**{"in 1990": "Abel", "1991": "Bauer"})], {"years": False}, "told apart by years only"),
    ([multi(**{"if or": "Abel", "if and": "Bauer"})], {}, "labels that a question or a list cannot tell apart"),
]


@pytest.mark.parametrize("annotations, options, reason", DROPPED)
def test_what_is_dropped_is_counted_and_said(load, annotations, options, reason):
    task = load(record(9, *annotations), **options)
    assert found(task, 9) is None and task.dropped == {reason: 1}
    assert f"6 of 7 queries usable; dropped: {reason} (1)" in task.report()


def test_a_question_asked_twice_is_used_once(load):
    task = load(record(8, GOLF_CHESS), record(9, single("Abel"), question="who won"))
    assert task.dropped == {"asked twice": 1} and found(task, 8) and not found(task, 9)


def test_the_full_form_and_nested_pairs_read_the_same(load):
    full = record(9, GOLF_CHESS) | {
        "viewed_doc_titles": ["Golf"],
        "used_queries": [{"query": "golf", "results": [{"title": "Golf", "snippet": "…"}]}],
        "nq_answer": ["Abel"],
        "nq_doc_title": "Golf",
    }
    nested = record(9, {"type": "multipleQAs", "qaPairs": [[pair] for pair in GOLF_CHESS["qaPairs"]]})
    assert found(load(full), 9) == found(load(nested), 9) == TWO


ANNOTATED = '[{"id": "1", "question": "Who?", "annotations": [%s]}]'
WRONG = [
    ("{]", "line 1: not JSON"),
    ('[\n{"id": 1,,}]', "line 2: not JSON"),
    ("\xff\xfe", "not JSON"),
    ('{"data": []}', "the whole must be a list, not dict"),
    ("[3]", "record 1: the record must be an object, not int"),
    ('[{"id": "1"}]', "this file has no labels: no record has annotations"),
    ('[{"id": "1", "annotations": []}]', "record 1: question is missing"),
    ('[{"id": 1, "question": "Who?", "annotations": []}]', "record 1: id must be a string, not int"),
    ('[{"id": "1", "question": "Who?", "annotations": []}]', "record 1: annotations is empty"),
    ('[{"id": "1", "question": " ", "annotations": [1]}]', "record 1: question is empty"),
    (ANNOTATED % '{"answer": []}', "record 1: annotations[0].type is missing"),
    (ANNOTATED % '{"type": "none"}', "annotations[0].type must be singleAnswer or"),
    (ANNOTATED % '{"type": "singleAnswer"}', "annotations[0].answer is missing"),
    (ANNOTATED % '{"type": "singleAnswer", "answer": ["a", 2]}', "annotations[0].answer[1] must be a string, not int"),
    (ANNOTATED % '{"type": "multipleQAs", "qaPairs": []}', "annotations[0].qaPairs is empty"),
    (
        ANNOTATED % '{"type": "multipleQAs", "qaPairs": [{"question": "Who?", "answer": "a"}]}',
        "annotations[0].qaPairs[0].answer must be a list, not str",
    ),
]


@pytest.mark.parametrize("text, said", WRONG)
def test_a_wrong_file_ends_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "wrong.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        make_task("ambigqa", path=str(path))
    assert str(path) in str(error.value) and said in str(error.value) and "\n" not in str(error.value)


OPTIONS = [
    ({"metric": "bleu"}, "task.metric must be one of em, f1"),
    ({"disagreement": "vote"}, "task.disagreement must be one of drop, first, majority"),
    ({"overlap": "ask"}, "task.overlap must be one of drop, merge, keep"),
    ({"questions": 60}, "task.questions=60, but"),
    ({"questions": 2}, "cannot be split"),
    ({"validation": 3, "test": 4}, "cannot be split"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize("options, said", OPTIONS)
def test_a_wrong_option_ends_in_one_sentence(load, options, said):
    with pytest.raises(ValueError, match=said):
        load(**options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*nowhere\.json: No such file"):
        make_task("ambigqa", path=tmp_path / "nowhere.json")


def test_sizes_and_draw_hang_on_the_world_seed(load):
    task = load(questions=6)
    assert task.sizes == {"train": 3, "validation": 1, "test": 2}
    assert load(validation=1, test=1).sizes == {"train": 4, "validation": 1, "test": 1}
    orders = {
        tuple(e.meta["entity"] for s in task.sizes for e in load(world_seed=seed).episodes(s)) for seed in range(4)
    }
    assert len(orders) == 4
    assert task.episode("test", 1).id == "test/1" and task.lookup("test/1") == task.episode("test", 1)


def test_labels_of_other_tasks_may_hold_commas_and_or(load):
    task = load(record(9, GOLF_CHESS))
    episode = next(e for s in task.sizes for e in task.episodes(s) if e.meta["entity"] == "9")
    labels = ["Paris, Texas", "Paris, France", "more or less"]
    readings = tuple(episode.interpretations[0]._replace(label=label, weight=1 / 3) for label in labels)
    episode = episode._replace(interpretations=readings)
    offer = task.questions(episode)[0]
    assert [task.reply(offer, i, episode) for i in range(3)] == [
        "The Paris Texas one.",
        "The Paris France one.",
        "The more less one.",
    ]


def test_labels_whose_lower_case_is_longer_can_be_asked_about(load):
    task = load(record(9, GOLF_CHESS))
    episode = next(e for s in task.sizes for e in task.episodes(s) if e.meta["entity"] == "9")
    labels = ["\u0130zmir", "Bursa"]
    readings = tuple(r._replace(label=label) for r, label in zip(episode.interpretations, labels, strict=True))
    episode = episode._replace(interpretations=readings)
    replies = [task.reply(task.questions(episode)[0], i, episode) for i in range(2)]
    assert "zmir" in replies[0] and replies[1] == "The Bursa one."


def test_answers_with_colons_and_semicolons_survive_lists(load):
    task = load(record(9, multi(golf="Abel: a life; in parts", chess="10:30", darts="-- x: y"), question="Who won?"))
    episode = next(e for s in task.sizes for e in task.episodes(s) if e.meta["entity"] == "9")
    for plan in closing_plans(task, episode):
        action = parse(plan.text)
        right = [
            task.score(item.answer, i, episode)
            for i in range(3)
            for item in getattr(action, "items", ())
            if item.label == shortest_label(task, episode, i)
        ]
        assert all(score == 1 for score in right) and len(right) == len(getattr(action, "items", ()))
    assert parse("#MULTI_ANS a: b: c; d\ne: 10:30; f").items == (Item("a", "b: c; d"), Item("e", "10:30; f"))


def test_labels():
    assert distinguishing_labels(["Who won golf?", "Who won at chess?"], "Who won?") == ["golf", "chess"]
    assert distinguishing_labels(["Who won in?", "Who won at?"], "Who won?") == ["in", "at"], (
        "if there is nothing better"
    )
    assert distinguishing_labels(["Who won golf?", "Who won?"], "Who won?") is None
    assert distinguishing_labels(["Who won golf?", "Won golf, who?"], "Who won?") is None
    assert distinguishing_labels(["Who won 1990 – 1991?", "Who won –?"], "Who won?") is None, "a dash is no word"


@pytest.fixture(scope="module")
def real():
    if not DATA.exists():
        pytest.skip(f"no AmbigQA data at {DATA} (set CLARIFY_DATA)")
    return make_task("ambigqa", path=DATA)


@needs_data
def test_real_questions_are_used_or_counted(real):
    assert sum(real.dropped.values()) + real.usable == 2002
    episodes = [e for split in real.sizes for e in real.episodes(split)]
    ambiguous = [e for e in episodes if len(e.interpretations) > 1]
    assert len(episodes) == real.usable >= 1400 and len(ambiguous) >= 700
    assert max(len(e.interpretations) for e in episodes) == 5
    sets = [{e.meta["entity"] for e in real.episodes(split)} for split in real.sizes]
    assert sum(map(len, sets)) == len(set().union(*sets)) == real.usable
    labelled = questions = 0
    for item in json.loads(DATA.read_text(encoding="utf-8")):
        if all(annotation["type"] == "multipleQAs" for annotation in item["annotations"]):
            texts = [pair["question"] for pair in item["annotations"][0]["qaPairs"]]
            labelled, questions = labelled + bool(distinguishing_labels(texts, item["question"])), questions + 1
    assert questions == 1002 and labelled >= 940


@needs_data
def test_every_real_question_can_be_asked_about_and_listed(real):
    for episode in (e for split in real.sizes for e in real.episodes(split)):
        everyone = range(len(episode.interpretations))
        offer = real.questions(episode)[0]
        assert len({real.reply(offer, i, episode) for i in everyone}) == len(everyone)
        pairs = [(shortest_label(real, episode, i), shortest_answer(real, episode, i)) for i in everyone]
        items = parse(list_message(pairs)).items
        for i in everyone:
            assert real.pick(items, i, episode) == [i]
            assert real.score(items[i].answer, i, episode) == 1


@needs_data
def test_the_issue_s_draw(real):
    task = make_task("ambigqa", path=DATA, questions=300)
    assert task.sizes == {"train": 150, "validation": 50, "test": 100}
    single_answer = [len(e.interpretations) == 1 for e in task.episodes("train")]
    assert 0.3 < np.mean(single_answer) < 0.7
    check_task(task)
    costs = np.array([[0.1, 0.005], [0.3, 0.02], [0.9, 0.12]])
    solved = solve(task, list(task.episodes("test")))
    assert (np.diff([s.oracle(costs)[0] for s in solved], axis=1) <= 0).all()


@needs_data
def test_real_episodes_are_the_same_in_any_process(real):
    code = "import sys; from clarify_env.tasks import make_task; t = make_task('ambigqa', path=sys.argv[1]);"
    code += "print(list(t.episodes('test'))[::50])"
    done = subprocess.run([sys.executable, "-c", code, str(DATA)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(list(real.episodes("test"))[::50])
