"""A trial update step, before any game is played: whether a model can learn as ``update.*`` says."""

import torch

from agents.batching import batching_of
from agents.example import Example
from trainers.learning.adapters import UnfitOptionError
from trainers.learning.loss import collate, weighted_loss
from trainers.learning.options import UpdateOptions
from trainers.learning.update import copy_to_train, parallel_runs, trainable
from trainers.runs.experiment import Policy
from trainers.runs.processes import check_transfer

# Two examples of different lengths, as (prompt, reply) of ids below 8.
_EXAMPLES = (Example((1, 2, 3, 4), (5, 6, 7)), Example((3, 1), (2,)))


def check_update(policy: Policy, options: UpdateOptions, option: str = "assistant.model") -> None:
    """Computes loss and gradients of two short examples on a copy of the model, and drops them.

    Args:
        policy: The model and its tokenizer.
        options: Options of the update.
        option: Name of the option that chose the model, for errors.

    Raises:
        ValueError: The model cannot be trained so; the message names the option.
    """
    model = policy.model
    if parallel_runs(model, options) > 1:
        check_transfer({option: model})
    try:
        with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
            trained = trainable(copy_to_train(model, options), options).train()
            batch = collate(_EXAMPLES, policy.tokenizer.pad_token_id, batching_of(model).side)
            weighted_loss(trained, {name: values.to(model.device) for name, values in batch.items()}).backward()
    except UnfitOptionError:
        raise
    except torch.OutOfMemoryError as error:
        advice = "" if options.lora_rank else "; update.lora_rank=8 needs less"
        raise ValueError(f"{option}: an update of it does not fit into memory{advice}") from error
    except (AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{option}: {type(model).__name__} cannot be trained here: {reason}") from error
    if not any(weight.grad is not None and weight.grad.any() for weight in trained.parameters()):
        raise ValueError(f"{option}: an update would change no weight of {type(model).__name__}")
