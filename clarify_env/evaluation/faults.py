"""The fault report of a role: how often its messages are at fault, by kind, with intervals and example games."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from clarify_env.evaluation.intervals import clustered_share
from clarify_env.games.base import Reply, Trajectory
from clarify_env.games.conduct import UNENDED
from clarify_env.games.setup import Setup

# Example games that a report holds of each kind of fault.
EXAMPLES = 3


@runtime_checkable
class KnowsEnds(Protocol):
    """An agent that can tell whether its messages ended before the limit on their length."""

    def ended(self, reply: Reply) -> bool:
        """Whether a message of this agent ended."""
        ...


def ends_of(agent: Any) -> Callable[[Reply], bool]:
    """Returns what tells whether a message of an agent ended; all do where the agent cannot tell."""
    return agent.ended if isinstance(agent, KnowsEnds) else ends_always


def ends_always(reply: Reply) -> bool:
    """Stands for a player of which it is not known whether its messages end."""
    return True


class FaultCounts:
    """Counts of a role's messages and faults, over games that may come in parts.

    Every game counts once, whatever the weight of what was dealt. Games of one deal (episode and hidden possibility)
    are a cluster, since its messages are alike.

    Args:
        setup: Game, task and options; the game must judge the role (`Description.faults`).
        role: The role.
        examples: Example games of each kind of fault.
    """

    def __init__(self, setup: Setup, role: str, examples: int = EXAMPLES):
        self._setup, self.role, self._most = setup, role, examples
        self._counts: dict[tuple[str, int], Counter[str]] = {}
        self._examples: dict[str, list[dict[str, Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_setup": None}  # counts go between processes without the task

    def add(self, games: Iterable[Trajectory], ended: Callable[[Reply], bool] = ends_always) -> None:
        """Counts the messages of some games.

        Args:
            games: Finished games.
            ended: Whether a message of the role ended before the limit on its length.
        """
        setup = self._setup
        for game in games:
            counts = self._counts.setdefault((game.episode_id, game.hidden), Counter())
            for judged in setup.game.judge(setup.task, setup.task.lookup(game.episode_id), game, self.role):
                turn = game.turns[judged.turn]
                faults = (*judged.faults, *(() if ended(turn.reply) else (UNENDED,)))
                counts.update({"": 1, f"of {judged.kind}": 1} | dict.fromkeys(faults, 1))
                counts["faulty"] += bool(faults)
                for name in faults:
                    examples = self._examples.setdefault(name, [])
                    if len(examples) < self._most:
                        examples.append(self._example(game, judged.turn))

    def _example(self, game: Trajectory, turn: int) -> dict[str, Any]:
        """A game up to and including a faulty message, which stands last."""
        setup = self._setup
        return {
            "episode_id": game.episode_id,
            **setup.game.shown(setup.task.lookup(game.episode_id), game.hidden),
            "turns": [[turn.role, turn.reply.text] for turn in game.turns[: turn + 1]],
        }

    def merge(self, other: "FaultCounts") -> None:
        """Adds the counts of other games."""
        for cluster, counts in other._counts.items():
            self._counts.setdefault(cluster, Counter()).update(counts)
        for name, examples in other._examples.items():
            mine = self._examples.setdefault(name, [])
            mine += examples[: self._most - len(mine)]

    def report(self) -> dict[str, Any]:
        """Returns the fault report, JSON-able.

        Returns:
            ``games`` dealt differently (clusters), ``messages``; ``kinds``: of each kind of fault, in the order of the
            game's description, and of ``any``, what it ``means``, the number of messages it is counted ``of``, its
            ``count``, ``rate`` (``None``: there is no such message) and ``ci``, the 95 % interval of
            `clarify_env.evaluation.intervals.clustered_share`; ``examples``: games up to a faulty message, by kind.
        """
        kinds = {kind.name: (f"of {kind.of}" if kind.of else "", kind) for kind in self._setup.game.faults[self.role]}
        rows = {name: {"means": kind.meaning, **self._rate(name, of)} for name, (of, kind) in kinds.items()}
        rows["any"] = {"means": "has a fault of any kind", **self._rate("faulty", "")}
        total = sum(counts[""] for counts in self._counts.values())
        return {"deals": len(self._counts), "messages": total, "kinds": rows, "examples": self._examples}

    def _rate(self, name: str, of: str) -> dict[str, Any]:
        hits, totals = (np.array([c[key] for c in self._counts.values()], dtype=float) for key in (name, of))
        count, trials = int(hits.sum()), int(totals.sum())
        interval = clustered_share(hits, totals)
        return {"of": trials, "count": count, "rate": count / trials if trials else None, "ci": interval}


def fault_report(
    setup: Setup,
    role: str,
    games: Sequence[Trajectory],
    ended: Callable[[Reply], bool] = ends_always,
    examples: int = EXAMPLES,
) -> dict[str, Any]:
    """Measures the faults of a role in some games; see `FaultCounts.report`."""
    counts = FaultCounts(setup, role, examples)
    counts.add(games, ended)
    return counts.report()
