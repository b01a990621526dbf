"""Batched decoding of a causal language model: what prompts share is computed once, finished rows leave the batch.

The one place where tokens are drawn. `generate` of transformers would compute every sample's prompt anew and carry
finished rows to the end; here the cache of a beginning that prompts share is forked for these, that of a prompt for its
samples, and the cache shrinks as rows finish.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

# A beginning that prompts share is computed apart where that spares this share of their tokens: it takes a second pass.
_SHARED_AT = 0.2
# Rows that have finished are dropped once they are this share of the batch: each drop copies the cache.
_DROP_AT = 0.2


class Sample(NamedTuple):
    """What was decoded for one row: token ids, end token included, and their log-probabilities (nats)."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def uniforms(seeds: Sequence[int], n: int) -> np.ndarray:
    """Counter-based random numbers in [0, 1), shape [len(seeds), n]: a row depends on its seed alone (SplitMix64)."""
    with np.errstate(over="ignore"):
        golden = np.uint64(0x9E3779B97F4A7C15)
        base = _mix(np.array([seed % 2**64 for seed in seeds], dtype=np.uint64) + golden)
        mixed = _mix(base[:, None] + golden * np.arange(1, n + 1, dtype=np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def left_pad(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads rows of ids on the left; returns ids and attention mask, both of shape [rows, longest]."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


@torch.inference_mode()
def decode(
    model: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    forced: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    temperature: float,
    max_new_tokens: int,
    end: int,
    pad: int,
) -> list[Sample]:
    """Decodes one reply a row.

    Args:
        model: A causal language model of transformers.
        prompts: Token ids of each distinct prompt.
        rows: For each row, the index of its prompt.
        forced: For each row, ids its reply starts with.
        seeds: One seed a row; a row's tokens depend on its prompt, forced ids and seed, not on the rest of the batch.
        temperature: Of sampling; 0 is greedy.
        max_new_tokens: Longest reply.
        end: Id that ends a reply.
        pad: Id to pad with.

    Returns:
        One sample a row. Log-probabilities are those of the distribution sampled from (temperature 1 where greedy).
    """
    device = model.device
    cache, logits, mask = _read(model, prompts, pad)
    fork = torch.tensor(rows, device=device)
    cache.reorder_cache(fork)
    logits, mask = logits.index_select(0, fork), mask.index_select(0, fork)
    draws = torch.from_numpy(uniforms(seeds, max_new_tokens)).to(device)
    given = torch.full((len(rows), max(map(len, forced), default=0)), -1)
    for row, opening in enumerate(forced):
        given[row, : len(opening)] = torch.tensor(opening, dtype=torch.long)
    given = given.to(device)
    tokens = torch.full((len(rows), max_new_tokens), pad, device=device)
    logprobs = torch.zeros((len(rows), max_new_tokens), device=device)
    lengths = torch.full((len(rows),), max_new_tokens, device=device)
    alive = torch.arange(len(rows), device=device)  # the row each row of the cache belongs to
    open_ = torch.ones(len(rows), dtype=torch.bool, device=device)
    for step in range(max_new_tokens):
        token, logprob = _draw(logits, draws[alive, step], temperature)
        if step < given.shape[1]:
            fixed = given[alive, step]
            token = torch.where(fixed >= 0, fixed, token)
        tokens[alive, step] = token
        logprobs[alive, step] = logprob.gather(1, token[:, None])[:, 0]
        ended = open_ & (token == end)
        lengths[alive[ended]] = step + 1
        open_ &= ~ended
        left = int(open_.sum())
        if left == 0 or step + 1 == max_new_tokens:
            break
        if left <= (1 - _DROP_AT) * len(open_):
            keep = open_.nonzero()[:, 0]
            cache.reorder_cache(keep)
            alive, mask, token, open_ = alive[keep], mask[keep], token[keep], open_[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        out = model(
            input_ids=token[:, None],
            attention_mask=mask,
            position_ids=_positions(mask)[:, -1:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits = out.logits[:, -1]
    tokens, logprobs = tokens.tolist(), logprobs.tolist()
    return [
        Sample(tuple(row[:n]), tuple(probs[:n]))
        for row, probs, n in zip(tokens, logprobs, lengths.tolist(), strict=True)
    ]


def _read(
    model: torch.nn.Module, prompts: Sequence[Sequence[int]], pad: int
) -> tuple[Cache, torch.Tensor, torch.Tensor]:
    """The cache of the prompts, the logits of what follows each, and the mask of what the cache holds."""
    shared = shared_length(prompts) if _keeps_every_token(model) else 0
    ids, mask = (part.to(model.device) for part in left_pad([prompt[shared:] for prompt in prompts], pad))
    cache = None
    if shared:
        starts = [tuple(prompt[:shared]) for prompt in prompts]
        index = {start: i for i, start in enumerate(dict.fromkeys(starts))}
        heads = torch.tensor(list(index), device=model.device)
        cache = model(input_ids=heads, use_cache=True, logits_to_keep=1).past_key_values
        cache.reorder_cache(torch.tensor([index[start] for start in starts], device=model.device))
        mask = torch.cat([mask.new_ones(len(prompts), shared), mask], dim=1)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=_positions(mask)[:, shared:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return out.past_key_values, out.logits[:, -1], mask


def _keeps_every_token(model: torch.nn.Module) -> bool:
    # A state cannot leave out the padding that stands behind a shared beginning, and a window counts it in.
    return {type(layer) for layer in DynamicCache(config=model.config).layers} == {DynamicLayer}


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Where to part the prompts so that computing each beginning once spares most tokens; 0: not worth it anywhere."""
    most = min(map(len, prompts)) - 1  # something of each prompt must follow, from which to draw
    if len(prompts) == 1 or not most:
        return 0
    starts = np.array(sorted(tuple(prompt[:most]) for prompt in prompts))
    # Sorted, neighbours share the most: each that parts from the one before begins anew, at any greater length.
    parted = np.append(starts[1:] != starts[:-1], np.ones((len(starts) - 1, 1), dtype=bool), axis=1).argmax(1)
    lengths = np.arange(most + 1)
    spared = lengths * (parted[:, None] >= lengths).sum(0)
    return int(spared.argmax()) if spared.max() >= _SHARED_AT * sum(map(len, prompts)) else 0


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


def _draw(logits: torch.Tensor, draws: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws a token a row by inverting the cumulative distribution at the row's own random number."""
    if temperature == 0:
        return logits.argmax(1), logits.float().log_softmax(1)
    logprob = (logits.float() / temperature).log_softmax(1)
    cumulative = logprob.double().exp().cumsum(1)
    # Rounding leaves the last sum a little off 1; scaling by it keeps every draw inside the vocabulary.
    token = torch.searchsorted(cumulative, (draws * cumulative[:, -1])[:, None])[:, 0].clamp(max=logits.shape[1] - 1)
    return token, logprob
