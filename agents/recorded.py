"""Decoding steps recorded as CUDA graphs, over a cache of fixed size.

A plain step launches some fifty kernels a layer, one by one from Python, and copies the whole cache to lengthen it by a
token. A recorded step writes the new keys and values into their place and is launched as one. Steps are recorded for
each (rows, capacity), both rounded up, and share one memory.
"""

import logging
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from agents.forward import CACHES, CachedRows, Forward

LOG = logging.getLogger("clarify_env.run.models")

# Whether models on a GPU record their steps. No GPU has run this yet: tests/test_gpu.py and ``benchmarks/gpu.py
# --recorded`` turn it on.
ENABLED = False

# Capacities are multiples of this number of tokens.
_TOKENS = 64
# Largest share of the device's memory that the cache may take, beside the plain cache of the prefill.
_SHARE = 0.25


@contextmanager
def fused_norms(model: torch.nn.Module) -> Iterator[None]:
    """Computes the root-mean-square norms of a model by one kernel each, instead of about seven."""
    norms = [
        module
        for module in model.modules()
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon")
        if "forward" not in vars(module)  # wrapped by a library
    ]
    for norm in norms:
        norm.forward = partial(_norm, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _norm(norm: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.rms_norm(hidden_states, norm.weight.shape, norm.weight, norm.variance_epsilon)


class FixedLayer(CacheLayerMixin):
    """Keys and values of a layer, shapes [rows, heads, capacity, width]; a step writes its token at ``column``."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, column: torch.Tensor):
        super().__init__()
        self.keys, self.values, self._column = keys, values, column
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Does nothing: the memory is there."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Writes a token's keys and values; returns those of all columns."""
        return (
            self.keys.index_copy_(2, self._column, key_states),
            self.values.index_copy_(2, self._column, value_states),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Returns length and offset of the keys."""
        return self.keys.shape[2], 0

    def get_seq_length(self) -> Any:
        """Returns the number of columns that are filled, on the device: a number would wait for it."""
        return self._column

    def get_max_length(self) -> int:
        """Returns the capacity."""
        return self.keys.shape[2]


class Step:
    """A decoding step of a number of rows and a capacity.

    Args:
        model: The model.
        forward: Calls it.
        layers: Keys and values of each layer.
        column: Column of the next token, shape [1].
        pool: Memory pool of all recorded steps, on a GPU.

    Attributes:
        layers: Keys and values of each layer.
        ids: Token of each row to read, shape [rows, 1].
        positions: Position of that token, shape [rows, 1].
        column: Column that it is written to, shape [1].
        mask: Additive mask, shape [rows, 1, 1, capacity].
        logits: Logits of each row's next token, after a call.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        forward: Forward,
        layers: list[FixedLayer],
        column: torch.Tensor,
        pool: Any,
    ):
        self.layers, self.column = layers, column
        keys = layers[0].keys
        rows, _, capacity, _ = keys.shape
        self.ids, self.positions = (torch.zeros(rows, 1, dtype=torch.long, device=keys.device) for _ in range(2))
        self.mask = torch.zeros(rows, 1, 1, capacity, dtype=keys.dtype, device=keys.device)
        self.logits: torch.Tensor
        self._graph = None
        if keys.device.type == "cuda":
            with fused_norms(model):
                self._graph = self._recorded(forward, pool)

    def __call__(self, forward: Forward) -> torch.Tensor:
        """Computes the logits of the next token, and moves on by a column."""
        if self._graph is None:
            self._run(forward)
        else:
            self._graph.replay()
        return self.logits

    def _run(self, forward: Forward) -> None:
        self.mask.index_fill_(3, self.column, 0)
        out = forward(
            input_ids=self.ids,
            attention_mask=self.mask,
            position_ids=self.positions,
            use_cache=True,
            logits_to_keep=1,
            **{CACHES[0]: Cache(layers=list(self.layers))},
        )
        self.logits = out.logits[:, -1]
        self.positions.add_(1)
        self.column.add_(1)

    def _recorded(self, forward: Forward, pool: Any) -> torch.cuda.CUDAGraph:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(side):
            parts = [part[:, :, :1] for layer in self.layers for part in (layer.keys, layer.values)]
            saved = [part.clone() for part in parts]  # rows of another step may lie there
            self._run(forward)  # libraries reserve their memory at the first call
            for part, cells in zip(parts, saved, strict=True):
                part.copy_(cells)
            side.synchronize()
            with torch.cuda.graph(graph, pool=pool, stream=side):
                self._run(forward)
        torch.cuda.current_stream().wait_stream(side)
        return graph


class Steps:
    """The recorded steps of a model, which it does not keep alive."""

    def __init__(self, model: torch.nn.Module):
        self._model = weakref.ref(model)
        self._steps: dict[tuple[int, int], Step] = {}
        self._memory: list[torch.Tensor] = []
        self._pool: Any = None

    def clear(self) -> None:
        """Gives the memory back."""
        self._steps.clear()
        self._memory.clear()
        self._pool = None

    def find(self, forward: Forward, rows: int, capacity: int, like: list[Any]) -> Step | None:
        """Returns a step of at least ``rows`` rows and ``capacity`` columns; ``None``: its cache takes too much memory.

        Args:
            forward: Calls the model.
            rows: Number of rows.
            capacity: Number of columns.
            like: Layers whose keys and values have the heads, widths, dtype and device of the step's.
        """
        shape = _round_rows(rows), -(-capacity // _TOKENS) * _TOKENS
        if shape in self._steps:
            return self._steps[shape]
        model = self._model()
        assert model is not None, "whoever decodes has the model"
        # Keys and values of each layer, one after the other.
        parts = [part for layer in like for part in (layer.keys, layer.values)]
        sizes = [shape[0] * shape[1] * part.shape[1] * part.shape[3] for part in parts]
        device = parts[0].device
        if [flat.numel() for flat in self._memory] < sizes:  # all grow together
            if device.type == "cuda":
                needed = sum(sizes) * parts[0].element_size()
                if needed > _SHARE * torch.cuda.get_device_properties(device).total_memory:
                    return None
            self.clear()
            self._memory = [part.new_zeros(size) for part, size in zip(parts, sizes, strict=True)]
        if device.type == "cuda" and self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        column = torch.zeros(1, dtype=torch.long, device=device)
        views = [
            flat[:size].view(shape[0], part.shape[1], shape[1], part.shape[3])
            for flat, part, size in zip(self._memory, parts, sizes, strict=True)
        ]
        layers = [FixedLayer(keys, values, column) for keys, values in zip(views[::2], views[1::2], strict=True)]
        self._steps[shape] = Step(model, forward, layers, column, self._pool)
        return self._steps[shape]


# Steps of each model that decodes with them, with the addresses of the weights that they were recorded with.
_STEPS: weakref.WeakKeyDictionary[torch.nn.Module, tuple[tuple[int, ...], Steps]] = weakref.WeakKeyDictionary()


def steps_of(model: torch.nn.Module) -> Steps:
    """Returns the recorded steps of a model; new ones if its weights have moved."""
    addresses = tuple(weight.data_ptr() for weight in model.parameters())
    if model not in _STEPS or _STEPS[model][0] != addresses:
        _STEPS[model] = addresses, Steps(model)
    return _STEPS[model][1]


def release() -> None:
    """Gives the memory of all recorded steps back, for an update."""
    for _, steps in _STEPS.values():
        steps.clear()


class RecordedRows:
    """Rows that grow by recorded steps; see `agents.forward.Rows`.

    Args:
        forward: Calls the model.
        cached: Prefilled rows, whose cache is emptied.
        step: A step with room for them.
        steps: The recorded steps of the model.
    """

    def __init__(self, forward: Forward, cached: CachedRows, step: Step, steps: Steps):
        self._forward, self._step, self._steps = forward, step, steps
        self.logits = cached.logits
        self._places = torch.arange(len(self.logits), device=self.logits.device)
        rows, length = cached.mask.shape
        for layer, source in zip(step.layers, cached.layers, strict=True):
            for target, part in ((layer.keys, source.keys), (layer.values, source.values)):
                target[:rows, :, :length] = part
                target[:rows, :, length:] = 0  # what is masked must be finite
            source.keys = source.values = None
        step.mask.fill_(torch.finfo(step.mask.dtype).min)
        step.mask[:rows, 0, 0, :length].masked_fill_(cached.mask.bool(), 0)
        step.positions.zero_()
        step.positions[:rows, 0] = cached.mask.sum(1)
        step.column.fill_(length)

    def keep(self, index: torch.Tensor) -> None:
        """Drops all rows but those of an index; they move together only where that makes a smaller step."""
        self._places = self._places[index]
        old = self._step
        if _round_rows(len(index)) == len(old.ids):
            return
        new = self._steps.find(self._forward, len(index), old.mask.shape[3], old.layers)
        assert new is not None, "a smaller step fits"
        rows = len(index)
        for target, source in zip(new.layers, old.layers, strict=True):  # of one memory: the copy is made first
            keys, values = source.keys[self._places], source.values[self._places]
            target.keys[:rows], target.values[:rows] = keys, values
        mask, positions = old.mask[self._places], old.positions[self._places]
        new.mask.fill_(torch.finfo(new.mask.dtype).min)
        new.positions.zero_()
        new.mask[:rows], new.positions[:rows] = mask, positions
        new.column.copy_(old.column)
        self._step, self._places = new, torch.arange(rows, device=mask.device)

    def append(self, tokens: torch.Tensor) -> None:
        """Appends a token to each row; see `Rows`."""
        self._step.ids[self._places, 0] = tokens
        self.logits = self._step(self._forward)[self._places]


def recorded_rows(forward: Forward, cached: CachedRows, steps: Steps, new_tokens: int) -> RecordedRows | None:
    """Returns prefilled rows that grow by recorded steps; ``None``: there is too little memory."""
    rows, length = cached.mask.shape
    try:
        step = steps.find(forward, rows, length + new_tokens, cached.layers)
    except torch.OutOfMemoryError:
        steps.clear()
        LOG.warning("decoding %d rows of %d tokens without recorded steps: out of memory", rows, length + new_tokens)
        return None
    return None if step is None else RecordedRows(forward, cached, step, steps)


def _round_rows(rows: int) -> int:
    """Returns the next power of two, or the one and a half fold of one."""
    power = 1 << (rows - 1).bit_length()
    return 3 * power // 4 if power >= 4 and rows <= 3 * power // 4 else power
