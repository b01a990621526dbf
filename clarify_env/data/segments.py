"""Splits the tokens of a played game by who they are from, and by whether they were read, given or sampled."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clarify_env.games.base import Trajectory, Turn

READ, GIVEN, SAMPLED = "read", "given", "sampled"


class Segment(NamedTuple):
    """A stretch of tokens of one origin.

    Attributes:
        senders: Roles and tools whose messages it holds; empty: a role's first prompt (template, facts, and what
            others said before the role's first move).
        origin: ``read``: from others or the chat template. ``given``: the role's own, forced. ``sampled``: the role's
            own, drawn from its model.
        ids: Token ids.
        logprobs: A log-probability (nats) per id; 0 where none was recorded.
    """

    senders: tuple[str, ...]
    origin: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Tokens(NamedTuple):
    """Consecutive turns of a role whose prompts continue one another, token for token.

    Attributes:
        role: The role.
        turns: Indices of the turns in the game.
        segments: All tokens, in order.
    """

    role: str
    turns: tuple[int, ...]
    segments: tuple[Segment, ...]

    @property
    def ids(self) -> list[int]:
        """All token ids."""
        return [token for segment in self.segments for token in segment.ids]

    @property
    def logprobs(self) -> list[float]:
        """A log-probability per id; 0 where none was recorded."""
        return [value for segment in self.segments for value in segment.logprobs]

    def mask(self, *origins: str) -> list[int]:
        """Returns for each id 1 if it has one of these origins, else 0."""
        return [int(segment.origin in origins) for segment in self.segments for _ in segment.ids]

    def mask_of(self, sender: str) -> list[int]:
        """Returns for each id 1 if it is from this role or tool, else 0."""
        return [int(sender in segment.senders) for segment in self.segments for _ in segment.ids]


def tokens_of(game: Trajectory, role: str) -> Iterator[Tokens]:
    """Yields the tokens of a role, joined over turns whose prompt continues the earlier prompt and reply exactly.

    Where a prompt does not (the chat template or the tokenizer writes an earlier message anew), the next turn begins
    another row: every token of the role is its own in exactly one row. Turns without token ids are left out.
    """
    joined: Tokens | None = None
    for index, turn in enumerate(game.turns):
        if turn.role != role:
            continue
        reply = turn.reply
        if reply.prompt_ids is None or reply.ids is None:
            if joined is not None:
                yield joined
            joined = None
            continue
        earlier = tuple(joined.ids) if joined is not None else ()
        if joined is not None and reply.prompt_ids[: len(earlier)] == earlier:
            between = _read(_others(game.turns[joined.turns[-1]], turn), reply.prompt_ids[len(earlier) :])
            segments = (*joined.segments, *between, *_own(role, turn))
            joined = Tokens(role, (*joined.turns, index), segments)
        else:
            if joined is not None:
                yield joined
            joined = Tokens(role, (index,), (*_read((), reply.prompt_ids), *_own(role, turn)))
    if joined is not None:
        yield joined


def _others(before: Turn, turn: Turn) -> tuple[str, ...]:
    """Returns who spoke between two turns of a role, as far as the role heard it."""
    heard = turn.view.heard[len(before.view.heard) :]
    return tuple(dict.fromkeys(message.sender for message in heard if message.sender != turn.role))


def _read(senders: tuple[str, ...], ids: Sequence[int]) -> list[Segment]:
    return [Segment(senders, READ, tuple(ids), (0.0,) * len(ids))] if ids else []


def _own(role: str, turn: Turn) -> list[Segment]:
    ids, forced = turn.reply.ids or (), turn.reply.forced
    logprobs = turn.reply.logprobs or (0.0,) * len(ids)
    parts = ((GIVEN, slice(0, forced)), (SAMPLED, slice(forced, None)))
    return [Segment((role,), origin, ids[part], logprobs[part]) for origin, part in parts if ids[part]]
