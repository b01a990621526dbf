"""What is found out about a model's batches, and that it is found out once."""

import copy
import logging
import pickle

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, Architecture, build
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from agents import batching as batchings
from agents import context
from agents.batching import Batching, batching_of
from agents.context import Context, context_of
from agents.decode import decode
from agents.example import Example
from agents.hf import HFAgent
from agents.sample import LocalSampler
from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.games.clarification.facts import AssistantFacts
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.options import UpdateOptions
from trainers.learning.update import update

PREFIX = tuple(range(20, 50))
PROMPTS = [(*PREFIX, *rest) for rest in ((60,), (61, 62, 63, 64, 65, 66, 67), (68, 69, 70))]
OF = {row.name: row for row in ARCHITECTURES}


def sample(model, prompts, seeds, **options):
    common = {"temperature": 1.0, "max_new_tokens": 8, "end": 1, "pad": 0}
    return decode(model, prompts, range(len(prompts)), [()] * len(prompts), seeds, **common | options)


def plain(model, prompt, ids):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def calls(model):
    """Shapes of the ids of each call of a model, from now on."""
    shapes = []
    model.register_forward_pre_hook(lambda m, a, k: shapes.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    return shapes


def messages_of(caplog):
    """What was logged here, not by transformers."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("clarify_env")]


DISTANCES = [
    OF["mpt"],
    OF["gpt_neo"],
    OF["gpt_neo"]._replace(options={"attention_types": [[["local"], 2]], "window_size": 16}, label="local alone"),
    OF["falcon ALiBi"],
    OF["bloom"],
    OF["falcon"],
]


@pytest.mark.parametrize("architecture", DISTANCES, ids=lambda row: row.name)
def test_padding_is_not_counted_as_distance(architecture):
    """Prompts with a long shared prefix, of lengths that differ, as in play."""
    model = build(architecture, 300)
    for prompt, one in zip(PROMPTS, sample(model, PROMPTS, [1, 2, 3]), strict=True):
        np.testing.assert_allclose(one.logprobs, plain(model, prompt, one.ids), atol=1e-4)


RECURRENT = ["mamba", "mamba2", "falcon_mamba", "recurrent_gemma", "minimax"]


@pytest.mark.parametrize("name", RECURRENT)
def test_models_without_keys_and_values_are_played_and_scored(name):
    model = build(OF[name], 300)
    together = sample(model, PROMPTS * 4, range(12))
    alone = [sample(model, [prompt], [seed])[0] for seed, prompt in enumerate(PROMPTS * 4)]
    assert [one.ids for one in together] == [one.ids for one in alone]
    sampler = LocalSampler(model, pad_id=0, end_id=1)
    examples = [Example(prompt, one.ids) for prompt, one in zip(PROMPTS * 4, together, strict=True)]
    for example, one, scores in zip(examples, together, sampler.logprobs(examples), strict=True):
        expected = plain(model, example.prompt_ids, example.ids)
        np.testing.assert_allclose(one.logprobs, expected, atol=1e-4)
        np.testing.assert_allclose(scores, expected, atol=1e-4)


WAYS = [
    Batching(True, True, "past_key_values"),
    Batching(False, True, "past_key_values"),
    Batching(False, False, "past_key_values"),
    Batching(False, False, None),
]


ROWS, SEEDS = [0, 2, 1, 1] * 6, list(range(24))
OPENINGS = [(), (5, 6), (7,), ()] * 6
DECODING = {"temperature": 1.0, "max_new_tokens": 20, "end": 1, "pad": 0}


@pytest.fixture(scope="module")
def prompts_and_replies(tiny_loaded):
    """Prompts, and the reply of each row decoded alone."""
    model, tokenizer = copy.deepcopy(tiny_loaded)
    prompts = [
        tuple(tokenizer(f"<|user|>{text}<|end|><|assistant|>")["input_ids"]) for text in ("When?", "Who is it?", "Why?")
    ]
    return prompts, [
        decode(model, [prompts[r]], [0], [opening], [seed], **DECODING)[0]
        for r, opening, seed in zip(ROWS, OPENINGS, SEEDS, strict=True)
    ]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.way)
def test_every_way_gives_the_same_replies(tiny, prompts_and_replies, monkeypatch, way):
    """With rows that end apart and leave the batch, and openings of several lengths."""
    prompts, expected = prompts_and_replies
    assert len({len(one.ids) for one in expected}) > 3
    monkeypatch.setattr(tiny[0], batchings._ATTRIBUTE, way)
    for one, other in zip(decode(tiny[0], prompts, ROWS, OPENINGS, SEEDS, **DECODING), expected, strict=True):
        assert one.ids == other.ids
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-4)


@pytest.mark.parametrize("name", ["minimax", "openai-gpt", "llama"])
def test_the_loss_is_that_of_rows_alone(name):
    """Models that read padding on the left get it on the right."""
    model = build(OF[name], 300)
    rows = [
        Example((2, 9, 10, 1, 4), (20, 21, 1)),
        Example((2, 9), (30,), 0.5),
        Example((2, 9, 11, 12), (40, 41), -2.0),
    ]
    with torch.no_grad():
        loss = weighted_loss(model, collate(rows, 0, batching_of(model).side)) * 6
        alone = sum(-row.weight * plain(model, row.prompt_ids, row.ids).sum() for row in rows)
    assert loss.item() == pytest.approx(alone.item(), abs=1e-3)


def test_collate_on_the_right():
    rows = [Example((2, 9, 10), (20, 21, 1), first_weights=(0.5,)), Example((2, 9), (30,), 0.5)]
    batch = collate(rows, 0, "right")
    assert batch["input_ids"].tolist() == [[2, 9, 10, 20, 21, 1], [2, 9, 30, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert batch["weights"].tolist() == [[0, 0.5, 1, 1][-4:], [0.5, 0, 0, 0]]
    assert batch["labels"].tolist() == [[10, 20, 21, 1], [30, 0, 0, 0]]


def test_what_cannot_be_shared_is_said_once(caplog, monkeypatch):
    monkeypatch.setattr(batchings, "_TOLD", set())
    model = build(OF["mpt"], 300)
    with caplog.at_level(logging.WARNING, "clarify_env.run"):
        for _ in range(3):
            sample(model, PROMPTS, [1, 2, 3])
        sample(copy.deepcopy(model), PROMPTS, [1, 2, 3])
        sample(build(OF["mpt"], 300), PROMPTS, [1, 2, 3])  # as the checkpoint of another iteration
    assert messages_of(caplog) == [
        "MptForCausalLM: prefixes that prompts share are computed for each: the model counts padding as distance"
    ]


@pytest.mark.parametrize("name", ["llama", "bloom", "lfm2", "mistral", "gpt_neo"])
def test_what_a_models_kind_of_cache_lets_expect_needs_no_word(caplog, monkeypatch, name):
    monkeypatch.setattr(batchings, "_TOLD", set())
    with caplog.at_level(logging.WARNING, "clarify_env.run"):
        batching_of(build(OF[name], 300))
    assert not messages_of(caplog)


def test_the_comparison_is_made_once_and_travels(monkeypatch):
    model = build(OF["llama"], 300)
    shapes = calls(model)
    assert batching_of(model) == Batching(True, True, "past_key_values")
    assert shapes == [], "hooks are for real work"
    model._forward_pre_hooks.clear()
    monkeypatch.setattr(batchings, "_compare", lambda model: pytest.fail("compared again"))
    assert batching_of(copy.deepcopy(model)) == batching_of(pickle.loads(pickle.dumps(model))) == batching_of(model)


def test_the_comparison_leaves_the_model_as_it_was():
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=300, resid_pdrop=0.5, bos_token_id=1, eos_token_id=1)
    model = GPT2LMHeadModel(config).train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    state, weights = torch.random.get_rng_state(), copy.deepcopy(model.state_dict())
    batching_of(model)
    assert [module.training for module in model.modules()] == modes
    assert (torch.random.get_rng_state() == state).all(), "nothing is drawn"
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


NOT_CAUSAL = [
    ("looks at what follows", BertLMHeadModel, BertConfig, {"is_decoder": False}),
    ("looks at what follows, in several layers", BertLMHeadModel, BertConfig, {"num_hidden_layers": 3}),
]


@pytest.mark.parametrize(("why", "model", "config", "options"), NOT_CAUSAL)
def test_a_model_that_is_not_causal_is_refused(why, model, config, options):
    size = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "vocab_size": 300}
    common = {"num_hidden_layers": 2, "initializer_range": 0.3}
    with pytest.raises(ValueError, match="so it is no causal language model"):
        batching_of(model(config(**size | common | options)).eval())


def shown(words):
    facts = AssistantFacts("Who designed Ashford? " * words, "", Costs(0.25, 0.03), "train/0")
    return View("assistant", (), facts, 0)


LENGTHS = [
    ("learned", OF["gpt2"]),
    ("learned, behind a few of padding", OF["opt"]),
    ("computed in a table", OF["gptj"]),
    ("linear biases for so many", OF["mpt"]),
]


@pytest.mark.parametrize(("kind", "architecture"), LENGTHS, ids=[kind for kind, _ in LENGTHS])
def test_a_prompt_beyond_the_table_of_positions(tiny, kind, architecture):
    tokenizer = tiny[1]
    options = {"max_seq_len": 40} if architecture.model_type == "mpt" else {"max_position_embeddings": 40}
    model = build(architecture._replace(options=architecture.options | options), len(tokenizer))
    assert context_of(model) == Context(40, True)
    shapes = calls(model)
    agent = HFAgent(model, tokenizer, style="pocket", max_new_tokens=4, option="assistant.max_new_tokens")
    message = (
        r"^assistant\.model: a prompt of \d+ tokens with a reply of up to 4 \(assistant\.max_new_tokens\) does not fit "
        r"into the 40 positions of the model$"
    )
    with pytest.raises(ValueError, match=message):
        agent.act([shown(1), shown(20)], [0, 1])
    assert not shapes, "before anything is decoded"
    # The last position is usable.
    prompt = tuple(range(5, 5 + 40 - 4))
    assert len(sample(model, [prompt], [0], max_new_tokens=4, end=-1)[0].ids) == 4
    with pytest.raises(ValueError, match=r"^assistant\.model: a text of 44 tokens to score does not fit"):
        agent.sampler.logprobs([Example(prompt, tuple(range(8)))])
    with pytest.raises(ValueError, match=r"^assistant\.model: an example of 44 tokens to learn from does not fit"):
        update(model, [Example(prompt, tuple(range(8)))], UpdateOptions(), seed=0, pad=0)


def test_a_text_beyond_what_rotary_positions_were_trained_for_is_warned_of_once(tiny, caplog, monkeypatch):
    monkeypatch.setattr(context, "_TOLD", set())
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2, vocab_size=len(tiny[1])
    )
    config.max_position_embeddings = 40
    agent = HFAgent(LlamaForCausalLM(config).eval(), tiny[1], style="pocket", max_new_tokens=4)
    with caplog.at_level(logging.WARNING, "clarify_env.run"):
        for seed in range(3):
            agent.act([shown(20)], [seed])
    (message,) = messages_of(caplog)
    assert "is longer than the 40 that the model was trained for" in message


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "mamba"])
def test_training_with_gradient_checkpointing_is_no_hindrance_to_play(name):
    """TRL's GRPO hands its model to the rollouts in training mode, with gradient checkpointing."""
    model = build(OF[name], 300)
    expected = sample(model, PROMPTS, [1, 2, 3])
    model.gradient_checkpointing_enable()
    model.train()
    fresh = build(OF[name], 300)
    fresh.gradient_checkpointing_enable()
    assert sample(model, PROMPTS, [1, 2, 3]) == expected == sample(fresh.train(), PROMPTS, [1, 2, 3])
    assert model.training and all(module.training for module in model.modules()), "and goes on training"


class Narrow(LlamaForCausalLM):
    """A model whose forward pass takes few arguments, as code of its own may."""

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=None):
        return super().forward(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache
        )


class Narrower(LlamaForCausalLM):
    """A model that has no cache either."""

    def forward(self, input_ids, attention_mask=None):
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)


class NarrowLearned(GPT2LMHeadModel):
    """The same with learned positions, which it counts from the padding on."""

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=None):
        return super().forward(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache
        )


NARROW = [
    (Narrow, LlamaConfig, "padded"),
    (Narrower, LlamaConfig, "recomputed"),
    (NarrowLearned, GPT2Config, "by length"),
]


@pytest.mark.parametrize(("cls", "config", "way"), NARROW, ids=[way for *_, way in NARROW])
def test_a_forward_pass_that_takes_few_arguments(cls, config, way):
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300}
    size |= {"intermediate_size": 48} if config is LlamaConfig else {}
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = cls(config(initializer_range=0.3, bos_token_id=1, eos_token_id=1, **size)).eval()
    assert batching_of(model).way == way
    samples = sample(model, PROMPTS, [1, 2, 3])
    examples = [Example(prompt, one.ids) for prompt, one in zip(PROMPTS, samples, strict=True)]
    scored = LocalSampler(model, pad_id=0, end_id=1).logprobs(examples)
    for example, one, scores in zip(examples, samples, scored, strict=True):
        expected = plain(model, example.prompt_ids, example.ids)
        np.testing.assert_allclose(one.logprobs, expected, atol=1e-4)
        np.testing.assert_allclose(scores, expected, atol=1e-4)
    rows = [Example(prompt, (100 + i, 7)) for i, prompt in enumerate(PROMPTS)]
    sampler = LocalSampler(update(model, rows, UpdateOptions(epochs=4, batch=2), seed=0, pad=0), pad_id=0, end_id=1)
    before = LocalSampler(model, pad_id=0, end_id=1).logprobs(rows)
    assert sum(map(sum, sampler.logprobs(rows))) > sum(map(sum, before))


def test_dropout_does_not_change_samples():
    row = Architecture("gpt2", {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5})
    model = build(row, 300)
    expected = sample(model, PROMPTS, [1, 2, 3])
    assert sample(model.train(), PROMPTS, [1, 2, 3]) == expected
