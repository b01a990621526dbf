"""DPO's batches: their tensors, how they are split, and that the parts add up to the step."""

import math

import numpy as np
import pytest
import torch

from agents.hf import load
from trainers.learning import dpo as dpo_module
from trainers.learning.dpo import collate, dpo, split
from trainers.learning.options import UpdateOptions
from trainers.selection.pairs import Preference, Side

RNG = np.random.default_rng(0)


def side(length):
    ids = tuple(RNG.integers(5, 50, size=length).tolist())
    return Side(ids[:3], ids[3:], tuple(k % 4 != 1 for k in range(length - 3)))


PAIRS = [Preference(side(a), side(b)) for a, b in ((9, 30), (12, 8), (20, 21), (7, 7), (33, 12), (16, 10))]


@pytest.mark.parametrize(
    ("tokens", "sizes"),
    [
        (12 * 33, [6]),  # as it is, padding included
        (2 * 33, [2, 1, 1, 1, 1]),
        (2 * 2 * 30, [3, 2, 1]),
        (1, [1] * 6),
    ],
)
def test_a_batch_is_split_into_whole_pairs_of_similar_length(tokens, sizes):
    batch = collate([pair.to_dict() for pair in PAIRS], pad=0)
    parts = split(batch, tokens)
    assert [len(part["input_ids"]) // 2 for part in parts] == sizes
    assert all(part["input_ids"].numel() <= tokens or len(part["input_ids"]) == 2 for part in parts)

    def rows(of):
        """Chosen and rejected tokens with loss, of each pair."""
        sides = [ids[mask.bool()].tolist() for ids, mask in zip(of["input_ids"], of["completion_mask"], strict=True)]
        return list(zip(sides[: len(sides) // 2], sides[len(sides) // 2 :], strict=True))

    assert sorted(row for part in parts for row in rows(part)) == sorted(rows(batch))
    assert sum(int(part["attention_mask"].sum()) for part in parts) == int(batch["attention_mask"].sum())


def trained(tiny, tokens):
    """The weights after two steps, and the loss and norm of the gradient of the last."""
    logged, (model, tokenizer) = {}, tiny
    config = UpdateOptions(learning_rate=1e-3, batch=4, epochs=1, tokens=tokens)
    options = {"beta": 0.3, "seed": 0, "tokenizer": tokenizer, "report": lambda step, steps, logs: logged.update(logs)}
    result = dpo(model, model, PAIRS, config, **options)
    return torch.cat([weights.flatten() for weights in result.state_dict().values()]), logged


@pytest.mark.parametrize("tokens", [1, 100])
def test_parts_of_a_step_add_up_to_the_step(tiny, tokens):
    (whole, of_whole), (parts, of_parts) = trained(tiny, 10_000), trained(tiny, tokens)
    for name in ("train_loss", "grad_norm"):
        assert of_parts[name] == pytest.approx(of_whole[name], rel=1e-4)
    torch.testing.assert_close(parts, whole, atol=2e-4, rtol=0)


def test_out_of_memory_halves_what_is_computed_at_once(tiny, monkeypatch, caplog):
    whole, _ = trained(tiny, 400)
    real = dpo_module.MaskedDPOTrainer.compute_loss

    def scarce(self, model, inputs, *args, **kwargs):
        if inputs["input_ids"].numel() > 100:
            raise torch.OutOfMemoryError("no memory")
        return real(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(dpo_module.MaskedDPOTrainer, "compute_loss", scarce)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None)
    parts, _ = trained(tiny, 400)
    torch.testing.assert_close(parts, whole, atol=2e-4, rtol=0)
    assert [record.message for record in caplog.records if "out of memory" in record.message] == [
        "update: out of memory; at most 200 tokens at once from here",
        "update: out of memory; at most 100 tokens at once from here",
    ]


def test_a_loss_that_is_no_number(tiny, tiny_folder):
    reference, tokenizer = load(tiny_folder, device="cpu")
    with torch.no_grad():
        reference.model.norm.weight[0] = math.nan
    with pytest.raises(FloatingPointError, match="the loss became nan"):
        dpo(tiny[0], reference, PAIRS, UpdateOptions(batch=4), beta=0.3, seed=0, tokenizer=tokenizer)


def test_padding_and_the_users_words_carry_no_loss():
    batch = collate([row.to_dict() for row in PAIRS], pad=0)
    sides = [row.chosen for row in PAIRS] + [row.rejected for row in PAIRS]
    for index, one in enumerate(sides):
        length = len(one.prompt) + len(one.ids)
        assert batch["attention_mask"][index].tolist() == [1] * length + [0] * (batch["input_ids"].shape[1] - length)
        marked = batch["completion_mask"][index].bool()
        assert tuple(batch["input_ids"][index][marked].tolist()) == tuple(
            token for token, own in zip(one.ids, one.own, strict=True) if own
        )
