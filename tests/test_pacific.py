"""The PACIFIC task on a small file made here, and on the real data where it is at hand."""

import copy
import json
from functools import partial

import numpy as np
import pytest
from readers import DATA, changed, check_broken_files, needs, refused

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.oracle import solve
from clarify_env.scores.drop import number
from clarify_env.tasks import make_task
from clarify_env.tasks.tables import formula_of, heads_of, places
from clarify_env.testing import check_task

REAL = DATA / "pacific" / "validation.json"
TABLE = (
    ("", "2019", "2018", "2017"),
    ("", "(in millions)", "(in millions)", "(in millions)"),
    ("Product sales", "$12.5", "$10.0", "$8.0"),
    ("Service sales", "7.5", "(6.0)", "4.0"),
    ("Tax", "1.5", "–", "1.0"),
)


def turn(order, question, answer, *, resolved=None, kind="span", scale="million", derivation="", asks_back=False):
    return {
        "uid": f"t{order}",
        "order": order,
        "question": question,
        "original_question": resolved or question,
        "answer": answer,
        "answer_type": "question" if asks_back else kind,
        "scale": scale,
        "derivation": derivation,
        "req_clari": asks_back,
        "follow_up": False,
    }


def back(order, question, asked="Which one?"):
    return turn(order, question, [asked], asks_back=True, scale="")


def dialogue(key, *turns):
    turns = [t | {"uid": f"{key}-{t['uid']}"} for t in turns]
    return {
        "table": {"uid": key, "table": [list(row) for row in TABLE]},
        "paragraphs": [{"text": "In millions."}],
        "questions": turns,
    }


CLEAR = turn(1, "What were product sales in 2019?", ["$12.5"])
WHOLE = [dialogue(f"table {i}", CLEAR) for i in range(6)]


@pytest.fixture
def load(tmp_path):
    def load(*turns, **options):
        path = tmp_path / "dialogues.json"
        path.write_text(json.dumps([*WHOLE, dialogue("own", *turns)]), encoding="utf-8")
        return make_task("pacific", path=path, **options)

    return load


def episodes(task, key="own"):
    return [e for split in task.sizes for e in task.episodes(split) if e.meta["entity"] == key]


CLARIFIED = [
    (
        [
            back(1, "What were product sales?"),
            turn(2, "In 2018", ["$10.0"], resolved="What were product sales in 2018?"),
        ],
        {"2018": "$10.0 million", "2019": "$12.5 million", "2017": "$8.0 million"},
        "a year left out: the other years of the row",
    ),
    (
        [
            back(1, "What were sales in 2018?"),
            turn(2, "Service", ["(6.0)"], resolved="What were service sales in 2018?"),
        ],
        {"Service sales": "(6.0) million", "Product sales": "$10.0 million"},
        "a row left out: the rows of which the question has the words, of that column",
    ),
    (
        [
            back(1, "How much did product sales change?"),
            turn(
                2,
                "From 2018 to 2019",
                25.0,
                resolved="How much did product sales change from 2018 to 2019?",
                kind="arithmetic",
                scale="percent",
                derivation="(12.5-10.0)/10.0",
            ),
        ],
        {"2019 to 2018": "25%", "2018 to 2017": "25%"},
        None,
    ),
    (
        [
            back(1, "What was the change in sales from 2018 to 2019?"),
            turn(
                2,
                "Service sales",
                13.5,
                resolved="What was the change in service sales from 2018 to 2019?",
                kind="arithmetic",
                derivation="7.5 - (6.0)",
            ),
        ],
        {"Service sales": "13.5 million", "Product sales": "2.5 million"},
        "what is worked out of a row, for the other rows",
    ),
]


@pytest.mark.parametrize(("turns", "readings", "why"), CLARIFIED)
def test_rivals_are_the_figures_beside_the_recorded_one(load, turns, readings, why):
    task = load(*turns)
    if why is None:
        assert task.dropped == {"readings of equal figures": 2}, "a right guess at one would be right for the other"
        return
    (episode,) = episodes(task)
    assert episode.query == turns[0]["question"] and episode.meta["ambiguous"]
    assert {reading.label: reading.answers[0] for reading in episode.interpretations} == readings, why
    assert episode.interpretations[0].text == turns[1]["original_question"]
    assert {reading.weight for reading in episode.interpretations} == {1 / len(readings)}
    assert "Product sales | $12.5" in episode.context and "In millions." in episode.context


def test_an_empty_row_of_a_table_has_no_head(tmp_path):
    turns, readings, _ = CLARIFIED[1]
    whole = dialogue("own", *turns)
    whole["table"]["table"].insert(3, [])
    path = tmp_path / "dialogues.json"
    path.write_text(json.dumps([*WHOLE, whole]))
    (episode,) = episodes(make_task("pacific", path=path))
    assert {reading.label: reading.answers[0] for reading in episode.interpretations} == readings


CLEAR_TURNS = [
    (turn(1, "Which?", ["a b", "c"], kind="multi-span", scale=""), ("a b; c",)),
    (turn(1, "Which?", ["$10.0", "8.0"], kind="multi-span"), ("$10.0 million; 8.0 million",)),
    (turn(1, "Which?", -22.22, kind="arithmetic", scale="percent"), ("-22.22%", "-22.22 percent")),
    (turn(1, "Which?", 3, kind="arithmetic", scale=""), ("3",)),
    (turn(1, "How many?", "4", kind="count", scale=""), ("4",)),
    (turn(1, "Which?", ["5.1%"], scale="percent"), ("5.1%",)),
    (turn(1, "Which?", ["(5.1 ) %"], scale="percent"), ("(5.1 ) %",)),
    (turn(1, "Which?", 1e-7, kind="arithmetic", scale=""), ("1e-07",)),
    (turn(1, "Which?", ["-"], scale=""), ("-",)),
    (turn(1, "Which?", ["with; a semicolon"], scale=""), ("with, a semicolon",)),
]


@pytest.mark.parametrize(("said", "answers"), CLEAR_TURNS)
def test_clear_turns_stay_in_with_one_reading(load, said, answers):
    (episode,) = episodes(load(said))
    assert [(reading.label, reading.answers) for reading in episode.interpretations] == [("only", answers)]
    assert not episode.meta["ambiguous"]


DROPPED = [
    ([back(1, "Who?"), turn(2, "That", ["some words"], scale="")], "clarified answer is no figure", 2),
    ([back(1, "What?"), turn(2, "In 2018", ["99"], resolved="What in 2018?")], "figures that are in no row", 2),
    (
        [back(1, "What were product sales?"), turn(2, "Those", ["$10.0"], resolved="What were they?")],
        "no head of the table tells",
        2,
    ),
    (
        [back(1, "What was the tax in 2019?"), turn(2, "Tax", ["1.5"], resolved="What was the tax tax in 2019?")],
        "no head of the table tells",
        2,
    ),
    ([turn(1, "Which?", [" ".join(["word"] * 21)], scale="")], "answer of more than 20 words", 1),
    ([turn(1, "Which?", [" "], scale="")], "blank answer", 1),
]


@pytest.mark.parametrize(("turns", "reason", "count"), DROPPED)
def test_what_cannot_be_played_is_counted(load, turns, reason, count):
    task = load(*turns)
    ((said, counted),) = task.dropped.items()
    assert said.startswith(reason) and counted == count
    assert f"{said} ({count})" in task.report() and not episodes(task)


def test_history_stands_in_the_context_or_is_made_up_for(load):
    turns = [CLEAR, turn(2, "And in 2018?", ["$10.0"], resolved="What were product sales in 2018?")]
    with_history, without = (episodes(load(*turns, history=history))[1] for history in (True, False))
    assert with_history.query == "And in 2018?"
    assert with_history.context.endswith("Q: What were product sales in 2019?\nA: $12.5")
    assert without.query == "What were product sales in 2018?" and "Q:" not in without.context


def test_long_contexts_are_left_out(load):
    with pytest.raises(ValueError, match=r"no turns are left .*context of more than 10 characters \(7\)"):
        load(CLEAR, max_context=10)


def test_recorded_clarifying_questions_of_training_tables_are_examples(tmp_path):
    path = tmp_path / "dialogues.json"
    asked = [back(2, "What?", "Which year?"), turn(3, "2018", ["$10.0"], resolved="What in 2018?")]
    path.write_text(json.dumps([dialogue(f"table {i}", CLEAR, *asked) for i in range(12)]), encoding="utf-8")
    task = make_task("pacific", path=path, clarifications=2)
    assert task.episode("test", 0).context.endswith("Of other tables:" + "\nQ: What?\nAsked back: Which year?" * 2)
    assert "Of other tables" not in make_task("pacific", path=path).episode("test", 0).context


def test_splits_are_by_table(load):
    task = load(CLEAR, turn(2, "And then?", ["$10.0"]))
    places = {(e.meta["entity"], split) for split in task.sizes for e in task.episodes(split)}
    assert len(places) == 7 and set(task.sizes) == {"train", "validation", "test"}
    assert task.pretraining == ("train",)


WRONG = [
    (["questions", 0, "answer"], [], "questions[0].answer is empty"),
    (["questions", 0, "answer"], "12.5", "questions[0].answer must be a list, not str"),
    (["questions", 0, "answer"], [1], "questions[0].answer[0] must be a string, not int"),
    (["questions", 0, "answer_type"], "arithmetic", "questions[0].answer must be a finite number, not list"),
    (["questions", 0, "answer_type"], "essay", "questions[0].answer_type must be one of"),
    (["questions", 0, "scale"], "dozens", "questions[0].scale must be one of"),
    (["questions", 0, "req_clari"], "no", "questions[0].req_clari must be true or false, not 'no'"),
    (["questions", 0, "req_clari"], True, "questions[0] asks back and no turn after it answers"),
    (["questions", 0, "question"], " ", "questions[0].question is empty"),
    (["questions", 0, "original_question"], None, "questions[0].original_question is missing"),
    (["table", "table", 1], "row", "table.table[1] must be a list, not str"),
    (["table", "table", 1, 0], 5, "table.table[1][0] must be a string, not int"),
    (["table", "uid"], "table 1", "table.uid 'table 1' stands for a table already, at"),
    (["paragraphs"], None, "paragraphs is missing"),
]


@pytest.mark.parametrize(("place", "value", "said"), WRONG)
def test_a_mistake_is_named_with_its_record(tmp_path, place, value, said):
    refused(
        "pacific",
        tmp_path / "wrong.json",
        changed(WHOLE, [2, *place], value),
        f"record 3: {said}" if "already" not in said else said,
        strict=True,
    )


def test_a_turn_s_id_stands_once(tmp_path):
    whole = copy.deepcopy(WHOLE)
    whole[2]["questions"] *= 2
    refused(
        "pacific", tmp_path / "wrong.json", whole, "record 3: questions: uid 'table 2-t1' stands twice", strict=True
    )


def test_files_that_cannot_be_read(tmp_path):
    check_broken_files("pacific", tmp_path, WHOLE)


@pytest.mark.parametrize("options", [{"validation": -0.1}, {"test": 0.9}, {"clarifications": -1}])
def test_options_that_cannot_be(load, options):
    with pytest.raises(ValueError, match=f"task.{next(iter(options))}"):
        load(CLEAR, **options)


FORMULAS = [
    ("44.1-56.7", "-12.6", "million", "{0}-{1}", (44.1, 56.7)),
    ("(44.1-56.7)/56.7", "-22.22", "percent", "({0}-{1})/{2}", (44.1, 56.7, 56.7)),
    ("[1,496.5 - 1,202.9] \u00f7 2", "146.8", "", "({0} - {1}) / {2}", (1496.5, 1202.9, 2.0)),
    ("$5 + (3)", "2", "", "{0} + {1}", (5.0, -3.0)),
    ("2 x 3", "6", "", "{0} * {1}", (2.0, 3.0)),
    ("$1,305", "$1,305", "", "{0}", (1305.0,)),
]


@pytest.mark.parametrize(("derivation", "answer", "scale", "text", "figures"), FORMULAS)
def test_derivations_are_taken_apart(derivation, answer, scale, text, figures):
    formula = formula_of(derivation, answer, scale)
    assert formula is not None and formula.figures == figures
    assert formula.text.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "derivation",
    [
        "",
        "12-5",
        "1/0",
        "2**9",
        "__import__('os')",
        "5 figures",
        "2019>2018",
        "7;8",
        "(7",
        "1_000",
        "9" * 5000,
        "-" * 99_999 + "8",
        "(" * 999 + "8",
    ],
)
def test_what_is_no_derivation_of_the_answer(derivation):
    assert formula_of(derivation, "8", "") is None


def test_heads_and_places():
    assert heads_of(TABLE) == {1: "2019", 2: "2018", 3: "2017"}
    assert places(TABLE, formula_of("7.5 - (6.0)", "13.5", "")) == [(3, (1, 2))]
    assert places(TABLE, formula_of("7.5 - 10", "-2.5", "")) == [], "of two rows"


@pytest.fixture(scope="module")
def real():
    if not REAL.exists():
        pytest.skip(f"no data at {REAL} (set CLARIFY_DATA)")
    return make_task("pacific", path=REAL)


def test_every_real_turn_is_accounted_for(real):
    records = json.loads(REAL.read_text(encoding="utf-8"))
    turns = [turn for record in records for turn in record["questions"]]
    assert (len(records), len(turns)) == (277, 1982), "as the data's README says"
    assert sum(turn["req_clari"] for turn in turns) == 320
    assert 2 * real.kept["ambiguous"] + real.kept["clear"] + sum(real.dropped.values()) == 1982
    assert sum(real.sizes.values()) == real.kept["ambiguous"] + real.kept["clear"]
    clarified = 320 - real.kept["ambiguous"]
    assert 2 * clarified <= sum(real.dropped.values()), "questions that are asked back and not played are dropped"
    assert real.kept["ambiguous"] >= 100


@needs(REAL)
@pytest.mark.slow
@pytest.mark.parametrize("history", [True, False])
def test_real_dialogues_keep_a_tasks_promises(history):
    task = make_task("pacific", path=REAL, history=history)
    check_task(task, episodes=300, make=partial(make_task, "pacific", path=REAL, history=history))


def test_real_readings_have_each_a_figure_of_their_own(real):
    for split in real.sizes:
        for episode in real.episodes(split):
            if episode.meta["ambiguous"]:
                figures = [number(reading.answers[0]) for reading in episode.interpretations]
                assert None not in figures and len(set(figures)) == len(figures) >= 2
                scores = [
                    [real.score(r.answers[0], i, episode) for r in episode.interpretations] for i in range(len(figures))
                ]
                assert scores == np.eye(len(figures)).tolist()


def test_nothing_said_of_a_real_question_earns_more_than_its_plans(real):
    costs = np.array(CostPlane().train()[::97])
    rng = np.random.default_rng(0)
    for index in rng.integers(real.sizes["test"], size=60).tolist():
        episode = real.episode("test", index)
        (solved,) = solve(real, [episode])
        best = solved.oracle(costs)[0]
        answer = episode.interpretations[0].answers[0].split()
        weights = np.array([reading.weight for reading in episode.interpretations])
        for _ in range(30):
            said = " ".join(answer[i] for i in sorted(rng.permutation(len(answer))[: rng.integers(1, len(answer) + 1)]))
            scores = [real.score(said, i, episode) for i in range(len(weights))]
            assert (weights @ scores - costs[:, 1] * len(said.split()) <= best + 1e-9).all(), (episode.id, said)


def test_clear_questions_may_be_fewer(tmp_path):
    path = tmp_path / "dialogues.json"
    asked = [
        back(2, "What were product sales?"),
        turn(3, "In 2018", ["$10.0"], resolved="What were product sales in 2018?"),
    ]
    whole = [dialogue(f"table {i}", CLEAR, *asked, turn(4, "Which?", ["8.0"])) for i in range(12)]
    path.write_text(json.dumps(whole), encoding="utf-8")
    task = make_task("pacific", path=path, clear=0.5)
    assert task.sizes == {"train": 9, "validation": 3, "test": 6} and task.kept == {"ambiguous": 12, "clear": 6}
    assert task.dropped == {"clear, beyond task.clear": 18}, "and they are counted"
    for split in task.sizes:
        assert sum(e.meta["ambiguous"] for e in task.episodes(split)) == task.sizes[split] * 2 // 3
        assert [task.lookup(e.id) for e in task.episodes(split)] == list(task.episodes(split))
    with pytest.raises(ValueError, match=r"task\.clear must be at least 0, not -1"):
        make_task("pacific", path=path, clear=-1)
