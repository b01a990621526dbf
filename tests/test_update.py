import copy
import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

from agents.example import Example
from agents.hf import HFAgent
from clarify_env.options import read
from trainers.learning import trainer as trainers_of_updates
from trainers.learning import update as updating
from trainers.learning.devices import UpdateArguments
from trainers.learning.dpo import DPOArguments
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.muon import Muon
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.learning.policy_gradient import GRPOArguments
from trainers.learning.trial import check_update
from trainers.learning.update import average, update
from trainers.runs.experiment import Policy

ROWS = [
    Example((2, 9, 10, 1, 4), (20, 21, 1), 1.0),
    Example((2, 9), (30,), 0.5),
    Example((2, 9, 11, 12, 13, 1), (40, 41), -2.0),
]
FAST = UpdateOptions(learning_rate=3e-3, epochs=6, batch=2, weight_decay=0.0)


def learned(model, rows, config=FAST, seed=0, **more):
    return update(model, rows, config, seed=seed, pad=0, **more)


def total(model, tokenizer, rows):
    return [sum(values) for values in HFAgent(model, tokenizer).sampler.logprobs(rows)]


def weights(model):
    return torch.cat([parameter.detach().cpu().flatten() for parameter in model.parameters()])


def test_the_loss_by_hand(tiny):
    model, _ = tiny
    expected, tokens = 0.0, 0
    for row in ROWS:
        with torch.no_grad():
            logits = model(torch.tensor([[*row.prompt_ids, *row.ids]])).logits[0]
        logprobs = logits.log_softmax(1)[len(row.prompt_ids) - 1 : -1]
        expected -= row.weight * sum(logprobs[i, token].item() for i, token in enumerate(row.ids))
        tokens += len(row.ids)
    with torch.no_grad():
        assert weighted_loss(model, collate(ROWS, 0)).item() == pytest.approx(expected / tokens, abs=1e-5)
        single = [weighted_loss(model, collate([row], 0)).item() * len(row.ids) for row in ROWS]
    assert sum(single) == pytest.approx(expected, abs=1e-4), "padding changes nothing"


def test_collate():
    batch = collate(ROWS, 0)
    assert batch["input_ids"].tolist() == [
        [2, 9, 10, 1, 4, 20, 21, 1],
        [0] * 5 + [2, 9, 30],
        [2, 9, 11, 12, 13, 1, 40, 41],
    ]
    assert batch["attention_mask"].sum(1).tolist() == [8, 3, 8]
    assert batch["weights"].tolist() == [[1, 1, 1], [0, 0, 0.5], [0, -2, -2]], "prompt and padding carry no loss"
    led = collate([ROWS[0]._replace(first_weights=(0.25, 0.0)), ROWS[1]._replace(first_weights=(0.75,))], 0)
    assert led["weights"].tolist() == [[0.25, 0, 1], [0, 0, 0.75]], "what leads has weights of its own"


def test_another_token_learned_in_place_of_the_one_said(tiny):
    row = Example((2, 9), (20, 21, 1), first_weights=(0.5,), relabel=(0, 30))
    batch = collate([row, ROWS[1]], 0)
    assert batch["labels"].tolist() == [[30, 21, 1], [2, 9, 30]] and batch["input_ids"][0].tolist() == [2, 9, 20, 21, 1]
    with torch.no_grad():
        logprobs = tiny[0](torch.tensor([[2, 9, 20, 21, 1]])).logits[0].log_softmax(1)
        by_hand = -(0.5 * logprobs[1, 30] + logprobs[2, 21] + logprobs[3, 1]).item() / 3
        assert weighted_loss(tiny[0], collate([row], 0)).item() == pytest.approx(by_hand, abs=1e-5), (
            "what was said is read"
        )


def test_only_the_replys_tokens_are_learned(tiny):
    model = tiny[0]
    batch = collate([ROWS[0]._replace(weight=0.0)], 0)
    assert weighted_loss(model, batch).item() == 0, "of weight 0 nothing"
    grads = []
    for prompt in ((2, 9, 10, 1, 4), (2, 9, 10, 1, 5)):
        model.zero_grad()
        weighted_loss(model, collate([Example(prompt, (20,), 1.0)], 0)).backward()
        grads.append(model.model.norm.weight.grad.clone())
    assert not torch.equal(*grads), "the prompt is read, not learned"


@pytest.mark.parametrize(("weight", "sign", "why"), [(1.0, 1, "raised"), (-0.2, -1, "lowered")])
def test_a_few_steps(tiny, weight, sign, why):
    rows = [row._replace(weight=weight) for row in ROWS] * 4
    before, after = total(*tiny, ROWS), total(learned(tiny[0], rows), tiny[1], ROWS)
    assert all(sign * (b - a) > 0.5 for a, b in zip(before, after, strict=True)), why


@pytest.mark.parametrize("heavy", [0, 1])
def test_weights_weigh(tiny, heavy):
    rows = [Example((2, 9), (30 + i, 1), 1.0 if i == heavy else 0.1) for i in range(2)]
    model = learned(tiny[0], rows * 8, UpdateOptions(learning_rate=1e-2, epochs=40, batch=16))
    likely = total(model, tiny[1], rows)
    assert likely[heavy] - likely[1 - heavy] > 1, "of two replies to one prompt the heavier is likelier, ten times"


@pytest.mark.parametrize("rank", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_seed_the_same_weights(tiny, rank):
    config = UpdateOptions(learning_rate=3e-3, epochs=2, batch=2, lora_rank=rank)
    rows = [row._replace(prompt_ids=(*row.prompt_ids, 50 + i)) for i in range(3) for row in ROWS]
    torch.manual_seed(1)
    first = weights(learned(tiny[0], rows, config))
    torch.manual_seed(2)
    assert torch.equal(weights(learned(tiny[0], rows, config)), first), "bit for bit, whatever was drawn before"
    assert not torch.equal(weights(learned(tiny[0], rows, config, seed=1)), first), "another order"


def test_batches():
    rows = [Example((1,) * (i % 7 + 1), (2,) * (i % 3 + 1)) for i in range(1000)]

    def order(seed):
        batches = trainers_of_updates.Steps(rows, 8, np.random.default_rng(seed))
        return [batches[i].examples for i in range(len(batches))]

    assert order(3) == order(3) != order(4), "depends on the seed alone"
    lengths = [[len(row.prompt_ids) + len(row.ids) for row in batch] for batch in order(0)]
    assert sum(map(len, lengths)) == 1000 and max(map(len, lengths)) == 8, "each row once"
    assert np.mean([max(batch) - min(batch) for batch in lengths]) < 1, "rows of like length stand together"
    means = [np.mean(batch) for batch in lengths]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.3, "but not one length after the other"


def test_steps_of_mixed_lengths():
    rows = [Example((1,) * (i % 7 + 1), (2,) * (i % 3 + 1)) for i in range(1000)]
    steps = trainers_of_updates.Steps(rows, 8, np.random.default_rng(0), mixed=True)
    lengths = [[len(row.prompt_ids) + len(row.ids) for row in batch] for batch in steps.batches]
    assert sum(map(len, lengths)) == 1000 and max(map(len, lengths)) == 8, "each row once"
    assert np.mean([max(batch) - min(batch) for batch in lengths]) > 4, "rows of all lengths stand together"
    assert steps.terms == pytest.approx(sum(len(row.ids) for row in rows) / 125)
    parts = trainers_of_updates.Form(0, "left", mixed=True).parts(
        [Example((1,) * n, (2,)) for n in (40, 4) * 10], 10**6
    )
    assert [{len(row.prompt_ids) for row in part} for part in parts] == [{4}, {40}], "computed with little padding"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("lengths", "tokens"), [("mixed", 16_384), ("mixed", 1), ("alike", 16_384)])
def test_tokens_weigh_the_same_whatever_the_length_of_their_examples(tiny, lengths, tokens, packed):
    """At rate 0, the mean loss of the steps is the mean over all tokens, unless steps are means over their own."""
    short, long = Example((2, 9, 50), (30,)), Example((2, 10, 51), (20, 21, 22, 23, 24, 25, 26, 27))
    rows = [short] * 4 + [long] * 4
    logged = {}
    config = UpdateOptions(
        learning_rate=0.0, epochs=1, batch=3, lengths=lengths, tokens=tokens, packed=packed, contexts=1
    )
    learned(tiny[0], rows, config, report=lambda step, steps, logs: logged.update(logs))
    with torch.no_grad():
        of_tokens = weighted_loss(tiny[0], collate(rows, 0)).item()
        parts = ([short] * 3, [short, long, long], [long] * 2)
        of_steps = np.mean([weighted_loss(tiny[0], collate(part, 0)).item() for part in parts])
    assert abs(of_tokens - of_steps) > 0.005, "the two differ here"
    if lengths == "mixed":
        assert logged["train_loss"] == pytest.approx(of_tokens, abs=1e-4)
    elif not packed:
        assert logged["train_loss"] == pytest.approx(of_steps, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([], "no examples to learn from"),
        ([ROWS[0], ROWS[1]._replace(weight=math.nan)], "not a finite number"),
        ([ROWS[0]._replace(weight=math.inf)], "not a finite number"),
    ],
)
def test_what_cannot_be_learned(tiny, rows, error):
    before = weights(tiny[0]).clone()
    with pytest.raises(ValueError, match=error):
        update(tiny[0], rows, FAST, seed=0, pad=0)
    assert torch.equal(weights(tiny[0]), before), "said before any work"


def test_a_loss_that_is_no_number(tiny):
    with torch.no_grad():
        tiny[0].model.norm.weight[0] = math.nan
    with pytest.raises(FloatingPointError, match=r"the loss became nan; a lower update\.learning_rate may help"):
        update(tiny[0], ROWS, FAST, seed=0, pad=0)


def test_a_loss_that_is_no_number_is_said_when_it_is_seen(tiny, monkeypatch):
    monkeypatch.setattr(trainers_of_updates, "time", SimpleNamespace(monotonic=lambda: 0.0))  # no step takes a second
    with torch.no_grad():
        tiny[0].model.norm.weight[0] = math.nan
    done = []
    with pytest.raises(FloatingPointError, match=r"the loss became nan; a lower update\.learning_rate may help"):
        update(tiny[0], ROWS, replace(FAST, least_steps=60), seed=0, pad=0, report=lambda *args: done.append(args))
    assert done == [(0, 60, {}), (1, 60, {})], "at the first log, and not recorded"


@pytest.mark.parametrize("rank", [0, 2])
def test_steps_too_small_for_bf16_add_up(tiny, rank):
    """One step of 0.0003 leaves a bf16 weight above 0.125, whose neighbours are 0.001 away, as it was; 20 do not."""
    config = replace(FAST, learning_rate=3e-4, epochs=20, lora_rank=rank)
    start = copy.deepcopy(tiny[0]).to(torch.bfloat16)
    after, exact = learned(start, ROWS[:2], config), learned(copy.deepcopy(start).float(), ROWS[:2], config)
    assert after.dtype == torch.bfloat16 and not after.training
    moved = weights(exact) - weights(start).float()
    assert torch.nn.functional.cosine_similarity(weights(after).float() - weights(start).float(), moved, dim=0) > 0.9


def test_muon_learns_and_moves_every_kind_of_weight(tiny):
    model, tokenizer = tiny
    before = total(model, tokenizer, ROWS[:2])
    made = learned(model, ROWS[:2], UpdateOptions(optimizer="muon", learning_rate=3e-3, epochs=6, batch=2))
    assert all(new > old for new, old in zip(total(made, tokenizer, ROWS[:2]), before, strict=True))
    for (name, old), new in zip(model.named_parameters(), made.parameters(), strict=True):
        assert not torch.equal(old, new.cpu()), name
    again = learned(model, ROWS[:2], UpdateOptions(optimizer="muon", learning_rate=3e-3, epochs=6, batch=2))
    assert torch.equal(weights(made), weights(again))


def test_muon_leaves_tables_and_head_to_adamw():
    config = LlamaConfig(
        vocab_size=10,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    matrices, rest = (group["params"] for group in Muon(model, rate=1e-3, decay=0.01).param_groups)
    assert {p.shape for p in matrices} == {(8, 8)} and {p.shape for p in rest} == {(10, 8), (8,)}
    assert len(matrices) + len(rest) == len(list(model.parameters()))


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"update\.optimizer must be adamw or muon, not 'sgd'"):
        read(UpdateOptions, {"optimizer": "sgd"}, "update")


def test_low_rank_adapters_are_trained_and_merged(tiny, tmp_path):
    model = learned(tiny[0], ROWS[:2] * 4, UpdateOptions(learning_rate=3e-2, epochs=6, batch=2, lora_rank=2)).cpu()
    assert type(model) is type(tiny[0]) and not any("lora" in name for name, _ in model.named_parameters())
    assert all(b > a + 0.5 for a, b in zip(total(*tiny, ROWS[:2]), total(model, tiny[1], ROWS[:2]), strict=True))
    changed = {
        name
        for (name, a), (_, b) in zip(tiny[0].named_parameters(), model.named_parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert changed and all("proj" in name for name in changed), "linear layers only"
    difference = (
        dict(model.named_parameters())["model.layers.0.mlp.up_proj.weight"]
        - dict(tiny[0].named_parameters())["model.layers.0.mlp.up_proj.weight"]
    )
    assert torch.linalg.matrix_rank(difference.detach(), tol=1e-4) <= 2, "of low rank"
    model.save_pretrained(tmp_path)
    assert not [p for p in tmp_path.iterdir() if "adapter" in p.name], "an ordinary model"


def test_nothing_is_left_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    model = learned(tiny[0], ROWS)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()], "no optimizer.pt, no training_args.bin, no logs"
    assert not model.training, "and the model is ready to play"


def test_a_training_of_one_step_learns(tiny):
    after = learned(tiny[0], ROWS, replace(FAST, batch=64, epochs=1, least_steps=0))
    assert not torch.equal(weights(after), weights(tiny[0]))


def test_reports(tiny):
    seen = []
    learned(tiny[0], ROWS * 20, UpdateOptions(epochs=2, batch=2), report=lambda *args: seen.append(args))
    steps = [step for step, _, _ in seen]
    assert steps == sorted(steps) and (steps[0], steps[-1]) == (0, 60) and {total for _, total, _ in seen} == {60}
    assert sum("loss" in logs and "learning_rate" in logs for _, _, logs in seen) == 3, "every 20 steps"


def test_tokens():
    assert update_tokens(ROWS, UpdateOptions(epochs=2.0, runs=3)) == 6 * (8 + 3 + 8)
    assert update_tokens(ROWS, UpdateOptions(epochs=2.0, batch=1, least_steps=12)) == 4 * (8 + 3 + 8)


@pytest.mark.parametrize(("least", "steps"), [(0, 4), (3, 4), (11, 11)])
def test_few_rows_are_passed_over_again_until_there_are_enough_steps(tiny, least, steps):
    seen = []
    config = UpdateOptions(epochs=2, batch=2, least_steps=least)
    learned(tiny[0], ROWS, config, report=lambda *args: seen.append(args))
    assert seen[-1][:2] == (steps, steps)


@pytest.mark.parametrize("wrong", [-1, 1.5, "many"])
def test_steps_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=r"update\.least_steps must be a whole number in"):
        read(UpdateOptions, {"least_steps": wrong}, "update")


@pytest.mark.slow
def test_runs_are_averaged_and_the_start_is_left_as_it_was(tiny):
    before = copy.deepcopy(tiny[0].state_dict())
    steps = []
    config = replace(FAST, runs=2)
    both = learned(tiny[0], ROWS * 20, config, report=lambda step, of, logs: steps.append((step, of)))
    assert all(torch.equal(before[name], weight) for name, weight in tiny[0].state_dict().items())
    alone = [learned(tiny[0], ROWS * 20, FAST, seed=seed).state_dict() for seed in (0, 1000)]
    assert any(not torch.equal(alone[0][name], alone[1][name]) for name in before), "another order, other weights"
    for name, weight in both.state_dict().items():
        assert torch.allclose(weight, (alone[0][name] + alone[1][name]) / 2, atol=1e-7)
    assert steps[-1][0] == steps[-1][1] and [step for step, _ in steps] == sorted(step for step, _ in steps)


@pytest.mark.slow
def test_runs_side_by_side_are_those_made_one_after_another(tiny, monkeypatch):
    config, steps = replace(FAST, runs=2, lora_rank=2), []
    after = learned(tiny[0], ROWS * 20, config)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # one for each, as there is here
    beside = learned(tiny[0], ROWS * 20, config, report=lambda step, of, logs: steps.append((step, of)))
    assert torch.equal(weights(after), weights(beside)), "bit for bit"
    assert not beside.training and {of for _, of in steps} == {360}
    assert sorted(step for step, _ in steps) == [step for step, _ in steps] and steps[-1][0] == 360
    broken = [*ROWS * 20, ROWS[0]._replace(weight=1e38), ROWS[1]._replace(weight=1e38)]
    with pytest.raises(FloatingPointError, match="the loss became"):
        learned(tiny[0], broken, replace(config, learning_rate=1e30))


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine of two visible GPUs, as far as transformers' trainer asks; nothing moves there."""
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)


@pytest.mark.parametrize(("count", "batch", "epochs"), [(20, 2, 1.0), (20, 3, 2.0), (7, 2, 1.5), (1, 4, 3.0)])
def test_every_example_is_learned_whatever_the_number_of_gpus(tiny, two_gpus, monkeypatch, count, batch, epochs):
    real, learned_from = trainers_of_updates.Form.loss, Counter()

    def counting(self, model, examples, device):
        learned_from.update(example.ids[-1] for example in examples)
        return real(self, model, examples, device)

    monkeypatch.setattr(trainers_of_updates.Form, "loss", counting)
    rows = [Example((2, 9), (30, 50 + i)) for i in range(count)]
    learned(tiny[0], rows, UpdateOptions(epochs=epochs, batch=batch))
    assert set(learned_from) == {50 + i for i in range(count)}, "each example"
    assert set(learned_from.values()) <= {math.floor(epochs), math.ceil(epochs)}, "as often as there are passes"


@pytest.mark.parametrize("cls", [UpdateArguments, DPOArguments, GRPOArguments])
def test_two_gpus_do_not_multiply_a_batch(two_gpus, tmp_path, cls):
    made = cls(output_dir=str(tmp_path), per_device_train_batch_size=8, use_cpu=True, bf16=False)
    assert (made.n_gpu, made.train_batch_size) == (1, 8)


def test_two_gpus_change_nothing(tiny, monkeypatch):
    config = replace(FAST, epochs=2)
    alone = weights(learned(tiny[0], ROWS * 2, config))
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    assert torch.equal(weights(learned(tiny[0], ROWS * 2, config)), alone)


@pytest.mark.parametrize(("batches", "examples"), [(5, 10), (4, 9), (4, 11), (3, 7)])
def test_an_update_that_skips_or_repeats_examples_is_an_error(batches, examples):
    trainer = SimpleNamespace(steps=batches, examples=examples)
    data = trainers_of_updates.Steps([ROWS[0]] * 5, 3, np.random.default_rng(0))  # 2 batches, read twice in 4 steps
    with pytest.raises(RuntimeError, match="instead of 10 to 10 in 4"):
        updating.check_learned(trainer, data, 4)
    updating.check_learned(SimpleNamespace(steps=4, examples=10), data, 4)
    updating.check_learned(SimpleNamespace(steps=3, examples=8), data, 3)


def test_the_average_of_one_is_itself(tiny):
    assert average([tiny[0]]) is tiny[0]


@pytest.mark.parametrize(("steps", "logged"), [(1, [1]), (3, [3]), (20, [20]), (25, [20])])
def test_a_short_training_logs_its_loss(tiny, steps, logged):
    reports = []
    config = replace(FAST, epochs=0, least_steps=steps)
    learned(tiny[0], ROWS, config, report=lambda step, total, logs: reports.append((step, total, logs)))
    assert [step for step, _, logs in reports if "loss" in logs] == logged
    assert {total for _, total, _ in reports} == {steps}


def shared_rows(count=24):
    """Two contexts, each with many endings."""
    return [Example((2, *range(20 + i % 2, 40), 50 + i), (60 + i, 1), 1 + i / count) for i in range(count)]


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_packed_and_padded_updates_learn_the_same(tiny, lora_rank):
    """All examples in one step, so that both forms take the same steps."""
    config = replace(FAST, epochs=4, batch=64, lora_rank=lora_rank)
    rows = shared_rows()
    padded = weights(learned(tiny[0], rows, replace(config, packed=False)))
    packed = weights(learned(tiny[0], rows, replace(config, packed=True)))
    torch.testing.assert_close(packed, padded, atol=2e-4, rtol=0)
    assert not torch.equal(packed, padded), "another order of sums"
    assert not torch.allclose(padded, weights(tiny[0]), atol=1e-3), "something was learned"
    assert torch.equal(weights(learned(tiny[0], rows, config)), padded), "the default"


def test_a_packed_step_holds_groups_of_several_contexts():
    rows = [Example((2, context, 9), (20, tail)) for context in range(30, 38) for tail in range(40, 48)]
    steps = trainers_of_updates.Steps(rows, 16, np.random.default_rng(0), contexts=4)
    assert sorted(row for batch in steps.batches for row in batch) == sorted(rows), "each example once"
    contexts = [Counter(row.prompt_ids[1] for row in batch) for batch in steps.batches]
    assert all(len(batch) == 16 for batch in steps.batches)
    assert all(len(counts) >= 2 and min(counts.values()) >= 4 for counts in contexts)


def test_a_group_spans_the_costs_of_its_context():
    """Neighbours in the order of their tokens have about the same costs, from which steering is not learned."""
    rows = [Example((2, *range(context, context + 20), cost), (9,)) for context in (30, 60) for cost in range(100, 160)]
    steps = trainers_of_updates.Steps(rows, 24, np.random.default_rng(0), contexts=2)
    for batch in steps.batches:
        for context in (30, 60):
            costs = [row.prompt_ids[-1] for row in batch if row.prompt_ids[1] == context]
            assert not costs or (min(costs) < 105 and max(costs) >= 155)


@pytest.mark.parametrize(("batch", "mixed"), [(16, 3), (64, 8)])
def test_the_log_says_how_many_contexts_a_step_mixes(tiny, caplog, batch, mixed):
    caplog.set_level("INFO")
    contexts = [(2, *range(context, context + 20)) for context in range(20, 28)]
    rows = [Example((*context, 70 + i), (60, 1)) for context in contexts for i in range(8)]
    updating.choose_form(tiny[0], rows, replace(FAST, packed=True, batch=batch), 0)
    assert f"a step mixes {mixed} of 8 contexts" in caplog.text


def test_a_model_that_takes_no_packed_examples_is_told_of(tiny, monkeypatch, caplog):
    monkeypatch.setattr(updating, "refusal", lambda model, longest: "it counts in sevens")
    assert not updating.choose_form(tiny[0], shared_rows(), replace(FAST, packed=True), 0).packed
    assert "shared prefixes are computed for each example: it counts in sevens" in caplog.text


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tokens", [1, 40, 60])
def test_parts_of_a_step_add_up_to_the_step(tiny, packed, tokens):
    """Loss and norm of the gradient: AdamW hides the scale of a gradient, so the weights alone would not tell."""

    def first_step(config):
        logged = {}
        model = learned(tiny[0], shared_rows(), config, report=lambda step, steps, logs: logged.update(logs))
        return weights(model), logged["loss"], logged["grad_norm"]

    config = replace(FAST, batch=24, epochs=1, packed=packed)
    whole, *figures = first_step(config)
    parts, *figures_of_parts = first_step(replace(config, tokens=tokens))
    assert figures_of_parts == pytest.approx(figures, rel=1e-4)
    torch.testing.assert_close(parts, whole, atol=2e-4, rtol=0)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}, {"lora_rank": 2, "layers": 1}])
def test_activations_computed_anew_change_nothing(tiny, packed, options):
    """And they are: layers run twice a step, those below the adapters once."""
    config, runs = replace(FAST, batch=24, epochs=1, packed=packed, **options), Counter()
    # Long contexts, so that attention has several blocks.
    rows = [row._replace(prompt_ids=(*row.prompt_ids[:-1] * 8, row.prompt_ids[-1])) for row in shared_rows()]
    expected = weights(learned(tiny[0], rows, config))
    for index, layer in enumerate(tiny[0].model.layers):
        layer.mlp.register_forward_pre_hook(
            lambda *_, index=index: runs.update([index]) if torch.is_grad_enabled() else None
        )
    model = learned(tiny[0], rows, replace(config, checkpointing=True))
    torch.testing.assert_close(weights(model), expected, atol=1e-6, rtol=0)
    assert not model.is_activation_checkpointing and not tiny[0].is_activation_checkpointing
    assert runs == {0: 1 if "layers" in options else 2, 1: 2}


def test_a_model_that_cannot_compute_activations_anew_is_named(tiny, monkeypatch):
    monkeypatch.setattr(type(tiny[0]), "supports_gradient_checkpointing", False)
    with pytest.raises(ValueError, match=r"^update\.checkpointing: LlamaForCausalLM does not support it$"):
        check_update(Policy(*tiny), UpdateOptions(checkpointing=True))


def test_parts_fit(tiny):
    rows = [*shared_rows(), *ROWS]
    for form in (trainers_of_updates.Form(0, "left"), trainers_of_updates.Form(0, "left", packed=True)):
        parts = form.parts(rows, 100)
        assert sorted(row for part in parts for row in part) == sorted(rows)
    padded = trainers_of_updates.Form(0, "left").parts(rows, 100)
    assert all(len(p) * max(len(r.prompt_ids) + len(r.ids) for r in p) <= 100 for p in padded)


def test_out_of_memory_halves_what_is_computed_at_once(tiny, monkeypatch, caplog):
    real, asked = trainers_of_updates.Form.loss, []

    def scarce(self, model, examples, device):
        asked.append(len(examples))
        if len(examples) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(self, model, examples, device)

    config = replace(FAST, epochs=2, batch=8, packed=False, tokens=400)
    whole = weights(learned(tiny[0], shared_rows(), config))
    monkeypatch.setattr(trainers_of_updates.Form, "loss", scarce)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None)
    parts = weights(learned(tiny[0], shared_rows(), config))
    torch.testing.assert_close(parts, whole, atol=2e-4, rtol=0)
    assert [record.message for record in caplog.records if "out of memory" in record.message] == [
        "update: out of memory; at most 200 tokens at once from here",
        "update: out of memory; at most 100 tokens at once from here",
        "update: out of memory; at most 50 tokens at once from here",
    ], "said once each, and not tried again at every step"


def test_an_example_too_large_by_itself_ends_the_update(tiny, monkeypatch):
    def never(self, model, examples, device):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(trainers_of_updates.Form, "loss", never)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: None)
    with pytest.raises(torch.OutOfMemoryError):
        learned(tiny[0], ROWS)
