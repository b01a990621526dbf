"""Attention over a prefix tree, in blocks: a block of queries reads the keys that one of them attends to, no others.

A tree of N nodes has N^2 pairs of query and key, of which attention with a mask computes all. A node attends to its
ancestors alone, so a block of neighbouring nodes needs few keys: those of the prefix that they share, and its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

# Implementation of attention that is computed in blocks: transformers' default.
_SDPA = "sdpa"
# Queries of a block.
SIZE = 128
# Largest share of the pairs of query and key that blocks may hold; above it one block is faster.
_MOST_PAIRS = 0.7


class Block(NamedTuple):
    """Some queries and the keys that they attend to.

    Attributes:
        queries: Slice of the nodes.
        keys: Indices of the nodes that at least one query attends to.
        mask: 0 where a query attends to a key, else the lowest number; shape [1, 1, queries, keys].
    """

    queries: slice
    keys: torch.Tensor
    mask: torch.Tensor


def tree_mask(visible: np.ndarray, dtype: torch.dtype, device: torch.device, size: int = SIZE) -> torch.Tensor:
    """Returns the additive attention mask of a tree; its attribute ``blocks`` is used inside `in_blocks`.

    Args:
        visible: Whether query node i attends to key node j; bool, shape [N, N].
        dtype: Type of the mask.
        device: Device of the mask.
        size: Queries of a block.

    Returns:
        The mask, shape [1, 1, N, N].
    """

    def additive(part: np.ndarray) -> torch.Tensor:
        mask = torch.zeros(part.shape, dtype=dtype).masked_fill_(~torch.from_numpy(part), torch.finfo(dtype).min)
        return mask[None, None].to(device)

    mask: Any = additive(visible)
    mask.blocks = []
    nodes = len(visible)
    parts = [slice(start, min(start + size, nodes)) for start in range(0, nodes, size)]
    keys = [np.flatnonzero(np.any(visible[queries], axis=0)) for queries in parts]
    pairs = sum((queries.stop - queries.start) * len(among) for queries, among in zip(parts, keys, strict=True))
    if pairs <= _MOST_PAIRS * nodes**2:
        mask.blocks = [
            Block(queries, torch.from_numpy(among).to(device), additive(visible[queries][:, among]))
            for queries, among in zip(parts, keys, strict=True)
        ]
    return mask


@contextmanager
def in_blocks() -> Iterator[None]:
    """Computes attention in blocks where its mask is one of `tree_mask`, in the models of transformers.

    Backward passes that compute activations anew (gradient checkpointing) belong inside as well.
    """
    whole = ALL_ATTENTION_FUNCTIONS[_SDPA]
    overridden = _SDPA in ALL_ATTENTION_FUNCTIONS._local_mapping
    ALL_ATTENTION_FUNCTIONS[_SDPA] = _blockwise(whole)
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[_SDPA]
        if overridden:
            ALL_ATTENTION_FUNCTIONS[_SDPA] = whole


def _blockwise(whole: Callable[..., Any]) -> Callable[..., Any]:
    def attention(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        blocks = getattr(attention_mask, "blocks", None)
        if not blocks:
            return whole(module, query, key, value, attention_mask, **options)
        outputs = [
            whole(module, query[:, :, at], key[:, :, keys], value[:, :, keys], mask, **options)[0]
            for at, keys, mask in blocks
        ]
        return torch.cat(outputs, dim=1), None

    return attention
