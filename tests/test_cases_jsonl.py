"""People's own cases: each line is taken, or refused with place and reason; questions find the fact they want."""

import json

import pytest

from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.interview.disclosure import disclosed
from clarify_env.games.setup import Setup
from clarify_env.tasks.__main__ import main
from clarify_env.tasks.base import NOT_UNDERSTOOD
from clarify_env.tasks.facts import fact_asked
from clarify_env.tasks.registry import make_task
from clarify_env.testing import check_game

GAME = find_game("interview")
CASE = {
    "question": "What does the patient have?",
    "options": ["gout", "flu", "anaemia"],
    "answer": "flu",
    "facts": ["Age: 34", "He has had a fever since Monday.", "Pain: his muscles ache.", "Smokes ten cigarettes a day."],
    "shown": 1,
}


def write(folder, lines, name="cases.jsonl"):
    path = folder / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return str(path)


def one(folder, **changes):
    record = {key: value for key, value in (CASE | changes).items() if value is not ...}
    return make_task("cases_jsonl", path=write(folder, [record]), validation=0, test=1, strict=True)


def numbered(n, **changes):
    facts = [f"Case number: {n}", "He has had a fever since Monday.", "Smokes ten cigarettes a day."]
    return CASE | {"facts": facts} | changes


def test_a_thousand_cases_are_accounted_for(tmp_path):
    faults = {
        7: ("{", "not JSON"),
        77: (numbered(77, answer="cold"), "answer 'cold' is none of options"),
        177: (numbered(177, shown=9), "shown is 9, and facts has 3"),
        277: (numbered(277, answr="flu"), "answr is no field"),
        377: (numbered(376), "the same case twice"),
        477: (numbered(477, shown=3), "no fact is left to ask for"),
        577: (numbered(577, facts="He smokes."), "facts must be a list, not str"),
        677: (numbered(677, split="dev"), "split must be one of train, validation, test"),
        777: (numbered(777, options=None), "options and answers are missing"),
        877: (numbered(877, question=" "), "question is empty"),
    }
    lines = [faults[n][0] if n in faults else numbered(n) for n in range(1, 1001)]
    task = make_task("cases_jsonl", path=write(tmp_path, lines))
    assert sum(task.sizes.values()) == task.usable == 990 and len(task.refused) == 10
    for sentence, (number, (_, reason)) in zip(task.refused, faults.items(), strict=True):
        assert sentence.startswith(f"{task.path}, line {number}: ") and reason in sentence
    assert "990 of 1000 cases usable" in task.report() and "not in the format (8)" in task.report()
    ids = [episode.id for split in task.sizes for episode in task.episodes(split)]
    assert len(set(ids)) == 990


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": 3}, "answer must be a string, not int"),
        ({"answer": ...}, "answer is missing"),
        ({"answer": "D"}, "answer 'D' is none of options, nor the letter of one"),
        ({"options": ["flu"]}, "options must be at least 2 texts"),
        ({"options": ["flu", "Flu."]}, "options holds 'flu' twice"),
        ({"options": ["flu", " "]}, "options must be at least 2 texts, none of them empty"),
        ({"options": ..., "answers": ["flu"]}, "answer is the right one of options, which are missing; write answers"),
        ({"options": ..., "answer": ..., "answers": []}, "answers has no answer"),
        ({"answers": ["flu"]}, "answer and answers both say what is right; write one of them"),
        ({"answer": ..., "answers": ["cold"]}, "answers holds none of options"),
        ({"facts": ["a", ""]}, "facts[1] is empty"),
        ({"facts": ["a", 3]}, "facts[1] must be a string, not int"),
        ({"facts": ...}, "facts is missing"),
        ({"shown": -1}, "shown must be a whole number of at least 0, not -1"),
        ({"shown": True}, "shown must be a whole number of at least 0, not True"),
        ({"shown": "1"}, "shown must be a whole number of at least 0, not '1'"),
        ({"synonyms": {"pain": "ache"}}, "synonyms.pain must be a list, not str"),
        ({"question": ...}, "question is missing"),
        ({"entity": 1.5}, "entity must be a string, not float"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_field(tmp_path, changes, message):
    with pytest.raises(ValueError) as error:
        one(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'cases.jsonl'}, line 1: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "answer", "score"),
    [
        ({}, "flu", 1),
        ({}, "the Flu.", 1),
        ({}, "B", 1),
        ({}, "A", 0),
        ({}, "gout flu anaemia", 0),
        ({"answer": "B"}, "flu", 1),
        ({"options": {"A": "gout", "B": "flu"}, "answer": "B"}, "flu", 1),
        ({"answer": ..., "answers": ["flu", "influenza"]}, "influenza", 1),
        ({"options": ..., "answer": ..., "answers": ["flu", "influenza"]}, "Influenza", 1),
        ({"options": ["B", "A"], "answer": "A"}, "B", 0),
        ({"options": ["1.5 mg", "15 mg"], "answer": "1.5 mg"}, "15 mg", 0),
        ({"options": ["1.5 mg", "15 mg"], "answer": "1.5 mg"}, "1.5 mg", 1),
        ({"options": ["C", "C++", "C#"], "answer": "C"}, "C++", 0),
        ({"options": ["+1", "-1"], "answer": "+1"}, "-1", 0),
    ],
)
def test_answers(tmp_path, changes, answer, score):
    task = one(tmp_path, **changes)
    assert task.score(answer, 0, task.episode("test", 0)) == score


def test_options_that_differ_by_symbols_are_shown_with_their_metric(tmp_path, capsys):
    path = write(tmp_path, [numbered(n, options=["1.5 mg", "15 mg"], answer="1.5 mg") for n in range(40)])
    assert main(["check", "cases_jsonl", f"task.path={path}"]) == 0
    assert "'1.5 mg' and '15 mg' are equal under em, so em_symbols is its metric" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("Any temperature?", "He has had a fever since Monday."),
        ("Does he use tobacco?", "Smokes ten cigarettes a day."),
        ("How old is he?", "Age: 34"),
        ("Does anything hurt?", "Pain: his muscles ache."),
        ("Is he in pain, and does he smoke?", "Pain: his muscles ache."),
        ("grippe?", "He has had a fever since Monday."),
        ("What does the patient have?", NOT_UNDERSTOOD),
        ("Does he have flu?", NOT_UNDERSTOOD),
        ("Tell me all that you know.", NOT_UNDERSTOOD),
        ("", NOT_UNDERSTOOD),
    ],
)
def test_a_question_finds_the_one_fact_that_it_asks_for(tmp_path, question, reply):
    task = one(tmp_path, synonyms={"fever": ["grippe"]})
    episode = task.episode("test", 0)
    assert task.reply(question, 0, episode) == reply
    assert not disclosed(reply, [question], task, episode, 0)


def test_words_of_many_facts_ask_for_none_of_them_in_particular():
    facts = [("", "The left lamp is red."), ("", "The right lamp is green."), ("", "The floor is wet.")]
    assert fact_asked("Which colour has the right lamp?", facts) == 1
    assert fact_asked("floor", facts) == 2
    assert fact_asked("oil", facts) is None and fact_asked("lamp", [], "") is None


def test_a_fact_told_unasked_is_a_leak(tmp_path):
    task = one(tmp_path)
    episode = task.episode("test", 0)
    assert disclosed("A fever, and he smokes cigarettes.", ["Any fever?"], task, episode, 0)
    assert not disclosed("Yes, since Monday.", ["Any fever?"], task, episode, 0)
    game = GAME.deal(task, episode, 0, (0.1, 0.01), leaks="redact")
    game.apply(Reply("#ASK Any fever?"))
    game.apply(Reply("A fever, and he smokes cigarettes."))
    assert game.heard("assistant")[-1].text == "[redacted]"


def test_splits_are_those_of_the_file_and_entities_stay_together(tmp_path):
    stated = [numbered(n, split=split, entity=split) for n, split in enumerate(["train", "test", "test"])]
    assert make_task("cases_jsonl", path=write(tmp_path, stated)).sizes == {"train": 1, "test": 2}
    mixed = [*stated, numbered(4), numbered(5, split="train", entity="test")]
    task = make_task("cases_jsonl", path=write(tmp_path, mixed))
    assert [sentence.partition(": ")[2] for sentence in task.refused] == [
        "split is missing, which other lines have",
        "entity 'test' is also in split test",
    ]
    together = make_task("cases_jsonl", path=write(tmp_path, [numbered(n, entity=n // 10) for n in range(60)]))
    splits = {}
    for split in together.sizes:
        for episode in together.episodes(split):
            assert splits.setdefault(episode.meta["entity"], split) == split


def test_nothing_is_known_of_how_likely_a_case_is(tmp_path):
    task = make_task("cases_jsonl", path=write(tmp_path, [numbered(n) for n in range(20)]))
    episode = task.episode("train", 0)
    assert GAME.solve(task, [episode]) is None
    assert "ended_1" in played(task, episode) and "decisions" not in played(task, episode)
    with pytest.raises(ValueError, match="the scripted assistants need odds, which task cases_jsonl does not know"):
        GAME.player("assistant", task, "oracle")
    check_game(task, game="interview", episodes=2)


def played(task, episode):
    game = GAME.deal(task, episode, 0, (0.1, 0.01))
    for message in ("#ASK fever", "He has had a fever since Monday.", "#ANSWER flu"):
        game.apply(Reply(message))
    return Setup(GAME, task).measures(game)


def test_what_is_no_file_of_lines(tmp_path):
    with pytest.raises(ValueError, match="the file is a JSON list: write one JSON object per line"):
        make_task("cases_jsonl", path=write(tmp_path, [json.dumps([CASE])]))
    with pytest.raises(ValueError, match="must be one of em, f1"):
        make_task("cases_jsonl", path=write(tmp_path, [CASE]), metric="accuracy")
