"""Packed learning: token prefixes that examples share are computed once.

Examples of one episode at many costs share their context. `pack` merges the examples' token ids into a prefix tree and
lays its nodes out as one sequence: a token attends to its ancestors only, and its position is its depth. The loss and
its gradient equal those of the plain form (`learning.update.weighted_loss`), up to rounding.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from agents.example import Example
from agents.forward import base_of
from trainers.learning.tree_attention import SIZE, in_blocks, tree_mask

# Largest difference of a log-probability (nats, float32) between the packed and the plain form of a model that admits
# packing.
_TOLERANCE = 1e-3
# Examples are of one context if they share at least this fraction of the shorter one's tokens.
_ONE_CONTEXT = 2 / 3
# Smallest share of their tokens that neighbours share: more than the rules of a game, which all prompts share.
_SHARED = 2 / 3
# Most nodes of a pack: its mask grows with the square of their number.
MOST_NODES = 2048


class Pack(NamedTuple):
    """A prefix tree of N nodes (tokens) with L loss terms.

    Attributes:
        ids: Token id of each node, parents before children; shape [N].
        depths: Depth of each node, which is its position; shape [N].
        visible: Whether query node i attends to key node j, an ancestor or itself; bool, shape [N, N].
        sources: Node whose output predicts each target; shape [L].
        labels: Target ids; shape [L].
        weights: Loss weights, none of them 0; shape [L].
    """

    ids: np.ndarray
    depths: np.ndarray
    visible: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def pack(examples: Sequence[Example]) -> Pack:
    """Merges examples into a prefix tree.

    Raises:
        ValueError: A prompt is empty, so that nothing predicts the reply's first token.
    """
    ordered = tree_order(examples)
    size = tree_size([row_of(example) for example in ordered])
    ids, depths = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    visible = np.zeros((size, size), dtype=bool)
    terms: list[tuple[int, int, float]] = []
    path: list[int] = []  # node at each depth of the last row
    last: tuple[int, ...] = ()
    node = 0
    for example in ordered:
        row = row_of(example)
        common = common_length(last, row)
        first, node = node, node + len(row) - common
        path = [*path[:common], *range(first, node)]
        ids[first:node], depths[first:node] = row[common:], range(common, len(row))
        visible[first:node, path[:common]] = True
        visible[first:node, first:node] = np.tri(node - first, dtype=bool)
        last = row
        start = len(example.prompt_ids) - 1
        if start < 0:
            raise ValueError("an example has an empty prompt, so nothing predicts the first token of its reply")
        terms += [(path[start + i], label, weight) for i, (label, weight) in enumerate(targets(example)) if weight]
    sources, labels, weights = (np.array(column) for column in zip(*terms, strict=True)) if terms else np.zeros((3, 0))
    return Pack(ids, depths, visible, sources.astype(np.int64), labels.astype(np.int64), weights.astype(np.float32))


def targets(example: Example) -> list[tuple[int, float]]:
    """Target id and loss weight of each reply token."""
    labels, weights = list(example.ids), [example.weight] * len(example.ids)
    weights[: len(example.first_weights)] = example.first_weights
    if example.relabel:
        position, label = example.relabel
        labels[position] = label
    return list(zip(labels, weights, strict=True))


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the longest common prefix of two sequences."""
    most = min(len(first), len(second))
    return next((i for i in range(most) if first[i] != second[i]), most)


def tree_size(rows: Sequence[tuple[int, ...]]) -> int:
    """Number of nodes of the prefix tree of sorted rows."""
    return sum(len(row) - common_length(previous, row) for previous, row in pairwise([(), *rows]))


def packed_loss(model: torch.nn.Module, packed: Pack, block: int = SIZE) -> torch.Tensor:
    """Returns sum_t w_t (-log p_t) / max(number of t with w_t != 0, 1) over the reply tokens t of all examples."""
    logprobs = packed_logprobs(model, packed, block)
    weights = torch.from_numpy(packed.weights).to(logprobs.device)
    return -(logprobs * weights).sum() / max(len(weights), 1)


def packed_logprobs(model: torch.nn.Module, packed: Pack, block: int = SIZE) -> torch.Tensor:
    """Returns the log-probability (nats) of each target; shape [L].

    Args:
        model: A causal language model.
        packed: The prefix tree.
        block: Queries of a block of its attention.
    """
    base: Any = base_of(model)
    device = base.device
    sources, rows = np.unique(packed.sources, return_inverse=True)
    with in_blocks():
        out = model(
            input_ids=torch.from_numpy(packed.ids)[None].to(device),
            attention_mask=tree_mask(packed.visible, base.dtype, device, block),
            position_ids=torch.from_numpy(packed.depths)[None].to(device),
            logits_to_keep=torch.from_numpy(sources).to(device),  # the output head at tokens with loss alone
            use_cache=False,
        )
    logprobs = out.logits[0].float().log_softmax(-1)
    return logprobs[torch.from_numpy(rows).to(device), torch.from_numpy(packed.labels).to(device)]


def tree_order(examples: Sequence[Example]) -> list[Example]:
    """Returns the examples in the order of their tokens, so that those that share a prefix are neighbours."""
    rows = sorted((row_of(example), index) for index, example in enumerate(examples))
    return [examples[index] for _, index in rows]


def neighbours(examples: Sequence[Example], most: int) -> list[list[Example]]:
    """Splits examples into groups of at most ``most`` whose prompts share a prefix of `_SHARED` of their tokens.

    Examples of one context are dealt out in turn, so that each group spans all that they differ in: neighbours in the
    order of their tokens have about the same costs, and could not show what a change of the costs does.
    """
    blocks: list[list[Example]] = []
    last: tuple[int, ...] = ()
    for example in tree_order(examples):
        prompt = example.prompt_ids
        alike = common_length(last, prompt) >= _SHARED * max(len(last), len(prompt))
        if not blocks or not alike:
            blocks.append([])
        blocks[-1].append(example)
        last = prompt
    return [block[k :: -(-len(block) // most)] for block in blocks for k in range(-(-len(block) // most))]


def row_of(example: Example) -> tuple[int, ...]:
    """Returns the tokens of an example that are read: the last one is a target only."""
    return (*example.prompt_ids, *example.ids[:-1])


def split(examples: Sequence[Example], tokens: int) -> list[list[Example]]:
    """Splits examples into packs of at most ``tokens`` and `MOST_NODES` nodes; a longer example is a pack by itself."""
    most = min(tokens, MOST_NODES)
    parts: list[list[Example]] = []
    last: tuple[int, ...] = ()
    size = 0
    for example in tree_order(examples):
        row = row_of(example)
        added = len(row) - common_length(last, row)
        if not parts or size + added > most:
            parts.append([])
            size, added = 0, len(row)
        parts[-1].append(example)
        size, last = size + added, row
    return parts


def gain(examples: Sequence[Example]) -> tuple[int, int]:
    """Returns the number of tokens that the plain form reads, padding aside, and the number of nodes of their tree."""
    rows = sorted(map(row_of, examples))
    return sum(map(len, rows)) + len(rows), tree_size(rows)


def contexts(examples: Sequence[Example]) -> int:
    """Returns the number of contexts in some examples: groups that share most of their tokens, in tree order."""
    rows = sorted(map(row_of, examples))
    starts = (common_length(*pair) < _ONE_CONTEXT * min(map(len, pair)) for pair in pairwise(rows))
    return sum(starts) + bool(rows)


@torch.no_grad()
def refusal(model: PreTrainedModel, longest: int) -> str | None:
    """Says why a model cannot learn from packed examples; ``None`` if it can.

    The packed form must give the plain form's log-probabilities on a small tree; and every attention must reach back
    as far as the longest example, since the mask replaces a sliding window.

    Args:
        model: A causal language model.
        longest: Length in tokens of the longest example.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and longest > window:
        return f"its sliding window of {window} tokens is shorter than the longest example ({longest})"
    examples = _probe(config.vocab_size)
    try:
        packed = packed_logprobs(model, pack(examples), block=8).cpu()
    except (TypeError, ValueError, RuntimeError, IndexError) as error:  # raised by architectures that take no such mask
        return f"its forward pass takes no such mask ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
    plain = torch.cat([packed_logprobs(model, pack([example])).cpu() for example in sorted(examples)])
    alone = torch.cat([_plain_logprobs(model, example) for example in sorted(examples)])
    worst = max((packed - alone).abs().max().item(), (plain - alone).abs().max().item())
    tolerance = _TOLERANCE if model.dtype == torch.float32 else 0.1
    return None if worst <= tolerance else f"its log-probabilities differ by {worst:.2g} from those of the plain form"


def _probe(vocabulary: int) -> list[Example]:
    rng = np.random.default_rng(0)
    context, *tails = (rng.integers(min(vocabulary, 256), size=n).tolist() for n in (12, 19, 9, 15, 7, 3))
    return [Example((*context, *tail[:-2]), tuple(tail[-2:])) for tail in tails]


def _plain_logprobs(model: PreTrainedModel, example: Example) -> torch.Tensor:
    ids = torch.tensor([[*example.prompt_ids, *example.ids]], device=model.device)
    logprobs = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    return logprobs[len(example.prompt_ids) - 1 : -1].gather(1, ids[0, len(example.prompt_ids) :, None])[:, 0].cpu()
