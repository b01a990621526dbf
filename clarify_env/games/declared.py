"""Checks what a game's description declares: names of roles, usages, styles, and classes of options."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from clarify_env.games.base import Game
from clarify_env.games.description import Description
from clarify_env.plugins import described

# Options of an environment's `reset`, beside the name of what is hidden.
_RESET = ("split", "index", "costs")


def faults(description: Description) -> Iterator[str]:
    """Yields a sentence on each thing that is wrong in what a description declares, the first fault first.

    Later sentences may follow from earlier ones, so a caller that reports one reports the first.
    """
    name, game = getattr(description, "name", None), getattr(description, "game", None)
    if not (isinstance(name, str) and name):
        yield f"name is {name!r}, not a text"
    if not (isinstance(game, type) and issubclass(game, Game)):
        yield f"game is {game!r}, not a subclass of Game"
        return
    if not _names(getattr(game, "roles", None)) or not game.roles:
        yield f"roles of {game.__name__} is {getattr(game, 'roles', None)!r}, not a tuple of different names"
        return
    for attribute in ("learns", "usage", "priced", "actions", "styles", "blind"):
        if not _names(getattr(description, attribute)):
            yield f"{attribute} is {getattr(description, attribute)!r}, not a tuple of different names"
            return
    for attribute in ("learns", "priced", "blind", "openings", "players"):
        for role in getattr(description, attribute):
            if role not in game.roles:
                yield f"{attribute} names {role!r}, which is none of its roles, {', '.join(game.roles)}"
    yield from _other_faults(description)


def _names(value: Any) -> bool:
    """Whether a value is a tuple or list of different texts; a text alone is a common slip for a tuple of one."""
    return (
        isinstance(value, (tuple, list))
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )


def _other_faults(description: Description) -> Iterator[str]:
    if not description.actions or "invalid" in description.actions:
        yield f"actions is {description.actions!r}; it must name at least one, and invalid is added by itself"
    if description.default_style not in description.styles:
        styles = ", ".join(description.styles)
        yield f"default_style is {description.default_style!r}, which is none of styles, {styles}"
    for name, (_, price) in description.steering.items():
        if not 0 <= price < len(description.usage):
            yield f"steering.{name} follows price {price}, and usage names {len(description.usage)}"
    for attribute in ("options", "plane_options"):
        options = getattr(description, attribute)
        if not (isinstance(options, type) and is_dataclass(options)) and (attribute, options) != (
            "plane_options",
            None,
        ):
            yield f"{attribute} is {options!r}, not a dataclass"
        elif options is not None and (reason := _unresolved(options)):
            yield f"{attribute}: the type hints of {options.__name__} cannot be resolved: {reason}"
    if description.hidden_name in _RESET:
        yield f"hidden_name is {description.hidden_name!r}, which is another option of reset"


def _unresolved(options: type) -> str:
    """Returns why the type hints of a dataclass cannot be resolved; empty if they can."""
    try:
        get_type_hints(options)
    except Exception as error:  # whatever the text of a hint raises
        return described(error)
    return ""
