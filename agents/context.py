"""How long a sequence a causal language model can read: its table of positions, or the length it was trained for."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from agents.forward import base_of

LOG = logging.getLogger("clarify_env.run.models")

# Names under which configs state the length.
_STATED = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")
# Parts of the names of tables that hold one row for each position, and how many rows more or less than the stated
# length such a table may have.
_TABLES = ("pos", "wpe")
_SPARE = 8
# Model types that compute their linear biases for the stated length alone.
_FIXED_BIASES = ("mpt",)
# Options whose models were given sequences longer than they were trained for, with that length: each is told once.
_TOLD: set[tuple[str, int]] = set()


class Context(NamedTuple):
    """The length that a model states.

    Attributes:
        length: Number of tokens.
        fixed: Whether the model has a row of a table for each position, so that a longer sequence cannot be read at
            all. Otherwise (rotary positions, linear biases) a longer one is read, but was not trained.
    """

    length: int
    fixed: bool


def context_of(model: Any) -> Context | None:
    """Returns the length that a model states; ``None``: it states none."""
    base = base_of(model)
    stated = _stated(base)
    if stated is None:
        return None
    tables = [rows for rows in _tables(base) if abs(rows - stated) <= _SPARE]
    return Context(min([stated, *tables]), bool(tables) or base.config.model_type in _FIXED_BIASES)


def _stated(model: Any) -> int | None:
    config = model.config.get_text_config(decoder=True)
    lengths = (getattr(config, name, None) for name in _STATED)
    return next((length for length in lengths if isinstance(length, int) and length > 0), None)


def _tables(model: torch.nn.Module) -> Iterator[int]:
    """Yields the usable rows of each table of positions, learned or computed."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and _is_table(name):
            # With a padding row, positions begin behind it.
            yield module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    for name, buffer in model.named_buffers():
        if buffer.ndim > 1 and _is_table(name):
            yield buffer.shape[0]


def _is_table(name: str) -> bool:
    last = name.rpartition(".")[2]
    return any(part in last for part in _TABLES)


def check_length(model: Any, longest: int, sequence: str, option: str = "assistant.model") -> None:
    """Checks that a model can read a sequence; warns once of one that is longer than the model was trained for.

    Args:
        model: A causal language model.
        longest: Length of the sequence in tokens.
        sequence: Description of the sequence, for the messages, such as "a training example of 50 tokens".
        option: Name of the option that chose the model, for the messages.

    Raises:
        ValueError: The model has a table of fewer positions.
    """
    stated = _stated(base_of(model))
    if stated is None or longest <= stated - _SPARE:
        return  # without a look at the tables
    context = context_of(model)
    if context is None or longest <= context.length:
        return
    if context.fixed:
        raise ValueError(f"{option}: {sequence} does not fit into the {context.length} positions of the model")
    if (option, context.length) not in _TOLD:
        _TOLD.add((option, context.length))
        LOG.warning("%s: %s is longer than the %d that the model was trained for", option, sequence, context.length)
