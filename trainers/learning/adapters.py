"""Low-rank adapters (LoRA, arXiv 2106.09685) on the layers of a model that can take them."""

import re
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from agents.forward import forward_of

# Layers that compute x W + b; adapters add x A B to their output.
_LINEAR = (torch.nn.Linear, Conv1D)


class NoLayerError(ValueError):
    """No layer of a model can take low-rank adapters."""


def with_lora(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    """Adds low-rank adapters to all layers of `lora_targets`.

    Raises:
        NoLayerError: No layer can take them.
    """
    with warnings.catch_warnings():
        # peft uses a deprecated name of transformers, and says that it sets an option itself for layers of type Conv1D.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=lora_targets(model)))


def lora_targets(model: PreTrainedModel) -> list[str]:
    """Returns the names of the linear layers that can take adapters.

    Left out are the output head; layers that compute something else (a router that returns two tensors); layers whose
    weights are used without calling them (fused projections of Mamba); and layers that peft refuses.

    Raises:
        NoLayerError: There is no such layer.
    """
    head = model.get_output_embeddings()
    layers = {name: m for name, m in model.named_modules() if isinstance(m, _LINEAR) and m is not head}
    linear = _linear(model, layers)
    refused = _refused(model, {_leaf(name) for name in layers})
    targets = [name for name in layers if _pattern(name) in linear and _leaf(name) not in refused]
    if not targets:
        raise NoLayerError(
            f"update.lora_rank: no layer of {type(model).__name__} can take low-rank adapters; "
            "update.lora_rank=0 trains every weight"
        )
    return targets


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _pattern(name: str) -> str:
    """Name without numbers: the same for all layers, and for all experts, of which a short text calls only some."""
    return re.sub(r"\b\d+\b", "#", name)


@torch.no_grad()
def _linear(model: PreTrainedModel, layers: dict[str, torch.nn.Module]) -> set[str]:
    """Patterns of the layers that a training step calls and that return x W + b."""
    linear: set[str] = set()

    def compare(layer: torch.nn.Module, inputs: tuple, output: Any, name: str) -> None:
        if _pattern(name) not in linear and isinstance(output, torch.Tensor):
            weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
            expected = torch.nn.functional.linear(inputs[0], weight, layer.bias)
            if output.shape == expected.shape and torch.allclose(output, expected, rtol=1e-2, atol=1e-2):
                linear.add(_pattern(name))

    hooks = [layer.register_forward_hook(partial(compare, name=name)) for name, layer in layers.items()]
    in_training = [(module, module.training) for module in model.modules()]
    ids = torch.arange(1, 9, device=model.device)[None] % model.get_input_embeddings().weight.shape[0]
    try:
        with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):  # dropout draws
            model.train()
            forward_of(model)(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in in_training:
            module.training = training
    return linear


def _refused(model: PreTrainedModel, leaves: Iterable[str]) -> set[str]:
    """Names of layers on which peft makes no adapters in this architecture; peft looks at name and model type alone."""
    refused = set()
    with torch.random.fork_rng([]):  # layers and adapters are drawn
        for leaf in leaves:
            stand_in = torch.nn.Module()
            stand_in.config = model.config
            stand_in.add_module(leaf, torch.nn.Linear(1, 1))
            try:
                get_peft_model(stand_in, LoraConfig(r=1, target_modules=[leaf]))
            except ValueError:
                refused.add(leaf)
    return refused
