"""What a comparison says of several points of a method: reward against games or questions, and a sweep of settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from trainers.evaluation.metrics import interval
from trainers.reporting.report import fixed, percent
from trainers.runs.store import read_json, write_json

# Curves are of the sampled policy at costs between the trained ones.
_SET, _MODE = "between", "temperature"
# What "arrived" means: so much of the oracle's reward.
ARRIVED = 0.9


class Cell(Protocol):
    """What is read of a cell; see `trainers.compare.Cell`."""

    method: str
    task: str
    seed: int
    folder: Path
    games: int | None
    questions: int | None
    setting: tuple[str, ...]


def curves(cells: Sequence[Cell], seed: int) -> dict[str, Any]:
    """Reward against what was varied, for each task: the budget of games, or the number of training questions.

    Args:
        cells: Finished ones.
        seed: Of the bootstrap.

    Returns:
        By task, where more than one point was run: ``against`` (``games`` or ``questions``), ``methods``, for each a
        list of points (``at``, ``games`` as played, ``reward`` and its interval ``ci``, ``oracle``), and ``arrived``:
        for each method, the fewest games as played (or questions) at which it earned 90 % of the oracle, between two
        points by the straight line through them, or ``None``.
    """
    found = {}
    for task in dict.fromkeys(cell.task for cell in cells):
        its = [cell for cell in cells if cell.task == task and cell.games is not None]
        against = "questions" if len({cell.questions for cell in its}) > 1 else "games"
        if len({getattr(cell, against) for cell in its}) < 2:
            continue
        methods = {
            method: _points([cell for cell in its if cell.method == method], against, seed)
            for method in dict.fromkeys(cell.method for cell in its)
        }
        measured = "games" if against == "games" else "at"
        arrived = {method: _arrived(points, measured) for method, points in methods.items()}
        found[task] = {"against": against, "methods": methods, "arrived": arrived}
    return found


def _points(cells: list[Cell], against: str, seed: int) -> list[dict[str, Any]]:
    points = []
    for at in sorted({getattr(cell, against) for cell in cells}):
        runs = [cell.folder for cell in cells if getattr(cell, against) == at]
        summaries = [read_json(run / "summary.json") for run in runs]
        asked = [read_json(run / "evaluation.json")["questions"] for run in runs]
        mode = _MODE if _MODE in asked[0]["reward"][_SET] else next(iter(asked[0]["reward"][_SET]))
        rewards = np.array([its["reward"][_SET][mode] for its in asked])
        points.append(
            {
                "at": at,
                "games": float(np.mean([s["budget"]["games"] for s in summaries])),
                "reward": float(rewards.mean()),
                "ci": interval(rewards, asked[0]["entities"], seed),
                "oracle": float(np.mean([s["eval"][_SET][mode]["oracle"] for s in summaries])),
            }
        )
    return points


def _arrived(points: list[dict[str, Any]], at: str) -> float | None:
    before = None
    for point in points:
        missing = ARRIVED * point["oracle"] - point["reward"]
        if missing <= 0:
            if before is None:
                return float(point[at])
            last, lacked = before
            return last + (point[at] - last) * lacked / (lacked - missing)
        before = point[at], missing
    return None


def markdown(found: dict[str, Any]) -> str:
    """The curves as Markdown tables."""
    parts = []
    for task, curve in found.items():
        ats = sorted({point["at"] for points in curve["methods"].values() for point in points})
        title = f"### {task}: % of the oracle between, against {curve['against']}"
        parts += [title, "", "| method | " + " | ".join(f"{at:,}" for at in ats) + " | 90 % at |"]
        parts.append("|" + "---|" * (len(ats) + 2))
        for method, points in curve["methods"].items():
            by_at = {point["at"]: point for point in points}
            row = [cell(by_at.get(at)) for at in ats]
            arrived = curve["arrived"][method]
            parts.append(f"| {method} | " + " | ".join(row) + f" | {'–' if arrived is None else f'{arrived:,.0f}'} |")
        parts.append("")
    return "\n".join(parts)


def cell(point: dict[str, Any] | None) -> str:
    """A point as text: % of the oracle, with its interval."""
    if point is None:
        return "–"
    low, high = (percent(bound, point["oracle"], 1) for bound in point["ci"])
    return f"{percent(point['reward'], point['oracle'], 1)} [{low}, {high}]"


def write_tuning(folder: Path, cells: Sequence[Cell]) -> dict[str, Any]:
    """Writes ``tuning.json`` and ``tuning.md``: what each setting of each method earned, and which is best.

    Args:
        folder: Where.
        cells: Finished ones, measured on validation questions.

    Returns:
        By task and method: ``settings``, a list of ``overrides`` and ``reward``, ``oracle`` and ``invalid``, and
        ``best``, the overrides of the highest reward.
    """
    found: dict[str, Any] = {}
    for cell in cells:
        entry = read_json(cell.folder / "summary.json")["eval"][_SET][_MODE]
        settings = found.setdefault(cell.task, {}).setdefault(cell.method, {"settings": []})["settings"]
        settings.append(
            {
                "overrides": list(cell.setting),
                "reward": entry["reward"],
                "oracle": entry["oracle"],
                "invalid": entry["share"]["invalid"],
            }
        )
    lines = []
    for task, methods in found.items():
        lines += [
            f"### {task}: settings, by reward between costs on validation questions",
            "",
            "| method | settings | reward | % of the oracle | invalid % |",
            "|---|---|---|---|---|",
        ]
        for method, entry in methods.items():
            entry["best"] = max(entry["settings"], key=lambda its: its["reward"])["overrides"]
            for its in entry["settings"]:
                said = " ".join(its["overrides"]) or "as shipped"
                mark = " (best)" if its["overrides"] == entry["best"] else ""
                earned = f"{fixed(its['reward'])} | {percent(its['reward'], its['oracle'], 1)}"
                lines.append(f"| {method} | {said}{mark} | {earned} | {percent(its['invalid'], 1, 1)} |")
        lines.append("")
    write_json(folder / "tuning.json", found)
    (folder / "tuning.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    return found
