"""Text on streams of any encoding."""

import io
import json
import os
import subprocess
import sys

import pytest

from clarify_env.streams import print_anything

TEXTS = [
    ("−0.93 ± 0.01", "-0.93 +- 0.01", "−0.93 ± 0.01".replace("−", "-")),
    ("\u2013 \u2026 \u2018\u2192\u2019", "- ... \\u2018->'", "\u2013 \u2026 \u2018->\u2019"),
    ("a\u202fb", "a b", "a b"),
    ("漢 \ud800 😀", "\\u6f22 \\ud800 \\U0001f600", "\\u6f22 \\ud800 \\U0001f600"),
    ("plain", "plain", "plain"),
]


@pytest.mark.parametrize(("text", "in_ascii", "in_cp1252"), TEXTS)
def test_what_an_encoding_lacks_is_written_in_ascii(monkeypatch, text, in_ascii, in_cp1252):
    for encoding, expected in (
        ("ascii", in_ascii),
        ("cp1252", in_cp1252),
        ("utf-8", text.replace("\ud800", "\\ud800")),
    ):
        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
            with monkeypatch.context() as patched:
                patched.setattr(sys, name, stream)
                print_anything()
                print(text, file=getattr(sys, name), flush=True)
            assert stream.buffer.getvalue().decode(encoding) == expected + "\n"


def test_a_stream_that_was_replaced_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    print_anything()
    print("−")
    assert sys.stdout.getvalue() == "−\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_command_prints_what_a_file_holds_in_any_encoding(encoding, tmp_path):
    """Here one that needs no torch; the trainers' commands are in test_commands.py."""
    reading = {"text": "In \u00b0C?", "answers": ["\u2212 5"]}
    episodes = [
        {"id": split, "split": split, "question": f"How cold is \u6f22 ({split})?", "interpretations": [reading]}
        for split in ("train", "validation", "test")
    ]
    (tmp_path / "episodes.jsonl").write_text("".join(json.dumps(episode) + "\n" for episode in episodes))
    line = [sys.executable, "-m", "clarify_env.tasks", "show", "qa_jsonl", f"task.path={tmp_path / 'episodes.jsonl'}"]
    line.append("episodes=1")
    done = subprocess.run(line, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert done.returncode == 0 and b"\\u6f22" in done.stdout and b"- 5" in done.stdout, done.stderr
