"""Checks that the compliance tests share."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from clarify_env.plugins import described


def survives_json(value: Any) -> bool:
    """Whether a value is unchanged after it is written to JSON and read back."""
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        return False


@contextlib.contextmanager
def expects(error: type[Exception], sentence: str) -> Iterator[None]:
    """Context manager that raises AssertionError with ``sentence`` unless its block raises ``error``."""
    try:
        yield
    except error:
        return
    raise AssertionError(sentence)


@contextlib.contextmanager
def raises_nothing(what: str) -> Iterator[None]:
    """Context manager that turns any other error of its block into AssertionError with a sentence.

    Args:
        what: Start of the sentence: what the block does.
    """
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what} raised {described(error)}") from error
