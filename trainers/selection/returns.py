"""Returns of messages: the rewards used by reward-weighted and best-of-n methods."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Reply, Trajectory, Turn, View
from clarify_env.games.setup import Setup


class ScoredMessage(NamedTuple):
    """A message and its return.

    Attributes:
        view: View of its sender, at the prices of the reward.
        reply: The message.
        reward: Reward of its role in its game, or its expectation over what is hidden.
        share: Reach: probability that play comes to this message; 1 for the first message of a game.
    """

    view: View
    reply: Reply
    reward: float
    share: float


def earned(setup: Setup, games: Sequence[Trajectory], prices: Prices, roles: Sequence[str]) -> list[ScoredMessage]:
    """Scores each message of some roles by the reward of its game, at prices that may differ from those of play.

    Args:
        setup: Game, task and options.
        games: Finished games.
        prices: Prices of rewards and views.
        roles: Learning roles.
    """
    return [
        ScoredMessage(setup.view_at(game, turn, prices), turn.reply, game.result.reward(prices, turn.role), 1.0)
        for game in games
        for turn in game.moves(roles)
    ]


def expected(setup: Setup, games: Sequence[Trajectory], prices: Prices, roles: Sequence[str]) -> list[ScoredMessage]:
    """Scores each distinct message by its expected reward over what is hidden.

    Args:
        setup: Game, task and options.
        games: Games of one group; each first message was played equally often for every hidden possibility.
        prices: Prices of rewards and views.
        roles: Learning roles.
    """
    weights = setup.weights(setup.task.lookup(games[0].episode_id))
    games_through: dict[tuple, list[Trajectory]] = {}
    messages: dict[tuple, tuple[Trajectory, Turn]] = {}
    games_from: dict[tuple[str | None, int], int] = {}
    for game in games:
        opening = (game.turns[0].reply.text, game.hidden)
        games_from[opening] = games_from.get(opening, 0) + 1
        for turn in game.moves(roles):
            # A role's view follows from the messages heard and, if it knows it, from what is hidden.
            known = None if turn.role in setup.game.blind else game.hidden
            key = (turn.role, known, turn.view.heard, turn.reply.text)
            games_through.setdefault(key, []).append(game)
            messages.setdefault(key, (game, turn))
    scored = []
    for key, group in games_through.items():
        first, turn = messages[key]
        # Mass of a game: the weight of its possibility / number of games with that first message and possibility.
        mass = np.array([weights[game.hidden] / games_from[game.turns[0].reply.text, game.hidden] for game in group])
        rewards = np.array([game.result.reward(prices, turn.role) for game in group])
        reward = float(mass @ rewards / mass.sum())
        scored.append(ScoredMessage(setup.view_at(first, turn, prices), turn.reply, reward, float(mass.sum())))
    return scored
