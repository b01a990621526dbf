"""The page that ``python -m trainers.NAME --help`` prints: every option with its type, value, default and docstring."""

import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.kinds import KINDS
from clarify_env.field_docs import field_docs
from clarify_env.games import find_game
from clarify_env.options import Rule, described, field_types, parameter_types
from clarify_env.tasks.registry import task_class
from trainers.runs.build import POLICY, USER
from trainers.runs.options import CommonOptions, PromptOptions
from trainers.runs.plugins import SOURCE
from trainers.runs.schema import default_choices, names_of

_WIDTH = 110


def help_page(
    name: str, sections: Mapping[str, type], config: DictConfig, conf: Path, defaults: DictConfig | None = None
) -> str:
    """Returns the help of a command.

    Args:
        name: Name of the command.
        sections: Options dataclass of each config section.
        config: The command's config including overrides; its values are shown.
        conf: Folder of the config groups.
        defaults: The config of the same groups without further overrides: the default of each option.
    """
    values: Any = OmegaConf.to_container(config, resolve=False)
    before: Any = values if defaults is None else OmegaConf.to_container(defaults, resolve=False)
    lines = [f"python -m trainers.{name} OPTION=VALUE ...", ""]
    if groups := _groups(conf, values, name):
        lines += ["Groups (choose one by GROUP=NAME):", *groups, ""]
    lines += ["Options: value on this command line, type, and default where the value is another:", ""]
    with_experiment = "task" in values
    described_options = list(_root(values) if with_experiment else ())
    for section, cls in (dict(sections) | (_by_kind(values) if with_experiment else {})).items():
        described_options += _fields(section, cls)
    if with_experiment:
        described_options += _prices(values)
        described_options += _constructor("task", values["task"].get(SOURCE, values["task"]["name"]))
    described_options.append(("run_dir", "text", "Directory of the run; the same command continues in it."))
    for path, kind, doc in described_options:
        lines += _entry(path, kind, _at(values, path), _at(before, path), doc)
    return "\n".join(lines)


Described = tuple[str, str, str]  # name of an option, its type in words, its meaning


def _root(values: Mapping[str, Any]) -> Iterator[Described]:
    yield from _fields("", CommonOptions)
    yield "learn", "a list of texts or null", "Roles that the policy plays and that learn; null: the game's own choice."
    yield from _fields("prompts", PromptOptions)
    others = [role for role in find_game(values["game"]["name"]).roles if role not in (POLICY, USER)]
    for role in others:
        doc = f"Player of {role}; the options of that kind follow as players.{role}.OPTION."
        yield f"players.{role}.kind", f"one of {', '.join(KINDS)}", doc


def _by_kind(values: Mapping[str, Any]) -> dict[str, type]:
    """Returns the options dataclasses that depend on other options: those of players, game and costs."""
    game = find_game(values["game"]["name"])
    dataclasses: dict[str, type | None] = {"game": game.options, "costs": game.plane_options}
    for section in (POLICY, USER):
        if section == POLICY or section in game.roles:
            kind = values[section]["kind"]
            if not isinstance(kind, str) or kind not in KINDS:
                raise ValueError(f"{section}.kind must be one of {', '.join(KINDS)}, not {kind!r}")
            dataclasses[section] = KINDS[kind].options
    return {section: cls for section, cls in dataclasses.items() if cls is not None}


def _groups(conf: Path, values: Mapping[str, Any], command: str) -> list[str]:
    groups, chosen = [folder for folder in sorted(conf.iterdir()) if folder.is_dir()], default_choices(command)
    known = [folder.name for folder in groups if folder.name in values or folder.name in chosen]
    return [f"  {group}: {', '.join(names_of(group))}" for group in known]


def _fields(section: str, cls: type) -> Iterator[Described]:
    docs = field_docs(cls)
    for name, (hint, rule) in field_types(cls).items():
        if (section, name) != (POLICY, "temperature"):  # which the modes of evaluation and rollouts set
            yield f"{section}.{name}" if section else name, described(hint, rule), docs.get(name, "")


def _prices(values: Mapping[str, Any]) -> Iterator[Described]:
    """Yields the prices of a game that has no plane of its own."""
    game = find_game(values["game"]["name"])
    if game.plane_options is None:
        for name in game.usage:
            yield f"costs.{name}", described(float, Rule(least=0)), f"Price of one of the game's {name}."


def _constructor(section: str, name: str) -> Iterator[Described]:
    cls = task_class(name)
    yield f"{section}.name", "text", f"Name of the {section}."
    docs = _argument_docs(cls)
    for key, (hint, rule) in parameter_types(cls).items():
        yield f"{section}.{key}", described(hint, rule), docs.get(key, "")


def _argument_docs(cls: type) -> dict[str, str]:
    """Returns the description of each argument in the Args of a class docstring in Google style."""
    _, _, after = (inspect.getdoc(cls) or "").partition("Args:\n")
    block = re.split(r"\n(?=\S)", after)[0]
    return {name: " ".join(text.split()) for name, text in re.findall(r"(?m)^    (\w+): ((?:.|\n      )+)", block)}


def _at(values: Any, path: str) -> Any:
    """Returns the value of an option; ``None`` where the config leaves it out."""
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _entry(path: str, kind: str, value: Any, default: Any, doc: str) -> list[str]:
    kind = kind if value == default else f"{kind}; default: {_shown(default)}"
    body = textwrap.wrap(doc, _WIDTH, initial_indent="      ", subsequent_indent="      ")
    return [f"  {path} = {_shown(value)}   ({kind})", *body]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
