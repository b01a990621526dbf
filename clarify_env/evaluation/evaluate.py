"""`evaluate`: measures any agent on a task in one call, beside the oracle and the fixed strategies."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Plane, Prices, as_prices
from clarify_env.evaluation.episodes import split_episodes
from clarify_env.evaluation.faults import FaultCounts, ends_of
from clarify_env.evaluation.played import play_all
from clarify_env.evaluation.reference import check_not_beaten, reference
from clarify_env.evaluation.table import CostSet, Table
from clarify_env.evaluation.transcripts import transcript
from clarify_env.games import find_game
from clarify_env.games.agents import Agent, RemoteAgent
from clarify_env.games.base import Reply, View
from clarify_env.games.description import Description, Messages
from clarify_env.games.setup import Setup
from clarify_env.options import whole_number
from clarify_env.tasks.base import Task
from clarify_env.tasks.registry import as_task

# Name of the cost set where costs are given without one.
_GIVEN = "given"


def evaluate(
    agent: Agent | Callable[[Messages], str | None] | str,
    task: Task | str,
    costs: Plane | Mapping[str, Sequence[Prices]] | Sequence[Prices] | Prices | str | None = None,
    *,
    game: str | Description = "clarification",
    role: str | None = None,
    agents: Mapping[str, Agent | Callable[[Messages], str | None] | str] | None = None,
    split: str = "test",
    episodes: int = 300,
    seed: int = 20,
    style: str | None = None,
    chunk: int = 1024,
    transcripts: int = 0,
    progress: Callable[[int, int], None] | None = None,
    task_options: Mapping[str, Any] | None = None,
    **game_options: Any,
) -> Table:
    """Measures an agent, exact over what is hidden, beside the oracle and the fixed strategies of the game.

    Every episode is played at every vector of costs and for every hidden possibility (in the clarification game: every
    reading that the user may mean); results are averaged by weight. An agent that cannot tell what is hidden makes its
    first message once per episode and costs. The agent is asked in batches, through ``act``.

    Args:
        agent: Who is measured: an object with ``act(views, seeds, openings)`` (`clarify_env.games.agents.Agent`), a
            function from chat messages (dictionaries with ``role`` and ``content``) to a reply, or the name of a
            scripted player, such as ``"threshold"``.
        task: A task, its name, or where its class is, as in `make_task`.
        costs: One vector of costs, such as an (alpha, beta) pair; several; several by name; the name of a cost set of
            the game's default plane, such as ``"between"``; or a plane, whose cost sets are played. ``None``: the
            default plane.
        game: A game or its name.
        role: The role that the agent plays; ``None``: those that learn in this game.
        agents: Who plays the other roles, each as for ``agent``; a role that is not named is played by the game's
            default scripted player.
        split: Split of the task.
        episodes: Most episodes of the split.
        seed: Seed of the messages, of the intervals and of the sample of transcripts.
        style: Style of the chat messages for a function; ``None``: the game's default.
        chunk: Number of (episode, costs) pairs that are played at once.
        transcripts: Number of games of each cost set to return as transcripts.
        progress: Called with the numbers of pairs played so far and in all.
        task_options: Options of a task given by name.
        **game_options: The game's own options, such as ``max_questions``.

    Returns:
        A table with a row for each cost set; `Table.by_costs` has one for each vector of costs. `Table.faults` reports
        the faults of a user that is not scripted.

    Raises:
        ValueError: There is no such task, game, role, split, cost set or option, or a value is wrong.
        TypeError: The agent is neither of these, or replies with something else.
    """
    setup = Setup(find_game(game), as_task(task, task_options), find_game(game).check_options(game_options))
    learns = _roles(setup.game, role, agents or {})
    others = {of: _player(f"agents.{of}", other, setup, of, style) for of, other in (agents or {}).items()}
    players = setup.others(learns, others) | {of: _player("agent", agent, setup, of, style) for of in learns}
    seed, chunk = whole_number("seed", seed, least=0), whole_number("chunk", chunk, least=1)
    transcripts = whole_number("transcripts", transcripts, least=0)
    vectors = _cost_sets(setup.game, costs)
    dealt = split_episodes(setup.task, split, episodes)
    solved = setup.game.solve(setup.task, dealt, **setup.options)
    total, pairs = len(dealt) * sum(map(len, vectors.values())), 0

    def advance(more: int) -> None:
        nonlocal pairs
        pairs += more
        if progress is not None:
            progress(pairs, total)

    judged = [of for of in setup.game.faults if of in learns or not isinstance((agents or {}).get(of), str | None)]
    faults = [FaultCounts(setup, of) for of in judged]
    sets, shown, row = [], [], {episode.id: index for index, episode in enumerate(dealt)}
    for name, prices in vectors.items():
        played = play_all(
            setup,
            dealt,
            prices,
            players,
            learns,
            seed=seed,
            chunk=chunk,
            progress=advance,
            sample=transcripts,
            judged=judged,
        )
        for counts, more in zip(faults, played.faults, strict=True):
            counts.merge(more)
        against = None if solved is None else reference(solved, prices)
        sets.append(CostSet(name, prices, played, against))
        if against is not None and not agents:
            _warn_if_beaten(sets[-1], dealt)
        for trajectory, at in played.transcripts:
            oracle = None if against is None else float(against.oracle[row[trajectory.episode_id], at])
            shown.append({"set": name} | transcript(setup, trajectory, learns, oracle))
    names = ", ".join(f"{who} {player.name}" for who, player in players.items())
    reports = {counts.role: counts.report() for counts in faults}
    return Table(setup.game, f"{setup.task.name}/{split}: {names}", dealt, sets, seed, shown, faults=reports)


def _warn_if_beaten(of_set: CostSet, episodes: Sequence[Any]) -> None:
    try:
        assert of_set.against is not None, "only beside an oracle"
        check_not_beaten(of_set.played, of_set.against, episodes)
    except AssertionError as error:
        warnings.warn(f"at {of_set.name} costs {error}", stacklevel=3)  # what was measured is not thrown away


def _roles(game: Description, role: str | None, agents: Mapping[str, Any]) -> tuple[str, ...]:
    if role is not None:
        return (role,)
    roles = tuple(role for role in game.learns or game.roles[:1] if role not in agents)
    if not roles:
        raise ValueError(f"agents names every role of game {game.name} that learns, so no role is left to measure")
    return roles


def _cost_sets(game: Description, costs: Any) -> dict[str, tuple[Prices, ...]]:
    """Returns the cost sets to play: {name: vectors}."""
    if costs is None or isinstance(costs, str):
        sets = dict(game.plane().sets())
        if costs is not None and costs not in sets:
            raise ValueError(f"costs: game {game.name} has no cost set {costs!r}, only {', '.join(sets)}")
        return sets if costs is None else {costs: sets[costs]}
    if hasattr(costs, "sets"):
        return dict(costs.sets())
    if isinstance(costs, Mapping):
        if not costs:
            raise ValueError("costs names no cost set")
        return {str(name): _vectors(game, vectors) for name, vectors in costs.items()}
    return {_GIVEN: _vectors(game, costs)}


def _vectors(game: Description, costs: Any) -> tuple[Prices, ...]:
    values = as_prices(costs)
    if isinstance(values, np.ndarray):
        values = tuple(values) if values.ndim == 2 else ()
    given = values if isinstance(values, tuple) else ()
    vectors = [as_prices(value) for value in given] if any(map(_is_vector, given)) else [given]
    if not given or not all(isinstance(vector, tuple) and len(vector) == len(vectors[0]) for vector in vectors):
        named = ", ".join(game.usage) or "nothing"
        raise ValueError(f"costs must be vectors with a price for each of: {named} (game {game.name}), not {costs!r}")
    return tuple(map(game.check_prices, vectors))


def _is_vector(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) or hasattr(value, "__array__")


def _player(name: str, agent: Any, setup: Setup, role: str, style: str | None) -> Agent:
    """Returns who plays a role: a scripted player by name, or an agent or function of the caller's."""
    game = setup.game
    if isinstance(agent, str):
        if agent not in (names := game.players.get(role, ())):
            known = ", ".join(names) or "none"
            raise ValueError(f"game {game.name} has no scripted {role} named {agent!r}; known: {known}")
        return game.player(role, setup.task, agent, **setup.options)
    if isinstance(agent, RemoteAgent) and not isinstance(agent, type):
        return agent  # its games go on one by one
    return _Player(name, agent, game, game.check_style(style))


class _Player:
    """An agent of the caller's: adds a name where it has none, lets a function act, and checks what it returns.

    Args:
        argument: Name of the argument that holds it, for errors.
        agent: An object with ``act``, or a function from chat messages to a reply.
        game: The game, which renders views as chat messages.
        style: Style of the chat messages.

    Raises:
        TypeError: It is neither.
    """

    def __init__(self, argument: str, agent: Any, game: Description, style: str):
        if isinstance(agent, type) or not callable(getattr(agent, "act", agent)):
            raise TypeError(
                f"{argument} must be an object with act(views, seeds, openings), a function from chat messages to a "
                f"reply, or the name of a scripted player, not {agent!r}"
            )
        name = getattr(agent, "name", None) or getattr(agent, "__name__", None) or type(agent).__name__
        self.name, self._agent, self._game, self._style = str(name), agent, game, style

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        if not hasattr(self._agent, "act"):
            return [Reply(self._text(self._agent(self._game.chat(view, self._style)))) for view in views]
        replies = self._agent.act(views, seeds, openings)
        if isinstance(replies, str | Mapping) or not isinstance(replies, Iterable):
            raise TypeError(f"agent {self.name}: act() must return a list of replies, not {replies!r}")
        replies = list(replies)
        if len(replies) != len(views):
            raise TypeError(f"agent {self.name}: act() returned {len(replies)} replies to {len(views)} views")
        texts = [self._text(reply.text if isinstance(reply, Reply) else reply) for reply in replies]
        return [reply if isinstance(reply, Reply) else Reply(text) for reply, text in zip(replies, texts, strict=True)]

    def ended(self, reply: Reply) -> bool:
        """Whether a reply ended before the limit on its length; see `clarify_env.evaluation.faults.KnowsEnds`."""
        return ends_of(self._agent)(reply)

    def _text(self, value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"agent {self.name}: a reply must be a text or None, not {value!r}")
        return value
