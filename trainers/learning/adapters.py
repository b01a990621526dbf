"""Low-rank adapters (LoRA, arXiv 2106.09685) on the layers of a model that can take them."""

import copy
import re
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from agents.forward import forward_of

# Layers that compute x W + b; adapters add x A B to their output.
_LINEAR = (torch.nn.Linear, Conv1D)
# Attribute of a merged model that holds its `Learned` adapters; it travels with copies of the model to other processes.
_ATTRIBUTE = "_clarify_adapters"


class UnfitOptionError(ValueError):
    """An option of the update does not fit the model; the message names the option."""


def with_lora(model: PreTrainedModel, rank: int, layers: int = 0) -> PreTrainedModel:
    """Adds low-rank adapters to the linear layers of `lora_targets`.

    All other weights are frozen, so the backward pass ends at the lowest layer that has adapters.

    Args:
        model: The model; changed.
        rank: Rank of the adapters.
        layers: Number of the model's uppermost layers that get adapters; 0: all.

    Raises:
        UnfitOptionError: No layer can take them, or the model has fewer layers.
    """
    targets = lora_targets(model, layers)
    with warnings.catch_warnings():
        # peft uses a deprecated name of transformers, and says that it sets an option itself for layers of type Conv1D.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False", UserWarning)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets))


class Learned(NamedTuple):
    """Adapters that were merged into a model.

    Attributes:
        config: Configuration of peft.
        state: Weights under the names of peft's files.
    """

    config: LoraConfig
    state: dict[str, torch.Tensor]


def sharing_copy(model: PreTrainedModel) -> PreTrainedModel:
    """Copies a model, but not its weights: those of the copy lie in the same memory, and must not be written to."""
    weights = {id(w): torch.nn.Parameter(w.detach(), requires_grad=w.requires_grad) for w in model.parameters()}
    return copy.deepcopy(model, weights)


def merged(model: torch.nn.Module) -> PreTrainedModel:
    """Returns a model with its adapters merged, and remembers them for `save_adapters`; any other model as it is.

    Weights that have adapters are replaced, not written to, so that a `sharing_copy` leaves its model as it is.
    """
    if not isinstance(model, PeftModel):
        set_adapters(model, None)  # of an earlier update
        return model
    config = copy.deepcopy(model.peft_config["default"])
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    adapters = Learned(config, {name: weight.cpu().clone() for name, weight in state.items()})
    whole = model.merge_and_unload(safe_merge=True)
    set_adapters(whole, adapters)
    return whole


def mean_of_adapters(models: Sequence[PreTrainedModel]) -> Learned | None:
    """Returns the adapters of n models' mean: factors side by side, of n times the rank; ``None`` without adapters."""
    parts: list[Learned] = [vars(model)[_ATTRIBUTE] for model in models if _ATTRIBUTE in vars(model)]
    if not parts:
        return None
    config = copy.deepcopy(parts[0].config)
    config.r, config.lora_alpha = len(parts) * config.r, len(parts) * config.lora_alpha
    state = {}
    for name in parts[0].state:
        factors = [part.state[name] for part in parts]
        outer = ".lora_B." in name  # x A B / n, so that the factors B hold the mean
        state[name] = torch.cat(factors, 1) / len(parts) if outer else torch.cat(factors)
    return Learned(config, state)


def set_adapters(model: PreTrainedModel, adapters: Learned | None) -> None:
    """Sets the adapters that `save_adapters` writes; ``None``: none."""
    vars(model).pop(_ATTRIBUTE, None)
    if adapters is not None:
        setattr(model, _ATTRIBUTE, adapters)


def save_adapters(model: PreTrainedModel, checkpoint: Path) -> None:
    """Writes the adapters that were merged into a model to ``checkpoint/adapter``, in peft's format, if there are any.

    They belong to the model that the update started from.
    """
    adapters: Learned | None = vars(model).get(_ATTRIBUTE)
    if adapters is not None:
        folder = checkpoint / "adapter"
        folder.mkdir()
        config = copy.copy(adapters.config)
        config.inference_mode = True
        config.save_pretrained(str(folder))
        save_file(
            {name: weight.contiguous() for name, weight in adapters.state.items()},
            folder / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )


def lora_targets(model: PreTrainedModel, layers: int = 0) -> list[str]:
    """Returns the names of the linear layers that can take adapters.

    Left out are the output head; layers that compute something else (a router that returns two tensors); layers whose
    weights are used without calling them (fused projections of Mamba); and layers that peft refuses.

    Args:
        model: The model.
        layers: Number of the model's uppermost layers to look in; 0: everywhere.

    Raises:
        UnfitOptionError: There is no such layer, or the model has fewer layers.
    """
    head = model.get_output_embeddings()
    modules = {name: m for name, m in model.named_modules() if isinstance(m, _LINEAR) and m is not head}
    linear = _linear(model, modules)
    refused = _refused(model, {_leaf(name) for name in modules})
    targets = [name for name in modules if _pattern(name) in linear and _leaf(name) not in refused]
    if layers:
        prefixes = tuple(f"{name}." for name in upper_layers(model, layers))
        targets = [name for name in targets if name.startswith(prefixes)]
    if not targets:
        among = f"in the upper {layers} layers of {type(model).__name__}" if layers else f"of {type(model).__name__}"
        raise UnfitOptionError(
            f"update.lora_rank: no layer {among} can take low-rank adapters; update.lora_rank=0 trains every weight"
        )
    return targets


def upper_layers(model: PreTrainedModel, number: int) -> list[str]:
    """Returns the names of a model's uppermost layers, the lowest of them first.

    Raises:
        UnfitOptionError: The model has fewer layers.
    """
    depth = model.config.get_text_config(decoder=True).num_hidden_layers
    stacks = (name for name, m in model.named_modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth)
    stack = next(stacks, None)  # modules are named from the outside in
    if stack is None:
        raise UnfitOptionError(f"update.layers: the layers of {type(model).__name__} cannot be told apart; choose 0")
    if number > depth:
        raise UnfitOptionError(f"update.layers={number} is more than the {depth} layers of {type(model).__name__}")
    return [f"{stack}.{index}" for index in range(depth - number, depth)]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _pattern(name: str) -> str:
    """Name without numbers: the same for all layers, and for all experts, of which a short text calls only some."""
    return re.sub(r"\b\d+\b", "#", name)


@torch.no_grad()
def _linear(model: PreTrainedModel, modules: dict[str, torch.nn.Module]) -> set[str]:
    """Patterns of the layers that a training step calls and that return x W + b."""
    linear: set[str] = set()

    def compare(layer: torch.nn.Module, inputs: tuple, output: Any, name: str) -> None:
        if _pattern(name) not in linear and isinstance(output, torch.Tensor):
            weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
            expected = torch.nn.functional.linear(inputs[0], weight, layer.bias)
            if output.shape == expected.shape and torch.allclose(output, expected, rtol=1e-2, atol=1e-2):
                linear.add(_pattern(name))

    hooks = [layer.register_forward_hook(partial(compare, name=name)) for name, layer in modules.items()]
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
