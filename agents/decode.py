"""Batched decoding of a causal language model: the one place where tokens are sampled.

Each prompt is prefilled once for all its samples, and each prefix that prompts share once for all of them: rows of the
key-value cache are copied. Finished rows leave the batch, so the cache shrinks. (`generate` of transformers
prefills the prompt of every sample, and decodes finished rows until the longest ends.) Models whose probabilities
depend on padding or that have no such cache are decoded as `agents.batching` finds out.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from agents.batching import batching_of, make_rows
from agents.forward import Prefill, base_of, forward_of, in_evaluation_mode, left_pad
from agents.recorded import steps_of

__all__ = ["Sample", "decode", "left_pad", "shared_length", "shared_lengths", "uniforms"]

# Prefill a shared prefix separately, in a forward pass of its own, if that saves at least this fraction of the tokens.
_SHARED_AT = 0.2
# Give each group of prompts a shared prefix of its own if that leaves at most this fraction of the tokens that one
# length for all leaves: it takes padding.
_GROUPED_AT = 0.6
# Drop finished rows once they are at least this fraction of the batch: each drop copies the cache.
_DROP_AT = 0.2
# Tokens of a chunk of the vocabulary; 128 divides those of most models.
_CHUNK = 128


class Sample(NamedTuple):
    """A decoded reply.

    Attributes:
        ids: Token ids, the opening and the end token included.
        logprobs: Log-probability (nats) of each id under the sampling distribution (temperature 1 if greedy).
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def uniforms(seeds: Sequence[int], n: int) -> np.ndarray:
    """Returns counter-based uniforms in [0, 1), shape [len(seeds), n]; a row depends only on its seed (SplitMix64)."""
    with np.errstate(over="ignore"):
        golden = np.uint64(0x9E3779B97F4A7C15)
        base = _mix(np.array([seed % 2**64 for seed in seeds], dtype=np.uint64) + golden)
        mixed = _mix(base[:, None] + golden * np.arange(1, n + 1, dtype=np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@torch.inference_mode()
@in_evaluation_mode
def decode(
    model: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    openings: Sequence[Sequence[int]],
    seeds: Sequence[int],
    *,
    temperature: float,
    max_new_tokens: int,
    end: int | Sequence[int],
    pad: int,
    limits: Sequence[Callable[[list[int]], bool] | None] = (),
) -> list[Sample]:
    """Decodes one reply per row of the batch.

    Args:
        model: A causal language model of transformers.
        prompts: Token ids of each distinct prompt.
        rows: For each row, the index of its prompt.
        openings: For each row, the ids that its reply starts with.
        seeds: One seed per row; a row's tokens depend on its prompt, opening and seed, not on the other rows.
        temperature: Sampling temperature; 0 is greedy.
        max_new_tokens: Maximum length of a reply in tokens, opening included.
        end: Id that ends a reply, or several.
        pad: Id to pad with.
        limits: For each row, whether ids are a reply that is too long, or ``None``; a token that would make it so is
            replaced by the end. Empty: no row is limited.

    Returns:
        One sample per row.
    """
    device, batching = model.device, batching_of(model)
    shared = shared_lengths(prompts) if batching.shared else []
    # Adapters around a model may be switched on and off.
    steps = steps_of(model) if batching.recorded and model is base_of(model) else None
    prefill = Prefill(forward_of(model), device, prompts, rows)
    state = make_rows(prefill, pad, batching, steps, shared=shared, new_tokens=max_new_tokens)
    end_ids = torch.tensor([end] if isinstance(end, int) else list(end), device=device)
    draws = torch.from_numpy(uniforms(seeds, max_new_tokens)).to(device)
    opening_ids = torch.full((len(rows), max(map(len, openings), default=0)), -1)  # -1: free
    for row, opening in enumerate(openings):
        opening_ids[row, : len(opening)] = torch.tensor(opening, dtype=torch.long)
    opening_ids = opening_ids.to(device)
    tokens = torch.full((len(rows), max_new_tokens), pad, device=device)
    logprobs = torch.zeros((len(rows), max_new_tokens), device=device)
    lengths = torch.full((len(rows),), max_new_tokens, device=device)
    alive = torch.arange(len(rows), device=device)  # index into `rows` of each row of the state
    unfinished = torch.ones(len(rows), dtype=torch.bool, device=device)
    count = _Count(len(rows), device)
    for step in range(max_new_tokens):
        token, logprob = _draw(state.logits, draws[alive, step], temperature)
        if step < opening_ids.shape[1]:
            opening_id = opening_ids[alive, step]
            token = torch.where(opening_id >= 0, opening_id, token)
        if any(limits):
            token = _limited(token, tokens[alive, :step], [limits[row] for row in alive.tolist()], int(end_ids[0]))
        tokens[alive, step] = token
        logprobs[alive, step] = logprob.gather(1, token[:, None])[:, 0]
        ended = unfinished & torch.isin(token, end_ids)
        lengths[alive] = torch.where(ended, step + 1, lengths[alive])
        unfinished &= ~ended
        remaining = count(unfinished)
        if remaining == 0 or step + 1 == max_new_tokens:
            break
        if remaining <= (1 - _DROP_AT) * len(unfinished):
            keep = unfinished.nonzero()[:, 0]
            if not len(keep):
                break  # the count was that of the step before
            state.keep(keep)
            alive, token, unfinished = alive[keep], token[keep], unfinished[keep]
        state.append(token)
    tokens, logprobs = tokens.tolist(), logprobs.tolist()
    return [
        Sample(tuple(row[:n]), tuple(probs[:n]))
        for row, probs, n in zip(tokens, logprobs, lengths.tolist(), strict=True)
    ]


def _limited(
    token: torch.Tensor, before: torch.Tensor, limits: Sequence[Callable[[list[int]], bool] | None], end: int
) -> torch.Tensor:
    """Replaces the next token of rows that it would make too long by the end."""
    drawn = token.tolist()
    too_long = [
        limit is not None and token_id != end and limit([*ids, token_id])
        for limit, ids, token_id in zip(limits, before.tolist(), drawn, strict=True)
    ]
    return token.masked_fill(torch.tensor(too_long, device=token.device), end)


class _Count:
    """Counts unfinished rows without waiting for the device: on a GPU the result is the count of the call before.

    To wait in each step would leave the GPU idle while the next one is launched.
    """

    def __init__(self, rows: int, device: torch.device):
        self._rows, self._calls, self._waits = rows, 0, device.type != "cuda"
        if not self._waits:
            self._counts = torch.empty(2, dtype=torch.long, pin_memory=True)
            self._events = [torch.cuda.Event(), torch.cuda.Event()]

    def __call__(self, unfinished: torch.Tensor) -> int:
        if self._waits:
            return int(unfinished.sum())
        now, before = self._calls % 2, (self._calls + 1) % 2
        self._counts[now].copy_(unfinished.sum(), non_blocking=True)
        self._events[now].record()
        self._calls += 1
        if self._calls == 1:
            return self._rows
        self._events[before].synchronize()
        return int(self._counts[before])


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Returns the prefix length at which prefilling each distinct prefix once saves most tokens; 0: not worth it."""
    most = min(map(len, prompts)) - 1  # at least one token of each prompt must follow, for the logits of the next token
    if len(prompts) == 1 or not most:
        return 0
    starts = np.array(sorted(tuple(prompt[:most]) for prompt in prompts))
    # Sorted prompts share the longest prefix with a neighbour. A prompt that first differs from its predecessor at some
    # position needs a prefix of its own at every length beyond that position.
    first_difference = np.append(starts[1:] != starts[:-1], np.ones((len(starts) - 1, 1), dtype=bool), axis=1).argmax(1)
    lengths = np.arange(most + 1)
    saved = lengths * (first_difference[:, None] >= lengths).sum(0)
    return int(saved.argmax()) if saved.max() >= _SHARED_AT * sum(map(len, prompts)) else 0


def shared_lengths(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Returns the length of the prefix of each prompt that is prefilled once for all prompts that begin with it.

    It is the same for all prompts (`shared_length`) unless prefixes of their own save far more: contexts of several
    episodes, each at many costs, differ in length.
    """
    one = [shared_length(prompts)] * len(prompts)
    if len(prompts) < 3:
        return one
    grouped = _grouped_lengths(prompts)
    in_full, most = prefilled(prompts, [0] * len(prompts)), _GROUPED_AT * prefilled(prompts, one)
    return grouped if prefilled(prompts, grouped) <= min(most, (1 - _SHARED_AT) * in_full) else one


def prefilled(prompts: Sequence[Sequence[int]], shared: Sequence[int]) -> int:
    """Returns the number of tokens that prefilling computes, padding included."""
    prefixes = {tuple(prompt[:length]) for prompt, length in zip(prompts, shared, strict=True)}
    rest = max(len(prompt) - length for prompt, length in zip(prompts, shared, strict=True))
    return len(prefixes) * max(shared) + len(prompts) * rest


def _grouped_lengths(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Lengths of the prefixes of groups of prompts, for the groups that leave the fewest tokens to compute."""
    order = sorted(range(len(prompts)), key=lambda i: tuple(prompts[i]))
    lengths = np.array([len(prompts[i]) for i in order])
    ids = np.full((len(order), lengths.max()), -1)  # -1 ends a prompt
    for row, i in enumerate(order):
        ids[row, : lengths[row]] = prompts[i]
    # Common prefix of each prompt with the next, shorter than both.
    common = np.append(ids[1:] != ids[:-1], np.ones((len(order) - 1, 1), dtype=bool), axis=1).argmax(1)
    common = np.minimum(common, np.minimum(lengths[1:], lengths[:-1]) - 1)
    best, fewest = np.zeros(len(order), dtype=int), len(order) * lengths.max()
    for least in np.unique(common):  # neighbours with a longer common prefix are of one group
        first = np.append(True, common < least).nonzero()[0]
        # The common prefix of a group is its shortest one of neighbours; a prompt alone has all but its last token.
        inside = np.append(np.where(common < least, lengths[:-1] - 1, common), lengths[-1] - 1)
        shared = np.repeat(np.minimum.reduceat(inside, first), np.diff(np.append(first, len(order))))
        computed = len(first) * shared.max() + len(order) * (lengths - shared).max()
        if computed < fewest:
            best, fewest = shared, computed
    result = np.zeros(len(order), dtype=int)
    result[order] = best
    return result.tolist()


def _draw(logits: torch.Tensor, draws: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples one token per row: the inverse of the cumulative distribution at the row's uniform number."""
    if temperature == 0:
        return logits.argmax(1), logits.float().log_softmax(1)
    logits = logits.float()
    logprob = (logits if temperature == 1 else logits / temperature).log_softmax(1)
    probabilities = logprob.double().exp_()
    # A scan along a vocabulary keeps one block of a GPU busy for each row.
    search = _search_in_chunks if probabilities.device.type == "cuda" else _search
    return search(probabilities, draws), logprob


def _search(probabilities: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Returns the first index of each row at which the cumulative sum reaches the draw; overwrites probabilities."""
    cumulative = probabilities.cumsum_(1)
    # The last sum differs from 1 by rounding; scaling by it keeps every draw inside the vocabulary.
    index = torch.searchsorted(cumulative, (draws * cumulative[:, -1])[:, None])[:, 0]
    return index.clamp(max=cumulative.shape[1] - 1)


def _search_in_chunks(probabilities: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Computes `_search`, up to rounding of the sums: sums of chunks first, then those inside the chunk that is hit."""
    vocabulary = probabilities.shape[1]
    if vocabulary % _CHUNK:
        probabilities = torch.nn.functional.pad(probabilities, (0, -vocabulary % _CHUNK))
    chunks = probabilities.view(len(probabilities), -1, _CHUNK)
    cumulative = chunks.sum(2).cumsum(1)
    target = (draws * cumulative[:, -1])[:, None]
    hit = torch.searchsorted(cumulative, target).clamp(max=cumulative.shape[1] - 1)
    before = torch.where(hit > 0, cumulative.gather(1, (hit - 1).clamp(min=0)), 0)
    inside = before + chunks.gather(1, hit[..., None].expand(-1, -1, _CHUNK))[:, 0].cumsum(1)
    index = torch.searchsorted(inside, target).clamp(max=_CHUNK - 1)
    return (hit * _CHUNK + index)[:, 0].clamp(max=vocabulary - 1)
