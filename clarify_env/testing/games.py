"""The compliance test of a game."""

import contextlib
import io
import warnings
from collections.abc import Collection
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, seed_test

from clarify_env.aec import action_space, env, raw_env
from clarify_env.costs import Prices
from clarify_env.games import find_game
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Reply, View
from clarify_env.games.declared import faults
from clarify_env.games.description import Description
from clarify_env.gym import RoleEnv
from clarify_env.tasks.base import Task
from clarify_env.testing.expect import expects, raises_nothing, survives_json
from clarify_env.testing.secrecy import holds

_MOST_MOVES = 100


def check_game(
    task: Task, game: str | Description = "clarification", episodes: int = 5, seed: int = 0, **options: Any
) -> None:
    """Checks a game on a task: its rules under arbitrary messages, the views of its roles, and its environments.

    Args:
        task: The task whose episodes are played.
        game: A game's description or name.
        episodes: Number of episodes of the first split to play.
        seed: Seed of the messages.
        **options: The game's own options.

    Raises:
        AssertionError: A check failed; the message says which.
    """
    description, rng = find_game(game), np.random.default_rng(seed)
    name = f"game {getattr(description, 'name', game)}"
    for fault in faults(description):
        raise AssertionError(f"{name}: {fault}")
    prices = _checked_prices(description, name)
    split, size = next(iter(task.sizes.items()))
    for index in range(episodes if size is None else min(episodes, size)):
        episode = task.episode(split, index)
        where = f"{name}, episode {episode.id}"
        possibilities = _possibilities(description, episode, where)
        for hidden in range(possibilities):
            for play in (partial(_play_noise, rng=rng), _play_nothing):
                with raises_nothing(f"{where}: deal()"):
                    dealt = description.deal(task, episode, hidden, prices, **options)
                with raises_nothing(f"{where}: playing it"):
                    play(description, dealt)
        with raises_nothing(f"{where}: its environment"):
            _check_secrecy(raw_env(task, game=description, **options), split, index, possibilities, prices)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        raises_nothing(f"{name}: its environment"),
    ):
        # The checkers warn about conventions of numeric environments, and one of them prints.
        warnings.simplefilter("ignore")
        api_test(env(task, game=description, **options), num_cycles=50)
        seed_test(lambda: env(task, game=description, **options), num_cycles=50)
        for role in description.roles:
            others = {other: Noise(description, other) for other in description.roles if other != role}
            check_env(RoleEnv(task, role, agents=others, game=description, **options), skip_render_check=True)


def _checked_prices(description: Description, name: str) -> Prices:
    """Returns the first training prices, after a check of all prices of the plane."""
    with raises_nothing(f"{name}: plane()"):
        plane = description.plane()
        vectors = [*plane.train(), *chain(*plane.sets().values())]
    for prices in vectors:
        try:
            description.check_prices(prices)
        except ValueError as error:
            raise AssertionError(f"{name}: its plane has prices {prices!r}: {error}") from error
    return vectors[0]


def _possibilities(description: Description, episode: Any, where: str) -> int:
    """Returns the number of hidden possibilities, after a check of their weights."""
    with raises_nothing(f"{where}: weights()"):
        weights = tuple(description.weights(episode))
    sentence = f"{where}: the weights of what is hidden are {weights}, not positive numbers that sum to 1"
    assert weights and all(isinstance(weight, (int, float)) and weight > 0 for weight in weights), sentence
    assert abs(sum(weights) - 1) < 1e-9, sentence
    return len(weights)


class Noise:
    """An agent that sends random messages, some with an opening of the game.

    Args:
        description: The game.
        role: The role that it plays.
    """

    def __init__(self, description: Description, role: str):
        self.name, self._space = "noise", action_space(description, role)

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        replies = []
        for seed in seeds:
            self._space.seed(seed % 2**31)
            replies.append(Reply(self._space.sample()))
        return replies


def _players(description: Description, task: Task) -> dict[str, Agent]:
    return {role: Noise(description, role) for role in description.roles} | dict(description.tools(task))


def _play_noise(description: Description, game: Game, rng: np.random.Generator) -> None:
    where = f"game {description.name}, episode {game.episode.id}"
    players = _players(description, game.task)
    assert set(game.roles) == set(description.roles), f"{where}: its roles are not those of its description"
    for _ in range(_MOST_MOVES):
        role = game.to_move
        if role is None:
            break
        assert role in players, f"{where}: {role!r} is to move, who has no part in it"
        assert game.result is None, f"{where}: it has a result before it is over"
        fork = game.fork(game.hidden)
        for watcher in dict.fromkeys((*description.roles, role)):
            _check_view(game, fork, watcher, players, where)
            if watcher in description.roles:
                _check_texts(description, game.view(watcher), where)
        reply = players[role].act([game.view(role)], [int(rng.integers(2**31))])[0]
        try:
            game.apply(reply)
        except Exception as error:
            raise AssertionError(f"{where}: move() of {reply.text!r} by {role} raised {error!r}") from error
    else:
        raise AssertionError(f"{where}: not over after {_MOST_MOVES} moves")
    assert game.result is not None, f"{where}: over, but without a result"
    for role in (None, *description.roles):
        end = game.result.of(role)
        assert 0 <= end.score <= 1, f"{where}: score {end.score} of {role or 'the game'} is not in [0, 1]"
        assert tuple(end.usage) == description.usage, f"{where}: usage is {tuple(end.usage)}, not {description.usage}"
        assert np.isfinite(game.result.reward(game.prices, role)), f"{where}: the reward is not finite"
    assert survives_json(game.result.to_json()), f"{where}: the result changes on its way through JSON"
    with raises_nothing(f"{where}: measures()"):
        measures = description.measures(game.task, game.episode, game)
        finite = all(np.isfinite(value) for value in measures.values())
    assert finite, f"{where}: a measure is not finite: {measures}"
    replay = game.fork(game.hidden)
    assert replay.result == game.result, f"{where}: its messages played again end otherwise"
    if description.simultaneous:
        _check_cycles(description, game, where)
    with expects(ValueError, f"{where}: a move after its end should raise ValueError"):
        game.apply(Reply("x"))


def _check_cycles(description: Description, game: Game, where: str) -> None:
    """Plays a finished game again, whose roles should move in cycles and hear each other only after each."""
    replay = type(game)(game.task, game.episode, game.hidden, game.prices, **game.options)
    order, moves = description.roles, 0
    heard: dict[str, tuple] = {}
    for turn in game.turns:
        if turn.role in order:
            position, moves = moves % len(order), moves + 1
            expected = order[position]
            assert turn.role == expected, f"{where}: simultaneous, but {turn.role} moves instead of {expected}"
            if position == 0:
                heard = {role: replay.heard(role) for role in order}
            early = replay.heard(turn.role) != heard[turn.role]
            assert not early, f"{where}: simultaneous, but {turn.role} hears of a cycle before it moves in it"
        replay.apply(turn.reply)
    assert moves % len(order) == 0, f"{where}: simultaneous, but over before {order[moves % len(order)]} has moved"


def _play_nothing(description: Description, game: Game) -> None:
    """Plays ``None`` for every role: environments hand on whatever they are given."""
    players = _players(description, game.task)
    for _ in range(_MOST_MOVES):
        role = game.to_move
        if role is None or role not in players:
            break
        tool = role not in description.roles
        try:
            game.apply(players[role].act([game.view(role)], [0])[0] if tool else Reply(None))
        except Exception as error:
            where = f"game {description.name}, episode {game.episode.id}"
            raise AssertionError(f"{where}: move() of None by {role} raised {error!r}") from error


def _check_view(game: Game, fork: Game, role: str, players: Collection[str], where: str) -> None:
    with raises_nothing(f"{where}: facts() of {role}"):
        view = game.view(role)
    try:
        hash(view)
    except TypeError as error:
        raise AssertionError(f"{where}: the view of {role} cannot be hashed: {error}") from error
    for message in view.heard:
        addressed = f"{where}: {message.sender} says something to {message.to!r}"
        assert isinstance(message.to, tuple), f"{addressed}, which is no tuple of roles"
        assert set(message.to) <= set(players), f"{addressed}, but those who play are {', '.join(players)}"
    assert fork.view(role) == view, f"{where}: a fork of the game sees something else"
    rebuilt = game.view_at(role, view.heard, game.prices)
    assert rebuilt._replace(turn=view.turn) == view, f"{where}: view_at() of what {role} has heard sees something else"
    for message in view.heard:
        allowed = not message.to or role in (*message.to, message.sender)
        assert allowed, f"{where}: {role} hears a message to {', '.join(message.to)} alone"


def _check_texts(description: Description, view: View, where: str) -> None:
    """Checks that a view can be shown as chat, in the default style, and as a transcript."""
    with raises_nothing(f"{where}: chat() of {view.role}"):
        chat = description.chat(view, description.default_style)
    usable = bool(chat) and all(set(message) >= {"role", "content"} for message in chat)
    assert usable and all(isinstance(message["content"], str) for message in chat), (
        f"{where}: chat() of {view.role} is no list of messages with role and content"
    )
    with raises_nothing(f"{where}: transcript() of {view.role}"):
        transcript = description.transcript(view)
    assert isinstance(transcript, str), f"{where}: transcript() of {view.role} is {transcript!r}, not a text"


def _check_secrecy(env: raw_env, split: str, index: int, possibilities: int, prices: tuple[float, ...]) -> None:
    """Plays the same messages for every hidden possibility; what blind roles observe must not differ."""
    description, traces = env.description, []
    for hidden in range(possibilities):
        env.reset(seed=0, options={"split": split, "index": index, description.hidden_name: hidden, "costs": prices})
        where = f"game {description.name}, episode {env.game.episode.id}"
        trace = []
        for move in range(_MOST_MOVES):
            role = env.game.to_move
            if role is None:
                break  # observations of a finished game may reveal it
            if role in description.blind:
                visible = (env.observe(role), env.infos[role], env.game.view(role))
                trace.append(str(visible))
                for secret in holds(visible):
                    raise AssertionError(f"{where}: {role} is handed a {type(secret).__name__}")
            openings = tuple(description.openings.get(role, {}).values()) or ("",)
            env.step(f"{openings[move % len(openings)]} hm?")
        traces.append(trace)
    same = all(trace == traces[0] for trace in traces)
    assert same, f"{where}: a blind role sees something else for another {description.hidden_name}"
