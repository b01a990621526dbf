"""Games: one package per game, and the registry of games by name."""

from importlib.metadata import EntryPoint

from clarify_env.games.declared import faults
from clarify_env.games.description import Description
from clarify_env.plugins import described, entry_points, load, named

_GROUP = "clarify_env.games"
# Named as in an entry point, and loaded at first use.
_BUILT_IN = {
    name: EntryPoint(name, f"clarify_env.games.{name}.description:GAME", _GROUP)
    for name in ("clarification", "helpers", "interview", "pandora", "ping")
}
_LOADED: dict[str, Description] = {}


def game_names() -> list[str]:
    """Names of all games, including those of other packages."""
    return sorted({*_LOADED, *_BUILT_IN, *entry_points(group=_GROUP).names})


def find_game(game: str | Description) -> Description:
    """Returns the description of a game: a built-in one, or one from an entry point of group ``clarify_env.games``.

    Args:
        game: A name in `game_names`. A description is returned unchanged.

    Raises:
        ValueError: There is no such game, or what offers it cannot be loaded or is no description of a game.
    """
    if isinstance(game, Description):
        return game
    if not isinstance(game, str):
        raise ValueError(f"game must be a game or the name of one, not {game!r}")
    if game not in _LOADED:
        point = named(game, _BUILT_IN, entry_points(group=_GROUP), f"game {game!r}")
        if point is None:
            raise ValueError(f"unknown game {game!r}; known: {', '.join(game_names())}")
        what = f"game {game!r}: its entry point {point.value}"
        loaded = load(point, what)
        if isinstance(loaded, type) and issubclass(loaded, Description):
            try:
                loaded = loaded()
            except Exception as error:  # whatever another package's class raises
                raise ValueError(f"{what} cannot be made: {described(error)}") from error
        if not isinstance(loaded, Description):
            raise ValueError(f"game {game!r}: the entry point offers {loaded!r}, which is no Description")
        if fault := next(faults(loaded), None):
            raise ValueError(f"game {game!r}: {fault}")
        _LOADED[game] = loaded
    return _LOADED[game]
