"""Typed options: dataclass fields that state type, range and help, and the one reader that checks values by them."""

import copy
import difflib
import inspect
import math
import numbers
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
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
    os.PathLike: "a path",
}
_SIMPLE = (int, float, bool, str, type(None), os.PathLike)
_PLURAL = {int: "whole numbers", float: "numbers", str: "texts", dict: "mappings", list: "lists", Any: "values"}
# Largest seed: numpy's and torch's generators take seeds below 2^32, and runs count on from theirs.
SEED = 2**31 - 1
# Whole numbers beyond this are refused: numpy and torch take none that need more than 64 bits.
_LARGEST = 2**63 - 1


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
        if isinstance(value, str):
            return True  # bounds are those of numbers
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
            return f"in [{_plain(self.least)}, {_plain(self.most)}]"
        if any(bound is not None for bound in low) and any(bound is not None for bound in high):
            first, last = (next(bound for bound in pair if bound is not None) for pair in (low, high))
            return f"between {_plain(first)} and {_plain(last)}"
        bounds = (("of at least", self.least), ("above", self.above), ("of at most", self.most), ("below", self.below))
        return next((f"{word} {_plain(bound)}" for word, bound in bounds if bound is not None), "")


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


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
    """Makes an options dataclass of a config section; each value is converted to the type of its field.

    Args:
        cls: A dataclass.
        values: The section, as plain values.
        name: The section's name, for errors; empty for the root.

    Raises:
        ValueError: A key is unknown, lacks a value, has a value of another type or out of range, or the dataclass's own
            ``__post_init__`` refuses the values together. The message names the option and what it allows.
    """
    known, types, arguments = {f.name: f for f in fields(cls)}, field_types(cls), {}
    for key, value in values.items():
        path = f"{name}.{key}" if name else key
        if key not in known:
            raise ValueError(unknown(path, [f"{name}.{other}" if name else other for other in known]))
        arguments[key] = convert(path, value, *types[key])
    for key, one in known.items():
        if key not in values and one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{name}.{key} is missing: it must be {described(*types[key])}")
    return cls(**arguments)


def check_arguments(
    function: Callable[..., Any], values: Mapping[str, Any], name: str, skip: Sequence[str] = ()
) -> dict[str, Any]:
    """Checks a config section against the parameters of a constructor that is called with it.

    Args:
        function: The constructor.
        values: The section, as plain values.
        name: The section's name, for errors.
        skip: Parameters that are no options.

    Returns:
        The values, each converted to the annotated type of its parameter.

    Raises:
        ValueError: A key is no parameter, or its value is not of the annotated type.
    """
    types, arguments = parameter_types(function), {}
    known = [key for key in types if key not in skip]
    for key, value in values.items():
        if key not in known:
            raise ValueError(unknown(f"{name}.{key}", [f"{name}.{other}" for other in known]))
        arguments[key] = convert(f"{name}.{key}", value, *types[key])
    return arguments


def parameter_types(function: Callable[..., Any]) -> dict[str, tuple[Any, Rule]]:
    """Returns type and rule of each parameter of a constructor; `Any` where the annotation is none that is checked.

    A parameter ``world_seed`` is a seed, of at least 0, for every task.
    Hints that name what is not there at run time check nothing.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a class without a signature
        return {}
    try:
        hints = typing.get_type_hints(getattr(function, "__init__") if isinstance(function, type) else function)  # noqa: B009
    except NameError:
        hints = {}
    types: dict[str, tuple[Any, Rule]] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            continue
        hint = hints.get(parameter.name, Any)
        if not all(kind in _SIMPLE for kind in kinds_of(hint)):
            hint = Any
        seed = parameter.name == "world_seed"
        rule = Rule(least=0, most=SEED) if seed else Rule()
        types[parameter.name] = hint, rule
    return types


def field_types(cls: type) -> dict[str, tuple[Any, Rule]]:
    """Returns type and rule of each field of a dataclass; `Any` where its hint names what is not there at run time."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError:
        hints = {}
    return {one.name: (hints.get(one.name, Any), rule_of(one)) for one in fields(cls)}


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
    kinds = kinds_of(hint)
    if str in kinds:
        kinds = tuple(kind for kind in kinds if kind is not os.PathLike)
    words = [_one_kind(kind, rule) for kind in kinds if kind is not type(None)]
    return " or ".join([*words, "null"] if type(None) in kinds else words)


def _one_kind(kind: Any, rule: Rule) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return _one_kind(str, Rule(choices=typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        item, *others = typing.get_args(kind)
        count = "a list of" if others == [...] else {1: "two"}.get(len(others), f"{len(others) + 1}")
        return f"{count} {_PLURAL.get(item, 'values')} {rule.words()}".strip()
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        if rule.choices:
            return f"one or more of {', '.join(map(str, rule.choices))}"
        count = {None: "a list of", 2: "two"}.get(rule.length, f"{rule.length}")
        return f"{count} {_PLURAL.get(typing.get_origin(item) or item, 'values')} {rule.words()}".strip()
    if rule.choices:
        *others, last = (str(choice) for choice in rule.choices if choice is not None)  # null is named by the type
        return f"one of {', '.join(others)}, {last}" if len(others) > 1 else " or ".join([*others, last])
    return f"{_WORDS.get(typing.get_origin(kind) or kind, 'a value')} {rule.words()}".strip()


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """Returns the types of a union, or the one type that a hint is."""
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def convert(path: str, value: Any, hint: Any, rule: Rule) -> Any:
    """Returns the value of an option as its type.

    Args:
        path: Name of the option, for errors.
        value: A plain value.
        hint: Type of the option.
        rule: The values it allows beside its type.

    Raises:
        ValueError: The value is of another type or out of range; the message says what is allowed.
    """
    for kind in kinds_of(hint):
        fits, result = _as_kind(value, kind, rule)
        if fits:
            return result
    shown = repr(value)
    if isinstance(value, list) and rule.choices:
        shown = ", ".join(map(str, value)) or "none"
    raise ValueError(f"{path} must be {described(hint, rule)}, not {shown}")


def whole_number(name: str, value: Any, least: int | None = None) -> int:
    """Returns a whole number, which may be numpy's, as Python's.

    Raises:
        ValueError: It is none, or below ``least``; the message begins with ``name``.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not Rule(least=least).allows(value):
        raise ValueError(f"{name} must be {described(int, Rule(least=least))}, not {value!r}")
    return int(value)


def _as_kind(value: Any, kind: Any, rule: Rule) -> tuple[bool, Any]:
    """Returns whether a value is of a kind and allowed, and the value as that kind."""
    origin = typing.get_origin(kind)
    if isinstance(value, numbers.Integral) and not isinstance(value, int):
        value = int(value)  # numpy's
    if kind is Any:
        return _is_finite(value), value
    if kind is type(None):
        return value is None, None
    if origin is list:
        (item,) = typing.get_args(kind)
        if not isinstance(value, list) or (rule.choices and not value):
            return False, None
        each = [_as_kind(one, item, rule) for one in value]
        return all(fits for fits, _ in each) and rule.length in (None, len(value)), [one for _, one in each]
    if origin is typing.Literal:
        return value in typing.get_args(kind), value
    if origin is tuple:
        items = typing.get_args(kind)
        if isinstance(value, list | tuple) and items[-1:] == (...,):
            items = items[:1] * len(value)
        if not isinstance(value, list | tuple) or len(value) != len(items):
            return False, None
        parts = [_as_kind(one, item, rule) for one, item in zip(value, items, strict=True)]
        return all(fits for fits, _ in parts), tuple(one for _, one in parts)
    if origin is dict:
        return isinstance(value, dict) and _is_finite(value), value
    if not isinstance(kind, type):
        return _is_finite(value), value  # a type of another package's options that is not known here
    if isinstance(value, bool) and kind is not bool:
        return False, None
    if isinstance(value, int | float) and kind in (int, float, str):
        value = _as_number(value, kind)
    if not isinstance(value, kind):
        return False, None
    return rule.allows(value), value


def _as_number(value: int | float, kind: type) -> int | float | str | None:
    """Returns a number as another type; ``None`` where that type cannot hold it exactly."""
    if not abs(value) <= (_LARGEST if kind is int else sys.float_info.max):
        return None
    if kind is str:
        return str(value) if isinstance(value, int) else None  # how a float was spelled is lost
    if kind is int:
        return int(value) if value == int(value) else None
    return float(value)


def _is_finite(value: Any) -> bool:
    """Returns whether a value, and all that it holds, can be written as JSON: no number is infinite or NaN."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))
