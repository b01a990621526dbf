"""How prompts of different lengths share a batch of a given model: found by comparing its batches with rows alone.

Left padding and prefixes that are prefilled once change nothing for most architectures. Some count padding as distance
(ALiBi, local windows) or read it into their state (recurrent layers), and nothing in a model's config says so.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from agents import recorded
from agents.context import context_of
from agents.forward import (
    CACHES,
    CachedRows,
    Forward,
    Prefill,
    RecomputedRows,
    Rows,
    SeparateRows,
    base_of,
    evaluating,
    forward_of,
)
from agents.recorded import Steps, recorded_rows

LOG = logging.getLogger("clarify_env.run.models")

# Attribute of a model that holds its `Batching`; it travels with copies of the model to other processes.
_ATTRIBUTE = "_clarify_batching"
# Lengths of the prompts of the comparison: of the prefix that they share, and of what follows it in each.
_PREFIX, _REST = 4, (1, 6, 3)
# Number of tokens appended to each of them.
_REPLY = 2
# Largest difference of log-probabilities that counts as rounding, in standard deviations of a row's logits, by whether
# weights are float32; and the largest that a model may have at all.
_ROUNDING = {True: 5e-3, False: 0.25}
_USABLE = {True: 0.05, False: 2.0}
# What was logged, as (name of the model's class, what it cannot do).
_TOLD: set[tuple[str, str]] = set()
# What a way of batching that an architecture does not offer may raise.
_FAULTS = (AssertionError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
# Options of configs that set the width of windows in which layers attend.
_WINDOWS = ("window_size", "attention_window_size", "attention_window", "local_attention")


class Batching(NamedTuple):
    """What a model's batches may do without changing a row's probabilities.

    Attributes:
        shared: Prefixes that prompts share may be prefilled once, apart from what follows them.
        padded: Prompts of different lengths may share a batch, padded on the left.
        cache: Name of the model's cache, one of `agents.forward.CACHES`; ``None``: every token computes its row anew.
        recorded: Steps may be recorded (`agents.recorded`), on a GPU.
    """

    shared: bool
    padded: bool
    cache: str | None
    recorded: bool = False

    @property
    def way(self) -> str:
        """Returns the name of the way in docs/models.md: ``shared``, ``padded``, ``by length`` or ``recomputed``."""
        if self.cache is None:
            return "recomputed"
        return "shared" if self.shared else "padded" if self.padded else "by length"

    @property
    def side(self) -> Literal["left", "right"]:
        """Returns the side on which rows that are known in full are padded: ``left`` or ``right``.

        A causal model never looks at what stands to the right.
        """
        return "left" if self.padded else "right"


def batching_of(model: torch.nn.Module) -> Batching:
    """Returns how a model's batches may be made; the comparison is made once for each model.

    Raises:
        ValueError: The model cannot be decoded: it is not causal, or its forward pass fails.
    """
    base = base_of(model)
    if _ATTRIBUTE not in vars(base):
        setattr(base, _ATTRIBUTE, _compare(model))
    return getattr(base, _ATTRIBUTE)


@torch.inference_mode()
def _compare(model: Any) -> Batching:
    """Decodes a few rows in each way, the fastest first, until one gives the probabilities of rows alone."""
    name = type(base_of(model)).__name__
    forward, device = forward_of(model, model.forward), model.device  # `forward` itself: hooks are for real work
    rounding, usable = _ROUNDING[model.dtype == torch.float32], _USABLE[model.dtype == torch.float32]
    sequences = _sequences(model)
    differences: dict[Batching, float] = {}
    failure: Exception | None = None
    with evaluating(model):
        try:
            expected = [_alone(forward, sequence, device) for sequence in sequences]
            cache = _cache_of(forward, sequences[0], device)
        except _FAULTS as error:
            raise ValueError(f"a forward pass of {name} fails: {_reason(error)}") from error
        candidates = list(_candidates(cache, _keeps_every_token(model), recorded.ENABLED and device.type == "cuda"))
        for batching in candidates:
            try:
                logits = _together(forward, sequences, device, batching, Steps(model))
            except torch.OutOfMemoryError:
                raise
            except _FAULTS as error:
                failure = error
                continue
            differences[batching] = difference = _difference(logits, expected)
            if difference <= rounding:
                break
    if not differences:
        raise ValueError(f"{name} cannot be decoded: {_reason(failure)}") from failure
    least = min(differences.values())
    if not least <= usable:
        raise ValueError(
            f"the probabilities of {name} depend on other rows of a batch or on tokens that follow (by up to "
            f"{least:.2g} standard deviations of its logits), so it is no causal language model"
        )
    # Where rounding is coarse, so is it in rows of equal length.
    batching = next(way for way, difference in differences.items() if difference <= max(rounding, 3 * least))
    _tell(name, batching, candidates[0])
    return batching


def _tell(name: str, batching: Batching, fastest: Batching) -> None:
    """Logs what a model cannot do that its kind of cache would let expect: once for all checkpoints of a run."""
    if batching == fastest:
        return
    if batching.cache is None:
        manner = "every token computes its whole row anew, which is slow: the model has no cache that rows can share"
    elif not batching.padded:
        manner = "prompts of different lengths are decoded apart: the model reads padding"
    elif not batching.shared:
        manner = "prefixes that prompts share are computed for each: the model counts padding as distance"
    else:
        manner = "decoding steps are not recorded as CUDA graphs, which is slow: the model cannot, or changes by it"
    if (name, manner) not in _TOLD:
        _TOLD.add((name, manner))
        LOG.warning("%s: %s", name, manner)


def _sequences(model: Any) -> list[list[int]]:
    """Token ids of prompts that share a prefix, with a reply each."""
    embeddings = model.get_input_embeddings()
    vocabulary = embeddings.weight.shape[0] if embeddings is not None else model.config.get_text_config().vocab_size
    context = context_of(model)
    longest = _PREFIX + max(_REST) + _REPLY
    if context is not None and context.fixed and context.length < longest:
        raise ValueError(f"a model of {context.length} positions cannot read a prompt")
    prefix = [(11 + 7 * i) % vocabulary for i in range(_PREFIX)]
    rests = [[(23 + 31 * row + 13 * i) % vocabulary for i in range(rest + _REPLY)] for row, rest in enumerate(_REST)]
    return [[*prefix, *rest] for rest in rests]


def _alone(forward: Forward, sequence: Sequence[int], device: torch.device) -> torch.Tensor:
    """Logits after each token of the reply and before it, by a plain forward pass; shape [reply + 1, vocabulary]."""
    ids = torch.tensor([sequence], device=device)
    return forward(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, -_REPLY - 1 :]


def _cache_of(forward: Forward, sequence: Sequence[int], device: torch.device) -> str | None:
    """Name of the cache whose rows can be reordered; ``None``: there is none."""
    try:
        out = forward(input_ids=torch.tensor([sequence[:2]], device=device), use_cache=True)
    except torch.OutOfMemoryError:
        raise
    except _FAULTS:
        return None  # hybrid models of recurrent layers alone fail to make their cache
    caches = (name for name in CACHES if hasattr(getattr(out, name, None), "reorder_cache"))
    return next(caches, None)


def _candidates(cache: str | None, keeps_every_token: bool, records: bool) -> Iterator[Batching]:
    """Ways of batching, the fastest first."""
    if cache is not None:
        if keeps_every_token:
            if records:
                yield Batching(True, True, cache, recorded=True)
            yield Batching(True, True, cache)
        yield Batching(False, True, cache)
        yield Batching(False, False, cache)
    yield Batching(False, False, None)


def _together(
    forward: Forward, sequences: Sequence[Sequence[int]], device: torch.device, batching: Batching, steps: Steps
) -> torch.Tensor:
    """Logits as `_alone` computes them, of all sequences decoded together; shape [sequences, reply + 1, vocabulary]."""
    prompts = [sequence[:-_REPLY] for sequence in sequences]
    # The first prompt has a row more, so that rows of one prompt are compared as well.
    index = [0, *range(len(prompts))]
    shared = [_PREFIX] * len(prompts) if batching.shared else []
    rows = make_rows(Prefill(forward, device, prompts, index), 0, batching, steps, shared=shared, new_tokens=_REPLY)
    logits = [rows.logits]
    for token in range(-_REPLY, 0):
        rows.append(torch.tensor([sequences[i][token] for i in index], device=device))
        logits.append(rows.logits)
    return torch.stack(logits, dim=1)[1:]


def make_rows(
    prefill: Prefill,
    pad: int,
    batching: Batching,
    steps: Steps | None = None,
    *,
    shared: Sequence[int] = (),
    new_tokens: int = 0,
) -> Rows:
    """Prefills rows as a model's batches may be made; see `agents.forward`.

    Args:
        prefill: The prompts and the model.
        pad: Id to pad with.
        batching: What the model's batches may do.
        steps: Recorded steps of the model, which are used if it can; ``None``: they are not.
        shared: Length of each prompt's prefix that is prefilled once for all prompts that begin with it; all 0: none.
        new_tokens: Most tokens that are appended.
    """
    if batching.cache is None:
        return RecomputedRows(prefill, pad)
    if not batching.padded:
        return SeparateRows(prefill, cache=batching.cache)
    cached = CachedRows(prefill, pad, shared=shared, cache=batching.cache)
    if not batching.recorded or steps is None:
        return cached
    return recorded_rows(prefill.forward, cached, steps, new_tokens) or cached


def _difference(logits: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Largest difference of log-probabilities, in standard deviations of the expected logits."""
    largest = 0.0
    for one, other in zip(logits, expected, strict=True):
        one, other = one.float(), other.float()
        finite = other.isfinite()  # a padded vocabulary may have logits of minus infinity
        deviation = other[finite].std().clamp(min=1e-9)
        difference = (one.log_softmax(-1) - other.log_softmax(-1))[finite].abs().max() / deviation
        largest = max(largest, math.inf if difference.isnan() else difference.item())
    return largest


def _keeps_every_token(model: Any) -> bool:
    # False for layers with a recurrent state, which would read the padding between a shared prefix and the rest of a
    # prompt, and for sliding windows, which would count that padding.
    config = base_of(model).config.get_text_config(decoder=True)
    if any(getattr(config, name, None) for name in _WINDOWS):
        return False
    return {type(layer) for layer in DynamicCache(config=config).layers} == {DynamicLayer}


def _reason(error: Exception | None) -> str:
    return " ".join(str(error).split()) or type(error).__name__
