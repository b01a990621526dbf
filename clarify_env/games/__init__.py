"""Games: pure state machines, one file each, and the registry that knows them by name."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from clarify_env.costs import Costs
from clarify_env.games.base import Game
from clarify_env.tasks.base import Episode, Task

_GROUP = "clarify_env.games"
# Named as an entry point would be, and loaded as late: a game imports much that imports `games.base`.
_RULES = "clarify_env.games.clarification.rules:ClarificationGame"
_BUILT_IN = {"clarification": EntryPoint("clarification", _RULES, _GROUP)}
_LOADED: dict[str, type[Game]] = {}


def game_names() -> list[str]:
    """Names of all games, those offered by other packages included."""
    return sorted({*_BUILT_IN, *entry_points(group=_GROUP).names})


def game_class(name: str) -> type[Game]:
    """Returns a game's class: a built-in one, or one another package offers by entry point ``clarify_env.games``.

    Raises:
        ValueError: There is no such game.
    """
    if name not in _LOADED:
        points = {point.name: point for point in entry_points(group=_GROUP)} | _BUILT_IN
        if name not in points:
            raise ValueError(f"unknown game {name!r}; known: {', '.join(game_names())}")
        _LOADED[name] = points[name].load()
    return _LOADED[name]


def make_game(name: str, task: Task, episode: Episode, intent: int, costs: Costs, **options: Any) -> Game:
    """Starts a game.

    Args:
        name: A name in `game_names`.
        task: Scores the closing answer.
        episode: What is played.
        intent: Index of the reading that is meant.
        costs: What the assistant pays.
        **options: The game's own options.

    Raises:
        ValueError: There is no such game, or it has no such option.
    """
    cls = game_class(name)
    try:
        return cls(task, episode, intent, costs, **options)
    except TypeError as error:
        raise ValueError(f"game {name}: {error}") from error
