"""The page that ``python -m trainers.NAME --help`` prints: every option with its type, value and docstring."""

import inspect
import json
import re
import textwrap
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from agents.kinds import KINDS
from clarify_env.games import find_game
from clarify_env.options import described, field_docs, rule_of
from clarify_env.tasks.base import task_class
from trainers.runs.build import POLICY, USER
from trainers.runs.options import CommonOptions, PromptOptions
from trainers.runs.plugins import SOURCE

_WIDTH = 110


def help_page(name: str, sections: Mapping[str, type], config: DictConfig, conf: Path) -> str:
    """Returns the help of a command.

    Args:
        name: Name of the command.
        sections: Options dataclass of each config section.
        config: The command's config including overrides; its values are shown.
        conf: Folder of the config groups.
    """
    values: Any = OmegaConf.to_container(config, resolve=False)
    lines = [f"python -m trainers.{name} OPTION=VALUE ...", ""]
    lines += ["Groups (choose one by GROUP=NAME):", *_groups(conf, values), ""]
    lines += ["Options (the values shown are those of this command line):", ""]
    shared = dict(sections)
    if "task" in values:  # an experiment
        shared = {"": CommonOptions} | shared | {"prompts": PromptOptions} | _by_kind(values)
    for section, cls in shared.items():
        of_section = values if section == "" else values.get(section, {})
        lines += [line for one in fields(cls) for line in _option(section, cls, one, of_section.get(one.name))]
    if "task" in values:
        lines += _of_constructor("task", task_class, values["task"])
    lines += _entry("run_dir", "text", values.get("run_dir"), "Directory of the run; the same command continues in it.")
    return "\n".join(lines)


def _by_kind(values: Mapping[str, Any]) -> dict[str, type]:
    """Returns the options dataclasses that depend on other options: those of players, game and costs."""
    game = find_game(values["game"]["name"])
    dataclasses: dict[str, type | None] = {"game": game.options, "costs": game.plane_options}
    for section in (POLICY, USER):
        if section == POLICY or section in game.roles:
            dataclasses[section] = KINDS[values[section]["kind"]].options
    return {section: cls for section, cls in dataclasses.items() if cls is not None}


def _groups(conf: Path, values: Mapping[str, Any]) -> list[str]:
    groups = [folder for folder in sorted(conf.iterdir()) if folder.is_dir()]
    known = [folder for folder in groups if folder.name in values or folder.name == "size"]
    return [f"  {folder.name}: {', '.join(sorted(path.stem for path in folder.glob('*.yaml')))}" for folder in known]


def _option(section: str, cls: type, one: Any, value: Any) -> list[str]:
    path = f"{section}.{one.name}" if section else one.name
    kind = described(typing.get_type_hints(cls)[one.name], rule_of(one))
    return _entry(path, kind, value, field_docs(cls).get(one.name, ""))


def _of_constructor(section: str, class_of: Callable[[str], type], values: Mapping[str, Any]) -> list[str]:
    docs = _argument_docs(class_of(values.get(SOURCE, values["name"])))
    lines = _entry(f"{section}.name", "text", values["name"], f"Name of the {section}.")
    for key, value in values.items():
        if key != "name":
            lines += _entry(f"{section}.{key}", type(value).__name__, value, docs.get(key, ""))
    return lines


def _argument_docs(cls: type) -> dict[str, str]:
    """Returns the description of each argument in the Args of a class docstring in Google style."""
    _, _, after = (inspect.getdoc(cls) or "").partition("Args:\n")
    block = re.split(r"\n(?=\S)", after)[0]
    return {name: " ".join(text.split()) for name, text in re.findall(r"(?m)^    (\w+): ((?:.|\n      )+)", block)}


def _entry(path: str, kind: str, value: Any, doc: str) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    body = textwrap.wrap(doc, _WIDTH, initial_indent="      ", subsequent_indent="      ")
    return [f"  {path} = {text}   ({kind})", *body]
