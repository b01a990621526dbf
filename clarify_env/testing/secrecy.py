"""Finds secret objects that are reachable from what a role receives."""

import gc
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

from clarify_env.games.clarification.facts import Secret
from clarify_env.tasks.base import Episode, Interpretation, Task

_SECRET = (Secret, Interpretation, Episode, Task)


def reachable(root: Any) -> Iterator[Any]:
    """Yields every object reachable from ``root``, except classes, modules and the globals of functions."""
    stack, visited = [root], {}
    while stack:
        item = stack.pop()
        if id(item) in visited or isinstance(item, (type, ModuleType)):
            continue
        # Keeps a reference, so that no id is reused during the walk.
        visited[id(item)] = item
        yield item
        if isinstance(item, FunctionType):
            stack += [item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__]
        else:
            stack += gc.get_referents(item)


def holds(root: Any) -> list[Any]:
    """Lists the objects reachable from ``root`` that no assistant may have: tasks, episodes, readings, user's secrets.

    Scripted assistants hold a task by design, so they are exempt.
    """
    return [item for item in reachable(root) if isinstance(item, _SECRET)]
