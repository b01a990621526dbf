import json
import tracemalloc

import pytest

from clarify_env.games.clarification import __main__ as oracle_map
from clarify_env.tasks import __main__ as tasks_command
from clarify_env.tasks import line_files, make_task
from clarify_env.testing import check_game, check_task


def question(name, *answers, **more):
    kinds = ("film", "bridge", "school", "opera", "ship", "town", "club")
    readings = [
        {"text": f"Who designed the {kind} {name}?", "answers": [answer]}
        for kind, answer in zip(kinds, answers, strict=False)
    ]
    return {"question": f"Who designed {name}?", "interpretations": readings} | more


def lines(count=12):
    return [question(f"Name{i}", f"Ada Brandt{i}", f"Jon Vale{i}") for i in range(count)]


@pytest.fixture
def written(tmp_path):
    def write(records, name="questions.jsonl"):
        path = tmp_path / name
        text = [record if isinstance(record, str) else json.dumps(record) for record in records]
        path.write_text("\n".join(text) + "\n")
        return path

    return write


@pytest.fixture
def in_this_process(monkeypatch):
    """Has checks hand a task over in this process; that another can use it is seen by `test_a_file_is_read`."""
    monkeypatch.setattr("clarify_env.testing.tasks.in_fresh_process", lambda function, *arguments: function(*arguments))


def test_a_file_is_read(written):
    records = lines()
    records[3]["interpretations"][0] |= {"answers": ["Ada; Brandt", "A. Brandt", "ada brandt"], "weight": 0.25}
    records[3]["interpretations"][1] |= {"weight": 0.75, "label": "old bridge"}
    task = make_task("qa_jsonl", path=written(records))
    assert task.sizes == {"train": 6, "validation": 2, "test": 4} and task.dropped == {}
    assert task.report().endswith("questions.jsonl: 12 of 12 queries usable; dropped: none")
    everything = {e.query: e for split in task.sizes for e in task.episodes(split)}
    assert len(everything) == 12
    first, second = everything["Who designed Name3?"].interpretations
    assert (first.label, first.answers, first.weight) == ("film", ("Ada Brandt", "A. Brandt"), 0.25), "answers cleaned"
    assert (second.label, second.weight) == ("old bridge", 0.75), "a label of one's own"
    assert [r.weight for r in everything["Who designed Name4?"].interpretations] == [0.5, 0.5], "else equally likely"
    elsewhere = make_task("qa_jsonl", path=written(records, "elsewhere.jsonl"))
    assert list(elsewhere.episodes("test")) == list(task.episodes("test")), "wherever the file stands"
    check_task(task)
    check_game(task)


def test_splits(written, in_this_process):
    path = written(lines(30))

    def splits(**options):
        task = make_task("qa_jsonl", path=path, **options)
        return {split: [e.query for e in task.episodes(split)] for split in task.sizes}

    assert splits() == splits() != splits(world_seed=1), "drawn by the world's seed"
    assert {split: len(queries) for split, queries in splits(test=0.5, validation=0.1).items()} == {
        "train": 12,
        "validation": 3,
        "test": 15,
    }
    said = [
        record | {"split": split} for record, split in zip(lines(), ["train", "test", "validation"] * 4, strict=True)
    ]
    task = make_task("qa_jsonl", path=written(said))
    assert [e.query for e in task.episodes("test")] == [f"Who designed Name{i}?" for i in (1, 4, 7, 10)]
    shared = [record | {"entity": f"e{i // 3}"} for i, record in enumerate(lines())]
    task = make_task("qa_jsonl", path=written(shared))
    assert task.sizes == {"train": 6, "validation": 3, "test": 3}, "entities are drawn, and stay whole"
    check_task(task)


def test_what_cannot_be_played_is_left_out_counted_and_named(written, caplog):
    more = [
        question("Many", *"bcdefgh"),
        question("Long", "one two three four five", "six"),
        question("Twice", "Ada") | {"interpretations": 2 * [{"text": "Who?", "answers": ["Ada"]}]},
        lines()[0],
        question("One", "Ada") | {"context": "All there is to know."},
        question("Same", "Ada", "Jon")
        | {
            "interpretations": [
                {"text": "Who designed it?", "answers": ["Ada"], "label": "it"},
                {"text": "Who was it designed by?", "answers": ["Jon"], "label": "it"},
            ]
        },
    ]
    task = make_task("qa_jsonl", path=written(lines() + more), max_answer_words=4)
    assert task.dropped == {
        "more than 6 readings": 1,
        "answer of more than 4 words": 1,
        "reading without words of its own": 1,
        "asked twice": 1,
        "labels that a question or a list cannot tell apart": 1,
    }
    assert sum(task.sizes.values()) + sum(task.dropped.values()) == 18, "every line is accounted for"
    assert len(caplog.messages) == 5
    assert caplog.messages[2].endswith(
        ", line 15: reading without words of its own; the record cannot be played and is left out"
    )
    (one,) = [e for split in task.sizes for e in task.episodes(split) if e.query == "Who designed One?"]
    assert one.context == "All there is to know." and one.interpretations[0].label == "only", "no need to ask"


WRONG = [
    (["{"], "line 1: not JSON: Expecting property name", "truncated"),
    ([*map(json.dumps, lines(2)), '{"question": "Who', ""], "line 3: not JSON: Unterminated string", "at its line"),
    (["[]"], "line 1: the line must be an object, not list", "another type"),
    ([{"interpretations": []}], "line 1: question is missing", "a missing field"),
    ([question(" ", "a") | {"question": " "}], "line 1: question is empty", "nothing asked"),
    ([question("A", "Ada") | {"question": 3}], "line 1: question must be a string, not int", "a field of another type"),
    ([question("A")], "line 1: interpretations is empty", "no reading"),
    ([question("A", "Ada") | {"question": None}], "line 1: question is missing", "null"),
    ([question("A", "Ada") | {"answer": "a"}], "line 1: answer is no field; known: id, question", "a misspelt field"),
    (
        [question("A", "Ada") | {"interpretations": [{"text": "A", "answers": []}]}],
        "line 1: interpretations[0].answers has no answer",
        "an empty list",
    ),
    ([question("A", "Ada") | {"two\nlines": "a"}], "line 1: 'two\\nlines' is no field", "a field of two lines"),
    ([question("A", "; ;")], "line 1: interpretations[0].answers has no answer", "nothing but separators"),
    (
        [question("A", "Ada") | {"interpretations": [{"text": "", "answers": ["Ada"]}]}],
        "line 1: interpretations[0].text is empty",
        "no meaning",
    ),
    (
        [question("A", "Ada") | {"interpretations": [{"text": "A", "answers": ["Ada"], "weights": 1}]}],
        "line 1: interpretations[0].weights is no field; known: text",
        "a misspelt field of a reading",
    ),
    (
        [question("A", "Ada") | {"interpretations": [{"text": "A", "answers": "Ada"}]}],
        "line 1: interpretations[0].answers must be a list, not str",
        "one answer is a list of one",
    ),
    (
        [question("A", "Ada") | {"interpretations": [{"text": "A", "answers": [1806]}]}],
        "line 1: interpretations[0].answers[0] must be a string, not int",
        "a number is written as text",
    ),
    (
        [question("A", "Ada") | {"interpretations": [{"text": "A", "answers": ["Ada"], "label": "film: old"}]}],
        "line 1: interpretations[0].label must hold neither",
        "a label that no list could hold",
    ),
    (
        [question("A", "Ada") | {"split": "dev"}],
        "line 1: split must be one of train, validation, test, not 'dev'",
        "no such split",
    ),
    (
        [question("A", "Ada", id="x"), question("B", "Jon", id="x")],
        "line 2: id 'x' stands for a query already, at ",
        "ids",
    ),
    ([lines()[0] | {"split": "test"}, lines()[1]], "line 2: split is missing, which other lines have", "all or none"),
    (
        [lines()[i] | {"entity": "e", "split": split} for i, split in enumerate(("test", "train"))],
        "line 2: entity 'e' is also in split test",
        "an entity in two splits",
    ),
    ([lines()[0]], "no queries are left for validation, test (", "too few"),
    (['{"question": "\\ud800?", "interpretations": []}'], "line 1: question holds half a character", "no Unicode"),
    (["[" * 100_000], "line 1: not JSON that can be read: nested too deep", "a bomb"),
    (['{"question": "Who?", "question": "What?"}'], "line 1: the line has the key 'question' twice", "a key twice"),
    (
        ['{"question": "Who?", "interpretations": [{"text": "A", "answers": ["b"], "text": "C"}]}'],
        "line 1: interpretations[0] has the key 'text' twice",
        "a key of a reading twice",
    ),
    (
        [question("A", "Ada") | {"interpretations": [None]}],
        "line 1: interpretations[0] must be an object",
        "no reading",
    ),
]


def _weighed(*weights):
    record = question("A", "Ada", "Jon")
    for reading, weight in zip(record["interpretations"], weights, strict=False):
        reading["weight"] = weight
    return [json.dumps(record)]


WRONG += [
    (_weighed(-0.5, 1.5), "line 1: interpretations[0].weight must be positive, not -0.5", "negative"),
    (_weighed(0, 1), "line 1: interpretations[0].weight must be positive, not 0", "never meant"),
    (_weighed(1e308, 1e-300), "line 1: interpretations[1].weight is too small beside the others", "no share is left"),
    (_weighed(1.0), "line 1: interpretations[1].weight is missing, which other readings have", "all or none"),
    (_weighed("0.5", 0.5), "interpretations[0].weight must be a finite number, not str", "text"),
    (_weighed(True, 0.5), "interpretations[0].weight must be a finite number, not bool", "a truth value"),
    (_weighed(float("nan"), 0.5), "line 1: not JSON: NaN is no number", "NaN"),
    (_weighed(10**400, 0.5), "interpretations[0].weight must be a finite number", "beyond all floats"),
]


@pytest.mark.parametrize(("records", "message", "why"), WRONG, ids=[why for _, _, why in WRONG])
def test_mistakes_are_named_with_file_line_and_field(written, records, message, why):
    path = written(records)
    with pytest.raises(ValueError) as error:
        make_task("qa_jsonl", path=path, strict=True)
    assert message in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("records", "message", "why"),
    [row for row in WRONG if len(row[0]) == 1],
    ids=[w for r, _, w in WRONG if len(r) == 1],
)
def test_a_mistake_is_dropped_counted_and_named(written, caplog, records, message, why):
    if "left for" in message:
        pytest.skip("a file that is too short, not a mistake")
    task = make_task("qa_jsonl", path=written([*lines(), *records]))
    assert task.dropped == {"not in the format": 1} and sum(task.sizes.values()) == 12
    assert "12 of 13 queries usable; dropped: not in the format (1)" in task.report()
    (warning,) = caplog.messages
    assert message.replace("line 1", "line 13") in warning and "task.strict=true makes this an error" in warning


def test_conflicts_of_lines_drop_the_later_one(written, caplog):
    records = [record | {"split": "test"} for record in lines()]
    records[3] |= {"id": "x"}
    records[5] |= {"id": "x"}
    records[6] |= {"entity": "e"}
    records[7] |= {"entity": "e", "split": "train"}
    del records[8]["split"]
    task = make_task("qa_jsonl", path=written(records))
    assert task.sizes == {"test": 9} and task.dropped == {"not in the format": 3}
    for message in ("line 6: id 'x' stands", "line 8: entity 'e' is also in split test", "line 9: split is missing"):
        assert message in caplog.text


def test_many_mistakes_are_named_up_to_ten(written, caplog):
    task = make_task("qa_jsonl", path=written([*lines(), *["{"] * 15]))
    assert task.dropped == {"not in the format": 15} and len(caplog.messages) == 11
    assert "5 more records are dropped" in caplog.messages[-1]


def test_a_file_of_another_program_is_read(written):
    """`datasets` writes every field of every record, null where it is missing, or the readings as columns."""
    plain, weighed = lines(), lines()
    nulls = [
        {"id": None, "context": None, "split": None, "entity": None, "comment": None}
        | record
        | {
            "interpretations": [
                {"weight": None, "label": None, "note": None} | reading | {"answers": [*reading["answers"], None]}
                for reading in record["interpretations"]
            ]
        }
        for record in plain
    ]
    columns = [
        record
        | {
            "interpretations": {
                key: [r[key] for r in record["interpretations"]] for key in ("text", "answers", "weight")
            }
        }
        for record in nulls
    ]
    tasks = [make_task("qa_jsonl", path=written(records, strict)) for records, strict in ((plain, "a"), (nulls, "b"))]
    tasks.append(make_task("qa_jsonl", path=written(columns, "c"), strict=True))
    episodes = [[episode for split in task.sizes for episode in task.episodes(split)] for task in tasks]
    assert episodes[0] == episodes[1] == episodes[2] and len(episodes[0]) == len(weighed)


@pytest.mark.parametrize(
    "columns", [{}, {"text": ["A"], "answers": []}, {"text": "A"}, {"text": ["A"], "answers": "b"}]
)
def test_columns_of_unequal_lengths_are_no_readings(written, columns):
    with pytest.raises(ValueError, match="line 1: interpretations must be a list, or an object of lists"):
        make_task("qa_jsonl", path=written([question("A", "Ada") | {"interpretations": columns}]), strict=True)


@pytest.mark.parametrize(
    ("weights", "shares", "is_said"),
    [
        ((0.333, 0.333, 0.333), (1 / 3, 1 / 3, 1 / 3), True),
        ((3, 1), (0.75, 0.25), True),
        ((50, 50), (0.5, 0.5), True),
        ((1e308, 1e308), (0.5, 0.5), True),
        ((7,), (1.0,), True),
        ((0.25, 0.75), (0.25, 0.75), False),
        ((1 / 3, 1 / 3, 1 / 3), (1 / 3, 1 / 3, 1 / 3), False),
    ],
)
def test_weights_are_divided_by_their_sum(written, caplog, weights, shares, is_said):
    record = question("A", *(f"answer {i}" for i in range(len(weights))), split="test")
    for reading, weight in zip(record["interpretations"], weights, strict=True):
        reading["weight"] = weight
    task = make_task("qa_jsonl", path=written([record]), strict=True)
    assert [r.weight for r in task.episode("test", 0).interpretations] == pytest.approx(shares)
    note = "weights that do not sum to 1 were divided by their sum in 1 of 1 queries"
    assert (note in task.report()) == (note in caplog.text) == is_said
    assert str(task.path) in caplog.text or not is_said


def test_test_episodes_alone_can_be_evaluated(written, command, in_this_process, tmp_path):
    from trainers import evaluate, rest

    path = written([record | {"split": "test"} for record in lines(4)])
    options = ["task=qa_jsonl", f"task.path={path}", "task.strict=true"]
    options += ["assistant=scripted", "assistant.strategy=oracle"]
    small = ["eval.sets=[between]", "eval.grid=3", "eval.modes=[greedy]", "eval.transcripts=2"]
    assert command(evaluate, *options, *small, f"run_dir={tmp_path / 'run'}") == (0, "")
    code, error = command(rest, *options[:2], f"run_dir={tmp_path / 'other'}")
    assert code == 1 and "task qa_jsonl has no train and no validation episodes, only test" in error
    assert error.count("\n") == 1 and not (tmp_path / "other" / "trajectories").exists()
    shares = make_task("qa_jsonl", path=written(lines(), "all.jsonl"), validation=0, test=1)
    assert shares.sizes == {"test": 12}
    with pytest.raises(ValueError, match="has no split 'train', only test"):
        shares.split_size("train")
    check_task(shares)
    check_game(shares)


def test_multiple_choice(written, in_this_process):
    record = question("it", "option A", "option B", "A", "A, C", "+", split="test")
    task = make_task("qa_jsonl", path=written([record]), strict=True)
    episode = task.episode("test", 0)
    answers = [reading.answers[0] for reading in episode.interpretations]
    assert [[task.score(answer, i, episode) for i in range(5)] for answer in answers] == [
        [float(i == k) for i in range(5)] for k in range(5)
    ]
    for answer in ("option", "C", "the", ""):
        assert not any(task.score(answer, i, episode) for i in range(5)), answer
    check_task(task)


@pytest.mark.parametrize("answer", ["A", "+", "The The", "the", "-", "?!", "(an)"])
def test_an_answer_of_articles_or_punctuation_stays(written, answer):
    task = make_task("qa_jsonl", path=written([question("it", answer, "Ada", split="test")]), strict=True)
    episode = task.episode("test", 0)
    assert episode.interpretations[0].answers == (answer,) and task.dropped == {}
    assert [task.score(text, 0, episode) for text in (answer, "Ada", "")] == [1, 0, 0]


def test_queries_that_differ_in_a_symbol_are_two(written):
    records = [question("C", "Ada", "Jon"), question("C++", "Eve", "Bob"), question("C.", "Ada", "Jon")]
    task = make_task("qa_jsonl", path=written([*lines(), *records]))
    assert task.dropped == {"asked twice": 1} and sum(task.sizes.values()) == 14


ONE = json.dumps(question("One", "Ada"))
OTHER_FILES = [
    ("a.csv", b"question,answer\nWho?,Ada\n", "a table"),
    ("a.tsv", b"question\tanswer\nWho?\tAda\n", "a table"),
    ("a.parquet", b"PAR1\x15\x04\x15", "a parquet file"),
    ("a.xlsx", b"PK\x03\x04\x14\x00", "a zip archive or a spreadsheet"),
    ("a.jsonl", ONE.encode("utf-16"), "a text in UTF-16"),
    ("a.jsonl", f"{ONE}\n{ONE}\n".encode("utf-16"), "a text in UTF-16"),
    ("a.json", f"[{ONE}]".encode(), "a JSON list"),
    ("a.json", json.dumps([question("One", "Ada")], indent=2).encode(), "a JSON list"),
    ("a.json", json.dumps(question("One", "Ada"), indent=2).encode(), "JSON over several lines"),
    ("a.json", b'{"question":{"0":"Who?"},"interpretations":{"0":[]}}', "a JSON object of columns"),
    ("a.jsonl", b'{"question": 3}', None),
    ("a.csv", b'{"question": 3}', None),
]


@pytest.mark.parametrize(("name", "content", "kind"), OTHER_FILES)
def test_a_file_in_another_format_is_told_how_to_write_it(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}, line 1: ") as error:
        make_task("qa_jsonl", path=path)
    advice = f"; the file is {kind}: write one JSON object per line in UTF-8, as datasets' to_json(FILE)"
    assert (advice in str(error.value)) if kind else ("the file is" not in str(error.value))


def test_options_and_files_that_are_wrong(written, tmp_path):
    path = written(lines())
    for options, message in (
        ({"metric": "bleu"}, "task.metric must be one of em, f1, em_symbols, f1_symbols, not 'bleu'"),
        ({"validation": 0.6, "test": 0.5}, "must be at least 0 and at most 1 together"),
        ({"size": 3}, "task qa_jsonl has no option 'size'; known: path, "),
    ):
        with pytest.raises(ValueError, match=message):
            make_task("qa_jsonl", path=path, **options)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dev.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"^task\.path must be the data file itself, not .*data, .*with dev\.jsonl\)$"):
        make_task("qa_jsonl", path=tmp_path / "data")
    with pytest.raises(ValueError, match=r"task\.path: cannot read .*nowhere.*: No such file"):
        make_task("qa_jsonl", path=tmp_path / "nowhere.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "caf\xe9"}\n')
    with pytest.raises(ValueError, match="line 1: not JSON: not Unicode text at byte 17"):
        make_task("qa_jsonl", path=tmp_path / "latin.jsonl")


def test_a_file_without_newlines_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "one_line.jsonl"
    with path.open("wb") as file:
        file.write(b"{ at first")
        file.truncate(2**27)  # 134 megabytes of zeros, sparse
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as error:
            make_task("qa_jsonl", path=path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(error.value) == f"{path}, line 1: longer than {line_files.LONGEST_LINE:,} bytes"
    assert most < 50_000_000, "bytes"


def test_check(written, capsys):
    path = written([*lines(), question("Many", *"bcdefgh")])
    assert tasks_command.main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "12 of 13 queries usable; dropped: more than 6 readings (1)" in said
    assert "test: 4 episodes, 4 of 2 readings" in said and said.endswith(
        "ok: every check of task qa_jsonl passed on 12 episodes (6 of train, 2 of validation, 4 of test)\n"
    )
    assert tasks_command.main(["check", str(written(["{"], "broken.jsonl"))]) == 2
    assert "broken.jsonl, line 1: not JSON" in capsys.readouterr().err
    assert tasks_command.main(["check", str(path), "task.metric=f2"]) == 2
    assert "task.metric must be" in capsys.readouterr().err


def test_check_reads_its_arguments_in_every_order(written, in_this_process, capsys, monkeypatch):
    path = str(written(lines()))
    reports = set()
    for arguments in (
        [path],
        [f"task.path={path}"],
        ["qa_jsonl", f"task.path={path}"],
        [f"task.path={path}", "qa_jsonl"],
        ["task=qa_jsonl", f"task.path={path}", "episodes=5"],
        ["qa_jsonl", path],
    ):
        assert tasks_command.main(["check", *arguments]) == 0, arguments
        reports.add(capsys.readouterr().out)
    assert len(reports) == 1
    odd = written(lines(), "a=b.jsonl")
    monkeypatch.chdir(odd.parent)
    assert tasks_command.main(["check", odd.name]) == 0, "a file whose name holds an equals sign"


@pytest.mark.parametrize("command", [[], ["check"], ["show"], ["oracle"]])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_commands_and_tasks(capsys, command, flag):
    assert tasks_command.main([*command, flag]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in ("check", "show", "oracle", "almanac", "pacific", "qa_jsonl"))
    assert tasks_command.main([*command, "qa_jsonl", flag]) == 0
    text = capsys.readouterr().out
    assert "strict: Whether a record" in text and "task.max_readings" in text
    assert oracle_map.main([flag]) == 0 and "prints the oracle's actions" in capsys.readouterr().out


def test_the_oracle_is_shown_on_a_file(written, capsys):
    assert tasks_command.main(["oracle", str(written(lines())), "split=validation"]) == 0
    assert "qa_jsonl, validation: 2 episodes" in capsys.readouterr().out


def test_check_says_where_symbols_are_kept(written, in_this_process, capsys):
    signs = question("Sign", "-5", "5", id="sign", split="test")
    path = written([*(record | {"split": "test"} for record in lines()), signs])
    task = make_task("qa_jsonl", path=path)
    assert task.equated == ("test/12",) and "would share answers, in 1: test/12" in task.report()
    assert tasks_command.main(["check", str(path)]) == 0
    text = capsys.readouterr().out
    assert "test/12: '-5' and '5' are equal under em, so em_symbols is its metric" in text and "\nok: " in text
    everywhere = make_task("qa_jsonl", path=path, metric="em_symbols")
    assert everywhere.equated == () and everywhere.score("Jon-Vale 0!", 1, everywhere.episode("test", 0)) == 0


def test_show(written, capsys):
    record = question("Ash\x1b[2Jford", "Ada Brandt", "Jon Vale", context="First.\nSecond.", split="test")
    others = [r | {"split": s} for r, s in zip(lines(2), ("train", "validation"), strict=True)]
    path = written([record, *others])
    assert tasks_command.main(["show", "qa_jsonl", f"task.path={path}", "episodes=1", "costs.alpha=[0.05,0.62]"]) == 0
    said = capsys.readouterr().out
    assert "== test/0: Who designed Ash\ufffd[2Jford?" in said, "no text steers the terminal"
    assert "context:\n  First.\n  Second.\n" in said
    assert "  0.50  film: Ada Brandt  (Who designed the film" in said
    assert "  Do you mean film or bridge?  0 / 1" in said
    assert "    6  1.00  #MULTI_ANS film: Ada Brandt; bridge: Jon Vale" in said
    dearest = [line for line in said.splitlines() if line.startswith("     0.62")]
    assert dearest and set(dearest[0].split()[1:]) == {"B"}, "where questions are dear, the oracle lists"
    assert "  A: #CLARIFY Do you mean film or bridge?" in said
    assert "  B: #MULTI_ANS film: Ada Brandt; bridge: Jon Vale" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give check, show or oracle, then a task or a file; --help says more"),
        (["show"], "give check, show or oracle, then a task or a file"),
        (["draw", "almanac"], "give check, show or oracle, then a task or a file"),
        (["check", "split=test"], "give check, show or oracle, then a task or a file"),
        (["check", "pacific"], "task pacific reads a file: write task.path=FILE"),
        (["check", "pacific", "path=F"], "path is an option of the task: write task.path=F"),
        (["show", "almanac", "ledger"], "give one task and one file"),
        (["check", "pacific", "a.json", "task.path=b.json"], "give one task and one file: TASK task.path=FILE"),
        (["check", "pacific", "nowhere.json"], "task.path: cannot read nowhere.json"),
        (["check", "questions"], "'questions' is neither a task nor a file; tasks: abgcoqa, almanac"),
        (["oracle", "almanac", "split=dev"], "split must be a finite one of train, validation, test, not 'dev'"),
        (["show", "chess"], "'chess' is neither a task nor a file"),
        (["show", "almanac", "split=dev"], "no split 'dev'"),
        (["show", "almanac", "first=900"], "no episode 900"),
        (["show", "almanac", "episodes=few"], "episodes must be a whole number, not 'few'"),
        (["show", "almanac", "colour=red"], "unknown argument 'colour'"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(capsys, arguments, message):
    assert tasks_command.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
