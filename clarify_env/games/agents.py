"""Agents: what replies to the views of a game, in batches or one by one, and the errors of those that cannot."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, runtime_checkable

from clarify_env.games.base import Reply, View


@runtime_checkable
class Agent(Protocol):
    """Something that replies, in batches, to views of a game. Players and tools are agents.

    Attributes:
        name: Recorded with every result.
    """

    name: str

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; the same view and seed give the same reply, whatever else is in the batch.

        Args:
            views: What the agent sees, one a game.
            seeds: One seed a view.
            openings: Text each reply must start with (``""``: free). Scripted agents may ignore it.
        """
        ...


@runtime_checkable
class RemoteAgent(Agent, Protocol):
    """An agent whose replies arrive one by one, such as a model behind a server: its games need not wait for others."""

    def submit(self, view: View, seed: int, opening: str = "") -> "Future[Reply]":
        """Requests a reply; equal requests are answered once.

        The future fails with `PlayerError` if this reply cannot be had now, but may be had later; with any other error
        if no reply can.
        """
        ...

    def stop(self) -> None:
        """Drops the requests that are still waiting for a reply."""
        ...


class PlayerError(ValueError):
    """A player could not reply, so its games cannot go on now; those of others can.

    Attributes:
        games: The games that were not finished, each with its episode and the reason.
    """

    games: Sequence[Mapping[str, Any]] = ()


class StoppedError(ValueError):
    """A player stops all games for now, such as one whose budget is spent; what was played so far stays valid."""
