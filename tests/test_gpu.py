"""What only a GPU can show; elsewhere all of it is skipped."""

import numpy as np
import pytest
import torch

from agents import hf, recorded
from agents.batching import batching_of
from agents.example import Example
from agents.hf import HFAgent, load
from agents.pocket import SHIPPED
from agents.recorded import release
from clarify_env.costs import Costs
from clarify_env.games.base import Message, View
from clarify_env.games.clarification.facts import AssistantFacts
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.options import UpdateOptions
from trainers.learning.update import update

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

VIEWS = [
    View("assistant", history, AssistantFacts("Who designed Ashford?", "", Costs(alpha, 0.03), "train/0"), len(history))
    for alpha in (0.25, 0.5)
    for history in ((), (Message("assistant", "#CLARIFY Which kind?"), Message("user", "The opera one.")))
]


@pytest.fixture
def half(tiny_folder, monkeypatch):
    """The tiny model as a large one is loaded: (model, tokenizer)."""
    monkeypatch.setattr(hf, "SMALL", 0)
    return load(tiny_folder)


def test_small_models_play_as_on_a_cpu(tiny, tiny_folder):
    there, here = load(tiny_folder), tiny
    assert there[0].device.type == "cuda" and there[0].dtype == torch.float32
    replies, others = (
        HFAgent(*model, style="pocket", max_new_tokens=16).act(VIEWS * 5, list(range(20))) for model in (there, here)
    )
    assert [reply.ids for reply in replies] == [other.ids for other in others]
    assert all(np.allclose(r.logprobs, o.logprobs, atol=1e-3) for r, o in zip(replies, others, strict=True))


def test_large_models_are_bf16_and_play(half):
    assert half[0].dtype == torch.bfloat16 and half[0].device.type == "cuda"
    agent = HFAgent(*half, style="pocket", max_new_tokens=16)
    replies = agent.act(VIEWS * 5, list(range(20)))
    assert replies == agent.act(VIEWS * 5, list(range(20))), "same seeds, same replies"
    scored = agent.sampler.logprobs([Example(reply.prompt_ids, reply.ids) for reply in replies])
    assert all(np.allclose(r.logprobs, s, atol=0.1) for r, s in zip(replies, scored, strict=True))


def test_recorded_steps_play_as_plain_ones(tiny_folder, monkeypatch):
    """Batches of many sizes, the largest not first, so that memory grows and steps are used again."""
    monkeypatch.setattr(recorded, "ENABLED", True)
    model, tokenizer = load(tiny_folder)
    batching = batching_of(model)
    assert batching.recorded
    agent = HFAgent(model, tokenizer, style="pocket", max_new_tokens=40)
    batches = [(VIEWS[:1], [7]), (VIEWS * 30, list(range(120))), (VIEWS * 2, list(range(8)))] * 2
    recorded_replies = [agent.act(*batch) for batch in batches]
    model._clarify_batching = batching._replace(recorded=False)
    for replies, others in zip(recorded_replies, [agent.act(*batch) for batch in batches], strict=True):
        assert [reply.ids for reply in replies] == [other.ids for other in others]
        assert all(np.allclose(r.logprobs, o.logprobs, atol=1e-3) for r, o in zip(replies, others, strict=True))


def test_recorded_steps_follow_weights(tiny_folder, monkeypatch):
    """Weights that change in place, that move, and memory given back for an update."""
    monkeypatch.setattr(recorded, "ENABLED", True)
    model, tokenizer = load(tiny_folder)
    agent = HFAgent(model, tokenizer, style="pocket", max_new_tokens=8)
    for change in (lambda: model.lm_head.weight.data.neg_(), model.double, release):
        agent.act(VIEWS, [0, 1, 2, 3])
        change()
        replies = agent.act(VIEWS, [0, 1, 2, 3])
        scored = agent.sampler.logprobs([Example(reply.prompt_ids, reply.ids) for reply in replies])
        assert all(np.allclose(r.logprobs, s, atol=1e-3) for r, s in zip(replies, scored, strict=True))


@pytest.mark.parametrize("rank", [0, 2])
def test_large_models_learn_and_stay_bf16(half, rank):
    rows = [Example((2, 9, 10, 1, 4), (20, 21, 1)), Example((2, 9), (30,))]
    config = UpdateOptions(learning_rate=3e-3 if rank else 3e-4, epochs=40, batch=2, weight_decay=0.0, lora_rank=rank)
    after = update(half[0], rows, config, seed=0, pad=0)
    assert after.dtype == torch.bfloat16 and not after.training
    before, now = (HFAgent(model, half[1]).sampler.logprobs(rows) for model in (half[0], after))
    assert all(sum(new) > sum(old) + 0.1 for old, new in zip(before, now, strict=True))


def test_gradients_of_rows_padded_on_the_left_are_numbers(monkeypatch):
    """Of rows of these lengths cuDNN's attention made gradients that are NaN."""
    monkeypatch.setattr(hf, "SMALL", 0)
    model, rng = load(SHIPPED["almanac"])[0].train(), np.random.default_rng(0)
    for _ in range(20):
        rows = [
            Example(tuple(rng.integers(2, 400, n - 20).tolist()), tuple(rng.integers(2, 400, 20).tolist()))
            for n in (60, 60, 60, 61, 61, 61, 63, 63, 63, 63, 63, 64)
        ]
        batch = {name: part.to(model.device) for name, part in collate(rows, 0).items()}
        weighted_loss(model, batch).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
