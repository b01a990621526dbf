"""Layers that can take low-rank adapters, and what is said before any game where none can."""

import importlib
from dataclasses import replace
from functools import partial

import pytest
import torch
from architectures import ARCHITECTURES, build
from configs import arguments_of
from conftest import SMALL
from peft import PeftModel

from agents.example import Example
from agents.hf import load
from trainers.learning import update as updating
from trainers.learning.adapters import lora_targets, save_adapters, sharing_copy, upper_layers, with_lora
from trainers.learning.options import UpdateOptions
from trainers.learning.trial import check_update
from trainers.runs.experiment import Policy
from trainers.runs.store import save_model

OF = {row.name: row for row in ARCHITECTURES}
TARGETS = [
    ("llama", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, "all linear layers"),
    ("gpt2", {"c_attn", "c_proj", "c_fc"}, "layers of type Conv1D"),
    ("falcon", {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}, "a linear layer with its own forward"),
    ("mamba", {"in_proj", "x_proj"}, "dt_proj is used by its weights, and out_proj by fused kernels, says peft"),
    ("mamba2", {"in_proj"}, "the same"),
    ("falcon_h1", {"in_proj", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, "a hybrid"),
    ("nemotron_h", {"in_proj", "q_proj", "k_proj", "v_proj", "o_proj"}, "another"),
    ("llama4_text", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, "not the router"),
]


@pytest.mark.parametrize(("name", "leaves", "why"), TARGETS, ids=[name for name, *_ in TARGETS])
def test_layers_that_can_take_adapters(name, leaves, why):
    model = build(OF[name], 300)
    assert {target.rpartition(".")[2] for target in lora_targets(model)} == leaves, why
    adapted = with_lora(model, 2)
    adapted(input_ids=torch.arange(1, 9)[None]).logits.sum().backward()
    unused = [n for n, p in adapted.named_parameters() if "lora_B" in n and (p.grad is None or not p.grad.any())]
    assert not unused, "every adapter is learned"


UPPER = ["llama", "gpt2", "falcon", "mamba", "falcon_h1", "gemma3_text"]


@pytest.mark.parametrize("name", UPPER)
def test_adapters_on_the_upper_layers(name):
    """Layers below have none, and no gradient reaches them."""
    model = build(OF[name], 300)
    assert lora_targets(model, 2) == lora_targets(model), "two layers are all it has"
    lower, upper = map(model.get_submodule, upper_layers(model, 2))
    adapted, reached = with_lora(model, 2, layers=1), []

    def record(module, inputs, output):
        reached.append((output if torch.is_tensor(output) else output[0]).requires_grad)

    for module in (adapted.get_input_embeddings(), lower, upper):
        module.register_forward_hook(record)
    adapted(input_ids=torch.arange(1, 9)[None]).logits.sum().backward()
    assert reached == [False, False, True], "the backward pass ends at the upper layer"
    adapters = {n for n, p in adapted.named_parameters() if p.requires_grad}
    assert adapters == {n for n, p in adapted.named_parameters() if "lora" in n} != set()
    assert not any("lora" in n for n, _ in lower.named_parameters())


LAYERS = [
    (3, 2, r"update\.layers=3 is more than the 2 layers of LlamaForCausalLM"),
    (1, 0, r"update\.layers=1 needs update\.lora_rank: without adapters, all layers learn"),
]


@pytest.mark.parametrize(("layers", "rank", "message"), LAYERS)
def test_layers_that_are_not_there(tiny, layers, rank, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_update(Policy(*tiny), UpdateOptions(lora_rank=rank, layers=layers))


def weights_of(model):
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


ADAPTED = UpdateOptions(lora_rank=2, batch=2, epochs=2, learning_rate=1e-2)
ROWS = [Example((2, 9, 10 + i, 4), (20 + i, 1)) for i in range(4)]


@pytest.mark.parametrize(("runs", "layers"), [(1, 0), (1, 1), (2, 0)])
def test_adapters_are_kept_beside_the_checkpoint(tiny, tmp_path, monkeypatch, runs, layers):
    """Loaded by peft on the start of the update, they give the merged model."""
    monkeypatch.setattr(updating, "parallel_runs", lambda *_: 1)
    before = weights_of(tiny[0])
    learned = updating.update(tiny[0], ROWS, replace(ADAPTED, runs=runs, layers=layers), seed=0, pad=0)
    assert all(torch.equal(before[name], weight) for name, weight in tiny[0].state_dict().items()), "not changed"
    save_model(learned, tiny[1], tmp_path / "checkpoint", add=partial(save_adapters, learned))
    start, again = PeftModel.from_pretrained(tiny[0], tmp_path / "checkpoint/adapter"), load(tmp_path / "checkpoint")[0]
    ids = torch.tensor([[2, 9, 10, 4, 20]])
    with torch.no_grad():
        expected = again(ids).logits
        torch.testing.assert_close(start(ids).logits, expected, atol=1e-5, rtol=0)
        with start.disable_adapter():
            assert not torch.allclose(start(ids).logits, expected, atol=1e-3), "something was learned"
    assert not list((tmp_path / "checkpoint").glob("adapter_*")), "the checkpoint itself is a whole model"


def test_an_update_of_all_weights_has_no_adapters(tiny, tmp_path):
    adapted = updating.update(tiny[0], ROWS, ADAPTED, seed=0, pad=0).requires_grad_(True)
    learned = updating.update(adapted, ROWS, replace(ADAPTED, lora_rank=0), seed=0, pad=0)
    save_model(learned, tiny[1], tmp_path / "checkpoint", add=partial(save_adapters, learned))
    assert not (tmp_path / "checkpoint/adapter").exists()


def test_under_adapters_the_weights_are_in_memory_once(tiny):
    """What is trained, and the reference of preferences, share the weights of the model; all weights do not."""

    def places(model):
        return {weight.data_ptr() for weight in model.parameters()}

    start = places(tiny[0])
    trained = updating.trainable(updating.copy_to_train(tiny[0], ADAPTED), ADAPTED)
    assert start <= places(trained) and start == places(sharing_copy(tiny[0]))
    own = {weight.data_ptr() for name, weight in trained.named_parameters() if "lora" in name}
    assert places(trained) - start == own and all(weight.requires_grad for weight in tiny[0].parameters())
    assert not start & places(updating.copy_to_train(tiny[0], replace(ADAPTED, lora_rank=0)))


@pytest.mark.parametrize("seed", [0, 1])
def test_looking_for_layers_draws_nothing(seed):
    model = build(OF["gpt2"], 300)
    torch.manual_seed(seed)
    before = torch.random.get_rng_state()
    modes = [module.training for module in model.modules()]
    lora_targets(model)
    assert (torch.random.get_rng_state() == before).all()
    assert [module.training for module in model.modules()] == modes


def without_linear_layers(name):
    """A model whose layers compute something else than x W + b."""
    model = build(OF[name], 300)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings():
            module.forward = lambda x, module=module: torch.nn.Linear.forward(module, x) * 2
    return model


@pytest.mark.parametrize("name", ["llama", "qwen3", "olmo"])
def test_no_layer_can_take_them(name, tiny):
    policy = Policy(without_linear_layers(name), tiny[1])
    with pytest.raises(
        ValueError, match=r"^update\.lora_rank: no layer of \w+ can take .*; update\.lora_rank=0 trains"
    ):
        check_update(policy, UpdateOptions(lora_rank=2))
    check_update(policy, UpdateOptions(lora_rank=0))


def frozen(model):
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def without_gradient(model):
    model.model.embed_tokens.register_forward_hook(lambda *_: (_ for _ in ()).throw(NotImplementedError("no such op")))


FAULTS = [
    (frozen, r"assistant\.model: LlamaForCausalLM cannot be trained here: .*does not require grad"),
    (without_gradient, r"assistant\.model: LlamaForCausalLM cannot be trained here: no such op"),
]


@pytest.mark.parametrize(("change", "message"), FAULTS)
def test_a_model_that_cannot_learn_is_said_before_any_game(tiny, change, message):
    change(tiny[0])
    with pytest.raises(ValueError, match=message):
        check_update(Policy(*tiny), UpdateOptions())


@pytest.mark.parametrize("rank", [0, 2])
def test_the_trial_changes_nothing(tiny, rank):
    before = {name: value.clone() for name, value in tiny[0].state_dict().items()}
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    check_update(Policy(*tiny), UpdateOptions(lora_rank=rank))
    assert all(torch.equal(before[name], value) for name, value in tiny[0].state_dict().items())
    assert (torch.random.get_rng_state() == state).all() and not tiny[0].training
    assert all(p.grad is None and p.requires_grad for p in tiny[0].parameters())


@pytest.mark.parametrize("name", ["rest", "rwsft", "stargate", "imitate", "contrastive", "grpo"])
def test_every_command_tries_an_update_before_any_game(name, tiny_folder, monkeypatch):
    module = importlib.import_module(f"trainers.{name}")

    def refuse(policy, options):
        raise ValueError("update.lora_rank: refused")

    monkeypatch.setattr(module, "check_update", refuse)
    monkeypatch.setattr(module, "validate", lambda *_, **__: pytest.fail("something was played first"))
    arguments = arguments_of(name, f"assistant.model={tiny_folder}", "assistant.device=cpu", *SMALL)
    with pytest.raises(ValueError, match=r"^update\.lora_rank: refused$"):
        getattr(module, name)(**arguments, run=None)
