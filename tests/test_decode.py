import copy

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Lfm2Config,
    Lfm2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from agents import batching, recorded
from agents import decode as decoding
from agents.decode import decode, left_pad, shared_length, shared_lengths, uniforms

COMMON = {"temperature": 1.0, "max_new_tokens": 8}


def other(tokenizer, architecture):
    """Random weights of another architecture over the same tokens, spread wide enough that no argmax is a tie."""
    size = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if architecture == "gpt2":
            return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=2, initializer_range=0.3, **size)).eval()
        if architecture == "lfm2":  # whose convolutions keep a state, and must not see the padding
            config = Lfm2Config(
                hidden_size=32,
                intermediate_size=48,
                num_attention_heads=4,
                num_key_value_heads=2,
                num_hidden_layers=2,
                layer_types=["conv", "full_attention"],
                initializer_range=0.3,
                block_auto_adjust_ff_dim=False,
                pad_token_id=tokenizer.pad_token_id,
                **size,
            )
            return Lfm2ForCausalLM(config).eval()
        config = Qwen2Config(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            initializer_range=0.3,
            **size,
        )
        return Qwen2ForCausalLM(config).eval()


@pytest.fixture(params=["llama", "gpt2", "qwen2", "lfm2"])
def model(request, tiny):
    return tiny[0] if request.param == "llama" else other(tiny[1], request.param)


@pytest.fixture
def prompts(tiny):
    texts = (
        "<|user|>When?<|end|><|assistant|>",
        "<|system|>0.25<|end|><|user|>Which opera is it?<|end|><|assistant|>",
        "<|user|>Who designed the modern bridge, or was it the Tudor one?<|end|><|assistant|>",
    )
    return [tiny[1](text, add_special_tokens=False)["input_ids"] for text in texts]


@pytest.fixture
def play(tiny):
    def run(model, prompts, rows, seeds, forced=None, **options):
        end = tiny[1].eos_token_id
        forced = [()] * len(rows) if forced is None else forced
        return decode(model, prompts, rows, forced, seeds, end=end, pad=tiny[1].pad_token_id, **(COMMON | options))

    return run


def close(samples, others):
    return [s.ids for s in samples] == [o.ids for o in others] and all(
        np.allclose(s.logprobs, o.logprobs, atol=1e-4) for s, o in zip(samples, others, strict=True)
    )


def test_greedy_is_what_generate_does(model, prompts, play, tiny):
    end, pad = tiny[1].eos_token_id, tiny[1].pad_token_id
    ours = play(model, prompts, [0, 1, 2], [0, 0, 0], temperature=0)
    for sample, prompt in zip(ours, prompts, strict=True):
        theirs = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=8, eos_token_id=end, pad_token_id=pad
        )[0, len(prompt) :].tolist()
        assert list(sample.ids) == theirs


def test_log_probabilities_are_those_of_a_plain_forward(model, prompts, play):
    for temperature in (1.0, 0.5, 2.0, 0.0):
        rows = [0, 1, 2, 1, 0]
        for row, sample in zip(rows, play(model, prompts, rows, range(5), temperature=temperature), strict=True):
            ids = torch.tensor([prompts[row] + list(sample.ids)])
            with torch.no_grad():
                logits = model(ids).logits[0, len(prompts[row]) - 1 : -1] / (temperature or 1)
            expected = logits.log_softmax(1).gather(1, torch.tensor(sample.ids)[:, None])[:, 0]
            assert np.allclose(sample.logprobs, expected, atol=1e-4), temperature


def test_a_row_depends_on_itself_alone(model, prompts, play):
    rows, seeds = [0, 1, 2] * 8, list(range(24))
    together = play(model, prompts, rows, seeds)
    backwards = play(model, prompts[::-1], [2 - row for row in rows[::-1]], seeds[::-1])[::-1]
    assert close(together, backwards), "order"
    assert close(together, [play(model, [prompts[r]], [0], [s])[0] for r, s in zip(rows, seeds, strict=True)]), "mates"
    assert together == play(model, prompts, rows, seeds), "the same call again, bit for bit"
    assert len({sample.ids for sample in together}) > 20, "other seeds, other replies"


def test_rows_that_leave_the_batch_change_nothing(model, prompts, play, monkeypatch):
    rows, seeds = [0, 1, 2] * 10, list(range(30))
    leaving = play(model, prompts, rows, seeds, max_new_tokens=24)
    assert len({len(sample.ids) for sample in leaving}) > 3 or model.config.model_type != "llama", "they must end apart"
    monkeypatch.setattr(decoding, "_DROP_AT", 2)
    assert close(leaving, play(model, prompts, rows, seeds, max_new_tokens=24)), "never dropped"
    monkeypatch.setattr(decoding, "_DROP_AT", 0)
    assert close(leaving, play(model, prompts, rows, seeds, max_new_tokens=24)), "dropped at once"


@pytest.fixture
def alike(tiny):
    """Prompts of several lengths that begin alike, three by three, one of them in full the beginning of another."""
    costs = [f"<|system|>2 questions cost {price}, 24 words 0.624.<|end|><|user|>" for price in ("0.40", "0.90")]
    texts = [
        start + text for start in costs for text in ("Who", "When?<|end|>", "Which opera is it?<|end|><|assistant|>")
    ]
    return [tiny[1](text, add_special_tokens=False)["input_ids"] for text in texts]


def test_a_beginning_that_prompts_share_changes_nothing(model, alike, play, monkeypatch):
    rows, seeds = [*range(6)] * 4, list(range(24))
    shared = play(model, alike, rows, seeds)
    assert close(shared, [play(model, [alike[r]], [0], [s])[0] for r, s in zip(rows, seeds, strict=True)]), "alone"
    assert close(play(model, alike, rows, seeds, forced=[(5,), ()] * 12)[1::2], shared[1::2]), "with forced ids"
    monkeypatch.setattr(decoding, "_SHARED_AT", 2)
    assert close(shared, play(model, alike, rows, seeds)), "each prompt read in full"


def test_a_beginning_that_prompts_share_is_read_once(model, alike, play):
    shapes, most = [], max(map(len, alike))
    model.register_forward_pre_hook(lambda m, a, k: shapes.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    play(model, alike, [*range(6)], range(6))
    cut = min(map(len, alike)) - 1
    if model.config.model_type == "lfm2":
        assert shapes[0] == (6, most), "its states cannot be told to leave out padding"
    else:
        assert shapes[:2] == [(2, cut), (6, most - cut)]
    shapes.clear()
    play(model, [alike[0], alike[3][::-1]], [0, 1], range(2))
    assert shapes[0] == (2, len(alike[0])), "nothing shared, one pass"


@pytest.fixture
def contexts(tiny):
    """Prompts of three contexts of very different lengths, each at six costs, which stand last."""
    tables = ["|".join(f"row {i} is {count * i}" for i in range(1, count)) for count in (2, 12, 24)]
    texts = [f"<|system|>{table}<|end|><|user|>Who?\n0.{k}" + "5" * (k % 3) for table in tables for k in range(6)]
    return [tiny[1](text, add_special_tokens=False)["input_ids"] for text in texts]


def test_each_context_is_read_once_though_they_differ_in_length(model, contexts, play, monkeypatch):
    rows, seeds, shapes = [*range(18)], list(range(18)), []
    hook = model.register_forward_pre_hook(lambda m, a, k: shapes.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    shared = play(model, contexts, rows, seeds)
    hook.remove()
    if model.config.model_type != "lfm2":
        (groups, prefix), (prompts, rest) = shapes[:2]
        assert (
            (groups, prompts) == (3, 18) and rest < 8 and prefix + rest == pytest.approx(max(map(len, contexts)), abs=2)
        )
    assert close(shared, [play(model, [contexts[r]], [0], [s])[0] for r, s in zip(rows, seeds, strict=True)]), "alone"
    monkeypatch.setattr(decoding, "_SHARED_AT", 2)
    assert close(shared, play(model, contexts, rows, seeds)), "each prompt read in full"


LONG = ["efghijklmnop1", "efghijklmnop22", "efghijklmnop33", "efghijklmnop44"]


@pytest.mark.parametrize(
    ("prompts", "lengths", "why"),
    [
        (["abcd1", "abcd2", *LONG], [4, 4, 12, 12, 12, 12], "each context has its own length"),
        ([*LONG, "abcd1", "abcd2"], [12, 12, 12, 12, 4, 4], "in any order"),
        (["abcdefgh1", "abcdefgh2", "xyzuvwst1", "xyzuvwst2"], [8] * 4, "one length does as well"),
        (["abcdefgh1", "abcdefgh2", "abcdefgh3", "q"], [8, 8, 8, 0], "one alone"),
        (["abcde", "fghij", "klmno"], [0] * 3, "nothing in common"),
        (["abcdefgh", "abcdefghi", "abcdefghij"], [7] * 3, "something must follow"),
    ],
)
def test_shared_lengths(prompts, lengths, why):
    assert shared_lengths([[ord(c) for c in prompt] for prompt in prompts]) == lengths, why


def test_a_window_that_slides_sees_no_padding(tiny, alike, play):
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": len(tiny[1])}
    config = MistralConfig(num_attention_heads=4, num_key_value_heads=2, sliding_window=8, **size)
    model, shapes = MistralForCausalLM(config).eval(), []
    model.register_forward_pre_hook(lambda m, a, k: shapes.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    play(model, alike, [*range(6)], range(6))
    assert shapes[0] == (6, max(map(len, alike)))


@pytest.mark.parametrize(
    ("prompts", "length", "why"),
    [
        (["abcdx", "abcdy", "abcdz"], 4, "all begin alike"),
        (["abcd", "abcd"], 3, "something must follow"),
        (["abcdx"], 0, "nobody to share with"),
        (["a", "abcdx"], 0, "nothing could follow"),
        (["xabcd", "yabcd"], 0, "nothing in common"),
        (["abcdefgh1", "abcdefgh2", "xyzuvwst1", "xyzuvwst2"], 8, "two beginnings"),
        (["ab34567", "ab45678", "ab56789", "ab67890"], 2, "just enough"),
        (["a2345678", "a3456789", "a4567890", "a5678901"], 0, "too little"),
        (["abcde1", "abcde2", "abx456", "aby567", "abz678", "abw789"], 2, "two of all rather than five of two"),
    ],
)
def test_shared_length(prompts, length, why):
    assert shared_length([[ord(c) for c in prompt] for prompt in prompts]) == length, why


def test_work_done(tiny, prompts, play):
    """A prompt that rows share is read once, and those who are done are computed no more."""
    model, shapes = tiny[0], []
    model.register_forward_pre_hook(lambda m, a, k: shapes.append(tuple(k["input_ids"].shape)), with_kwargs=True)
    samples = play(model, prompts, [0] * 20 + [2] * 20, range(40), max_new_tokens=30)
    assert shapes[0] == (3, len(prompts[2])), "three prompts, not forty"
    assert [width for _, width in shapes[1:]] == [1] * (len(shapes) - 1), "then a token a row"
    lengths = np.array([len(sample.ids) for sample in samples])
    assert len(shapes) == lengths.max(), "no step after the last row has ended"
    for step, (rows, _) in enumerate(shapes[1:], 1):
        assert rows <= max(1, (lengths > step).sum() / (1 - decoding._DROP_AT) + 1), "a fifth idle at most"


@pytest.mark.parametrize("most", [1, 2, 7])
def test_max_new_tokens(tiny, prompts, play, most):
    longer = play(tiny[0], prompts, [0, 1, 2] * 5, range(15), max_new_tokens=16)
    cut = play(tiny[0], prompts, [0, 1, 2] * 5, range(15), max_new_tokens=most)
    assert [sample.ids for sample in cut] == [sample.ids[:most] for sample in longer]
    assert all(len(sample.ids) == len(sample.logprobs) <= most for sample in cut)


def test_the_end_token_ends_and_is_kept(tiny, prompts, play):
    end = tiny[1].eos_token_id
    samples = play(tiny[0], prompts, [0, 1, 2] * 20, range(60), max_new_tokens=40)
    ended = [sample for sample in samples if len(sample.ids) < 40]
    assert len(ended) > 40
    assert all(sample.ids.index(end) == len(sample.ids) - 1 for sample in ended)


def test_forced_ids(tiny, prompts, play):
    forced = [(5, 6, 7), (), (8,), (5, 6, 7)]
    samples = play(tiny[0], prompts, [0, 0, 1, 2], [1, 1, 2, 3], forced)
    for sample, opening in zip(samples, forced, strict=True):
        assert sample.ids[: len(opening)] == opening
    alone = [
        play(tiny[0], [prompts[r]], [0], [s], [f])[0]
        for r, s, f in zip([0, 0, 1, 2], [1, 1, 2, 3], forced, strict=True)
    ]
    assert close(samples, alone), "rows with and without an opening share a batch"
    with torch.no_grad():
        logits = tiny[0](torch.tensor([[*prompts[0], 5, 6, 7]])).logits[0].log_softmax(1)
    start = len(prompts[0]) - 1
    expected = [logits[start + i, token].item() for i, token in enumerate((5, 6, 7))]
    assert np.allclose(samples[0].logprobs[:3], expected, atol=1e-4), "what was forced has its own probability"


def test_samples_follow_the_softmax(tiny, prompts, play):
    """Pearson's statistic over the tokens expected at least 8 times; 5 deviations of its own for a fixed seed."""
    n = 6000
    for temperature in (1.0, 0.6):
        drawn = play(tiny[0], prompts, [1] * n, range(n), max_new_tokens=1, temperature=temperature)
        counts = np.bincount([sample.ids[0] for sample in drawn], minlength=len(tiny[1]))
        with torch.no_grad():
            logits = tiny[0](torch.tensor([prompts[1]])).logits[0, -1] / temperature
        expected = n * logits.double().softmax(0).numpy()
        often = expected >= 8
        rare = [counts[~often].sum(), expected[~often].sum()]
        statistic = ((counts - expected)[often] ** 2 / expected[often]).sum() + (rare[0] - rare[1]) ** 2 / rare[1]
        freedom = often.sum()
        assert freedom > 5 and abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_extreme_draws_stay_inside_the_vocabulary():
    logits = torch.tensor([[0.0, -50.0, 1.0, -1e9]] * 3)
    token, _ = decoding._draw(logits, torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64), 1.0)
    assert token.tolist() == [0, 2, 2], "the first that has a probability, a middle one, the last that has one"


@pytest.mark.parametrize("vocabulary", [5, 128, 1000, 1280])
def test_a_search_in_chunks_finds_the_same(vocabulary):
    draws = torch.from_numpy(uniforms(range(200), 1)[:, 0])
    draws[:2] = torch.tensor([0.0, 1 - 2.0**-53])
    spread = torch.randn(200, vocabulary, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probabilities = (6 * spread).softmax(1)
    probabilities[::3, : vocabulary // 2] = 0
    tokens = decoding._search_in_chunks(probabilities.clone(), draws)
    assert tokens.tolist() == decoding._search(probabilities.clone(), draws).tolist()


def test_without_memory_for_recorded_steps_rows_grow_plainly(tiny, prompts, play, monkeypatch, caplog):
    model = copy.deepcopy(tiny[0])
    expected = play(model, prompts, [0, 1, 2], range(3))
    setattr(model, batching._ATTRIBUTE, batching.batching_of(model)._replace(recorded=True))

    def full(*arguments):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(recorded.Steps, "find", full)
    assert play(model, prompts, [0, 1, 2], range(3)) == expected
    assert "without recorded steps: out of memory" in caplog.text


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2"])
def test_fused_norms_compute_the_same(tiny, architecture):
    model = copy.deepcopy(tiny[0]) if architecture == "llama" else other(tiny[1], architecture)
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        plain = model(ids).logits
        with recorded.fused_norms(model):
            norms = [module for module in model.modules() if "forward" in vars(module)]
            fused = model(ids).logits
        assert torch.equal(model(ids).logits, plain), "only inside"
    assert len(norms) == (0 if architecture == "gpt2" else 2 * len(model.model.layers) + 1)
    assert torch.allclose(fused, plain, atol=1e-4)


def test_uniforms():
    draws = uniforms(range(2000), 16)
    assert draws.min() >= 0 and draws.max() < 1
    assert abs(draws.mean() - 0.5) < 0.01 and abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.1
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.1, "neighbouring seeds have nothing in common"
    assert len(np.unique(draws)) == draws.size, "nor are they the same stream shifted"
    assert (uniforms([7, 3], 4)[0] == uniforms([7], 9)[0, :4]).all(), "counter-based"
    assert (uniforms([-1, 2**70 + 5], 2) == uniforms([2**64 - 1, 5], 2)).all(), "any integer is a seed"


def test_left_pad():
    ids, mask = left_pad([[1, 2, 3], [4]], 0)
    assert ids.tolist() == [[1, 2, 3], [0, 0, 4]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_torchs_random_state_is_left_alone(tiny, prompts, play):
    before = torch.random.get_rng_state()
    play(tiny[0], prompts, [0], [0])
    assert (torch.random.get_rng_state() == before).all()


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_steps_over_a_cache_of_fixed_size_decode_the_same(tiny, architecture, prompts, play, monkeypatch):
    """What a GPU records is run plainly on a CPU: in larger batches, then smaller ones that find the memory used."""
    model = copy.deepcopy(tiny[0]) if architecture == "llama" else other(tiny[1], architecture)
    batches = [(range(24), 12), (range(7), 40), (range(100, 190), 30)]

    def replies():
        return [play(model, prompts, [row % 3 for row in rows], rows, max_new_tokens=most) for rows, most in batches]

    expected = replies()
    setattr(model, batching._ATTRIBUTE, batching.batching_of(model)._replace(recorded=True))
    made = []
    keep = recorded.RecordedRows.keep
    monkeypatch.setattr(recorded.RecordedRows, "keep", lambda self, index: (made.append(self._step), keep(self, index)))
    for samples, others in zip(replies(), expected, strict=True):
        assert close(samples, others)
    assert architecture == "qwen2" or len({id(step) for step in made}) > 2, "rows that ended made smaller steps"
