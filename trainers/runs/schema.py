"""Names and types of a command's options, for the groups and kinds that its command line chooses."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore

from agents.kinds import KINDS
from clarify_env.games import find_game, game_names
from clarify_env.options import Rule, field_types, parameter_types
from clarify_env.tasks.registry import task_class
from trainers.runs.conf import CONF
from trainers.runs.options import CommonOptions, PromptOptions
from trainers.runs.plugins import SOURCE

# Type and rule of each option, by its name.
Types = dict[str, tuple[Any, Rule]]
# Chosen names of each group; several in a sweep.
Choices = Mapping[str, Sequence[str]]

_TEXT = (str, Rule())
# Task of games that name none.
_TASK = "almanac"
# Sections of options that are set by the group's name alone.
_PLAYERS = ("assistant", "user")
RUN_DIR: Types = {"run_dir": (str, Rule())}


def default_choices(command: str, game: str | None = None) -> dict[str, str]:
    """Returns the groups of a command, each with the name that its config chooses.

    Args:
        command: Name of the command.
        game: The game that is chosen, whose task is the default; ``None``: the command's default game.
    """
    choices: dict[str, str] = {}
    entries = _read(CONF / f"{command}.yaml")["defaults"]
    named = {key: str(value) for entry in entries if isinstance(entry, dict) for key, value in entry.items()}
    game = game or named.get("override /game")
    for entry in entries:
        if isinstance(entry, str) and (CONF / f"{entry}.yaml").exists():
            choices |= default_choices(entry, game)
    choices |= {group: name for group, name in named.items() if " " not in group}  # no "optional" or "override" ones
    if "game" in choices:
        choices["game"] = named.get("override /game", choices["game"])
        if choices.get("task", "").startswith("${"):
            choices["task"] = task_of(game or choices["game"])
    return choices


def task_of(game: str) -> str:
    """Returns the task that commands play with a game unless another is chosen."""
    return (find_game(game).task if game in game_names() else "") or _TASK


def names_of(group: str) -> list[str]:
    """Returns the names that a group may be given, those of other packages' tasks and games included."""
    files = [path.stem for path in (CONF / group).glob("*.yaml")]
    stored = [name.removesuffix(".yaml") for name in _stored(group)]
    return sorted({*files, *stored})


def _stored(group: str) -> Iterable[str]:
    store: Any = ConfigStore.instance().repo.get(group, {})
    return [name for name in store if name.endswith(".yaml")]


def option_types(sections: Mapping[str, type], choices: Choices) -> Types:
    """Returns type and rule of every option of an experiment's command.

    Args:
        sections: Options dataclass of each config section; the root's has the empty name.
        choices: Chosen names of each group; without ``task``, the command has no experiment.

    Raises:
        ValueError: There is no such task or game.
    """
    types = dict(RUN_DIR)
    for section, cls in sections.items():
        types |= prefixed(section, field_types(cls))
    if "task" not in choices:
        return types
    types |= field_types(CommonOptions) | prefixed("prompts", field_types(PromptOptions))
    types |= {"learn": (list[str] | None, Rule()), "task.name": _TEXT, f"task.{SOURCE}": _TEXT, "game.name": _TEXT}
    for name in choices["task"]:
        types |= prefixed("task", parameter_types(task_class(name)))
    for name in choices["game"]:
        game = find_game(name)
        types |= prefixed("game", field_types(game.options))
        prices = dict.fromkeys(game.usage, (float, Rule(least=0)))
        types |= prefixed("costs", field_types(game.plane_options) if game.plane_options else prices)
        for role in game.roles:
            types |= prefixed(f"players.{role}", player_types(choices.get(f"players.{role}.kind", ())))
    for section in _PLAYERS:
        types |= prefixed(section, player_types(choices.get(f"{section}.kind", ())))
    types.pop("assistant.temperature", None)  # the modes of evaluation and rollouts set it
    return types


def player_types(kinds: Sequence[str]) -> Types:
    """Returns the types of the options of players of some kinds; of every kind if none is known."""
    known = [KINDS[kind].options for kind in kinds if kind in KINDS] or [kind.options for kind in KINDS.values()]
    return {name: entry for options in known for name, entry in field_types(options).items()}


def kind_of(group: str, name: str) -> str | None:
    """Returns the kind of player that a choice of ``assistant`` or ``user`` stands for, if a file says it."""
    path = CONF / group / f"{name}.yaml"
    return _read(path).get("kind") if path.exists() else None


def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}


def prefixed(section: str, types: Types) -> Types:
    """Returns the types of a section's options, by their whole names."""
    return {f"{section}.{name}" if section else name: entry for name, entry in types.items()}


def holds_more(path: str, types: Types) -> bool:
    """Returns whether an option lies inside an option that is a mapping, whose keys have no types here."""
    parts = path.split(".")
    above = [".".join(parts[:n]) for n in range(1, len(parts))]
    return any(name in types and _is_mapping(types[name][0]) for name in above)


def _is_mapping(hint: Any) -> bool:
    return hint is Any or "dict" in str(hint)
