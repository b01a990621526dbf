"""The one weighted language-model update, shared by all likelihood methods: a subclass of `transformers.Trainer`."""

import copy
import math
import os
import pickle
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from peft import LoraConfig, get_peft_model
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.modeling_utils import unwrap_model

from agents.decode import left_pad
from agents.hf import Row, load
from trainers.learning.muon import Muon
from trainers.runs.processes import Report, together
from trainers.runs.run import Run
from trainers.runs.store import save_model


@dataclass(frozen=True)
class UpdateConfig:
    """How an update is made.

    Attributes:
        optimizer: ``"adamw"``, or ``"muon"`` for the layers' matrices with AdamW for all else; see `learning.muon`.
        learning_rate: Peak of AdamW's rate.
        epochs: Passes over the rows.
        least_steps: Steps made at least; where an update of so many epochs has fewer, it has more epochs.
        batch: Rows a step and device.
        warmup: Share of the steps in which the rate rises; it then falls to zero along a cosine.
        weight_decay: Of either optimizer.
        lora_rank: Rank of low-rank adapters on all linear layers, merged after the update; 0 trains every weight.
        runs: Updates made from the same start with other orders of the rows; their weights are averaged.
    """

    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    epochs: float = 1.0
    least_steps: int = 0
    batch: int = 64
    warmup: float = 0.05
    weight_decay: float = 0.01
    lora_rank: int = 0
    runs: int = 1


def update_config(options: Mapping[str, Any]) -> UpdateConfig:
    """The options of ``update.*``.

    Raises:
        ValueError: There is no such option.
    """
    try:
        config = UpdateConfig(**options)
    except TypeError as error:
        raise ValueError(f"update: {error}") from error
    if config.optimizer not in ("adamw", "muon"):
        raise ValueError(f"update.optimizer must be adamw or muon, not {config.optimizer!r}")
    if config.runs < 1:
        raise ValueError(f"update.runs must be at least 1, not {config.runs}")
    if not isinstance(config.least_steps, int) or config.least_steps < 0:
        raise ValueError(f"update.least_steps must be a whole number of at least 0, not {config.least_steps!r}")
    return config


def number_of_steps(rows: int, config: UpdateConfig) -> int:
    """Steps of one run of an update on so many rows."""
    return max(1, round(math.ceil(rows / config.batch) * config.epochs), config.least_steps)


def passes(rows: int, config: UpdateConfig) -> float:
    """How often one run of an update reads each of so many rows."""
    return number_of_steps(rows, config) / math.ceil(rows / config.batch)


class _Batches(Dataset):
    """Ready-made batches of rows of like length: with short replies, padding would otherwise be most of the work."""

    def __init__(self, rows: Sequence[Row], size: int, rng: np.random.Generator):
        order = rng.permutation(len(rows))
        window = 32 * size
        self.batches = []
        for start in range(0, len(order), window):
            near = sorted(order[start : start + window], key=lambda i: len(rows[i].prompt_ids) + len(rows[i].ids))
            self.batches += [[rows[i] for i in near[k : k + size]] for k in range(0, len(near), size)]
        self.batches = [self.batches[i] for i in rng.permutation(len(self.batches))]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Row]:
        return self.batches[index]


def collate(rows: Sequence[Row], pad: int) -> dict[str, torch.Tensor]:
    """Rows as tensors, padded on the left so that replies end together.

    Returns:
        ``input_ids`` and ``attention_mask``, shape [rows, length]; ``labels``, shape [rows, longest reply]: the ids to
        learn; and ``weights``, of the same shape: the weight of each one's loss, 0 where there is none.
    """
    ids, mask = left_pad([(*row.prompt_ids, *row.ids) for row in rows], pad)
    longest = max(len(row.ids) for row in rows)
    labels, weights = ids[:, -longest:].clone(), torch.zeros(len(rows), longest)
    for index, row in enumerate(rows):
        first = longest - len(row.ids)
        weights[index, first:] = row.weight
        weights[index, first : first + len(row.lead)] = torch.tensor(row.lead)
        if row.instead:
            position, token = row.instead
            labels[index, first + position] = token
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weights": weights}


def weighted_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Weighted negative log-likelihood of the reply tokens: their weighted sum over their number."""
    mask, weights = batch["attention_mask"], batch["weights"]
    longest, spoken = weights.shape[1], weights != 0
    # The output head sees the spoken tokens alone: the rest of the longest reply's place was a sixth of an update.
    head = unwrap_model(model).get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][:, :-1][spoken],))
    try:
        out = model(
            input_ids=batch["input_ids"],
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            logits_to_keep=longest + 1,
            use_cache=False,
        )
    finally:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(out.logits.float(), batch["labels"][spoken], reduction="none")
    return (loss * weights[spoken]).sum() / max(int(spoken.sum()), 1)


class WeightedTrainer(Trainer):
    """`transformers.Trainer` with `weighted_loss`."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """See `weighted_loss`."""
        loss = weighted_loss(model, inputs)
        return (loss, None) if return_outputs else loss


class Progress(TrainerCallback):
    """Hands a trainer's steps and logs to a function, and ends a training whose loss is no longer a number.

    Args:
        report: Called with step, number of steps and logs.
    """

    def __init__(self, report: Report):
        self.report = report

    def on_log(self, args, state, control, logs=None, **kwargs):
        """See `transformers.TrainerCallback`.

        Raises:
            FloatingPointError: The loss is no longer a number.
        """
        logs = logs or {}
        for name in {"loss", "train_loss"} & logs.keys():  # as the training goes on, and the mean at its end
            check_finite("loss", logs[name])
        self.report(state.global_step, state.max_steps, logs)


def update(
    model: PreTrainedModel,
    rows: Sequence[Row],
    config: UpdateConfig,
    *,
    seed: int,
    pad: int,
    report: Report = lambda step, steps, logs: None,
) -> PreTrainedModel:
    """Fine-tunes a model on weighted rows.

    Args:
        model: Left as it is.
        rows: Prompt ids, reply ids, weights.
        config: How.
        seed: Decides the order of the rows.
        pad: Id to pad with.
        report: Called with step, number of steps and logs (loss, learning_rate, grad_norm).

    Returns:
        The fine-tuned model, in evaluation mode.

    Raises:
        ValueError: There is nothing to learn from, or a weight is not finite.
        FloatingPointError: The loss is no longer a number.
    """
    if not rows:
        raise ValueError("there are no rows to learn from: every group was rejected by the selection")
    if not all(math.isfinite(weight) for row in rows for weight in (row.weight, *row.lead)):
        raise ValueError("a row's weight is not a finite number: a reward must have been NaN")
    seeds = [seed + 1000 * run for run in range(config.runs)]
    progress = partial(_of_runs, report, [0] * config.runs)
    at_once = min(config.runs, torch.get_num_threads()) if model.device.type == "cpu" else 1
    if at_once > 1:
        start = pickle.dumps(model)
        models = together(_trained_apart, [(start, rows, config, s, pad) for s in seeds], progress, at_once)
        return average([pickle.loads(trained) for trained in models]).eval()
    return (
        average(
            [
                _trained(copy.deepcopy(model), rows, config, s, pad, partial(progress, run))
                for run, s in enumerate(seeds)
            ]
        )
        .to(model.dtype)
        .eval()
    )


def average(models: Sequence[PreTrainedModel]) -> PreTrainedModel:
    """The mean of models' weights, in the first of them (model soups, arXiv 2203.05482).

    Models trained from one start differ most by the noise of their last steps, and the mean is rid of it.
    """
    first, *others = models
    if others:
        states = [model.state_dict() for model in models]
        first.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return first


def _of_runs(report: Report, done: list[int], run: int, step: int, steps: int, logs: dict[str, Any]) -> None:
    done[run] = step
    report(sum(done), len(done) * steps, logs)


def _trained_apart(
    model: bytes, rows: Sequence[Row], config: UpdateConfig, seed: int, pad: int, report: Report
) -> bytes:
    """`_trained` in a process of its own, to and from which a model travels as bytes."""
    return pickle.dumps(_trained(pickle.loads(model), rows, config, seed, pad, report))


def _trained(
    model: PreTrainedModel, rows: Sequence[Row], config: UpdateConfig, seed: int, pad: int, report: Report
) -> PreTrainedModel:
    half = model.device.type == "cuda" and model.dtype == torch.bfloat16 and not config.lora_rank
    torch.manual_seed(seed)  # the adapters' first weights are drawn
    model = trainable(model, config)
    batches = _Batches(rows, config.batch, np.random.default_rng(seed))
    steps = number_of_steps(len(rows), config)
    # An item of the data set is a batch.
    arguments = TrainingArguments(**training_options(config, steps, seed), per_device_train_batch_size=1, bf16=half)
    trainer = WeightedTrainer(
        model=model,
        args=arguments,
        train_dataset=batches,
        data_collator=lambda items: collate(items[0], pad),
        callbacks=[Progress(report)],
        optimizers=optimizers(model, config),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return model.merge_and_unload() if config.lora_rank else model


def check_finite(name: str, value: float) -> None:
    """Raises FloatingPointError where what is learned from is no longer a number."""
    if not math.isfinite(value):
        raise FloatingPointError(f"the {name} became {value}; a lower update.learning_rate may help")


def optimizers(model: torch.nn.Module, config: UpdateConfig) -> tuple[Muon | None, None]:
    """What every trainer of ours is given as ``optimizers``; without a first, `transformers.Trainer` makes an AdamW."""
    if config.optimizer == "adamw":
        return None, None
    return Muon(model, config.learning_rate, config.weight_decay), None


def training_options(config: UpdateConfig, steps: int, seed: int) -> dict[str, Any]:
    """What every trainer of ours asks of `transformers.TrainingArguments`, the size of a batch aside."""
    return {
        "output_dir": os.path.join(tempfile.gettempdir(), "clarify-env-update"),  # nothing is written there
        "max_steps": steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": max(1, round(steps * config.warmup)),
        "weight_decay": config.weight_decay,
        "max_grad_norm": 1.0,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 20,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }


def trainable(model: PreTrainedModel, config: UpdateConfig) -> torch.nn.Module:
    """A model as it is trained: with adapters, or all of it in float32, as bf16 would round most steps away."""
    return with_lora(model, config.lora_rank) if config.lora_rank else model.float()


def with_lora(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    """Puts low-rank adapters on all linear layers but the output head."""
    with warnings.catch_warnings():
        # peft asks transformers by an old name.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))


def improve(
    config: DictConfig,
    run: Run,
    start: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Row],
    iteration: int,
) -> PreTrainedModel:
    """An iteration's update, kept in ``checkpoints/iteration-N`` of the run; one that is there is not made again."""
    folder = run.dir / "checkpoints" / f"iteration-{iteration}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        model = update(
            start,
            rows,
            update_config(config["update"]),
            seed=config.seed + iteration,
            pad=tokenizer.pad_token_id,
            report=run.steps(f"iteration {iteration}: improving", iteration),
        )
        save_model(model, tokenizer, folder)
    return load(folder, device=config.assistant.device)[0]


def update_tokens(rows: Sequence[Row], config: UpdateConfig) -> int:
    """Tokens a model reads in an update, prompts included."""
    return round(config.runs * passes(len(rows), config) * sum(len(row.prompt_ids) + len(row.ids) for row in rows))
