"""A model's own generation settings: what is honoured in decoding, scoring and learning, and what is named instead."""

import copy
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from families import Family, tokenizer
from transformers import GenerationConfig
from trl.trainer.utils import add_fused_lm_head

from agents.decode import left_pad
from agents.example import Example
from agents.generation import choose_padding, eos_ids, not_honoured, suppress, suppressed_ids
from agents.hf import HFAgent, load
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.options import UpdateOptions
from trainers.learning.update import update
from trainers.runs.store import save_model

PROMPT = (2, 60, 61, 1, 4)


class Settings:
    """A model that has generation settings and nothing else."""

    def __init__(self, **settings):
        self.generation_config = GenerationConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "ids"),
    [({}, ()), ({"eos_token_id": 0}, (0,)), ({"eos_token_id": [7, 3, 9]}, (7, 3, 9)), ({"eos_token_id": []}, ())],
)
def test_every_end_of_text_is_one(settings, ids):
    assert eos_ids(Settings(**settings)) == ids
    assert eos_ids(None) == () == eos_ids(torch.nn.Linear(1, 1)), "no model, no settings"


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({}, ()),
        ({"suppress_tokens": [5, 6]}, (5, 6)),
        ({"bad_words_ids": [[7], [8, 9], [5]], "suppress_tokens": [5]}, (5, 7)),
        ({"begin_suppress_tokens": [4]}, ()),
    ],
)
def test_suppressed_ids(settings, ids):
    assert suppressed_ids(Settings(**settings)) == ids


NAMED = [
    ({"eos_token_id": [1, 2], "pad_token_id": 0, "suppress_tokens": [3], "bad_words_ids": [[4]]}, ""),
    ({"do_sample": True, "temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0, "max_length": 40}, ""),
    ({"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95}, "temperature=0.6, top_k=20, top_p=0.95"),
    ({"repetition_penalty": 1.1, "no_repeat_ngram_size": 3}, "repetition_penalty=1.1, no_repeat_ngram_size=3"),
    ({"forced_bos_token_id": 3, "forced_eos_token_id": 1}, "forced_bos_token_id=3, forced_eos_token_id=1"),
    ({"begin_suppress_tokens": [220], "min_new_tokens": 2}, "min_new_tokens=2, begin_suppress_tokens=[220]"),
    ({"bad_words_ids": [[4, 5], [6]]}, "bad_words_ids (words of several tokens)"),
    ({"stop_strings": ["User:"]}, "stop_strings=['User:']"),
]


@pytest.mark.parametrize(("settings", "named"), NAMED)
def test_what_is_not_honoured_is_named(settings, named):
    assert not_honoured(Settings(**settings)) == named


def in_folder(tiny, folder, **settings):
    """The tiny model with generation settings, loaded from a folder."""
    model, tokens = tiny
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    save_model(model, tokens, folder)
    return load(folder, device="cpu")


def test_a_reply_ends_at_any_of_the_ends(tiny, tmp_path):
    likely = [int(token) for token in tiny[0](torch.tensor([PROMPT])).logits[0, -1].topk(6).indices]
    ends = [token for token in likely if token != 1][:3]
    agent = HFAgent(*in_folder(tiny, tmp_path / "model", eos_token_id=[1, *ends]), max_new_tokens=12)
    assert agent.renderer.end_ids == (1, *ends) and agent.renderer.end_id == 1
    samples = agent.sampler.sample([PROMPT] * 60, [()] * 60, list(range(60)))
    assert {sample.ids[-1] for sample in samples} >= set(ends), "the case that this test is about"
    for sample in samples:
        assert not set(sample.ids[:-1]) & {1, *ends}, "nothing follows an end"
        text = agent.renderer.decode(sample.ids)
        body = sample.ids[:-1] if sample.ids[-1] in agent.renderer.end_ids else sample.ids
        assert text == agent.renderer.tokenizer.decode(body), "and the text of a reply is without it"
    assert agent.renderer.tokenize_reply("#ANSWER x")[-1] == 1, "what is learned ends as the template has it"


@pytest.mark.parametrize("setting", ["suppress_tokens", "bad_words_ids"])
def test_suppressed_ids_have_probability_zero_everywhere(tiny, tmp_path, setting):
    plain = tiny[0](torch.tensor([PROMPT])).logits[0, -1]
    banned = plain.topk(4).indices.tolist()
    value = banned if setting == "suppress_tokens" else [[token] for token in banned]
    model, tokens = in_folder(tiny, tmp_path / "model", **{setting: value})
    for temperature in (0.0, 0.5, 1.0):
        agent = HFAgent(model, tokens, max_new_tokens=8, temperature=temperature)
        samples = agent.sampler.sample([PROMPT] * 30, [()] * 30, list(range(30)))
        assert not {token for sample in samples for token in sample.ids} & set(banned)
    scored = agent.sampler.logprobs([Example(PROMPT, sample.ids) for sample in samples])
    assert all(np.allclose(s.logprobs, values, atol=1e-4) for s, values in zip(samples, scored, strict=True))
    allowed_ids = [token for token in range(len(plain)) if token not in banned]
    expected = plain[allowed_ids].log_softmax(0)
    row = [Example(PROMPT, (token, 1)) for token in allowed_ids[:5]]
    assert [v[0] for v in agent.sampler.logprobs(row)] == pytest.approx(expected[:5].tolist(), abs=1e-4), "renormalised"
    loss = weighted_loss(model, collate([Example(PROMPT, samples[0].ids)], 0))
    assert loss.item() == pytest.approx(-np.mean(samples[0].logprobs), abs=1e-4), "in learning as well"
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert agent.sampler.logprobs(row) == HFAgent(other, tokens).sampler.logprobs(row), "and in every copy"


def test_suppressed_ids_have_probability_zero_where_no_logits_are_made(tiny, tmp_path):
    """TRL's trainers compute log-probabilities from hidden states and the head's weights."""
    banned = tiny[0](torch.tensor([PROMPT])).logits[0, -1].topk(4).indices.tolist()
    model, tokens = in_folder(tiny, tmp_path / "model", suppress_tokens=banned)
    rows = [Example(PROMPT, (token, 1)) for token in (50, banned[0])]
    expected = HFAgent(model, tokens).sampler.logprobs(rows)
    assert expected[1][0] < -1000
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    ids = torch.tensor([[*row.prompt_ids, *row.ids] for row in rows])
    out = model(input_ids=ids, labels=ids, fused_lm_head=True)
    assert torch.allclose(out.log_probs[:, -2:], torch.tensor(expected), rtol=1e-4) and out.entropy.isfinite().all()


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_checkpoint_keeps_the_settings(tiny, tmp_path, lora_rank):
    banned = [int(tiny[0](torch.tensor([PROMPT])).logits[0, -1].argmax())]
    model, tokens = in_folder(tiny, tmp_path / "model", suppress_tokens=banned, eos_token_id=[1, 77])
    trained = update(model, [Example(PROMPT, (50, 1))] * 4, UpdateOptions(batch=2, lora_rank=lora_rank), seed=0, pad=0)
    save_model(trained, tokens, tmp_path / "trained")
    again, _ = load(tmp_path / "trained", device="cpu")
    assert suppressed_ids(again) == (*banned,) and eos_ids(again) == (1, 77)
    ids, mask = left_pad([PROMPT], 0)
    logits = [m(input_ids=ids, attention_mask=mask).logits[0, -1].softmax(0) for m in (trained, again)]
    assert torch.allclose(*logits, atol=1e-6) and logits[0][banned[0]] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.6, "top_p": 0.9},
        {"do_sample": False, "top_k": 20},
        {"num_beams": 1, "early_stopping": True, "length_penalty": 2.0},
    ],
)
def test_what_was_learned_is_saved_whatever_the_settings(tiny, tiny_folder, tmp_path, settings):
    """Settings that contradict themselves are loaded by transformers, and not saved once a trainer has changed them."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    stored = {"eos_token_id": [1, 77], "suppress_tokens": [9], **settings}
    (folder / "generation_config.json").write_text(json.dumps(stored))
    model, tokens = load(folder, device="cpu")
    model.generation_config.pad_token_id = 3  # as trainers do
    save_model(model, tokens, tmp_path / "saved")
    again, _ = load(tmp_path / "saved", device="cpu")
    assert eos_ids(again) == (1, 77) and suppressed_ids(again) == (9,)


@pytest.mark.parametrize(("padding", "expected"), [(None, "<|end|>"), (4, "<|assistant|>")])
def test_a_model_without_padding_is_loaded_with_some(tiny, tiny_folder, tmp_path, padding, expected):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    for name, change in (
        ("tokenizer_config.json", {"pad_token": None}),
        ("generation_config.json", {"pad_token_id": padding}),
    ):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    model, tokens = load(folder, device="cpu")
    assert tokens.pad_token == expected
    agent, plain = (HFAgent(*some, max_new_tokens=6) for some in ((model, tokens), tiny))
    prompts = [PROMPT, PROMPT[1:], (*PROMPT, 50)]
    samples, others = (one.sampler.sample(prompts, [()] * 3, [1, 2, 3]) for one in (agent, plain))
    assert [sample.ids for sample in samples] == [sample.ids for sample in others], "any will do"


def test_without_settings_nothing_is_changed(tiny):
    suppress(tiny[0])
    assert tiny[0].get_output_embeddings().bias is None


PADDING = [
    ({"pad_token_id": 256}, "</s>", "<s>", "the settings' own"),
    ({"pad_token_id": 7}, "</s>", "</s>", "which would make a word special"),
    ({}, "</s>", "</s>", "the end of text"),
    ({"eos_token_id": [256]}, None, "<s>", "the model's end of text"),
    ({}, None, "<s>", "any special token"),
]


@pytest.mark.parametrize(("settings", "eos", "padding", "why"), PADDING)
def test_a_tokenizer_without_padding_is_given_some(settings, eos, padding, why):
    family = Family("{% for m in messages %}{{ m.content }}</s>{% endfor %}", ("<s>", "</s>"), eos=eos)
    made = tokenizer(family)
    made.pad_token = None
    specials = set(made.all_special_tokens)
    choose_padding(Settings(**settings), made)
    assert made.pad_token == padding and set(made.all_special_tokens) == specials, why
