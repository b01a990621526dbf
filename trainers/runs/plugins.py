"""Offers games and tasks, those of other packages, modules and files included, as hydra configs."""

import inspect
import json
from collections.abc import Iterable
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from clarify_env.games import find_game, game_names
from clarify_env.options import defaults
from clarify_env.plugins import is_source
from clarify_env.tasks.registry import task_class, task_names
from trainers.runs.conf import CONF

# Key of a task's section that says where its class is, if the task is not known by its name.
SOURCE = "source"


def task_node(name: str) -> dict[str, Any]:
    """Returns the config of a task: its name and its options with their defaults.

    An option whose default is no plain value is left out, and keeps its default. A task that cannot be loaded has its
    name alone: making it says why.
    """
    try:
        return {"name": name} | _options(task_class(name))
    except (ValueError, TypeError):  # the latter of a class without a signature
        return {"name": name}


def plain_defaults(cls: type) -> dict[str, Any]:
    """Returns the default of each field of an options dataclass that is a plain value; others keep theirs unseen."""
    return {name: value for name, value in defaults(cls).items() if _is_plain(value)}


def _options(cls: type) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            continue
        if parameter.default is parameter.empty:
            options[parameter.name] = "???"
        elif _is_plain(parameter.default):
            options[parameter.name] = parameter.default
    for name in ("name", SOURCE):
        options.pop(name, None)  # the section's own
    return options


def _is_plain(value: Any) -> bool:
    """Whether a value means the same in a config: one of JSON, and no text that hydra would read as more than text."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return False
    return "${" not in text and value != "???"


def offer_plugins() -> None:
    """Stores the defaults of games, planes and tasks, those of other packages included, as hydra configs.

    A game that cannot be loaded is left out; such a task is offered by its name alone, and refused when it is made.
    """
    store = ConfigStore.instance().store
    for name in game_names():
        try:
            game = find_game(name)
        except ValueError:
            continue  # the error is reported when the game is chosen
        store(group="options/game", name=name, node={"name": name} | plain_defaults(game.options))
        prices = dict.fromkeys(game.usage, 0.0) if game.plane_options is None else plain_defaults(game.plane_options)
        store(group="options/costs", name=name, node=prices)
        if not (CONF / "costs" / f"{name}.yaml").exists():
            store(group="costs", name=name, node=prices)
        if not (CONF / "game" / f"{name}.yaml").exists():
            store(group="game", name=name, node={"name": name} | plain_defaults(game.options))
    for name in task_names():
        if not (CONF / "task" / f"{name}.yaml").exists():
            store(group="task", name=name, node=task_node(name))


def offer_sources(overrides: Iterable[str]) -> None:
    """Stores a config for each task that overrides name by its source, such as ``task=./mine.py:MyTask``.

    Raises:
        ValueError: The source cannot be loaded, or holds no task.
    """
    for word in overrides:
        if not word.startswith("task="):
            continue
        for source in filter(is_source, _choices(word)):
            cls = task_class(source)
            # Hydra looks a choice up as a path; it skips empty parts.
            *folders, name = ["task", *filter(None, source.split("/"))]
            node = {"name": cls.name, SOURCE: source} | _options(cls)
            ConfigStore.instance().store(group="/".join(folders), name=name, node=node)


def _choices(word: str) -> list[str]:
    """Returns the choices of an override of a group, several in a sweep."""
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except HydraException:
        return []  # hydra refuses it later, with its reason
    if not override.is_sweep_override():
        return [str(override.value())]
    return [choice.strip("'\"") for choice in override.sweep_string_iterator()]
