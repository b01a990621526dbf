"""What each message of the assistant's earned: the rewards that reward-weighted methods weigh by."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import Reply, Trajectory, View


class Earned(NamedTuple):
    """A message and what it earned.

    Attributes:
        view: At which it was sent, with the costs it is judged at.
        reply: What was said.
        reward: Of its game, or expected over the readings.
        share: How often the group's play comes to it: 1 for the message that opens a game.
    """

    view: View
    reply: Reply
    reward: float
    share: float


def earned(games: Sequence[Trajectory], costs: Costs) -> list[Earned]:
    """Each message of each game with that game's reward, at costs that need not be those it was played at."""
    return [
        Earned(turn.view._replace(costs=costs), turn.reply, game.outcome.reward(costs), 1.0)
        for game in games
        for turn in game.turns
        if turn.role == "assistant"
    ]


def expected(games: Sequence[Trajectory], costs: Costs, weights: Sequence[float]) -> list[Earned]:
    """Each distinct message with its reward expected over the readings, of games in which every one was played.

    Args:
        games: A group whose first messages were each played for every reading, as often for one as for another.
        costs: At which rewards are taken.
        weights: Of the readings.
    """
    through: dict[tuple, list[Trajectory]] = {}
    messages = {}
    for game in games:
        for turn in game.turns:
            if turn.role == "assistant":
                key = (turn.view.history, turn.reply.text)
                through.setdefault(key, []).append(game)
                messages.setdefault(key, turn)
    opened: dict[tuple[str, int], int] = {}
    for game in games:
        first = (game.turns[0].reply.text, game.intent)
        opened[first] = opened.get(first, 0) + 1
    found = []
    for key, its in through.items():
        # A game stands for its reading's weight, shared by all games of that opening and reading.
        mass = np.array([weights[game.intent] / opened[game.turns[0].reply.text, game.intent] for game in its])
        rewards = np.array([game.outcome.reward(costs) for game in its])
        view, reply = messages[key].view._replace(costs=costs), messages[key].reply
        found.append(Earned(view, reply, float(mass @ rewards / mass.sum()), float(mass.sum())))
    return found
