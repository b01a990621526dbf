"""Typed options: dataclass fields that state type, range and help, and the one reader that checks values by them."""

import ast
import copy
import difflib
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")
_RULE = "rule"
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    dict: "a mapping",
    Any: "a value",
}
_SIMPLE = (int, float, bool, str, type(None))
_PLURAL = {int: "whole numbers", float: "numbers", str: "texts", dict: "mappings", list: "lists", Any: "values"}


@dataclass(frozen=True)
class Rule:
    """The values that a field allows, beside its type; of a list, what each of its values must be.

    Attributes:
        least: Smallest value.
        most: Largest value.
        above: Excluded lower bound.
        below: Excluded upper bound.
        choices: The allowed values.
        length: Number of values of a list.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    length: int | None = None

    def allows(self, value: Any) -> bool:
        """Returns whether one value is within the bounds and among the choices."""
        if self.choices:
            return value in self.choices
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def words(self) -> str:
        """Returns the bounds in words, such as ``of at least 1``; empty without bounds."""
        low, high = (self.least, self.above), (self.most, self.below)
        if self.least is not None and self.most is not None:
            return f"in [{self.least:g}, {self.most:g}]"
        if any(bound is not None for bound in low) and any(bound is not None for bound in high):
            first, last = (next(bound for bound in pair if bound is not None) for pair in (low, high))
            return f"between {first:g} and {last:g}"
        bounds = (("of at least", self.least), ("above", self.above), ("of at most", self.most), ("below", self.below))
        return next((f"{word} {bound:g}" for word, bound in bounds if bound is not None), "")


def option(default: Any = MISSING, *, choices: Iterable[Any] = (), **bounds: Any) -> Any:
    """Declares a dataclass field with the values it allows.

    Args:
        default: Value where the config says nothing; copied for each instance. Without one, the config must say.
        choices: The allowed values; of a list, those of each of its values.
        **bounds: ``least``, ``most``, ``above``, ``below`` and ``length`` of `Rule`.
    """
    metadata = {_RULE: Rule(choices=tuple(choices), **bounds)}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def read(cls: type[Options], values: Mapping[str, Any], name: str) -> Options:
    """Makes an options dataclass of a config section.

    Args:
        cls: A dataclass.
        values: The section, as plain values.
        name: The section's name, for errors; empty for the root.

    Raises:
        ValueError: A key is unknown, lacks a value, has a value of another type or out of range, or the dataclass's own
            ``__post_init__`` refuses the values together. The message names the option and what it allows.
    """
    known, hints, arguments = {f.name: f for f in fields(cls)}, typing.get_type_hints(cls), {}
    for key, value in values.items():
        path = f"{name}.{key}" if name else key
        if key not in known:
            raise ValueError(unknown(path, [f"{name}.{other}" if name else other for other in known]))
        arguments[key] = _fitted(path, value, hints[key], rule_of(known[key]))
    for key, one in known.items():
        if key not in values and one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{name}.{key} is missing: it must be {described(hints[key], rule_of(one))}")
    return cls(**arguments)


def check_arguments(
    function: Callable[..., Any], values: Mapping[str, Any], name: str, skip: Sequence[str] = ()
) -> None:
    """Checks a config section against the parameters of a constructor that is called with it.

    Args:
        function: The constructor.
        values: The section, as plain values.
        name: The section's name, for errors.
        skip: Parameters that are no options.

    Raises:
        ValueError: A key is no parameter, or its value is not of the annotated type.
    """
    known, hints = [key for key in inspect.signature(function).parameters if key not in skip], _hints(function)
    for key, value in values.items():
        if key not in known:
            raise ValueError(unknown(f"{name}.{key}", [f"{name}.{other}" for other in known]))
        if all(kind in _SIMPLE for kind in _kinds(hints.get(key, Any))):
            _fitted(f"{name}.{key}", value, hints[key], Rule())


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints by parameter; none where they name what is not there at run time, so that nothing can be checked."""
    try:
        return typing.get_type_hints(getattr(function, "__init__") if isinstance(function, type) else function)  # noqa: B009
    except NameError:
        return {}


def unknown(path: str, known: Sequence[str]) -> str:
    """Returns the sentence that says that there is no such option, with the closest ones there are."""
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.75)
    if close:
        return f"there is no option {path}; did you mean {close[0]}?"
    section = path.rpartition(".")[0]
    beside = [other for other in known if section and other.rpartition(".")[0] == section]
    beside = beside or list(dict.fromkeys(other.partition(".")[0] for other in known))
    return f"there is no option {path}; known: {', '.join(beside)}"


def defaults(cls: type) -> dict[str, Any]:
    """Returns the default of each field that has one."""
    result = {}
    for one in fields(cls):
        if one.default is not MISSING:
            result[one.name] = one.default
        elif one.default_factory is not MISSING:
            result[one.name] = one.default_factory()
    return result


def rule_of(one: Field) -> Rule:
    """Returns the rule of a field."""
    return one.metadata.get(_RULE, Rule())


def described(hint: Any, rule: Rule) -> str:
    """Returns in words which values a field allows, such as ``a whole number of at least 1``."""
    kinds = _kinds(hint)
    words = [_one_kind(kind, rule) for kind in kinds if kind is not type(None)]
    return " or ".join([*words, "null"] if type(None) in kinds else words)


def _one_kind(kind: Any, rule: Rule) -> str:
    if typing.get_origin(kind) is tuple:
        item, *_ = typing.get_args(kind)
        return f"two {_PLURAL[item]} {rule.words()}".strip()
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        if rule.choices:
            return f"one or more of {', '.join(map(str, rule.choices))}"
        count = {None: "a list of", 2: "two"}[rule.length]
        return f"{count} {_PLURAL.get(typing.get_origin(item) or item, 'values')} {rule.words()}".strip()
    if rule.choices:
        *others, last = map(str, rule.choices)
        return f"one of {', '.join(others)}, {last}" if len(others) > 1 else " or ".join([*others, last])
    return f"{_WORDS[typing.get_origin(kind) or kind]} {rule.words()}".strip()


def _kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _fitted(path: str, value: Any, hint: Any, rule: Rule) -> Any:
    for kind in _kinds(hint):
        fits, result = _as_kind(value, kind, rule)
        if fits:
            return result
    shown = repr(value)
    if isinstance(value, list) and rule.choices:
        shown = ", ".join(map(str, value)) or "none"
    raise ValueError(f"{path} must be {described(hint, rule)}, not {shown}")


def _as_kind(value: Any, kind: Any, rule: Rule) -> tuple[bool, Any]:
    """Returns whether a value is of a kind and allowed, and the value as that kind."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return True, value
    if kind is type(None):
        return value is None, None
    if origin is list:
        (item,) = typing.get_args(kind)
        if not isinstance(value, list) or (rule.choices and not value):
            return False, None
        each = [_as_kind(one, item, rule) for one in value]
        return all(fits for fits, _ in each) and rule.length in (None, len(value)), [one for _, one in each]
    if origin is tuple:
        items = typing.get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(items):
            return False, None
        parts = [_as_kind(one, item, rule) for one, item in zip(value, items, strict=True)]
        return all(fits for fits, _ in parts), tuple(one for _, one in parts)
    if origin is dict:
        return isinstance(value, dict), value
    if isinstance(value, bool) and kind is not bool:
        return False, None
    if kind is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, kind) or (kind is float and not math.isfinite(value)):
        return False, None
    return rule.allows(value), value


@lru_cache
def field_docs(cls: type) -> dict[str, str]:
    """Returns the docstring under each field of a dataclass, in one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is object or not typing.get_type_hints(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef), "the source of a class is its definition"
        for statement, after in pairwise(definition.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = after.value.value if isinstance(after.value, ast.Constant) else None
                if isinstance(text, str):
                    docs[ast.unparse(statement.target)] = " ".join(text.split())
    return docs
