"""Options of a chat template: which of several templates, the day it states, and the variables it reads."""

import difflib
import inspect
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from transformers import PreTrainedTokenizerBase

# Gives a template the day of the run: `strftime_now` of transformers reads the clock.
_CLOCK = (
    "{% macro strftime_now(format) %}{% set text = namespace(value=format) %}"
    "{% for code, value in day_of_run.items() %}{% set text.value = text.value.replace(code, value) %}{% endfor %}"
    "{{ text.value }}{% endmacro %}\n"
)


def parse_day(value: Any, option: str) -> date:
    """Returns the day of an option; ``None``: today.

    Raises:
        ValueError: It is no day.
    """
    if value is None or isinstance(value, date):
        return value or date.today()
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{option} must be a day such as 2026-11-27, not {value!r}") from None


def with_day(source: str, day: date) -> tuple[str, dict[str, Any]]:
    """Returns a template that states a day instead of the clock's, and the variables that it then reads."""
    if "strftime_now" not in source:
        return source, {}
    return _CLOCK + source, {"day_of_run": {code: day.strftime(code) for code in re.findall(r"%[-#]?[A-Za-z]", source)}}


def choose(tokenizer: PreTrainedTokenizerBase, choice: Any, option: str) -> str:
    """Returns the source of the chosen template.

    Raises:
        ValueError: There is none, or there is no template of that name.
    """
    templates: Any = tokenizer.chat_template
    if isinstance(templates, list):
        templates = {entry["name"]: entry["template"] for entry in templates}
    if isinstance(choice, str) and "{" in choice:
        return choice
    if not isinstance(templates, dict):
        if choice is not None:
            raise ValueError(
                f"{option}.chat_template: the model has one chat template, without a name, so there is no {choice!r}"
            )
        return templates
    name = "default" if choice is None else choice
    if name not in templates:
        names = ", ".join(sorted(templates))
        missing = "there is no default" if choice is None else f"there is no {choice!r}"
        raise ValueError(f"{option}.chat_template must name one of the model's chat templates, {names}: {missing}")
    return templates[name]


def check_variables(variables: Mapping[str, Any], source: str, option: str) -> None:
    """Checks that the template reads the variables.

    Raises:
        ValueError: It does not read one, or one is not a user's to set.
    """
    own = {"messages", *inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters}
    words = sorted(set(re.findall(r"\b[A-Za-z_]\w*", source)) - own)
    for name in variables:
        if name in own:
            raise ValueError(f"{option}.{name} is set by the game")
        if name not in words:
            close = difflib.get_close_matches(name, words, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{option}.{name}: the model's chat template reads no variable of this name{hint}")
