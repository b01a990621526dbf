"""Checks that the compliance tests share."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any


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
