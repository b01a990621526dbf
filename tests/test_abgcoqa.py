"""The Abg-CoQA task on a small file made here, and on the real data where it is at hand."""

import json
from functools import partial

import pytest
from readers import DATA, changed, check_broken_files, needs, refused

from clarify_env.tasks import make_task
from clarify_env.testing import check_task

REAL = DATA / "abg_coqa" / "coqa_abg_val.json"
STORY = "Ann met Bob at the station. Bob had a dog, Ann a cat."


def record(number, question="Who came?", answer="Ann", *, story=None, asked="", replies=None, history=()):
    """A question; with ``replies``, (what the user says, answers), an ambiguous one."""
    answers = [
        {"clr_ans": said, **{f"org_ans{'' if i == 0 else f'_{i + 1}'}": given for i, given in enumerate(answers)}}
        for said, answers in (replies or {}).items()
    ]
    return {
        "id": f"{number}|1|2",
        "story": story or f"{STORY} {number}.",
        "history_turns": [{"turn_id": i, "question": q, "answer": a} for i, (q, a) in enumerate(history)],
        "target_turn": {"turn_id": 9, "question": question, "answer": answer},
        "ambiguity": "ambiguous" if replies else "non_ambiguous",
        "clarification_turn": {"question": asked, "answers": answers} if replies else {},
    }


WHOLE = {"version": "1", "data": [record(i) for i in range(6)]}
PETS = record(
    "own",
    "What was it?",
    asked="Do you mean Ann's animal?",
    replies={"Yes": ["A cat", "the cat", "Unknown"], "No, I mean Bob's.": ["dog"]},
)


@pytest.fixture
def load(tmp_path):
    def load(*records, **options):
        path = tmp_path / "stories.json"
        path.write_text(json.dumps(WHOLE | {"data": [*WHOLE["data"], *records]}), encoding="utf-8")
        return make_task("abgcoqa", path=path, **options)

    return load


def episodes(task, key="own"):
    return [e for split in task.sizes for e in task.episodes(split) if e.meta["entity"] == key]


READINGS = [
    (
        PETS,
        [("anns animal", ("A cat",), "What was it? Ann's animal"), ("bobs", ("dog",), "What was it? Bob's")],
        "yes means what was asked, no what is said after it; an answer that no annotator found is left out",
    ),
    (
        record(
            "own",
            "Was she glad?",
            asked='By "she" do you mean Ann or Eve?',
            replies={"Ann": ["yes"], "I am referring to Eve.": ["Unknown", "unknown"]},
        ),
        [("ann", ("yes",), "Was she glad? Ann"), ("eve", ("Unknown",), "Was she glad? Eve")],
        "unknown is an answer where nobody found another",
    ),
    (
        record(
            "own",
            "What did he do?",
            asked="Do you mean before or after the race?",
            replies={"I mean before.": ["slept"], "I mean after.": ["ran; then slept"]},
        ),
        [("before", ("slept",), "What did he do? before"), ("after", ("ran then slept",), "What did he do? after")],
        "a choice, and an answer with a separator of lists",
    ),
]


@pytest.mark.parametrize(("record", "readings", "why"), READINGS, ids=[why for *_, why in READINGS])
def test_readings_are_what_the_replies_say(load, record, readings, why):
    (episode,) = episodes(load(record))
    assert [(r.label, r.answers, r.text) for r in episode.interpretations] == readings, why
    assert episode.meta["ambiguous"] and {r.weight for r in episode.interpretations} == {1 / len(readings)}


def test_clear_questions_stay_in(load):
    (episode,) = episodes(load(record("own", history=[("Where?", "the station"), ("When?", "at noon")])))
    assert [(r.label, r.answers) for r in episode.interpretations] == [("only", ("Ann",))]
    assert not episode.meta["ambiguous"]
    assert episode.context == f"{STORY} own.\n\nQ: Where?\nA: the station\nQ: When?\nA: at noon"
    (bare,) = episodes(load(record("own", history=[("Where?", "the station")]), history=False))
    assert bare.context == f"{STORY} own."


DROPPED = [
    (record("own", asked="What year?", replies={"1849": ["large"]}), "ambiguous, but with one reading on record"),
    (record("own", asked="Do you mean the dog?", replies={"Yes": ["big"], "No": ["small"]}), "reading without words"),
    (record("own", answer=" \u200b"), "blank answer"),
    (record("own", answer=" ".join(["word"] * 13)), "answer of more than 12 words"),
]


@pytest.mark.parametrize(("record", "reason"), DROPPED)
def test_what_cannot_be_played_is_counted(load, record, reason):
    task = load(record)
    ((said, count),) = task.dropped.items()
    assert said.startswith(reason) and count == 1
    assert f"{said} (1)" in task.report() and not episodes(task)


def test_splits_are_by_story(load):
    task = load(*(record(f"more {i}", story="One story.") for i in range(4)))
    places = {split for split in task.sizes for e in task.episodes(split) if e.meta["entity"].startswith("more")}
    assert len(places) == 1 and task.pretraining == ("train",)


WRONG = [
    (["ambiguity"], "maybe", "ambiguity must be ambiguous or non_ambiguous, not 'maybe'"),
    (["id"], "1|1|2", "id '1|1|2' stands for a query already, at"),
    (["story"], None, "story is missing"),
    (["target_turn", "question"], "", "target_turn.question is empty"),
    (["target_turn", "answer"], ["Ann"], "target_turn.answer must be a string, not list"),
    (["history_turns"], [{"question": "Who?"}], "history_turns[0].answer is missing"),
    (["clarification_turn", "answers"], [], "clarification_turn.answers is empty"),
    (["clarification_turn", "answers", 1, "clr_ans"], 5, "clarification_turn.answers[1].clr_ans must be a string"),
    (["clarification_turn", "answers", 1, "org_ans"], None, "clarification_turn.answers[1].org_ans is missing"),
]


@pytest.mark.parametrize(("place", "value", "said"), WRONG)
def test_a_mistake_is_named_with_its_record(tmp_path, place, value, said):
    whole = WHOLE | {"data": [*WHOLE["data"], PETS]}
    where = "" if "already" in said else "record 7: "
    refused("abgcoqa", tmp_path / "wrong.json", changed(whole, ["data", 6, *place], value), where + said, strict=True)


def test_files_that_cannot_be_read(tmp_path):
    check_broken_files("abgcoqa", tmp_path, WHOLE)


@pytest.mark.parametrize("options", [{"validation": -0.1}, {"test": 0.9}])
def test_options_that_cannot_be(load, options):
    with pytest.raises(ValueError, match=f"task.{next(iter(options))}"):
        load(**options)


@needs(REAL)
def test_every_real_question_is_accounted_for():
    task = make_task("abgcoqa", path=REAL)
    records = json.loads(REAL.read_text(encoding="utf-8"))["data"]
    ambiguous = [record for record in records if record["ambiguity"] == "ambiguous"]
    assert (len(records), len(ambiguous)) == (1092, 130), "as the data's README says"
    assert sum(task.kept.values()) + sum(task.dropped.values()) == 1092
    assert task.dropped["ambiguous, but with one reading on record"] == 130 - 115
    assert task.kept["ambiguous"] >= 100 and sum(task.sizes.values()) == sum(task.kept.values())


@needs(REAL)
@pytest.mark.slow
def test_real_stories_keep_a_tasks_promises():
    check_task(make_task("abgcoqa", path=REAL), episodes=200, make=partial(make_task, "abgcoqa", path=REAL))


def test_clear_questions_may_be_fewer(tmp_path):
    path = tmp_path / "stories.json"
    pets = [PETS | {"id": f"pet {i}|1|2", "story": f"{STORY} Pet {i}."} for i in range(40)]
    path.write_text(json.dumps({"data": [record(i) for i in range(40)] + pets}), encoding="utf-8")
    task = make_task("abgcoqa", path=path, clear=1.0)
    assert task.kept["ambiguous"] == 40 and 20 <= task.kept["clear"] < 40
    assert task.kept["clear"] + task.dropped["clear, beyond task.clear"] == 40
    with pytest.raises(ValueError, match=r"task\.clear must be at least 0, not -1"):
        make_task("abgcoqa", path=path, clear=-1)
