"""Direct preference optimisation (arXiv 2305.18290) over whole games, by TRL's trainer.

A side may hold turns of other roles inside: they are read and never learned.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import DPOConfig, DPOTrainer

from agents.context import check_length
from trainers.learning.adapters import sharing_copy
from trainers.learning.devices import OneDevice, device_options
from trainers.learning.options import UpdateOptions, number_of_steps
from trainers.learning.trainer import Progress, in_parts
from trainers.learning.update import copy_to_train, optimizers, trainable, training_options, whole
from trainers.selection.pairs import Preference


class DPOArguments(OneDevice, DPOConfig):
    """Arguments of TRL's trainer on one device."""


class MaskedDPOTrainer(DPOTrainer):
    """TRL's trainer for sides that are token ids already, with our mask of the tokens that carry loss.

    A step is computed in parts, whose losses and gradients add up to those of the step. No telemetry is sent.

    Args:
        tokens: Most tokens computed at once. If memory runs out, it is halved, and the step computed again.
    """

    def __init__(self, *args: Any, tokens: int, **options: Any):
        super().__init__(*args, **options)
        self.tokens, self._share = tokens, 1.0

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Computes loss and gradients of a step, part by part."""
        pairs = len(inputs["input_ids"]) // 2
        compute = partial(self._computed, model, pairs)
        return in_parts(self, model, partial(split, inputs), pairs, compute)

    def _computed(
        self, model: torch.nn.Module, pairs: int, parts: Sequence[Mapping[str, torch.Tensor]]
    ) -> torch.Tensor:
        losses = []
        for part in parts:
            self._share = len(part["input_ids"]) / 2 / pairs
            losses.append(super().training_step(model, part))
        return torch.stack(losses).sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Computes the loss of a part, times its share of the step's pairs."""
        return super().compute_loss(model, inputs) * self._share

    def _send_telemetry(self) -> None:
        pass

    def _prepare_dataset(self, dataset, *_args, **_kwargs):
        return dataset


def collate(examples: Sequence[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Collates pairs for TRL's loss: all chosen sides, then all rejected ones, padded on the right.

    Returns:
        ``input_ids``, ``attention_mask`` and ``completion_mask`` of shape [2 pairs, length]; the last is 1 on the
        learning role's tokens alone.
    """
    sides = [example[side] for side in ("chosen", "rejected") for example in examples]
    ids = [torch.tensor([*side["prompt"], *side["ids"]]) for side in sides]
    own = [torch.tensor([0] * len(side["prompt"]) + [int(mine) for mine in side["own"]]) for side in sides]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "completion_mask": pad_sequence(own, batch_first=True),
    }


def split(batch: Mapping[str, torch.Tensor], tokens: int) -> list[Mapping[str, torch.Tensor]]:
    """Splits a batch of `collate` into parts of at most ``tokens`` tokens, padding included, that hold whole pairs.

    Pairs of similar length share a part. A pair with more tokens is a part by itself.
    """
    ids = batch["input_ids"]
    if ids.numel() <= tokens:
        return [batch]
    pairs = len(ids) // 2
    lengths = batch["attention_mask"].sum(1).view(2, pairs).amax(0).tolist()
    parts: list[list[int]] = []
    for index in sorted(range(pairs), key=lengths.__getitem__):
        if not parts or 2 * lengths[index] * (len(parts[-1]) + 1) > tokens:
            parts.append([])
        parts[-1].append(index)
    return [
        {name: rows[[*part, *(pairs + i for i in part)], : lengths[part[-1]]] for name, rows in batch.items()}
        for part in parts
    ]


def dpo(
    model: PreTrainedModel,
    reference: PreTrainedModel,
    pairs: Sequence[Preference],
    config: UpdateOptions,
    *,
    beta: float,
    seed: int,
    tokenizer: PreTrainedTokenizerBase,
    report: Callable[[int, int, dict[str, Any]], None] = lambda step, steps, logs: None,
) -> PreTrainedModel:
    """Fine-tunes a model to prefer the chosen sides.

    Args:
        model: Start of the training; not changed.
        reference: Frozen reference model; not changed.
        pairs: The preferences.
        config: Options of the update; a batch counts pairs.
        beta: DPO's beta, the strength of the pull to the reference.
        seed: Seed of the order of the pairs and of adapters.
        tokenizer: Tokenizer of both models.
        report: Called with step, number of steps and logs.

    Returns:
        The fine-tuned model, in evaluation mode.

    Raises:
        ValueError: A pair is longer than the model can read.
        FloatingPointError: The loss is not finite.
    """
    longest = max(len(side.prompt) + len(side.ids) for pair in pairs for side in pair)
    check_length(model, longest, f"a pair of {longest} tokens to learn from")
    torch.manual_seed(seed)  # initial weights of adapters are random
    trained = trainable(copy_to_train(model, config), config).train()
    steps = number_of_steps(len(pairs), config)
    with warnings.catch_warnings():
        # TRL uses deprecated names of transformers.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
        arguments = DPOArguments(
            **training_options(config, steps, seed),
            **device_options(model.device),
            per_device_train_batch_size=config.batch,
            beta=beta,
            max_length=None,
            bf16=model.dtype == torch.bfloat16,
            gradient_checkpointing=False,
        )
        trainer = MaskedDPOTrainer(
            model=trained,
            ref_model=sharing_copy(reference),
            args=arguments,
            data_collator=lambda examples: collate(examples, tokenizer.pad_token_id),
            train_dataset=Dataset.from_list([row.to_dict() for row in pairs]),
            processing_class=tokenizer,
            callbacks=[Progress(report)],
            optimizers=optimizers(trained, config),
            tokens=config.tokens,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return whole(trained).to(model.dtype).eval()
