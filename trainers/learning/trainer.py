"""`transformers.Trainer` for weighted examples: a step's examples are computed in parts that fit into memory."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback

from agents.example import Example
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.options import check_finite
from trainers.learning.packing import neighbours, pack, packed_loss, split
from trainers.runs.processes import Report

LOG = logging.getLogger("clarify_env.run.update")


# Longest example of a part, in lengths of its shortest, where a step holds examples of all lengths.
_ALIKE = 1.4
# Fewest examples of such a part: each part is a pass of its own.
_FEWEST = 8


class Form(NamedTuple):
    """How examples become tensors: rows padded to one length, or a prefix tree.

    Attributes:
        pad: Id to pad with.
        side: Side of the padding.
        packed: Whether prefixes that examples share are computed once (`learning.packing`).
        mixed: Whether steps hold examples of all lengths, so that padded parts are to be of similar length.
    """

    pad: int
    side: Literal["left", "right"]
    packed: bool = False
    mixed: bool = False

    def parts(self, examples: Sequence[Example], tokens: int) -> list[list[Example]]:
        """Splits a step's examples into parts of at most ``tokens`` tokens; a longer example is a part by itself."""
        if self.packed:
            return split(examples, tokens)
        parts: list[list[Example]] = []
        longest = shortest = 0
        for example in sorted(examples, key=length_of) if self.mixed else examples:
            length = length_of(example)
            full = not parts or max(longest, length) * (len(parts[-1]) + 1) > tokens
            if full or (self.mixed and len(parts[-1]) >= _FEWEST and length > _ALIKE * shortest):
                parts.append([])
                longest, shortest = 0, length
            parts[-1].append(example)
            longest = max(longest, length)
        return parts

    def loss(self, model: torch.nn.Module, examples: Sequence[Example], device: torch.device) -> torch.Tensor:
        """Returns the weighted loss of a part; see `learning.loss.weighted_loss`."""
        if self.packed:
            return packed_loss(model, pack(examples))
        batch = collate(examples, self.pad, self.side)
        return weighted_loss(model, {name: values.to(device) for name, values in batch.items()})


class Step:
    """Examples of one optimizer step, or of a part of it.

    An object of its own, so that no library takes the ids in it apart.

    Args:
        examples: The examples.
        share: Factor of their loss.
    """

    def __init__(self, examples: Sequence[Example], share: float = 1.0):
        self.examples, self.share = examples, share

    def __len__(self) -> int:
        return len(self.examples)

    def __contains__(self, name: object) -> bool:
        return False  # it has no "labels" that `transformers.Trainer` could count


class Steps(Dataset):
    """Steps of ``size`` examples each.

    In the padded form, examples of a step have similar lengths, or are drawn at random (``mixed``). In the packed form,
    a step holds ``contexts`` groups of `packing.neighbours`; one group alone would make a step of one episode.

    Args:
        examples: The examples.
        size: Examples of a step.
        rng: Draws the order.
        contexts: Groups that a step of the packed form mixes; 0: the padded form.
        mixed: Whether steps of the padded form hold examples of all lengths.

    Attributes:
        batches: The examples of each step.
        terms: Mean number of tokens with loss of a step.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        size: int,
        rng: np.random.Generator,
        contexts: int = 0,
        mixed: bool = False,
    ):
        batches: list[list[Example]] = []
        if contexts:
            groups = neighbours(examples, max(size // contexts, 1))
            row = [example for i in rng.permutation(len(groups)) for example in groups[i]]
            batches = [row[k : k + size] for k in range(0, len(row), size)]
        else:
            order = rng.permutation(len(examples))
            window = size if mixed else 32 * size
            for start in range(0, len(order), window):
                by_length = sorted(order[start : start + window], key=lambda i: length_of(examples[i]))
                batches += [[examples[i] for i in by_length[k : k + size]] for k in range(0, len(by_length), size)]
        self.batches = [batches[i] for i in rng.permutation(len(batches))]
        self.terms = sum(map(loss_terms, examples)) / max(len(batches), 1)

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Step:
        return Step(self.batches[index])


def one_step(items: Sequence[Step]) -> Step:
    """The collator: an item of the data set is a whole step."""
    (step,) = items
    return step


class WeightedTrainer(Trainer):
    """`transformers.Trainer` with a `Form` and its loss.

    Args:
        form: How examples become tensors.
        tokens: Most tokens computed at once. If memory runs out, it is halved, and the step computed again.
        terms: Number of tokens by which the loss of every step is divided; ``None``: the step's own.

    Attributes:
        steps: Steps learned from so far.
        examples: Examples in them, each as often as it was learned.
    """

    steps = examples = 0

    def __init__(self, *args: Any, form: Form, tokens: int, terms: float | None = None, **options: Any):
        super().__init__(*args, **options)
        self.form, self.tokens, self.terms = form, tokens, terms

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Computes loss and gradients of a step, part by part."""
        self.steps += 1
        self.examples += len(inputs)
        split = partial(self.form.parts, inputs.examples)
        return in_parts(self, model, split, len(inputs), partial(self._computed, model))

    def _computed(self, model: torch.nn.Module, parts: Sequence[Sequence[Example]]) -> torch.Tensor:
        terms = [sum(map(loss_terms, part)) for part in parts]
        total = self.terms or max(sum(terms), 1)
        shares = [1.0] if len(parts) == 1 and self.terms is None else [count / total for count in terms]
        losses = [
            super(WeightedTrainer, self).training_step(model, Step(part, share))
            for part, share in zip(parts, shares, strict=True)
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Computes the loss of a part."""
        loss = self.form.loss(model, inputs.examples, self.args.device) * inputs.share
        return (loss, None) if return_outputs else loss

    def floating_point_ops(self, inputs):
        """Not counted."""
        return 0


def in_parts(
    trainer: Any,
    model: torch.nn.Module,
    split: Callable[[int], list[Any]],
    most: int,
    compute: Callable[[list[Any]], torch.Tensor],
) -> torch.Tensor:
    """Computes a step in parts; if memory runs out, in smaller ones, and so the later steps.

    Args:
        trainer: Its ``tokens`` is the number of tokens computed at once, which is halved when memory runs out.
        model: Model whose gradients the step adds to.
        split: Returns the parts of the step, of at most some number of tokens.
        most: Number of parts that cannot be made smaller.
        compute: Computes loss and gradients of the parts.
    """
    while True:
        parts = split(trainer.tokens)
        try:
            return compute(parts)
        except torch.OutOfMemoryError:
            if len(parts) == most:
                raise
            trainer.tokens //= 2
            LOG.warning("update: out of memory; at most %d tokens at once from here", trainer.tokens)
        model.zero_grad()
        torch.accelerator.empty_cache()


def length_of(example: Example) -> int:
    """Returns the number of tokens of an example."""
    return len(example.prompt_ids) + len(example.ids)


def loss_terms(example: Example) -> int:
    """Returns the number of reply tokens whose loss weight is not 0."""
    first = example.first_weights
    return sum(weight != 0 for weight in first) + (len(example.ids) - len(first)) * (example.weight != 0)


class Progress(TrainerCallback):
    """Reports a trainer's steps and logs to a function, and stops a training whose loss is not finite.

    Args:
        report: Called with step, number of steps and logs: at the beginning, with each log, and once a second between.
    """

    def __init__(self, report: Report):
        self.report, self._due = report, 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        """Reports that no step is done; see `transformers.TrainerCallback`."""
        self.report(0, state.max_steps, {})

    def on_step_end(self, args, state, control, **kwargs):
        """Reports the step, if a second has passed; see `transformers.TrainerCallback`."""
        if (now := time.monotonic()) >= self._due:
            self._due = now + 1
            self.report(state.global_step, state.max_steps, {})

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Reports step, number of steps and logs; see `transformers.TrainerCallback`.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        logs = logs or {}
        for name in {"loss", "train_loss"} & logs.keys():  # during the training, and the mean at its end
            check_finite("loss", logs[name])
        self.report(state.global_step, state.max_steps, logs)
