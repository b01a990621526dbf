"""Many architectures with random weights: how each plays and learns, as docs/models.md says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, QUICK, build
from transformers import AutoTokenizer

from agents.batching import batching_of
from agents.context import context_of
from agents.example import Example
from agents.hf import load
from agents.sample import LocalSampler
from trainers.learning.options import UpdateOptions
from trainers.learning.trial import check_update
from trainers.learning.update import update
from trainers.runs.experiment import Policy
from trainers.runs.store import save_model

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
PREFIX = (11, 18, 25, 32, 39, 46, 53, 60, 67, 74)
PROMPTS = [(*PREFIX, *rest) for rest in ((81,), (90, 91, 92, 93, 94, 95, 96), (101, 102, 103), (5, 111, 8))]
ROWS = [pytest.param(row, id=row.name, marks=[] if row.name in QUICK else pytest.mark.slow) for row in ARCHITECTURES]


@pytest.fixture(scope="module")
def tokenizer(tiny_folder):
    return AutoTokenizer.from_pretrained(tiny_folder)


@pytest.fixture(params=ROWS)
def architecture(request):
    return request.param


@pytest.fixture
def model(architecture, tokenizer):
    return build(architecture, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)


def samplers(model, batch):
    return LocalSampler(model, pad_id=0, end_id=1, max_new_tokens=6, batch=batch)


def plain(model, prompt, ids):
    """Log-probabilities of a reply by one forward pass over nothing else."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist(), logits.std().item()


def total(model, rows):
    return sum(sum(scores) for scores in samplers(model, 64).logprobs(rows))


def test_an_architecture_plays_and_learns(architecture, model, tokenizer, tmp_path):
    assert batching_of(model).way == architecture.way
    context = context_of(model)
    assert bool(context and context.fixed) == architecture.fixed
    # Batched equals alone, and both a plain forward pass.
    prompts, seeds = PROMPTS * 3, list(range(12))
    together = samplers(model, 64).sample(prompts, [()] * 12, seeds)
    alone = samplers(model, 1).sample(prompts, [()] * 12, seeds)
    assert [sample.ids for sample in together] == [sample.ids for sample in alone]
    examples = [Example(prompt, sample.ids) for prompt, sample in zip(prompts, together, strict=True)]
    scored = samplers(model, 64).logprobs(examples)
    for example, sample, other, scores in zip(examples, together, alone, scored, strict=True):
        expected, deviation = plain(model, example.prompt_ids, example.ids)
        for values in (sample.logprobs, other.logprobs, scores):
            np.testing.assert_allclose(values, expected, atol=max(1e-4, 5e-3 * deviation))
    # One update, of all weights and of adapters.
    policy = Policy(model, tokenizer)
    rows = [Example(prompt, (120 + i, 7, 1)) for i, prompt in enumerate(PROMPTS)]
    before = total(model, rows)
    for rank in (0, 2):
        options = UpdateOptions(learning_rate=1e-2, epochs=4, batch=2, lora_rank=rank)
        check_update(policy, options)
        learned = update(model, rows, options, seed=0, pad=0)
        assert total(learned, rows) > before + 0.3, f"adapters of rank {rank}"
    # What is saved is loaded as it was.
    save_model(learned, tokenizer, tmp_path / "saved")
    loaded, _ = load(tmp_path / "saved", device="cpu")
    assert total(loaded, rows) == pytest.approx(total(learned, rows), abs=1e-3)


@pytest.mark.parametrize("way", ["shared", "padded", "recomputed"])
def test_the_page_names_every_architecture(way):
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {way} |"))
    assert re.findall(r"`([^`]+)`", line) == [row.name for row in ARCHITECTURES if row.way == way]


def test_the_page_names_those_of_fixed_length():
    (line,) = (line for line in PAGE.splitlines() if line.startswith("* **A table of positions**"))
    assert re.findall(r"`([^`]+)`", line) == [row.name for row in ARCHITECTURES if row.fixed]


def test_there_are_many_architectures():
    assert len({row.model_type for row in ARCHITECTURES}) >= 40
