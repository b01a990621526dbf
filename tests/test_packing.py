"""Packed learning gives the loss and gradients of the plain form, or says why a model cannot take it."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MptConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from agents.example import Example
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.packing import common_length, gain, neighbours, pack, packed_loss, refusal, split, tree_size
from trainers.learning.tree_attention import tree_mask

LIKE_LLAMA = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LIKE_GPT = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
PACKED = {
    "llama": LlamaConfig(**LIKE_LLAMA),
    "qwen2": Qwen2Config(**LIKE_LLAMA),
    "qwen3": Qwen3Config(**LIKE_LLAMA, head_dim=8),
    "gemma2": Gemma2Config(**LIKE_LLAMA, head_dim=8, sliding_window=256),
    "gemma3": Gemma3TextConfig(**LIKE_LLAMA, head_dim=8, sliding_window=256),
    "mistral": MistralConfig(**LIKE_LLAMA, sliding_window=256),
    "phi3": Phi3Config(**LIKE_LLAMA),
    "granite": GraniteConfig(**LIKE_LLAMA),
    "gpt_oss": GptOssConfig(**LIKE_LLAMA, head_dim=8, num_local_experts=4),
    "gpt2": GPT2Config(**LIKE_GPT, n_embd=32, n_layer=2, n_head=4, n_positions=256),
}
REFUSED = {
    "mpt": (MptConfig(**LIKE_GPT, d_model=32, n_layers=2, n_heads=4, max_seq_len=256), "differ by"),  # ALiBi
    "bloom": (BloomConfig(**LIKE_GPT, hidden_size=32, n_layer=2, n_head=4), "takes no such mask"),
    "mamba": (MambaConfig(**LIKE_GPT, hidden_size=32, num_hidden_layers=2, state_size=4), "takes no such mask"),
    "gpt_neo": (
        GPTNeoConfig(
            **LIKE_GPT,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            max_position_embeddings=256,
            window_size=16,
        ),
        "differ by",
    ),
    "mistral": (MistralConfig(**LIKE_LLAMA, sliding_window=32), "sliding window of 32 tokens is shorter"),
    "gemma3": (Gemma3TextConfig(**LIKE_LLAMA, head_dim=8, sliding_window=32), "sliding window of 32 tokens is shorter"),
}


def examples_with_shared_prefixes() -> list[Example]:
    """One context with two questions, each at several costs; an example of its own; a duplicate; and odd weights."""
    rng = np.random.default_rng(1)
    context = rng.integers(3, 299, 40).tolist()
    examples = []
    for question in rng.integers(3, 299, (2, 5)).tolist():
        for costs in rng.integers(3, 20, (5, 3)).tolist():
            reply = (*rng.integers(3, 299, int(rng.integers(1, 8))).tolist(), 2)
            examples.append(Example((*context, *question, *costs), reply, float(rng.random()), (0.3,)))
    examples[3] = examples[3]._replace(relabel=(0, 7))
    alone = Example(tuple(rng.integers(3, 299, 9).tolist()), (5, 2))
    return [*examples, examples[0], alone, alone._replace(weight=0.0)]


def model_of(config) -> torch.nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("block", [16, 512])
@pytest.mark.parametrize("name", PACKED)
def test_loss_and_gradients_equal_those_of_the_plain_form(name, block):
    model, examples = model_of(PACKED[name]), examples_with_shared_prefixes()
    assert refusal(model, longest=60) is None
    plain, packed = weighted_loss(model, collate(examples, 0)), packed_loss(model, pack(examples), block)
    assert packed.item() == pytest.approx(plain.item(), abs=1e-5)
    expected, actual = gradients(model, plain), gradients(model, packed)
    assert expected.keys() == actual.keys()
    for weight, gradient in expected.items():
        torch.testing.assert_close(actual[weight], gradient, atol=1e-5, rtol=0)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-2  # far above the tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_take_no_such_mask_are_named(name):
    config, reason = REFUSED[name]
    assert reason in refusal(model_of(config), longest=60)


def test_a_pack_is_a_prefix_tree():
    examples = [Example((1, 2, 3), (4, 5)), Example((1, 2, 3), (4, 6)), Example((1, 7), (8,))]
    packed = pack(examples)
    assert packed.ids.tolist() == [1, 2, 3, 4, 7]  # no token is read twice; the last of a reply is a target only
    assert packed.depths.tolist() == [0, 1, 2, 3, 1]
    assert packed.visible[4].tolist() == [True, False, False, False, True]
    assert packed.visible[3].tolist() == [True, True, True, True, False]
    terms = sorted(zip(packed.sources.tolist(), packed.labels.tolist(), strict=True))
    assert terms == [(2, 4), (2, 4), (3, 5), (3, 6), (4, 8)]


@pytest.mark.parametrize(("block", "fewer"), [(16, True), (512, False)])
def test_attention_computes_the_visible_pairs_in_blocks(monkeypatch, block, fewer):
    """Every visible pair lies in one block; transformers' own attention is in place again afterwards."""
    visible, pairs = pack(examples_with_shared_prefixes()).visible, []
    mask = tree_mask(visible, torch.float32, torch.device("cpu"), block)
    assert torch.equal(mask[0, 0] == 0, torch.from_numpy(visible))
    covered = np.zeros_like(visible)
    for queries, keys, part in mask.blocks:
        covered[queries, keys.numpy()] = (part[0, 0] == 0).numpy()
    assert bool(mask.blocks) == fewer and (not fewer or (covered == visible).all())
    before, real = dict(ALL_ATTENTION_FUNCTIONS), torch.nn.functional.scaled_dot_product_attention

    def counted(query, key, value, **options):
        pairs.append(query.shape[2] * key.shape[2])
        return real(query, key, value, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    packed_loss(model_of(PACKED["llama"]), pack(examples_with_shared_prefixes()), block)
    assert (sum(pairs) < 0.7 * 2 * visible.size) == fewer, "two layers"
    assert dict(ALL_ATTENTION_FUNCTIONS) == before and not ALL_ATTENTION_FUNCTIONS._local_mapping


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="empty prompt"):
        pack([Example((), (1, 2))])


def test_parts_hold_each_example_once_and_at_most_the_budget():
    examples = examples_with_shared_prefixes()
    parts = split(examples, 90)
    assert sorted(example for part in parts for example in part) == sorted(examples)
    sizes = [len(pack(part).ids) for part in parts]
    assert max(sizes) <= 90
    tokens, nodes = gain(examples)
    assert tokens == sum(len(e.prompt_ids) + len(e.ids) for e in examples)
    assert nodes == len(pack(examples).ids) <= sum(sizes) < tokens / 2
    assert all(split(examples, 1)), "an example that is too long is a part by itself"


@pytest.mark.parametrize(
    ("rows", "size"), [([], 0), ([(1, 2)], 2), ([(1, 2), (1, 2)], 2), ([(1,), (1, 2), (1, 3), (2,)], 4)]
)
def test_tree_size(rows, size):
    assert tree_size(rows) == size


def test_common_length():
    assert [common_length(*pair) for pair in [((), (1,)), ((1, 2), (1, 2)), ((1, 2), (1, 3)), ((2,), (1,))]] == [
        0,
        2,
        1,
        0,
    ]


def test_neighbours_are_examples_of_one_context():
    rules = tuple(range(20))
    contexts = {context: (*rules, *[context] * 20) for context in range(40, 45)}
    rows = [Example((*contexts[c], 30 + cost), (60 + cost,)) for cost in range(7) for c in contexts]
    groups = neighbours(rows, 4)
    assert sorted(row for group in groups for row in group) == sorted(rows), "each example once"
    assert all(len({row.prompt_ids[:40] for row in group}) == 1 for group in groups), "never of two contexts"
    assert sorted(map(len, groups)) == [3] * 5 + [4] * 5
    alone = neighbours([Example((cost, *rules), (1,)) for cost in range(7)], 4)
    assert [len(group) for group in alone] == [1] * 7, "costs first: nothing is shared"
