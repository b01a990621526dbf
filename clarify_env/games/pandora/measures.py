"""Measures that Pandora's boxes report besides the reward: looks, and how many decisions the oracle would take too."""

from typing import Any

from clarify_env.games.base import Game, Trajectory
from clarify_env.games.pandora.actions import Commit, Look
from clarify_env.games.pandora.index import EQUAL, decision_values
from clarify_env.games.pandora.rules import discount_of
from clarify_env.tasks.base import Episode


def measures(episode: Episode, game: Game | Trajectory) -> dict[str, Any]:
    """Measures of one finished game.

    Returns:
        ``score``, ``looks``, ``decisions`` (valid messages), ``optimal_decisions`` (those that are worth as much as the
        oracle's), ``optimal_game`` (whether all messages are such decisions) and ``invalid``.
    """
    result = game.result
    assert result is not None, "only a finished game is measured"
    decisions, optimal = judged(episode, game)
    invalid = result.flags["invalid"]
    return {
        "score": result.score,
        "looks": result.usage["looks"] - invalid,
        "decisions": decisions,
        "optimal_decisions": optimal,
        "optimal_game": float(optimal == decisions and not invalid),
        "invalid": invalid,
    }


def judged(episode: Episode, game: Game | Trajectory) -> tuple[int, int]:
    """Returns the numbers of a game's valid decisions and of those that are optimal, ties included."""
    left = {reading.label: reading.weight for reading in episode.interpretations}
    prize = episode.interpretations[game.hidden].label
    (price,), discount, worth, is_found = game.prices, discount_of(episode), 1.0, False
    decisions = optimal = 0
    for turn in game.turns:
        action = turn.action
        if not isinstance(action, Look | Commit):
            break
        decisions += 1
        if is_found:
            # A look that costs nothing takes nothing from the prize.
            free = isinstance(action, Look) and price == 0 and discount == 1
            optimal += free or (isinstance(action, Commit) and action.box == prize)
        else:
            optimal += _is_optimal(action, left, price, discount, worth)
        if isinstance(action, Look):
            worth *= discount
            is_found = is_found or action.box == prize
            left.pop(action.box, None)
    return decisions, optimal


def _is_optimal(action: Look | Commit, left: dict[str, float], price: float, discount: float, worth: float) -> bool:
    total = sum(left.values())
    if action.box not in left or not total:
        return False
    looks, commitments = decision_values([weight / total for weight in left.values()], price, discount, worth)
    of_action = looks if isinstance(action, Look) else commitments
    return bool(of_action[list(left).index(action.box)] >= max(looks.max(), commitments.max()) - EQUAL)
