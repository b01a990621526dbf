"""Forward passes over a batch of rows that grow by one token at a time, with a cache or by computing rows anew."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, NamedTuple, Protocol

import torch
from transformers.modeling_utils import unwrap_model

# Names under which models return and take the object that holds their keys and values, or their recurrent states.
CACHES = ("past_key_values", "cache_params")

Forward = Callable[..., Any]


def left_pad(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads rows of ids on the left; returns ids and attention mask, both of shape [rows, longest]."""
    return pad_rows(rows, pad, "left")


def pad_rows(
    rows: Sequence[Sequence[int]], pad: int, side: Literal["left", "right"]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads rows of ids on a side; returns ids and attention mask, both of shape [rows, longest]."""
    longest = max(map(len, rows))
    filling = [longest - len(row) for row in rows]
    if side == "left":
        ids = [[pad] * n + list(row) for n, row in zip(filling, rows, strict=True)]
        mask = [[0] * n + [1] * len(row) for n, row in zip(filling, rows, strict=True)]
    else:
        ids = [list(row) + [pad] * n for n, row in zip(filling, rows, strict=True)]
        mask = [[1] * len(row) + [0] * n for n, row in zip(filling, rows, strict=True)]
    return torch.tensor(ids), torch.tensor(mask)


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Returns the position of each token in its row, padding not counted; shape of the attention mask."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def base_of(model: Any) -> torch.nn.Module:
    """Returns the model itself, without wrappers: adapters, data parallelism."""
    model = unwrap_model(model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def forward_of(model: Any, call: Forward | None = None) -> Forward:
    """Returns a function that calls a model with those of the given arguments that its forward pass takes.

    Architectures without position ids (ALiBi, recurrent ones) or ``logits_to_keep`` do without them.

    Args:
        model: A causal language model of transformers.
        call: What to call; ``None``: the model.
    """
    parameters = inspect.signature(base_of(model).forward).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    call = call or model

    def forward(**inputs: Any) -> Any:
        return call(**(inputs if takes_all else {name: inputs[name] for name in inputs if name in parameters}))

    return forward


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Puts a model into evaluation mode, and its modules back into their own modes afterwards.

    In training mode dropout would change the samples, and gradient checkpointing turns the cache off.
    """
    in_training = [module for module in model.modules() if module.training]
    for module in in_training:
        module.training = False
    try:
        yield
    finally:
        for module in in_training:
            module.training = True


def in_evaluation_mode(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function whose first argument is a model: the model is in evaluation mode while it runs."""

    @wraps(function)
    def wrapped(model: torch.nn.Module, *arguments: Any, **keywords: Any) -> Any:
        with evaluating(model):
            return function(model, *arguments, **keywords)

    return wrapped


class Rows(Protocol):
    """Rows of token ids that grow together by one token at a time.

    Attributes:
        logits: Logits of each row's next token, shape [rows, vocabulary].
    """

    logits: torch.Tensor

    def keep(self, index: torch.Tensor) -> None:
        """Drops all rows but those of an index."""
        ...

    def append(self, tokens: torch.Tensor) -> None:
        """Appends a token to each row, shape [rows], and computes the logits of the next one."""
        ...


class Prefill(NamedTuple):
    """The prompts that rows begin with, and the model that computes them.

    Attributes:
        forward: Calls the model; see `forward_of`.
        device: Device of the model.
        prompts: Token ids of each distinct prompt.
        rows: For each row, the index of its prompt.
    """

    forward: Forward
    device: torch.device
    prompts: Sequence[Sequence[int]]
    rows: Sequence[int]


class CachedRows:
    """Rows with a cache: a step computes one token per row.

    Args:
        prefill: The prompts and the model.
        pad: Id to pad with, on the left.
        shared: Length of each prompt's prefix that is prefilled once for all prompts that begin with it; all 0: none.
        cache: Name of the cache, one of `CACHES`.

    Attributes:
        mask: Attention mask, shape [rows, length]; 0 is padding.
    """

    def __init__(self, prefill: Prefill, pad: int, *, shared: Sequence[int] = (), cache: str = CACHES[0]):
        self._forward, self._name, self._device = prefill.forward, cache, prefill.device
        self.logits: torch.Tensor
        self.mask: torch.Tensor
        self._cache: Any = None
        self._prefill(prefill.prompts, pad, shared or [0] * len(prefill.prompts))
        fork = torch.tensor(prefill.rows, device=self._device)
        self.logits = self.logits.index_select(0, fork)
        self.keep(fork)

    @property
    def layers(self) -> list[Any]:
        """Returns the layers of the cache, with ``keys`` and ``values`` of shape [rows, heads, length, width]."""
        return self._cache.layers

    def _prefill(self, prompts: Sequence[Sequence[int]], pad: int, shared: Sequence[int]) -> None:
        rests = [prompt[length:] for prompt, length in zip(prompts, shared, strict=True)]
        ids, mask = (part.to(self._device) for part in left_pad(rests, pad))
        longest = max(shared)
        if longest:
            starts = [tuple(prompt[:length]) for prompt, length in zip(prompts, shared, strict=True)]
            prefixes = list(dict.fromkeys(starts))
            index = {start: i for i, start in enumerate(prefixes)}
            fork = torch.tensor([index[start] for start in starts], device=self._device)
            prefix_ids, prefix_mask = (part.to(self._device) for part in left_pad(prefixes, pad))
            padding = (
                {} if prefix_mask.all() else {"attention_mask": prefix_mask, "position_ids": positions(prefix_mask)}
            )
            out = self._forward(input_ids=prefix_ids, use_cache=True, logits_to_keep=1, **padding)
            self._cache = getattr(out, self._name)
            self._cache.reorder_cache(fork)
            mask = torch.cat([prefix_mask[fork], mask], dim=1)
        self.mask = mask
        self._step(ids, mask, positions(mask)[:, longest:])

    def _step(self, ids: torch.Tensor, mask: torch.Tensor, position_ids: torch.Tensor) -> None:
        out = self._forward(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position_ids,
            use_cache=True,
            logits_to_keep=1,
            **{self._name: self._cache},
        )
        self._cache, self.logits = getattr(out, self._name), out.logits[:, -1]

    def keep(self, index: torch.Tensor) -> None:
        """Drops all rows but those of an index; see `Rows`."""
        self._cache.reorder_cache(index)
        self.mask = self.mask[index]

    def append(self, tokens: torch.Tensor) -> None:
        """Appends a token to each row; see `Rows`."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        # A recurrent state holds all that was read, so its mask is of the new token alone.
        mask = self.mask if self._name == CACHES[0] else self.mask[:, -1:]
        self._step(tokens[:, None], mask, self.mask.sum(1, keepdim=True) - 1)


class SeparateRows:
    """Rows with a cache of a model that reads padding: prompts of each length are a batch of their own.

    Args:
        prefill: The prompts and the model.
        cache: Name of the cache, one of `CACHES`.
    """

    def __init__(self, prefill: Prefill, *, cache: str = CACHES[0]):
        _, device, prompts, rows = prefill
        self._device, self._batches, self._members = device, [], []
        for length in dict.fromkeys(len(prompts[row]) for row in rows):
            same_length = {i: n for n, i in enumerate(i for i, prompt in enumerate(prompts) if len(prompt) == length)}
            members = [place for place, row in enumerate(rows) if row in same_length]
            part = prefill._replace(
                prompts=[prompts[i] for i in same_length], rows=[same_length[rows[place]] for place in members]
            )
            self._batches.append(CachedRows(part, 0, cache=cache))
            self._members.append(torch.tensor(members, device=device))
        self._collect()

    def _collect(self) -> None:
        order = torch.cat(self._members).argsort()
        self.logits = torch.cat([batch.logits for batch in self._batches])[order]

    def keep(self, index: torch.Tensor) -> None:
        """Drops all rows but those of an index; see `Rows`."""
        new_place = torch.full((sum(map(len, self._members)),), -1, device=self._device)
        new_place[index] = torch.arange(len(index), device=self._device)
        batches, self._batches, members, self._members = self._batches, [], self._members, []
        for batch, places in zip(batches, members, strict=True):
            remaining = (new_place[places] >= 0).nonzero()[:, 0]
            if len(remaining):
                batch.keep(remaining)
                self._batches.append(batch)
                self._members.append(new_place[places[remaining]])

    def append(self, tokens: torch.Tensor) -> None:
        """Appends a token to each row; see `Rows`."""
        for batch, places in zip(self._batches, self._members, strict=True):
            batch.append(tokens[places])
        self._collect()


class RecomputedRows:
    """Rows without a cache: a step computes every row anew, padded on the right, where no causal model looks.

    Args:
        prefill: The prompts and the model.
        pad: Id to pad with.
    """

    def __init__(self, prefill: Prefill, pad: int):
        self._forward, self._device = prefill.forward, prefill.device
        ids, mask = pad_rows([prefill.prompts[row] for row in prefill.rows], pad, "right")
        self._ids, self._lengths, self._pad = ids.to(self._device), mask.sum(1).to(self._device), pad
        self._compute()

    def _compute(self) -> None:
        longest, shortest = int(self._lengths.max()), int(self._lengths.min())
        mask = (torch.arange(longest, device=self._device) < self._lengths[:, None]).long()
        logits = self._forward(
            input_ids=self._ids[:, :longest],
            attention_mask=mask,
            position_ids=positions(mask),
            use_cache=False,
            logits_to_keep=longest - shortest + 1,
        ).logits
        last = logits.shape[1] - longest + self._lengths - 1  # not every model takes `logits_to_keep`
        self.logits = logits[torch.arange(len(logits), device=self._device), last]

    def keep(self, index: torch.Tensor) -> None:
        """Drops all rows but those of an index; see `Rows`."""
        self._ids, self._lengths = self._ids[index], self._lengths[index]

    def append(self, tokens: torch.Tensor) -> None:
        """Appends a token to each row; see `Rows`."""
        if int(self._lengths.max()) == self._ids.shape[1]:
            self._ids = torch.cat([self._ids, self._ids.new_full((len(self._ids), 1), self._pad)], dim=1)
        self._ids[torch.arange(len(self._ids), device=self._device), self._lengths] = tokens
        self._lengths = self._lengths + 1
        self._compute()
