"""Reads ``key=value`` command lines, for the commands of this package, which does not use hydra."""

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from clarify_env.costs import CostPlane


def run(name: str, page: str | None, arguments: Sequence[str], command: Callable[[Sequence[str]], str]) -> int:
    """Runs a command that prints a text, or its help.

    Args:
        name: Name of the command, for errors.
        page: Its help: the docstring of its module.
        arguments: The command line.
        command: Returns what is printed.

    Returns:
        The exit code: 2 if an argument is wrong, after one sentence on stderr.
    """
    if any(argument in ("--help", "-h", "help") for argument in arguments):
        print(inspect.cleandoc(page or "").replace("``", ""))
        return 0
    try:
        print(command(arguments))
    except ValueError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0


def read(arguments: Sequence[str], defaults: dict[str, Any]) -> dict[str, Any]:
    """Reads ``key=value`` arguments.

    Args:
        arguments: The command line. ``task.OPTION`` sets an option of the task, ``costs.alpha`` and ``costs.beta``
            (``[low,high]``) set the cost plane; all other keys are those of ``defaults``.
        defaults: Default value by key. Where it is an integer, the argument must be a whole number.

    Returns:
        The values by key, and ``task_options`` (a dict) and ``plane`` (a `CostPlane`).

    Raises:
        ValueError: An argument is wrong; the message names it.
    """
    settings: dict[str, Any] = dict(defaults)
    options: dict[str, Any] = {}
    axes: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise ValueError(f"arguments have the form key=value, not {argument!r}")
        if key.startswith("task."):
            options[key.removeprefix("task.")] = value(text)
        elif key in ("costs.alpha", "costs.beta"):
            axes[key.removeprefix("costs.")] = _range(key, text)
        elif isinstance(defaults.get(key), int):
            if not text.isdecimal():
                raise ValueError(f"{key} must be a whole number, not {text!r}")
            settings[key] = int(text)
        elif key in settings:
            settings[key] = text
        else:
            known = ", ".join([*defaults, "task.OPTION", "costs.alpha", "costs.beta"])
            raise ValueError(f"unknown argument {key!r}; known: {known}")
    return settings | {"task_options": options, "plane": CostPlane(**axes)}


def value(text: str) -> Any:
    """Reads numbers, true, false and null as JSON; anything else, such as a path, is a string."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _range(key: str, text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.strip("[]()").split(","))
    except ValueError:
        raise ValueError(f"{key} must be [low,high], not {text!r}") from None
    return low, high
