"""Scripted players by task and strategy."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from clarify_env.games.base import Reply, View
from clarify_env.games.ping.facts import END, facts_of, talking
from clarify_env.games.ping.protocols import chess_order, names, pictures, pointers
from clarify_env.games.ping.protocols.chess_order import Comparing
from clarify_env.games.ping.protocols.names import MOST_FIELDS, Probing
from clarify_env.games.ping.protocols.pictures import Asking
from clarify_env.games.ping.protocols.pointers import Chasing


class Strategy(Protocol):
    """Plays one seat of a task."""

    def say(self, view: View) -> str:
        """Returns a message, or the answer."""
        ...


class Wordless:
    """Ends the talk at once and answers.

    Args:
        answer: Returns the answer at a view.
    """

    def __init__(self, answer: Callable[[View], str]):
        self.answer = answer

    def say(self, view: View) -> str:
        """Returns a message, or the answer."""
        return END if talking(view) else self.answer(view)


# The strategies of each task by name, the best first. "mute" is added to each, and "seeing" where both see everything.
STRATEGIES: Mapping[str, Mapping[str, Callable[[], Strategy]]] = {
    "ping_names": {"probe": partial(Probing, MOST_FIELDS)} | {f"probe_{n}": partial(Probing, n) for n in (2, 1)},
    "ping_pictures": {"ask": partial(Asking, 64)} | {f"ask_{n}": partial(Asking, n) for n in (2, 1)},
    "ping_pointers": {"chase_fill": partial(Chasing, True), "chase": partial(Chasing, False)},
    "ping_chess": {"compare": partial(Comparing, False), "compare_total": partial(Comparing, True)},
}

_MUTE = {
    "ping_names": names.middle,
    "ping_pictures": pictures.silent,
    "ping_pointers": pointers.silent,
    "ping_chess": chess_order.silent,
}
_SEEING = {
    "ping_names": names.seen,
    "ping_pictures": pictures.seen,
    "ping_pointers": pointers.seen,
    "ping_chess": chess_order.seen,
}


class ScriptedPlayer:
    """A seat of the game, played by a strategy of the task.

    Args:
        name: Name of the strategy; ``"scripted"``: the first of the task's.

    Attributes:
        name: Recorded with results.
    """

    def __init__(self, name: str):
        self.name = name
        self._strategies: dict[str, Strategy] = {}

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self._strategy(facts_of(view).task).say(view)) for view in views]

    def _strategy(self, task: str) -> Strategy:
        if task not in self._strategies:
            self._strategies[task] = strategy_of(task, self.name)
        return self._strategies[task]


def strategy_of(task: str, name: str) -> Strategy:
    """Makes a strategy.

    Raises:
        ValueError: The task has none of that name.
    """
    known = STRATEGIES.get(task)
    if known is None:
        raise ValueError(f"game ping has no scripted players for task {task}")
    first = next(iter(known))
    if name == "mute":
        return Wordless(_MUTE[task])
    if name == "seeing":
        return Wordless(_SEEING[task])
    if name != "scripted" and name not in known:
        raise ValueError(f"task {task} has the strategies scripted, mute, {', '.join(known)}, not {name!r}")
    return known[first if name == "scripted" else name]()


def protocols(task: str) -> tuple[str, ...]:
    """Returns the names of the protocols of a task, the best first and ``"mute"`` last; none of a task without them."""
    return (*STRATEGIES[task], "mute") if task in STRATEGIES else ()


def all_names() -> tuple[str, ...]:
    """Returns the names of all strategies of all tasks."""
    return tuple(dict.fromkeys(["scripted", "mute", *(name for known in STRATEGIES.values() for name in known)]))
