"""Scores stored games anew: at other prices, or by another metric; nothing is generated."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.data.records import SAME
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from clarify_env.scores.metrics import SCORES
from clarify_env.tasks.base import Task


def by_metric(task: Any, metric: str) -> Any:
    """Returns a task that scores answers by another metric.

    Args:
        task: The task.
        metric: A name in `clarify_env.scores.metrics.SCORES`.

    Raises:
        ValueError: There is no such metric, or the task scores answers by a rule of its own.
    """
    if metric not in SCORES:
        raise ValueError(f"metric must be one of {', '.join(SCORES)}, not {metric!r}")
    other = copy.copy(task)
    if task.parts:
        other.parts = {name: by_metric(part, metric) for name, part in task.parts.items()}
        return other
    if type(task).score is not Task.score or type(task).metric_of is not Task.metric_of:
        raise ValueError(f"metric: task {task.name} scores answers by a rule of its own, and by no metric")
    other.metric = metric
    return other


def score(setup: Setup, games: Sequence[Trajectory], costs: Sequence[Prices | None]) -> dict[str, Any]:
    """Returns the mean reward of games and its components, at each vector of prices.

    Args:
        setup: Game, task and options.
        games: The games.
        costs: Vectors of prices; ``None``: those that each game was played at.

    Returns:
        ``rows``: for each vector, and each role with a result of its own, the number of games, mean reward, mean score,
        mean usage and rate of each flag.
    """
    roles: list[str | None] = [None]
    if any(game.result.by_role for game in games):
        roles += setup.game.roles
    rows = []
    for vector in costs:
        for role in roles:
            results = [game.result.of(role) for game in games]
            rewards = [game.result.reward(vector or game.prices, role) for game in games]
            rows.append(
                {
                    "costs": None if vector is None else [float(price) for price in vector],
                    "role": role,
                    "games": len(games),
                    "reward": _mean(rewards),
                    "score": _mean(result.score for result in results),
                    **{name: _mean(result.usage.get(name, 0.0) for result in results) for name in setup.game.usage},
                    **{name: _mean(result.flags[name] for result in results) for name in results[0].flags},
                }
            )
    return {"rows": rows}


def mismatches(games: Iterable[Trajectory], rewards: Iterable[float | None]) -> list[int]:
    """Returns the ids of the games whose reward is not the one on file; ``None``: there is none on file."""
    pairs = zip(games, rewards, strict=True)
    return [game.id for game, reward in pairs if reward is not None and abs(game.reward() - reward) > SAME]


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def markdown(scores: dict[str, Any]) -> str:
    """Returns the table in Markdown."""
    from trainers.reporting.terminal import markdown_table  # rich takes long to import

    return "\n".join([*markdown_table(*_cells(scores)), ""])


def print_scores(scores: dict[str, Any]) -> None:
    """Prints the table."""
    from rich.table import Table

    from trainers.reporting.terminal import print_wide

    columns, rows = _cells(scores)
    table = Table(box=None)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index > 1 else "left")
    for row in rows:
        table.add_row(*row)
    print_wide(table)


def _cells(scores: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = scores["rows"]
    return list(rows[0]), [[_cell(name, value) for name, value in row.items()] for row in rows]


def _cell(name: str, value: Any) -> str:
    if name == "costs":
        return "as played" if value is None else ", ".join(f"{price:g}" for price in value)
    if name == "role":
        return value or "all"
    return str(value) if name == "games" else f"{value:.3f}"
