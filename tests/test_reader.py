"""What all readers of one file have in common: compression, malformed records, files without labels."""

import copy
import gzip
import json

import pytest
from test_abgcoqa import PETS
from test_abgcoqa import WHOLE as STORIES
from test_ambigqa import GOLF_CHESS, record
from test_ambigqa import PLAIN as QUESTIONS
from test_pacific import WHOLE as DIALOGUES
from test_qa_jsonl import lines

from clarify_env.tasks import line_files, make_task, records

FILES = {
    "abgcoqa": json.dumps(STORIES),
    "ambigqa": json.dumps(QUESTIONS),
    "pacific": json.dumps(DIALOGUES),
    "qa_jsonl": "\n".join(map(json.dumps, lines())),
}


def everything(task):
    return [episode for split in task.sizes for episode in task.episodes(split)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("ending", [".json.gz", ".json"])
def test_compressed_files_are_read(tmp_path, name, ending):
    plain, packed = tmp_path / "plain.json", tmp_path / f"packed{ending}"
    plain.write_text(FILES[name], encoding="utf-8")
    packed.write_bytes(gzip.compress(FILES[name].encode()))
    assert everything(make_task(name, path=packed)) == everything(make_task(name, path=str(plain)))


@pytest.mark.parametrize("name", FILES)
def test_compressed_files_that_are_broken_are_named(tmp_path, name, monkeypatch):
    path, whole = tmp_path / "broken.gz", gzip.compress(FILES[name].encode() * 3)
    for content in (whole[: len(whole) // 2], whole[:12] + b"\xff" * 40, whole[:-8] + b"\0" * 8, whole[:2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.gz") as error:
            make_task(name, path=path)
        assert "\n" not in str(error.value)
    path.write_bytes(gzip.compress(b" " * 5_000_000))
    monkeypatch.setattr(records, "LARGEST_FILE", 1_000_000)
    with pytest.raises(ValueError, match=r"broken\.gz.*(more bytes than the 1,000,000|longer than 4,000,000)"):
        make_task(name, path=path)


ODD_FILES = {
    "a mark of its encoding on a line of its own": b"\xef\xbb\xbf\n%s",
    "a mark of its encoding": b"\xef\xbb\xbf%s",
    "a line that is too long": b"%s\n" + b"x" * 5000,
    "such a line first": b"x" * 5000 + b"\n%s",
    "a line that is too long, and twice that": b"x" * 12_000 + b"\n%s",
}


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=ODD_FILES)
def test_an_odd_line_does_not_take_the_others_with_it(tmp_path, monkeypatch, content):
    monkeypatch.setattr(line_files, "LONGEST_LINE", 4000)
    path = tmp_path / "questions.jsonl"
    path.write_bytes(content % FILES["qa_jsonl"].encode())
    task = make_task("qa_jsonl", path=path)
    assert sum(task.sizes.values()) == 12 and sum(task.dropped.values()) == (b"xxx" in content)
    if task.dropped:
        with pytest.raises(ValueError, match=r"questions\.jsonl, line \d+: longer than 4,000 bytes$"):
            make_task("qa_jsonl", path=path, strict=True)


UNREADABLE = [
    ("a\0b", None, r"^task\.path must be a path, not 'a\\x00b'$"),
    (None, None, r"^task\.path must be "),
    ("wide.jsonl", "utf-16", r"wide\.jsonl, line 1: is no text in UTF-8"),
    ("wide.jsonl", "utf-16-le", r"wide\.jsonl, line 1: is no text in UTF-8"),
]


@pytest.mark.parametrize(("path", "encoding", "sentence"), UNREADABLE)
def test_what_is_no_path_and_no_text_is_said(tmp_path, monkeypatch, path, encoding, sentence):
    monkeypatch.chdir(tmp_path)
    if encoding:
        (tmp_path / path).write_bytes(FILES["qa_jsonl"].encode(encoding))
    with pytest.raises(ValueError, match=sentence):
        make_task("qa_jsonl", path=path)


def test_ids_may_be_numbers(tmp_path):
    """As pandas and `datasets` number rows."""
    records = [json.loads(line) for line in FILES["qa_jsonl"].splitlines()]
    for name, change in (("texts", str), ("numbers", int)):
        numbered = [line | {"id": change(i), "entity": change(i // 2)} for i, line in enumerate(records)]
        (tmp_path / name).write_text("\n".join(map(json.dumps, numbered)))
    assert everything(make_task("qa_jsonl", path=tmp_path / "numbers")) == everything(
        make_task("qa_jsonl", path=tmp_path / "texts")
    )


def test_a_home_folder_stands_in_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "questions.jsonl").write_text(FILES["qa_jsonl"])
    assert sum(make_task("qa_jsonl", path="~/questions.jsonl").sizes.values()) == 12
    with pytest.raises(ValueError, match=r"task\.path: cannot read ~nobody-of-this-name/x"):
        make_task("qa_jsonl", path="~nobody-of-this-name/x")


def spoiled(name):
    """A file with one record that is not in the format: (text, mistake, units dropped)."""
    if name == "abgcoqa":
        whole = {"data": [*STORIES["data"], PETS | {"story": None}]}
        return json.dumps(whole), "record 7: story is missing", 1
    if name == "ambigqa":
        return json.dumps([*QUESTIONS, record(9, GOLF_CHESS) | {"question": 3}]), "record 7: question must be", 1
    if name == "pacific":
        whole = copy.deepcopy(DIALOGUES)
        whole[2]["questions"].append(whole[2]["questions"][0] | {"uid": "z", "scale": "dozens"})
        return json.dumps(whole), "record 3: questions[1].scale must be one of", 2
    return f"{FILES[name]}\n{{", "line 13: not JSON", 1


@pytest.mark.parametrize("name", FILES)
def test_a_record_that_is_not_in_the_format_is_dropped_counted_and_named(tmp_path, caplog, name):
    text, mistake, count = spoiled(name)
    path = tmp_path / "spoiled.json"
    path.write_text(text)
    task = make_task(name, path=path)
    assert task.dropped == {"not in the format": count} and everything(task)
    assert f"not in the format ({count})" in task.report() and f"{path}, {mistake}" in caplog.text
    with pytest.raises(ValueError, match=r"spoiled\.json") as error:
        make_task(name, path=path, strict=True)
    assert mistake in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        (
            "ambigqa",
            '[{"id": "1", "question": "Who?", "question": "What?", "annotations": []}]',
            "record 1: the record",
        ),
        ("abgcoqa", '{"data": [], "data": []}', "the whole"),
        (
            "pacific",
            json.dumps(DIALOGUES).replace('{"uid": "table 0"', '{"uid": "a", "uid": "table 0"'),
            "record 1: table",
        ),
    ],
)
def test_a_key_that_stands_twice_is_said(tmp_path, name, text, place):
    path = tmp_path / "twice.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"twice.json.*{place} has the key '[a-z]+' twice"):
        make_task(name, path=path, strict=True)


def without(whole, *keys):
    """The data without fields of these names, wherever they stand."""
    if isinstance(whole, dict):
        return {key: without(value, *keys) for key, value in whole.items() if key not in keys}
    return [without(value, *keys) for value in whole] if isinstance(whole, list) else whole


@pytest.mark.parametrize(
    ("name", "whole", "fields"),
    [
        ("pacific", without(DIALOGUES, "answer", "derivation", "scale"), "req_clari and answer"),
        ("pacific", without(DIALOGUES, "req_clari"), "req_clari and answer"),
        ("ambigqa", without(QUESTIONS, "annotations"), "annotations"),
        ("abgcoqa", without(STORIES, "ambiguity", "answer"), "ambiguity"),
    ],
)
def test_files_without_labels_are_said_to_have_none(tmp_path, name, whole, fields):
    path = tmp_path / "test.json"
    path.write_text(json.dumps(whole))
    with pytest.raises(ValueError, match=f"test.json: this file has no labels: no record has {fields}"):
        make_task(name, path=path)
