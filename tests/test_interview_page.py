"""What docs/games/interview.md shows is what its code prints, and its figures of strategies are the oracle's."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

from clarify_env.games import find_game
from clarify_env.tasks import make_task

PAGE = (Path(__file__).parents[1] / "docs" / "games" / "interview.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("code", "text"), SHOWN, ids=lambda part: part.splitlines()[-1][:30])
def test_the_page_shows_what_its_code_prints(code, text):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue() == text


def test_the_strategies_earn_what_the_page_says():
    game, task = find_game("interview"), make_task("workshop")
    costs = np.array(game.plane().sets()["between"])
    solved = game.solve(task, list(task.episodes("validation")))
    oracle = np.mean([one.oracle(costs)[0] for one in solved])
    shown = dict(re.findall(r"^\| `(\w+)`.*\| (\d+) \|$", PAGE, re.MULTILINE))
    assert list(shown) == ["guess", "ask_one", "ask_all"]
    for name, percent in shown.items():
        assert round(100 * np.mean([one.fixed(costs)[name] for one in solved]) / oracle) == int(percent), name
