"""Layers that can take low-rank adapters, and what is said before any game where none can."""

import importlib

import pytest
import torch
from architectures import ARCHITECTURES, build
from configs import arguments_of
from conftest import SMALL

from trainers.learning.adapters import lora_targets, with_lora
from trainers.learning.options import UpdateOptions
from trainers.learning.trial import check_update
from trainers.runs.experiment import Policy

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
