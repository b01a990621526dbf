"""Compares several points of a method: reward against games or training episodes, and settings of a sweep."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from clarify_env.evaluation.intervals import interval
from trainers.reporting.columns import fixed, percent
from trainers.reporting.results import headline_set, read_evaluation, read_summary
from trainers.runs.store import write_json

# Mode of the curves, if measured.
_MODE = "temperature"
# Fraction of the oracle's reward at which ``arrived`` is computed.
ARRIVED = 0.9


class Cell(Protocol):
    """Attributes of a run that are needed here; see `trainers.evaluation.cells.Cell`."""

    method: str
    task: str
    seed: int
    folder: Path
    games: int | None
    episodes: int | None
    setting: tuple[str, ...]


def curves(cells: Sequence[Cell], seed: int) -> dict[str, Any]:
    """Computes reward against the budget of games or the number of training episodes, for each task.

    Args:
        cells: Finished runs.
        seed: Seed of the bootstrap.

    Returns:
        By task, if it has more than one point: ``against`` (``games`` or ``episodes``), ``set`` (the cost set),
        ``methods``, for each a list of points (``at``, ``games`` as played, ``reward`` and its interval ``ci``) and,
        beside an oracle, its reward at each point (``oracle``) and ``arrived``: for each method, the fewest games as
        played (or episodes) at which it earned 90 % of the oracle, interpolated linearly between points, or ``None``.
    """
    by_task = {}
    for task in dict.fromkeys(cell.task for cell in cells):
        learners = [cell for cell in cells if cell.task == task and cell.games is not None]
        against = "episodes" if len({cell.episodes for cell in learners}) > 1 else "games"
        if len({getattr(cell, against) for cell in learners}) < 2:
            continue
        cost_set = headline_set(read_summary(learners[0].folder / "summary.json")["eval"])
        methods = {
            method: _points([cell for cell in learners if cell.method == method], against, cost_set, seed)
            for method in dict.fromkeys(cell.method for cell in learners)
        }
        by_task[task] = {"against": against, "set": cost_set, "methods": methods}
        if all("oracle" in point for points in methods.values() for point in points):
            measured = "games" if against == "games" else "at"
            by_task[task]["arrived"] = {method: _arrived(points, measured) for method, points in methods.items()}
    return by_task


def _points(cells: list[Cell], against: str, cost_set: str, seed: int) -> list[dict[str, Any]]:
    points = []
    for at in sorted({getattr(cell, against) for cell in cells}):
        runs = [cell.folder for cell in cells if getattr(cell, against) == at]
        summaries = [read_summary(run / "summary.json") for run in runs]
        episodes = [read_evaluation(run / "evaluation.json")["episodes"] for run in runs]
        modes = episodes[0]["reward"][cost_set]
        mode = _MODE if _MODE in modes else next(iter(modes))
        rewards = np.array([run["reward"][cost_set][mode] for run in episodes])
        entries = [summary["eval"][cost_set][mode] for summary in summaries]
        point = {
            "at": at,
            "games": float(np.mean([summary["budget"]["games"] for summary in summaries])),
            "reward": float(rewards.mean()),
            "ci": interval(rewards, episodes[0]["entities"], seed),
        }
        if all("oracle" in entry for entry in entries):
            point["oracle"] = float(np.mean([entry["oracle"] for entry in entries]))
        points.append(point)
    return points


def _arrived(points: list[dict[str, Any]], at: str) -> float | None:
    before = None
    for point in points:
        missing = ARRIVED * point["oracle"] - point["reward"]
        if missing <= 0:
            if before is None:
                return float(point[at])
            last, last_missing = before
            return last + (point[at] - last) * last_missing / (last_missing - missing)
        before = point[at], missing
    return None


def markdown(by_task: dict[str, Any]) -> str:
    """Formats the curves as Markdown tables."""
    parts = []
    for task, curve in by_task.items():
        ats = sorted({point["at"] for points in curve["methods"].values() for point in points})
        columns = ["method", *(f"{at:,}" for at in ats), *(["90 % at"] if "arrived" in curve else [])]
        parts += [f"### {task}: {title(curve)}, against {curve['against']}", ""]
        parts += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for method, points in curve["methods"].items():
            by_at = {point["at"]: point for point in points}
            row = [method, *(cell(by_at.get(at)) for at in ats)]
            if "arrived" in curve:
                arrived = curve["arrived"][method]
                row.append("–" if arrived is None else f"{arrived:,.0f}")
            parts.append("| " + " | ".join(row) + " |")
        parts.append("")
    return "\n".join(parts)


def title(curve: dict[str, Any]) -> str:
    """Returns the title of a task's curves."""
    measure = "% of the oracle" if "arrived" in curve else "reward"
    return f"{measure} at {curve['set'].replace('_', ' ')} costs"


def cell(point: dict[str, Any] | None) -> str:
    """Formats a point: % of the oracle (or the reward without an oracle) with its interval."""
    if point is None:
        return "–"
    low, value, high = (
        percent(reward, point["oracle"], 1) if "oracle" in point else fixed(reward)
        for reward in (point["ci"][0], point["reward"], point["ci"][1])
    )
    return f"{value} [{low}, {high}]"


def write_tuning(folder: Path, cells: Sequence[Cell]) -> dict[str, Any]:
    """Writes ``tuning.json`` and ``tuning.md``: the reward of each setting of each method, and the best.

    Args:
        folder: Folder of the files.
        cells: Finished runs, measured on validation episodes.

    Returns:
        By task and method: ``settings``, a list of ``overrides``, ``reward``, ``invalid`` and, if the game has one, the
        ``oracle``'s reward; and ``best``, the overrides of the highest reward.
    """
    by_task: dict[str, Any] = {}
    sets = {}
    for cell in cells:
        table = read_summary(cell.folder / "summary.json")["eval"]
        sets[cell.task] = headline_set(table)
        entry = table[sets[cell.task]][_MODE]
        settings = by_task.setdefault(cell.task, {}).setdefault(cell.method, {"settings": []})["settings"]
        result = {name: entry[name] for name in ("reward", "oracle") if name in entry}
        settings.append({"overrides": list(cell.setting), **result, "invalid": entry["share"]["invalid"]})
    lines = []
    for task, methods in by_task.items():
        beside_oracle = all("oracle" in s for entry in methods.values() for s in entry["settings"])
        columns = ["method", "settings", "reward", *(["% of the oracle"] if beside_oracle else []), "invalid %"]
        lines += [f"### {task}: settings, by reward at {sets[task].replace('_', ' ')} costs on validation episodes", ""]
        lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for method, entry in methods.items():
            entry["best"] = max(entry["settings"], key=lambda setting: setting["reward"])["overrides"]
            for setting in entry["settings"]:
                name = " ".join(setting["overrides"]) or "as shipped"
                row = [method, name + (" (best)" if setting["overrides"] == entry["best"] else "")]
                row.append(fixed(setting["reward"]))
                row += [percent(setting["reward"], setting["oracle"], 1)] if beside_oracle else []
                row.append(percent(setting["invalid"], 1, 1))
                lines.append("| " + " | ".join(row) + " |")
        lines.append("")
    write_json(folder / "tuning.json", by_task)
    (folder / "tuning.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    return by_task
