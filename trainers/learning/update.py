"""The weighted language-model update of all likelihood methods (`learning.trainer`)."""

import copy
import math
import os
import pickle
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PrinterCallback

from agents.batching import batching_of
from agents.context import check_length
from agents.example import Example
from agents.forward import base_of
from agents.recorded import release
from trainers.learning.adapters import (
    UnfitOptionError,
    mean_of_adapters,
    merged,
    set_adapters,
    sharing_copy,
    with_lora,
)
from trainers.learning.devices import UpdateArguments, device_options
from trainers.learning.muon import Muon
from trainers.learning.options import UpdateOptions, number_of_steps
from trainers.learning.packing import contexts, gain, refusal
from trainers.learning.trainer import LOG, Form, Progress, Steps, WeightedTrainer, one_step
from trainers.learning.tree_attention import in_blocks
from trainers.runs.processes import Report, run_processes


def update(
    model: PreTrainedModel,
    examples: Sequence[Example],
    config: UpdateOptions,
    *,
    seed: int,
    pad: int,
    report: Report = lambda step, steps, logs: None,
) -> PreTrainedModel:
    """Fine-tunes a model on weighted examples.

    Args:
        model: The model; not changed.
        examples: Prompt ids, reply ids and loss weights.
        config: Options of the update.
        seed: Seed of the order of the examples and of adapters.
        pad: Id to pad with.
        report: Called with step, number of steps and logs (loss, learning_rate, grad_norm).

    Returns:
        The fine-tuned model, in evaluation mode.

    Raises:
        ValueError: There are no examples, one is longer than the model can read, or a weight is not finite.
        FloatingPointError: The loss is not finite.
    """
    if not examples:
        raise ValueError("there are no examples to learn from: every group was rejected by the selection")
    longest = max(len(example.prompt_ids) + len(example.ids) for example in examples)
    check_length(model, longest, f"an example of {longest} tokens to learn from")
    if not all(math.isfinite(weight) for example in examples for weight in (example.weight, *example.first_weights)):
        raise ValueError("an example's weight is not a finite number: a reward must have been NaN")
    form = choose_form(model, examples, config, pad)
    release()
    seeds = [seed + 1000 * run for run in range(config.runs)]
    progress = partial(_of_runs, report, [0] * config.runs)
    at_once = parallel_runs(model, config)
    if at_once > 1:
        start = pickle.dumps(model)
        models = run_processes(_trained_apart, [(start, examples, config, s, form) for s in seeds], progress, at_once)
        return average([pickle.loads(pickled) for pickled in models]).eval()
    return (
        average(
            [
                _trained(copy_to_train(model, config), examples, config, s, form, partial(progress, run))
                for run, s in enumerate(seeds)
            ]
        )
        .to(model.dtype)
        .eval()
    )


def choose_form(model: PreTrainedModel, examples: Sequence[Example], config: UpdateOptions, pad: int) -> Form:
    """Returns the form in which a model learns from examples; the log says what ``update.packed`` saves, or why not."""
    padded = Form(pad, batching_of(model).side, mixed=config.lengths == "mixed")
    if not config.packed:
        return padded
    reason = refusal(model, max(len(example.prompt_ids) + len(example.ids) for example in examples))
    if reason is not None:
        LOG.warning("update.packed: shared prefixes are computed for each example: %s", reason)
        return padded
    tokens, nodes = gain(examples)
    LOG.info("update: %d of %d tokens differ; those of shared prefixes are computed once in a step", nodes, tokens)
    steps = Steps(examples, config.batch, np.random.default_rng(0), config.contexts).batches
    mixed = float(np.mean([contexts(step) for step in steps]))
    LOG.info("update: a step mixes %.0f of %d contexts; more update.contexts mix more", mixed, contexts(examples))
    return padded._replace(packed=True, mixed=False)


def parallel_runs(model: PreTrainedModel, config: UpdateOptions) -> int:
    """Returns how many runs of an update are made at once, each in a process of its own."""
    return min(config.runs, torch.get_num_threads()) if model.device.type == "cpu" else 1


def average(models: Sequence[PreTrainedModel]) -> PreTrainedModel:
    """Returns a model of the mean of several models' weights (model soups, arXiv 2203.05482); a single one as it is.

    Averaging models trained from the same start reduces the noise of their last steps.
    """
    first, *others = models
    if others:
        states = [model.state_dict() for model in models]
        means = {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}
        adapters = mean_of_adapters(models)
        first = copy.deepcopy(first)  # weights without adapters may lie in the memory of the start
        first.load_state_dict(means)
        set_adapters(first, adapters)
    return first


def _of_runs(report: Report, done: list[int], run: int, step: int, steps: int, logs: dict[str, Any]) -> None:
    done[run] = step
    report(sum(done), len(done) * steps, logs)


def _trained_apart(
    model: bytes, examples: Sequence[Example], config: UpdateOptions, seed: int, form: Form, report: Report
) -> bytes:
    """Runs `_trained` in a process of its own, with pickled models."""
    return pickle.dumps(_trained(pickle.loads(model), examples, config, seed, form, report))


def _trained(
    model: PreTrainedModel, examples: Sequence[Example], config: UpdateOptions, seed: int, form: Form, report: Report
) -> PreTrainedModel:
    half = model.device.type == "cuda" and model.dtype == torch.bfloat16 and not config.lora_rank
    torch.manual_seed(seed)  # initial weights of adapters are random
    model = trainable(model, config)
    contexts = config.contexts if form.packed else 0
    data = Steps(examples, config.batch, np.random.default_rng(seed), contexts, form.mixed)
    steps = number_of_steps(len(examples), config)
    arguments = UpdateArguments(
        **training_options(config, steps, seed),
        **device_options(model.device),
        per_device_train_batch_size=1,
        bf16=half,
    )
    trainer = WeightedTrainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=one_step,
        callbacks=[Progress(report)],
        optimizers=optimizers(model, config),
        form=form,
        tokens=config.tokens,
        terms=data.terms if config.lengths == "mixed" else None,
    )
    trainer.remove_callback(PrinterCallback)
    with in_blocks():  # activations may be computed anew
        trainer.train()
    if arguments.world_size == 1:  # else each process learns from its share of the batches
        check_learned(trainer, data, steps)
    return whole(model)


def check_learned(trainer: WeightedTrainer, data: Steps, steps: int) -> None:
    """Checks that each step has learned from one batch, and each whole pass from every example once.

    Raises:
        RuntimeError: It has not.
    """
    examples, (whole, rest) = sum(map(len, data.batches)), divmod(steps, len(data))
    least, most = whole * examples, (whole + bool(rest)) * examples
    if trainer.steps != steps or not least <= trainer.examples <= most:
        raise RuntimeError(
            f"update: {steps} steps learned from {trainer.examples} examples in {trainer.steps} batches, instead of "
            f"{least} to {most} in {steps}"
        )


def optimizers(model: torch.nn.Module, config: UpdateOptions) -> tuple[Muon | None, None]:
    """Returns the argument ``optimizers`` of a trainer; with ``None``, `transformers.Trainer` makes an AdamW."""
    if config.optimizer == "adamw":
        return None, None
    return Muon(model, config.learning_rate, config.weight_decay), None


def training_options(config: UpdateOptions, steps: int, seed: int) -> dict[str, Any]:
    """Returns the common arguments of `transformers.TrainingArguments`, without the batch size."""
    return {
        "output_dir": os.path.join(tempfile.gettempdir(), "clarify-env-update"),  # nothing is written there
        "max_steps": steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        # The first step of a warmup has rate 0; a training of one step would learn nothing.
        "warmup_steps": min(max(1, round(steps * config.warmup)), steps - 1),
        "weight_decay": config.weight_decay,
        "max_grad_norm": 1.0,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": min(20, steps),  # a short training logs its loss at its last step
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }


def copy_to_train(model: PreTrainedModel, config: UpdateOptions) -> PreTrainedModel:
    """Returns a copy of a model for `trainable`; under adapters, which leave its weights alone, they are shared."""
    return sharing_copy(model) if config.lora_rank else copy.deepcopy(model)


def trainable(model: PreTrainedModel, config: UpdateOptions) -> torch.nn.Module:
    """Returns the model with adapters, or all of it in float32, since bf16 would round off most steps.

    Raises:
        UnfitOptionError: The model cannot take the adapters, or compute activations anew.
    """
    trained = with_lora(model, config.lora_rank, config.layers) if config.lora_rank else model.float()
    if config.checkpointing:
        base: Any = base_of(trained)
        if not base.supports_gradient_checkpointing:
            raise UnfitOptionError(f"update.checkpointing: {type(base).__name__} does not support it")
        base.activation_checkpointing_enable({"use_reentrant": False})
        base.disable_input_require_grads()  # else the backward pass would go on below the lowest layer that learns
    return trained


def whole(model: torch.nn.Module) -> PreTrainedModel:
    """Returns the model that `trainable` made for training without its adapters, which are merged."""
    base = merged(model)
    if base.is_activation_checkpointing:
        base.activation_checkpointing_disable()
    return base
