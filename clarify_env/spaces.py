"""A Gymnasium space of texts, and its batches in the shared memory of asynchronous vector environments."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

# Longest sample, whatever the space allows: longer ones would slow every compliance test and test nothing more.
_SAMPLE_LENGTH = 40
# Letters, digits, white space, characters that the grammar uses, and characters that often break programs.
_SAMPLE_CHARACTERS = tuple("abcdefghijklmnopqrstuvwxyzABC0123456789   \n\t;:,.#_-'\"<|>{}éßЖ漢🙂\u200b\u00a0")


class Text(Space[str]):
    """Any string up to a length.

    Unlike `gymnasium.spaces.Text` it accepts every character: `contains` checks the length only.

    Args:
        max_length: Largest number of characters.
        openings: Every sample begins with one of these, so that random play gets past the first move.
        seed: Seed of `sample`.
    """

    def __init__(
        self, max_length: int, openings: tuple[str, ...] = ("",), seed: int | np.random.Generator | None = None
    ):
        self.max_length, self.openings = max_length, openings
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: an array with one number for each possible character would be too large."""
        return False

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Draws a short text of arbitrary characters.

        Raises:
            ValueError: A mask or a probability is given.
        """
        if mask is not None or probability is not None:
            raise ValueError("a text space takes neither mask nor probability")
        rng = self.np_random
        characters = rng.integers(len(_SAMPLE_CHARACTERS), size=rng.integers(_SAMPLE_LENGTH + 1))
        opening = self.openings[rng.integers(len(self.openings))]
        return (opening + "".join(_SAMPLE_CHARACTERS[i] for i in characters))[: self.max_length]

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string of at most ``max_length`` characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __repr__(self) -> str:
        return f"Text({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.max_length, self.openings) == (other.max_length, other.openings)


# Bytes of one text in shared memory, as UTF-8, after the number of its bytes.
_SHARED_BYTES, _LENGTH_BYTES = 2**20, 8


class SharedTexts(Sequence[str]):
    """Texts of N environments in shared memory: always the latest ones; a deep copy is a tuple of strings.

    Args:
        memory: N blocks of bytes.
    """

    def __init__(self, memory: Any):
        self._blocks = np.frombuffer(memory, np.uint8).reshape(-1, _LENGTH_BYTES + _SHARED_BYTES)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self)[index]
        block = self._blocks[index]
        length = int(block[:_LENGTH_BYTES].view(np.int64)[0])
        return block[_LENGTH_BYTES : _LENGTH_BYTES + length].tobytes().decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __deepcopy__(self, memo: dict) -> tuple[str, ...]:
        return tuple(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __repr__(self) -> str:
        return repr(tuple(self))


@create_shared_memory.register(Text)
def _create(space: Text, n: int = 1, ctx: Any = None) -> Any:
    return ctx.RawArray("b", n * (_LENGTH_BYTES + _SHARED_BYTES))


@read_from_shared_memory.register(Text)
def _read(space: Text, shared_memory: Any, n: int = 1) -> SharedTexts:
    return SharedTexts(shared_memory)


@write_to_shared_memory.register(Text)
def _write(space: Text, index: int, value: str, shared_memory: Any) -> None:
    data = np.frombuffer(value.encode("utf-8", "surrogatepass"), np.uint8)
    if len(data) > _SHARED_BYTES:
        raise ValueError(
            f"a text of {len(data):,} bytes does not fit into the {_SHARED_BYTES:,} bytes of shared memory that an "
            "environment has; make_vec with vector_kwargs={'shared_memory': False} has no such limit"
        )
    block = np.frombuffer(shared_memory, np.uint8).reshape(-1, _LENGTH_BYTES + _SHARED_BYTES)[index]
    block[:_LENGTH_BYTES].view(np.int64)[0] = len(data)
    block[_LENGTH_BYTES : _LENGTH_BYTES + len(data)] = data
