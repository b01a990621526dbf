"""Priors in prompts: isotonic calibration, the line, and the prompts that state it."""

import json

import numpy as np
import pytest
from configs import arguments_of
from conftest import SMALL

from agents.hf import HFAgent
from clarify_env.games.clarification.description import GAME
from clarify_env.scores.calibration import Isotonic, fit_isotonic
from clarify_env.tasks.base import Episode, Interpretation
from trainers import prompted
from trainers.evaluation import prior
from trainers.evaluation.prior import estimates, likelihood

FITS = [
    ([0.1, 0.5, 0.9], [0.2, 0.4, 0.6], [0.2, 0.4, 0.6], "rising already"),
    ([0.1, 0.5, 0.9], [0.4, 0.2, 0.6], [0.3, 0.3, 0.6], "neighbours that fall are pooled"),
    ([0.1, 0.5, 0.9], [0.9, 0.6, 0.3], [0.6, 0.6, 0.6], "again and again"),
    ([0.9, 0.1, 0.5], [0.6, 0.4, 0.2], [0.6, 0.3, 0.3], "in any order"),
    ([0.5, 0.5, 0.9], [0.0, 0.4, 0.1], [1 / 6, 1 / 6, 1 / 6], "equal estimates are one point, counted as often"),
    ([0.3], [0.7], [0.7], "one point"),
]


@pytest.mark.parametrize(("x", "y", "expected", "why"), FITS, ids=[why for *_, why in FITS])
def test_isotonic_regression(x, y, expected, why):
    assert fit_isotonic(x, y)(np.array(x)) == pytest.approx(expected), why


def test_isotonic_regression_is_the_best_rising_function():
    rng = np.random.default_rng(0)
    x, y = rng.random(40), rng.random(40)
    curve = fit_isotonic(x.tolist(), y.tolist())
    values = curve(x)
    assert (np.diff(values[x.argsort()]) >= 0).all() and values.mean() == pytest.approx(y.mean())
    for _ in range(200):
        other = np.sort(rng.random(40))[x.argsort().argsort()]
        assert ((values - y) ** 2).sum() <= ((0.5 * other + 0.5 * values - y) ** 2).sum() + 1e-12
    assert curve(np.array([-1.0, 2.0])) == pytest.approx([values.min(), values.max()]), "constant beyond"


def episode(*labels):
    weights = np.arange(1, len(labels) + 1) / sum(range(1, len(labels) + 1))
    readings = [Interpretation(label, (label,), w, label) for label, w in zip(labels, weights.tolist(), strict=True)]
    return Episode("test/0", "How many?", "A table.", tuple(readings), {})


SAME, FLAT = Isotonic([0.0, 1.0], [0.0, 1.0]), Isotonic([0.0, 1.0], [0.0, 0.0])
LINES = [
    (("Europe", "Asia"), {1: 0.52, 0: 0.48}, SAME, "Likelihood: Asia 52%, Europe 48%."),
    (("Europe", "Asia"), {1: 0.2, 0: 0.1}, SAME, "Likelihood: Asia 67%, Europe 33%."),
    (("Europe", "Asia"), {1: 0.2, 0: 0.1}, FLAT, "Likelihood: Asia 50%, Europe 50%."),
    (("",), {0: 1.0}, SAME, "Likelihood: there is one reading."),
]


@pytest.mark.parametrize(("labels", "estimate", "calibration", "line"), LINES)
def test_the_line(labels, estimate, calibration, line):
    assert likelihood(GAME, episode(*labels), estimate, calibration) == line


def test_estimates_are_the_models_and_not_in_the_tasks_order(tiny):
    agent = HFAgent(*tiny, style="natural")
    first, second = (
        next(iter(estimates(agent, GAME, "natural", [episode(*labels)]))) for labels in (("b", "a"), ("a", "b"))
    )
    assert sum(first.values()) == pytest.approx(1)
    assert list(first) == [1, 0] and list(second) == [0, 1], "in the order of the labels"
    assert list(first.values()) == pytest.approx(list(second.values())), "whatever the order of the task"


def test_prompts_state_the_line_before_the_costs(command, tmp_path, monkeypatch, almanac):
    calls = []
    monkeypatch.setattr(prompted, "measure", lambda run, experiment, players, **more: calls.append((players, more)))
    monkeypatch.setattr(prior, "_CALIBRATION", 4)
    line = ["assistant=hf", "prompts=prior", *SMALL, f"run_dir={tmp_path / 'run'}"]
    assert command(prompted, *line) == (0, "")
    (players, more), stored = calls.pop(), json.loads((tmp_path / "run" / "prior.json").read_text())
    assert more["budget"]["gold_labels"] > 0, "calibration reads weights of training episodes"
    lines, dealt = stored["likelihoods"], almanac.episode("test", 0)
    view = GAME.deal(almanac, dealt, 0, (0.3, 0.04)).view("assistant")
    chat = players(0.0)["assistant"].renderer.chat(view)
    assert chat[-1]["content"] == f"{dealt.query}\n{lines[dealt.id]}\nEach question costs 0.30, each word 0.040."
    monkeypatch.setattr(prior, "estimates", None)
    assert command(prompted, *line) == (0, ""), "nothing is estimated again"


def test_methods_that_learn_refuse_it():
    with pytest.raises(ValueError, match="prompts=prior is for"):
        arguments_of("rest", "assistant=hf", "assistant.model=OWNER/NAME", "prompts=prior")


def test_no_prompt_is_written_without_its_line(almanac):
    view = GAME.deal(almanac, almanac.episode("test", 0), 0, (0.3, 0.04)).view("assistant")
    with pytest.raises(ValueError, match="states how likely the model finds each reading"):
        GAME.chat(view, "prior")
