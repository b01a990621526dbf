"""The self-play engine: many games at once, batched by agent, played in fixed chunks by game number."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from clarify_env.costs import Costs
from clarify_env.games.base import Agent, Game, Reply, Trajectory
from clarify_env.games.clarification.rules import ClarificationGame
from clarify_env.tasks.base import Episode, Task


class Start(NamedTuple):
    """How a game begins.

    Attributes:
        episode: What is played.
        intent: Index of the reading the user means.
        costs: What the assistant pays.
        seed: Every move's randomness follows from it.
        opening: The assistant's first message, already decided; ``None`` lets the agent speak.
        prefix: Text that the first message the assistant itself makes must start with (``""``: free).
    """

    episode: Episode
    intent: int
    costs: Costs
    seed: int
    opening: Reply | None = None
    prefix: str = ""


def play(
    starts: Sequence[Start],
    agents: Mapping[str, Agent],
    *,
    task: Task,
    chunk: int = 256,
    make_game: Callable[..., Any] = ClarificationGame,
    first_id: int = 0,
    progress: Callable[[int], None] = lambda games: None,
) -> Iterator[Trajectory]:
    """Plays a game for every start.

    Games are played in chunks of fixed size: inside one, all games that wait for the same agent are answered in one
    batch, and finished games leave it; between chunks nothing is shared, so a chunk can be played again, alone, to the
    same end.

    Args:
        starts: One a game.
        agents: Who plays each role.
        task: Scores the games.
        chunk: Games in a chunk.
        make_game: Called with (task, episode, intent, costs).
        first_id: Number of the first game.
        progress: Called with the number of games just finished.

    Yields:
        One trajectory a start, in order.
    """
    for first in range(0, len(starts), chunk):
        group = starts[first : first + chunk]
        games = [make_game(task, start.episode, start.intent, start.costs) for start in group]
        _play_chunk(group, games, agents)
        for offset, (start, game) in enumerate(zip(group, games, strict=True)):
            yield _trajectory(first_id + first + offset, start, game, agents["user"].name)
        progress(len(group))


def _play_chunk(starts: Sequence[Start], games: list[Game], agents: Mapping[str, Agent]) -> None:
    prefixes = [start.prefix for start in starts]
    for game, start in zip(games, starts, strict=True):
        if start.opening is not None:
            game.apply(start.opening)
    while any(game.to_move for game in games):
        for role, agent in agents.items():
            waiting = [i for i, game in enumerate(games) if game.to_move == role]
            if not waiting:
                continue
            views = [games[i].view(role) for i in waiting]
            seeds = [turn_seed(starts[i].seed, view.turn) for i, view in zip(waiting, views, strict=True)]
            forced = [prefixes[i] if role == "assistant" else "" for i in waiting]
            for i, reply in zip(waiting, agent.act(views, seeds, forced), strict=True):
                games[i].apply(reply)
                if role == "assistant":
                    prefixes[i] = ""


def turn_seed(seed: int, turn: int) -> int:
    """The seed of a game's turn: games that share their past and their seed share it."""
    return (seed * 1_000_003 + turn) % 2**63


def _trajectory(number: int, start: Start, game: Game, user: str) -> Trajectory:
    split = start.episode.id.rpartition("/")[0]
    return Trajectory(
        number,
        game.name,
        game.task.name,
        split,
        start.episode.id,
        start.intent,
        start.costs,
        start.seed,
        user,
        tuple(game.turns),
        game.outcome,
    )
