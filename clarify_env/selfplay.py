"""The self-play engine: plays many games at once, batched by agent, in fixed chunks by game number.

With a `RemoteAgent` among the players, each game goes on as soon as its reply arrives. Since a reply depends on its
view and seed alone, the games are the same either way.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, runtime_checkable

from clarify_env.games import find_game
from clarify_env.games.agents import Agent, PlayerError, RemoteAgent
from clarify_env.games.base import Game, Reply, Trajectory, View
from clarify_env.games.description import Description
from clarify_env.tasks.base import Task

# Moves after which a game is taken not to end.
MOST_MOVES = 1000


class Start(NamedTuple):
    """How a game begins.

    Attributes:
        episode: The episode to play.
        intent: Index of the hidden possibility, as in `Description.weights`: in the clarification game, the reading
            that the user means.
        costs: Prices, one for each of `Description.usage`.
        seed: Seed of all moves.
        opening: First move of the game, if given; ``None``: the agent makes it.
        prefixes: For each role, text that the first message of its agent must start with.
    """

    episode: Any
    intent: int
    costs: tuple[float, ...]
    seed: int
    opening: Reply | None = None
    prefixes: Mapping[str, str] = {}


@runtime_checkable
class Batched(Protocol):
    """An agent whose messages are drawn by a sampler; agents that share it are answered in one call of the sampler.

    Attributes:
        sampler: Draws a sample for each request by ``sample(prompts, openings, seeds, limits)``.
    """

    sampler: Any

    def requests(self, views: list[View], openings: list[str] | None = None) -> list[tuple[Any, Any, Any]]:
        """Returns the (prompt, opening, limit) of each view, for the sampler."""
        ...

    def replies(self, requests: Sequence[tuple[Any, Any, Any]], samples: Sequence[Any]) -> list[Reply]:
        """Returns the reply to each request."""
        ...


def play(
    starts: Sequence[Start],
    agents: Mapping[str, Agent],
    *,
    task: Task,
    game: str | Description = "clarification",
    options: Mapping[str, Any] | None = None,
    chunk: int = 256,
    first_id: int = 0,
    progress: Callable[[int], None] = lambda games: None,
) -> Iterator[Trajectory]:
    """Plays one game per start.

    Games are played in chunks of fixed size. Inside a chunk, all games that wait for the same agent, or for agents that
    share a sampler (`Batched`), are answered in one batch, and finished games leave it. Chunks share nothing, so a
    chunk can be replayed alone with the same result.

    The replies of remote agents are requested one by one. A game whose player fails is set aside until the others are
    over, and then goes on where it stood, as long as some reply arrives.

    Args:
        starts: One start per game.
        agents: Agent of each role. Tools come from the game.
        task: Scores the games.
        game: A game or its name.
        options: Options of the game.
        chunk: Games per chunk.
        first_id: Number of the first game.
        progress: Called with the number of games just finished.

    Yields:
        One trajectory per start, in order.

    Raises:
        ValueError: A role has no agent.
        PlayerError: Some games could not be played to their end; the message says how many and why.
    """
    description = find_game(game)
    if missing := [role for role in description.roles if role not in agents]:
        raise ValueError(f"game {description.name}: nobody plays {', '.join(missing)}")
    names = {role: agents[role].name for role in description.roles}
    players = {role: agents[role] for role in description.roles} | dict(description.tools(task))
    for first in range(0, len(starts), chunk):
        group = starts[first : first + chunk]
        games = [description.deal(task, s.episode, s.intent, s.costs, **(options or {})) for s in group]
        if any(isinstance(agent, RemoteAgent) for agent in players.values()):
            _play_in_flight(group, games, players)
        else:
            _play_chunk(group, games, players)
        for number, (start, finished) in enumerate(zip(group, games, strict=True), first_id + first):
            yield trajectory(number, start.seed, finished, names)
        progress(len(group))


def _play_chunk(starts: Sequence[Start], games: list[Game], players: Mapping[str, Agent]) -> None:
    prefixes = [dict(start.prefixes) for start in starts]
    for game, start in zip(games, starts, strict=True):
        if start.opening is not None:
            game.apply(start.opening)
    batched = _batched(players)
    unfinished: Sequence[int] = range(len(games))
    while unfinished := [i for i in unfinished if games[i].to_move]:
        _check_moves([games[i] for i in unfinished], players)
        for agents in batched:
            waiting = {role: [i for i in unfinished if games[i].to_move == role] for role in agents}
            calls = []
            for role, indices in waiting.items():
                if indices:
                    views = [games[i].view(role) for i in indices]
                    seeds = [turn_seed(starts[i].seed, view.turn) for i, view in zip(indices, views, strict=True)]
                    calls.append(_Call(agents[role], views, seeds, [prefixes[i].pop(role, "") for i in indices]))
            if calls:
                for i, reply in zip(chain(*waiting.values()), _answer(calls), strict=True):
                    games[i].apply(reply)


class _Call(NamedTuple):
    """What one agent is to answer; see `Agent.act`."""

    agent: Any
    views: list[View]
    seeds: list[int]
    openings: list[str]


def _batched(players: Mapping[str, Agent]) -> list[dict[str, Agent]]:
    """Groups players by role: those that share a sampler, or one alone, in the order of the first of each group."""
    groups: dict[int | str, dict[str, Agent]] = {}
    for role, agent in players.items():
        groups.setdefault(id(agent.sampler) if isinstance(agent, Batched) else role, {})[role] = agent
    return list(groups.values())


def _answer(calls: Sequence[_Call]) -> list[Reply]:
    """Answers the views of one agent, or of several that share a sampler, by one call of it; in the given order."""
    if len(calls) == 1:
        agent, *arguments = calls[0]
        return list(agent.act(*arguments))
    requests = [call.agent.requests(call.views, call.openings) for call in calls]
    prompts, openings, limits = zip(*chain(*requests), strict=True)
    seeds = [seed for call in calls for seed in call.seeds]
    samples = iter(calls[0].agent.sampler.sample(prompts, openings, seeds, limits))
    return [
        reply
        for call, requested in zip(calls, requests, strict=True)
        for reply in call.agent.replies(requested, list(islice(samples, len(requested))))
    ]


class _Move(NamedTuple):
    """A move of a remote agent that is due."""

    agent: RemoteAgent
    view: View
    seed: int
    opening: str


class _Failure(NamedTuple):
    """A move that failed, and why."""

    error: PlayerError
    move: _Move


def _play_in_flight(starts: Sequence[Start], games: list[Game], players: Mapping[str, Agent]) -> None:
    """Plays the games of a chunk; each goes on when its reply arrives."""
    remote = {role: agent for role, agent in players.items() if isinstance(agent, RemoteAgent)}
    prefixes = [dict(start.prefixes) for start in starts]
    for game, start in zip(games, starts, strict=True):
        if start.opening is not None:
            game.apply(start.opening)
    arrived: SimpleQueue[tuple[int, Future[Reply]]] = SimpleQueue()
    requested: dict[int, _Move] = {}
    failed: dict[int, _Failure] = {}

    def request(i: int, move: _Move) -> None:
        requested[i] = move
        future = move.agent.submit(move.view, move.seed, move.opening)
        future.add_done_callback(lambda done: arrived.put((i, done)))

    def advance(ready: Iterable[int]) -> None:
        """Plays the moves of all other agents in batches, until the games are over or wait for a remote agent."""
        while ready := [i for i in ready if games[i].to_move]:
            _check_moves([games[i] for i in ready], players)
            for role, agent in players.items():
                waiting = [i for i in ready if games[i].to_move == role]
                views = [games[i].view(role) for i in waiting]
                seeds = [turn_seed(starts[i].seed, view.turn) for i, view in zip(waiting, views, strict=True)]
                openings = [prefixes[i].pop(role, "") for i in waiting]
                if role in remote:
                    for i, view, seed, opening in zip(waiting, views, seeds, openings, strict=True):
                        request(i, _Move(remote[role], view, seed, opening))
                elif waiting:
                    for i, reply in zip(waiting, agent.act(views, seeds, openings), strict=True):
                        games[i].apply(reply)
            ready = [i for i in ready if i not in requested]

    try:
        advance(range(len(games)))
        again = False  # whether a reply has arrived since failed games were last tried
        while requested or (failed and again):
            if not requested:
                again, retried = False, {i: failed.pop(i).move for i in list(failed)}
                for i, move in retried.items():
                    request(i, move)
            ready = []
            for i, future in _take(arrived):
                move = requested.pop(i)
                try:
                    reply = future.result()
                except PlayerError as error:
                    failed[i] = _Failure(error, move)
                    continue
                games[i].apply(reply)
                ready.append(i)
                again = True
            advance(ready)
    except BaseException:
        for remote_agent in remote.values():
            remote_agent.stop()
        raise
    if failed:
        raise _unfinished(failed, games)


def _take(arrived: SimpleQueue) -> Iterator[Any]:
    """Waits for one item of a queue, and yields all that are there."""
    yield arrived.get()
    while True:
        try:
            yield arrived.get_nowait()
        except Empty:
            return


def _unfinished(failed: Mapping[int, _Failure], games: Sequence[Game]) -> PlayerError:
    """Returns the error of games that could not be played to their end."""
    reasons = [{"episode": games[i].episode.id, "reason": str(failure.error)} for i, failure in sorted(failed.items())]
    error = PlayerError(f"{reasons[0]['reason']} ({len(failed)} of {len(games)} games are not over)")
    error.games = reasons
    return error


def _check_moves(games: Sequence[Game], players: Mapping[str, Agent]) -> None:
    """Refuses unfinished games that do not end, or that wait for nobody."""
    for game in games:
        if game.to_move not in players:
            raise ValueError(f"game {game.name}: {game.to_move!r} is to move, who has no part in it")
        if len(game.turns) > MOST_MOVES:
            raise ValueError(f"game {game.name}: episode {game.episode.id} is not over after {MOST_MOVES} moves")


def turn_seed(seed: int, turn: int) -> int:
    """Returns the seed of a turn: (1,000,003 seed + turn) mod 2^63, equal for games with equal seeds."""
    return (seed * 1_000_003 + turn) % 2**63


def trajectory(number: int, seed: int, game: Game, agents: Mapping[str, str]) -> Trajectory:
    """Makes the trajectory of a finished game.

    Args:
        number: Number of the game in its run.
        seed: The game's seed.
        game: The game.
        agents: Name of the agent that played each role.
    """
    assert game.result is not None, "a trajectory is that of a finished game"
    split = game.episode.id.rpartition("/")[0]
    return Trajectory(
        id=number,
        game=game.name,
        task=game.task.name,
        split=split,
        episode_id=game.episode.id,
        hidden=game.hidden,
        prices=game.prices,
        seed=seed,
        agents=dict(agents),
        turns=tuple(game.turns),
        result=game.result,
    )
