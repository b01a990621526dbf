"""Reads the files of a run directory for reports; converts files of version 0.1 to the present form."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clarify_env.games import find_game
from clarify_env.games.description import Description
from trainers.runs.store import read_json

# Game of files of version 0.1, and the keys of its players there.
_FIRST_GAME, _FIRST_ROLES = "clarification", ("assistant", "user")
# Cost set of figures that are given for one set only, if the game has it; else the first set.
_HEADLINE = "between"


def read_summary(path: Path) -> dict[str, Any]:
    """Reads a ``summary.json``; see `upgraded`."""
    return upgraded(read_json(path))


def upgraded(summary: dict[str, Any]) -> dict[str, Any]:
    """Returns a summary in the present form: adds ``game`` and ``players`` to one of version 0.1."""
    if "players" in summary:
        return summary
    players = {role: summary[role] for role in _FIRST_ROLES if role in summary}
    others = {key: value for key, value in summary.items() if key not in _FIRST_ROLES}
    return {"game": _FIRST_GAME, "players": players} | others


def read_evaluation(path: Path) -> dict[str, Any]:
    """Reads an ``evaluation.json``; renames the key ``questions`` of version 0.1 to ``episodes``."""
    evaluation = read_json(path)
    return {("episodes" if key == "questions" else key): value for key, value in evaluation.items()}


def game_of(summary: dict[str, Any] | None, config: dict[str, Any] | None) -> Description:
    """Returns the game of a run, from its summary, else its config, else that of version 0.1.

    Args:
        summary: Result of `read_summary`; ``None``: the run has not been measured.
        config: Content of ``config.json``; ``None``: the file is missing.

    Raises:
        ValueError: The game is not installed.
    """
    if summary is not None:
        return find_game(summary["game"])
    return find_game(((config or {}).get("game") or {}).get("name", _FIRST_GAME))


def has_oracle(table: Mapping[str, Mapping[str, Any]]) -> bool:
    """Returns whether every entry of an ``eval`` table has the oracle's value."""
    return all("oracle" in entry for modes in table.values() for entry in modes.values())


def headline_set(names: Iterable[str]) -> str:
    """Returns the cost set of tiles, learning curves and sweeps of settings: ``between``, else the first."""
    known = list(names)
    return _HEADLINE if _HEADLINE in known else known[0]


def set_names(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns all cost sets of some ``eval`` tables, in the order of the largest table."""
    largest_first = sorted(tables, key=len, reverse=True)
    return list(dict.fromkeys(name for table in largest_first for name in table))


def price_names(game: Description) -> tuple[str, ...]:
    """Returns the label of each price of a game."""
    return tuple(f"price of {name}" for name in game.usage)


def steering_title(game: Description, name: str) -> str:
    """Returns the label of an entry of ``steering``: its quantity and price."""
    quantity, price = game.steering[name]
    return f"{quantity.replace('_', ' ')} against the {price_names(game)[price]}"
