"""The prompted variants from their command line, with a model that is made to think aloud."""

import json

import pytest
from conftest import SMALL

from agents.hf import HFAgent
from clarify_env.games.base import Reply
from trainers import prompted, rest

QUICK = [*SMALL, "eval.episodes=1", "eval.modes=[greedy]", "eval.sets=[between]"]


@pytest.fixture
def prompts(monkeypatch):
    """Has every model think aloud and guess; what it was prompted with, and its room for a reply."""
    seen = []

    def act(self, views, seeds, openings=None):
        seen.extend((self.renderer.chat(view)[0]["content"], self.sampler.max_new_tokens) for view in views)
        return [Reply("Perhaps two readings.\n#ANSWER Ada")] * len(views)

    monkeypatch.setattr(HFAgent, "act", act)
    return seen


@pytest.mark.parametrize(
    ("options", "rule"), [([], "free"), pytest.param(["game.reasoning=charged"], "charged", marks=pytest.mark.slow)]
)
def test_reasoning_is_allowed_given_room_and_stated(command, tmp_path, prompts, options, rule):
    folder = tmp_path / "run"
    assert command(prompted, *QUICK, "prompts=reasoning", *options, f"run_dir={folder}") == (0, "")
    price = {"free": "reasoning is free", "charged": "of all your reasoning"}[rule]
    assert all(price in text and "think step by step" in text and room == 1024 for text, room in prompts)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["reasoning"] == rule
    entry = summary["eval"]["between"]["greedy"]
    assert (entry["share"]["answer"], entry["share"]["invalid"]) == (1, 0)
    assert entry["words"] == pytest.approx(1 if rule == "free" else 4)
    stated = {"free": "free", "charged": "charged at beta"}[rule]
    assert f"reasoning before the tag: {stated}" in (folder / "report.html").read_text()
    games = [json.loads(line) for line in (folder / "transcripts.jsonl").read_text().splitlines()]
    assert all(game["turns"][0][1].startswith("Perhaps two readings.\n") for game in games), "for people to read"


def test_without_the_option_a_model_that_thinks_aloud_plays_no_valid_game(command, tmp_path, prompts):
    folder = tmp_path / "run"
    code, error = command(prompted, *QUICK, "prompts=few_shot", f"run_dir={folder}")
    assert code == 0 and error.count("\n") == 1 and "0 of 4 trial games with its own messages were valid" in error
    assert all("Games that others played" in text and room == 48 for text, room in prompts)
    summary = json.loads((folder / "summary.json").read_text())
    assert "reasoning" not in summary and summary["eval"]["between"]["greedy"]["share"]["invalid"] == 1


BAD = [
    (prompted, ["game.reasoning=cheap"], "game.reasoning must be one of none, free, charged, not 'cheap'"),
    (prompted, ["prompts=reasoning", "game.reasoning=none"], "reasoning to free or charged"),
    (rest, ["prompts=reasoning"], "game.reasoning=free is for measuring alone: methods that learn read messages"),
]


@pytest.mark.parametrize(
    ("module", "options", "sentence"), BAD, ids=["a rule", "a prompt against the rule", "learning"]
)
def test_what_does_not_fit_is_one_sentence(command, tmp_path, module, options, sentence):
    code, error = command(module, *SMALL, *options, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and sentence in error and error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "run/summary.json").exists() and not list((tmp_path / "run").glob("trajectories/*"))
