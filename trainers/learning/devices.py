"""The device of an update: one for each process, that of the model."""

from typing import Any

import torch
from transformers import TrainingArguments


class OneDevice:
    """Mixin for `transformers.TrainingArguments`: a process updates its model on one device, however many it can see.

    With several visible GPUs `transformers.Trainer` would copy the model to each and multiply the batch by their
    number.
    """

    @property
    def n_gpu(self) -> int:
        """Returns the number of devices that a batch is multiplied by: 1."""
        return 1


class UpdateArguments(OneDevice, TrainingArguments):
    """Arguments of `transformers.Trainer` on one device."""


def device_options(device: torch.device) -> dict[str, Any]:
    """Returns the arguments of `transformers.TrainingArguments` that keep a model on the CPU where there is a GPU."""
    return {"use_cpu": True} if device.type == "cpu" and torch.accelerator.is_available() else {}
