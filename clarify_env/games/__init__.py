"""Games: one package per game, and the registry of games by name."""

from importlib.metadata import EntryPoint, entry_points

from clarify_env.games.description import Description

_GROUP = "clarify_env.games"
# Named as in an entry point, and loaded at first use.
_BUILT_IN = {"clarification": EntryPoint("clarification", "clarify_env.games.clarification.description:GAME", _GROUP)}
_LOADED: dict[str, Description] = {}


def game_names() -> list[str]:
    """Names of all games, including those of other packages."""
    return sorted({*_LOADED, *_BUILT_IN, *entry_points(group=_GROUP).names})


def find_game(game: str | Description) -> Description:
    """Returns the description of a game: a built-in one, or one from an entry point of group ``clarify_env.games``.

    Args:
        game: A name in `game_names`. A description is returned unchanged.

    Raises:
        ValueError: There is no such game, or the entry point does not hold a description.
    """
    if isinstance(game, Description):
        return game
    if game not in _LOADED:
        points = {point.name: point for point in entry_points(group=_GROUP)} | _BUILT_IN
        if game not in points:
            raise ValueError(f"unknown game {game!r}; known: {', '.join(game_names())}")
        try:
            loaded = points[game].load()
        except Exception as error:  # whatever another package's module raises
            raise ValueError(
                f"game {game!r}: its entry point {points[game].value} cannot be loaded: {error}"
            ) from error
        loaded = loaded() if isinstance(loaded, type) and issubclass(loaded, Description) else loaded
        if not isinstance(loaded, Description):
            raise ValueError(f"game {game!r}: the entry point offers {loaded!r}, which is no Description")
        _LOADED[game] = loaded
    return _LOADED[game]
