"""The weighted language-model loss: examples as tensors, and the loss over their reply tokens."""

from collections.abc import Sequence
from typing import Literal

import torch

from agents.example import Example
from agents.forward import base_of, forward_of, pad_rows, positions


def collate(examples: Sequence[Example], pad: int, side: Literal["left", "right"] = "left") -> dict[str, torch.Tensor]:
    """Collates examples into tensors, padded on the left so that replies end at the same position.

    Models that read padding want it on the right (`agents.batching`).

    Returns:
        ``input_ids`` and ``attention_mask``, shape [examples, length]; ``labels``, the target ids, and ``weights``,
        their loss weights (0 in the padding), shape [examples, n]: of the last n tokens, all those with loss among
        them.
    """
    ids, mask = pad_rows([(*example.prompt_ids, *example.ids) for example in examples], pad, side)
    length = ids.shape[1]
    padding = [0 if side == "left" else length - int(row.sum()) for row in mask]
    longest = max(len(example.ids) + after for example, after in zip(examples, padding, strict=True))
    labels, weights = ids[:, -longest:].clone(), torch.zeros(len(examples), longest)
    for index, (example, after) in enumerate(zip(examples, padding, strict=True)):
        first = longest - after - len(example.ids)
        weights[index, first : longest - after] = example.weight
        weights[index, first : first + len(example.first_weights)] = torch.tensor(example.first_weights)
        if example.relabel:
            position, token = example.relabel
            labels[index, first + position] = token
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weights": weights}


def weighted_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Returns sum_t w_t (-log p_t) / max(number of t with w_t != 0, 1) over the reply tokens t."""
    mask, weights = batch["attention_mask"], batch["weights"]
    longest, has_loss = weights.shape[1], weights != 0
    # Apply the output head only at tokens with loss (docs/results.md, "Speed").
    head = base_of(model).get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, -longest - 1 : -1][has_loss],))
    try:
        out = forward_of(model)(
            input_ids=batch["input_ids"],
            attention_mask=mask,
            position_ids=positions(mask),
            logits_to_keep=longest + 1,
            use_cache=False,
        )
    finally:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(out.logits.float(), batch["labels"][has_loss], reduction="none")
    return (loss * weights[has_loss]).sum() / max(int(has_loss.sum()), 1)
