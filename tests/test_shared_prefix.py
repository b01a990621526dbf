"""The benchmark of shared prefixes: both forms compute the same, and the shared one fewer tokens."""

import runpy
from pathlib import Path

import pytest

from agents.hf import HFAgent
from clarify_env import make_task
from trainers.learning.trainer import Form

BENCHMARK = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "shared_prefix.py"))


@pytest.fixture
def agent(tiny):
    return HFAgent(*tiny, style="natural", temperature=0.0, max_new_tokens=4)


def test_learning(agent):
    examples = BENCHMARK["hindsight"](make_task("ledger"), agent.renderer, 1, costs=6)
    assert len({example.prompt_ids for example in examples}) >= 6, "an example at each cost"
    padded, model = Form(agent.renderer.pad_id, "left"), agent.sampler.model
    tokens, (loss, gradient) = BENCHMARK["learned"](model, examples, padded)
    fewer, (same, close) = BENCHMARK["learned"](model, examples, padded._replace(packed=True))
    assert same == pytest.approx(loss, abs=1e-5) and (close - gradient).abs().max() < 1e-5
    assert fewer < tokens / 2


def test_evaluation(agent, capsys):
    BENCHMARK["evaluation"](agent, 1)
    shared, plain, ratio, messages = capsys.readouterr().out.splitlines()
    assert "shared:" in shared and "plain:" in plain
    assert float(ratio.split()[0]) > 2, "times fewer tokens"
    assert messages.strip().startswith("100.0%"), "the same messages"
