"""The trial before a long run: what is said of a chat model that can hardly play."""

import random
import re

import numpy as np
import pytest
import torch
from configs import arguments_of
from conftest import SMALL

from agents.hf import HFAgent
from clarify_env.games.base import Reply
from clarify_env.games.clarification.description import GAME
from trainers import prompted
from trainers.evaluation.readiness import Trial, try_model, warning

WORDS = "assistant=hf assistant.model=M"
WARM = f"; first run python -m trainers.sft {WORDS}, and start from its checkpoints/iteration-1"
SENTENCES = [
    (Trial((8, 8)), True, None),
    (Trial((2, 8)), True, None),
    (Trial((0, 8)), True, "0 of 8 trial games with its own messages were valid: learning has nothing to keep" + WARM),
    (
        Trial((1, 8), (0, 12)),
        True,
        "1 of 8 .* valid, and 0 of 12 after a forced opening: .*nothing to keep" + WARM,
    ),
    (Trial((0, 8), (11, 12)), True, "11 of 12 after a forced opening: learning can keep only what follows an opening"),
    (Trial((0, 8)), False, "0 of 8 .* were valid: this run will measure little but that" + WARM),
]


@pytest.mark.parametrize(("trial", "learns", "expected"), SENTENCES)
def test_one_sentence_is_said_of_a_model_that_can_hardly_play(trial, learns, expected):
    sentence = warning(trial, GAME, WORDS, learns)
    if expected is None:
        assert sentence is None
    else:
        assert re.search(f"{expected}.*python -m trainers.probe {WORDS} shows", sentence) and "\n" not in sentence


def experiment_of(folder, *more):
    overrides = [*SMALL, "assistant=hf", f"assistant.model={folder}", "prompts=natural", *more]
    return arguments_of("prompted", *overrides)["experiment"]


def speaking(monkeypatch, free, opened):
    """Has every model send these texts, by itself and after an opening."""

    def act(self, views, seeds, openings=None):
        openings = openings or [""] * len(views)
        return [Reply(f"{opening} {opened}" if opening else free, (1,), (5, 1), (0.0, 0.0)) for opening in openings]

    monkeypatch.setattr(HFAgent, "act", act)


TRIALS = [
    ("#ANSWER x", "x", True, Trial((4, 4)), "the openings of a model that can play are not tried"),
    ("I think", "x", False, Trial((0, 4)), "nor where the method forces none"),
    ("I think", "", True, Trial((0, 4), (4, 12)), "an empty answer is valid, an empty question or list is not"),
]


@pytest.mark.parametrize(("free", "opened", "forced", "expected", "why"), TRIALS, ids=[why for *_, why in TRIALS])
def test_the_trial(tiny_folder, monkeypatch, free, opened, forced, expected, why):
    speaking(monkeypatch, free, opened)
    assert try_model(experiment_of(tiny_folder), forced) == expected, why


def test_openings_are_tried_where_few_messages_are_valid(tiny_folder, monkeypatch):
    speaking(monkeypatch, "I think", "x")
    trial = try_model(experiment_of(tiny_folder), forced=True)
    assert trial.free == (0, 4) and trial.opened[1] == 12 and trial.opened[0] >= 4


NOT_TRIED = [
    (["assistant.style=pocket", "prompts.style=pocket"], "a model that was trained on the game"),
    (["prompts=reasoning"], "long replies"),
    (["assistant=scripted"], "no language model"),
]


@pytest.mark.parametrize(("overrides", "why"), NOT_TRIED, ids=[why for _, why in NOT_TRIED])
def test_what_is_not_tried(overrides, why):
    """No model is loaded: there is none."""
    model = [] if "assistant=scripted" in overrides else ["assistant=hf", "assistant.model=OWNER/NAME"]
    assert try_model(arguments_of("prompted", *SMALL, *model, *overrides)["experiment"], forced=True) is None, why


def test_nothing_is_drawn_from_global_generators(tiny_folder):
    experiment = experiment_of(tiny_folder)
    experiment.load_policy()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert sum(try_model(experiment, forced=True).free) > 0
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())


def test_a_run_says_it_once(command, tmp_path, monkeypatch):
    monkeypatch.setattr(prompted, "measure", lambda *_, **__: None)
    line = ["assistant=hf", "prompts=natural", *SMALL, f"run_dir={tmp_path / 'run run'}"]
    speaking(monkeypatch, "I think", "")
    code, output = command(prompted, *line)
    assert (code, output.count("\n")) == (0, 1)
    assert "prompts=natural task.train_names=4" in output and "run_dir" not in output
    assert output.strip() in (tmp_path / "run run" / "run.log").read_text()
    assert command(prompted, *line) == (0, ""), "a run that goes on has been told"
