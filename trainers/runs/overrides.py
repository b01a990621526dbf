"""Reads the overrides of a command line by the types of their options, before hydra does.

Hydra takes a word by its look: ``run_dir=1e3`` would become the folder 1000.0, and ``budget.games=1e2`` a float. Here a
text keeps its spelling, a whole number is one, and what is no option or no choice is said in one sentence.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from clarify_env.games import find_game, game_names
from clarify_env.options import Rule, convert, described, kinds_of, unknown
from trainers.runs.plugins import offer_sources
from trainers.runs.renamed import refuse_renamed
from trainers.runs.schema import Types, default_choices, holds_more, kind_of, names_of, option_types

_WORD = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=@]*)(?P<package>@[^=]*)?(?P<equals>=)?(?P<value>.*)", re.DOTALL)
# Values that hydra cannot take for a sweep's list of texts by their commas alone.
_NESTED = re.compile(r"""[\[\]{}()'"]""")
# A list of plain texts.
_LIST = re.compile(r"""\[([^\[\]{}()'"]*)\]""")
# Sections of an experiment beside those of its typed options.
EXPERIMENT = ("task", "game", "assistant", "user", "players", "learn", "prompts", "costs")
_PLAYERS = ("assistant", "user")
# Sections whose options depend on the chosen game, task and kinds.
_OWN = ("players.", "assistant.", "user.", "task.", "game.", "costs.")


@dataclass(frozen=True)
class CommandLine:
    """What is known of a command when its overrides are read.

    Attributes:
        name: Name of the command.
        sections: Options dataclass of each config section.
        sweep: Whether commas separate the values of a sweep (``-m``).
        choices: Names chosen of each group, several in a sweep.
        types: Type and rule of each option.
    """

    name: str
    sections: Mapping[str, type]
    sweep: bool = False
    choices: dict[str, list[str]] = field(default_factory=dict)
    types: Types = field(default_factory=dict)

    def hydra_overrides(self, words: Sequence[str]) -> list[str]:
        """Returns overrides as hydra takes them.

        Raises:
            ValueError: One names no option or choice, has a former name, or cannot be read; the message names it.
        """
        refuse_renamed(words)
        offer_sources(words)
        parts = [_WORD.fullmatch(word) for word in words]
        matches = [match for match in parts if match]
        self._choose(matches)
        self.types.update(option_types(self.sections, self.choices))
        return [override for match in matches for override in self._overrides(match)]

    def known(self) -> list[str]:
        """Returns the names of all options and groups."""
        hidden = tuple(f"players.{section}." for section in _PLAYERS)  # which have sections of their own
        options = [name for name in self.types if not name.startswith(hidden)]
        return [*options, *(name for name in self.choices if "." not in name)]

    def _choose(self, matches: Sequence[re.Match]) -> None:
        """Notes the choices of groups, and those of kinds and names by which options differ."""
        chosen = {match["key"]: match["value"] for match in matches if match["equals"] and match["sign"] != "~"}
        game = chosen.get("game.name", chosen.get("game"))
        groups = default_choices(self.name, game)
        for group, default in groups.items():
            names = self._values(chosen.get(group, default))
            for name in names if group in chosen else ():
                _check_choice(group, name)
            self.choices[group] = names
        for group in ("task", "game") if "task" in groups else ():
            if f"{group}.name" in chosen:
                self.choices[group] = self._values(chosen[f"{group}.name"])
        for key, value in chosen.items():
            if key.endswith(".kind"):
                self.choices[key] = self._values(value)
        for section in _PLAYERS:
            if section in groups and f"{section}.kind" not in self.choices:
                kinds = [kind_of(section, name) for name in self.choices[section]]
                self.choices[f"{section}.kind"] = [kind for kind in kinds if kind]

    def _values(self, value: str) -> list[str]:
        parts = value.split(",") if self.sweep and not _NESTED.search(value) else [value]
        return [part.strip().strip("'\"") for part in parts]

    def _overrides(self, match: re.Match) -> list[str]:
        """Returns one override as hydra takes it: in two, if it replaces a mapping, which hydra would merge."""
        sign, key, value = match["sign"] or "", match["key"], match["value"]
        if not match["equals"] and sign != "~":
            raise ValueError(f"options are written NAME=VALUE, not {match[0]!r}; --help lists them")
        if key.startswith("hydra") or match["package"] or (key in self.choices and "." not in key):
            return [match[0]]
        self._check_name(key)
        if sign == "~":
            return [match[0]]
        if key.startswith(_OWN) or (not sign and key not in self.types and holds_more(key, self.types)):
            sign = "++"  # what a game, a task, a kind of player or a mapping has need not stand in a file of conf/
        spelled = f"{key}={self._spelled(key, value)}"
        if not sign and "." not in key and self.types.get(key, (Any,))[0] == dict[str, Any]:
            return [f"~{key}", f"+{spelled}"]
        return [f"{sign}{spelled}"]

    def _check_name(self, key: str) -> None:
        sections = {name.partition(".")[0] for name in self.types} | {"players"}
        of_a_role = key.startswith("players.") and not any(name.startswith(_role(key)) for name in self.types)
        if key in self.types or key in sections or of_a_role or holds_more(key, self.types):
            return  # a role that the game has not is refused with the roles it has, when the experiment is built
        section = key.rpartition(".")[0]
        kinds = self.choices.get(f"{section}.kind")
        if kinds and key in option_types(self.sections, self._of_any_kind()):
            raise ValueError(f"{key} is no option of {section}.kind={kinds[0]}")
        if key == "assistant.temperature":
            raise ValueError("assistant.temperature is no option: eval.modes and rollouts.temperature set it")
        raise ValueError(unknown(key, self.known()))

    def _of_any_kind(self) -> dict[str, list[str]]:
        return {name: names for name, names in self.choices.items() if not name.endswith(".kind")}

    def _spelled(self, key: str, value: str) -> str:
        """Returns a value in the spelling in which hydra reads it as the type of its option."""
        hint, rule = self.types.get(key, (Any, Rule()))
        types = kinds_of(hint)
        parsed = _parsed(value)
        if str in types or list[str] in types:
            if list[str] in types and (match := _LIST.fullmatch(value.strip())):
                parts = [_as_text(part.strip()) for part in match[1].split(",")]
                return f"[{','.join(parts)}]" if match[1].strip() else value
            if self.sweep and not _NESTED.search(value):
                return ",".join(map(_as_text, value.split(",")))
            if str in types and not (self.sweep and parsed is not None):
                return _as_text(value)
        if parsed is None:
            quotes = "; texts with a = in them need quotes, as in ['a=b']" if "=" in value else ""
            raise ValueError(f"{key} must be {described(hint, rule)}, not {value!r}, which cannot be read{quotes}")
        if parsed.is_sweep_override() and not self.sweep:
            raise ValueError(f"{key} must be {described(hint, rule)}, not {value!r}; commas are for sweeps (-m)")
        result = None if parsed.is_sweep_override() else parsed.value()
        if isinstance(result, bool | int | float):
            result = convert(key, result, hint, rule)
        elif isinstance(result, str) and "$" not in value and value != "???":
            convert(key, str(result), hint, rule)
        return str(result) if isinstance(result, int) and types[0] is int else value


def on_players(overrides: Sequence[str]) -> list[str]:
    """Returns hydra's overrides about task, game or players, which other commands take as well, as a user writes them.

    These are without the signs that `CommandLine` adds.
    """
    words = [override.lstrip("+") for override in overrides]
    return [word for word in words if re.split(r"[.=@]", word.lstrip("~"), maxsplit=1)[0] in EXPERIMENT]


def _role(key: str) -> str:
    return ".".join(key.split(".")[:2]) + "."


def _check_choice(group: str, name: str) -> None:
    """Checks a choice of a group.

    Raises:
        ValueError: The group has no such name.
    """
    known = names_of(group)
    if group == "game" and name in game_names():
        find_game(name)  # says why it cannot be loaded
    if name in known or re.search(r"[$:/]|\.py$|^null$", name):  # an interpolation, or a task in a module or file
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"{group} must be one of {', '.join(known)}, not {name!r}{hint}")


def _as_text(value: str) -> str:
    """Returns a text in quotes if hydra would read it as something else; what is quoted already stays."""
    parsed = _parsed(value)
    if parsed is not None and not parsed.is_sweep_override():
        result = parsed.value()
        if result is None or isinstance(result, str | list | dict):
            return value
    return QuotedString(text=value, quote=Quote.single).with_quotes()


def _parsed(value: str) -> Override | None:
    """Returns hydra's reading of a value; ``None`` if it cannot read it."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except (HydraException, ValueError):
        return None
