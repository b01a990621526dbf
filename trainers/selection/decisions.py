"""Selection of the best decision of each role, by its mean reward over games, where several roles learn.

A point is a role and the messages it has heard. The value of an action at a point is the mean reward of the games of a
group that took it there, those aside in which the opening of another role was forced: forced openings tell nothing of
what the others do. So a lucky answer does not make guessing the best decision, as it does where the best game is kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Message, Trajectory, Turn
from clarify_env.games.setup import Setup

Point = tuple[str, tuple[Message, ...]]


class RoleChoice(NamedTuple):
    """A selected message.

    Attributes:
        game: The game of highest reward in which the best action was taken.
        turn: The message.
        margin: Difference of the mean rewards of playing on and of a last message; where all actions are of one of the
            two, of the best action and the worst.
        worth: Whether its words are to be learned, not its tag alone: it plays on, or its game scored.
    """

    game: Trajectory
    turn: Turn
    margin: float
    worth: bool


def best_decisions(setup: Setup, games: Sequence[Trajectory], prices: Prices, roles: Sequence[str]) -> list[RoleChoice]:
    """Selects the best decision at each point at which a role with openings has tried several.

    Actions that play on are compared with those that end the role's part, each as one, since the best of several noisy
    means is too high; then the best action among them is taken. A later point is reached by the selected action alone.

    Args:
        setup: Game, task and options.
        games: Games of one episode.
        prices: Prices of the rewards.
        roles: Learning roles.
    """
    chosen: list[RoleChoice] = []
    taken: dict[Point, str] = {}
    points = _points(setup, games, [role for role in roles if role in setup.game.openings])
    for (role, heard), by_action in sorted(points.items(), key=lambda item: len(item[0][1])):
        own = [i for i, message in enumerate(heard) if message.sender == role]
        if own and taken.get((role, heard[: own[-1]])) != _action(setup, games[0], heard[own[-1]].text):
            continue
        rewards = {
            action: [game.result.reward(prices, role) for game, _ in tried] for action, tried in by_action.items()
        }
        means = {action: float(np.mean(values)) for action, values in rewards.items()}
        plays_on = {action: _plays_on(setup, *tried[0]) for action, tried in by_action.items()}
        ranked = sorted(means.values(), reverse=True)
        margin, among = ranked[0] - ranked[-1], list(means)
        if len(set(plays_on.values())) == 2:
            on, off = (
                float(np.mean([value for action in means if plays_on[action] == side for value in rewards[action]]))
                for side in (True, False)
            )
            margin, among = abs(on - off), [action for action in means if plays_on[action] == (on > off)]
        best = max(among, key=lambda action: means[action])
        if len(means) > 1:
            game, turn = max(by_action[best], key=lambda pair: pair[0].result.reward(prices, role))
            chosen.append(RoleChoice(game, turn, margin, plays_on[best] or game.result.score > 0))
            taken[role, heard] = best
    return chosen


def answers(games: Sequence[Trajectory], roles: Sequence[str]) -> list[tuple[Trajectory, Turn]]:
    """Returns the messages of roles without openings from the games of highest score in which nothing was forced."""
    free = [game for game in games if not _forced_roles(game)]
    most = max((game.result.score for game in free), default=0.0)
    best = [game for game in free if 0 < most <= game.result.score + 1e-9]
    distinct = {(turn.view, turn.reply.ids): (game, turn) for game in best for turn in game.moves(roles)}
    return list(distinct.values())


def _points(
    setup: Setup, games: Sequence[Trajectory], roles: Sequence[str]
) -> dict[Point, dict[str, list[tuple[Trajectory, Turn]]]]:
    """Returns the games and turns by point and action, invalid messages aside."""
    points: dict[Point, dict[str, list[tuple[Trajectory, Turn]]]] = {}
    for game in games:
        for turn in game.moves(roles):
            action = _action(setup, game, turn.reply.text)
            if setup.game.kind(turn) != "invalid" and not _forced_roles(game) - {turn.role}:
                points.setdefault((turn.role, turn.view.heard), {}).setdefault(action, []).append((game, turn))
    return points


def _action(setup: Setup, game: Trajectory, text: str | None) -> str:
    return setup.game.action_of(setup.decision(setup.task.lookup(game.episode_id), text or ""))


def _plays_on(setup: Setup, game: Trajectory, turn: Turn) -> bool:
    return setup.game.plays_on(setup.decision(setup.task.lookup(game.episode_id), turn.reply.text or ""))


def _forced_roles(game: Trajectory) -> set[str]:
    """Returns the roles of which an opening was given; a message that is given as a whole was read from a file."""
    return {turn.role for turn in game.turns if 0 < turn.reply.forced < len(turn.reply.ids or ())}
