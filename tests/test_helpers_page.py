"""What docs/games/helpers.md shows is what its code and its command print, and its strategies earn what it says."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("bm25s")

from clarify_env.games import find_game
from clarify_env.games.helpers.equilibria import main
from clarify_env.tasks import make_task

PAGE = (Path(__file__).parents[1] / "docs" / "games" / "helpers.md").read_text(encoding="utf-8")


def test_the_page_shows_what_its_code_prints():
    ((code, text),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue() == text


def test_the_page_shows_what_the_command_prints(capsys):
    assert main(["values=6", "most=3"]) == 0
    assert f"```text\n{capsys.readouterr().out}```" in PAGE


def test_the_strategies_earn_what_the_page_says():
    game, task = find_game("helpers"), make_task("archives")
    costs = np.array(game.plane().sets()["between"])
    solved = game.solve(task, list(task.episodes("test")))
    best = np.mean([one.oracle(costs)[0] for one in solved])
    shown = dict(re.findall(r"^\| `(\w+)` \|.*\| (\d+) \|$", PAGE, re.MULTILINE))
    assert shown.pop("oracle") == "100" and set(shown) == {"careful", "search", "memory"}
    for name, percent in shown.items():
        assert round(100 * np.mean([one.fixed(costs)[name] for one in solved]) / best) == int(percent), name


def test_the_lines_of_own_files_are_read(tmp_path):
    question, passage = re.findall(r"```json\n(.*?)\n```", PAGE)
    for name, line in (("q", question), ("a", passage), ("b", json.dumps({"id": "x", "text": "A sea."}))):
        (tmp_path / name).write_text(line, encoding="utf-8")
    paths = {key: str(tmp_path / name) for key, name in (("path", "q"), ("corpus_a", "a"), ("corpus_b", "b"))}
    task = make_task("passages_jsonl", **paths, strict=True)
    assert task.sizes == {"test": 1} and task.corpora[0].passages[0].title == "Emma"
