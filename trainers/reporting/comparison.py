"""Compares runs: means with intervals, paired differences to one method, tables and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from clarify_env.evaluation.intervals import interval
from clarify_env.games import find_game
from trainers.reporting import figures
from trainers.reporting import learning_curves as curves
from trainers.reporting.columns import MODES, REASONING, fixed, percent
from trainers.reporting.one_price import has_one_price
from trainers.reporting.report import TEMPLATES, environment
from trainers.reporting.results import has_oracle, price_names, read_evaluation, read_summary, set_names
from trainers.reporting.terminal import print_wide
from trainers.runs.store import write_json


class Result(NamedTuple):
    """A finished run with its summary and evaluation."""

    method: str
    task: str
    seed: int
    summary: dict[str, Any]
    evaluation: dict[str, Any]


def compared(cells: Sequence[tuple[str, str, int, Path]], reference: str, seed: int) -> dict[str, Any]:
    """Compares finished runs.

    Args:
        cells: (method, task, seed, run directory) of each run.
        reference: Method to which differences are computed.
        seed: Seed of the bootstrap.

    Returns:
        ``reference``; in ``games``, the game of each task; and in ``tasks``, for each task and method: ``seeds``,
        ``reasoning`` (the rule on text before the tag), ``budget``, if measured ``steering`` and ``grid``
        (the maps of the cost plane), means over seeds, and in ``eval``, for each cost set and mode, ``reward`` with its
        interval ``ci`` over runs and entities, every seed's reward (``by_seed``), the ``difference`` to the reference
        with its interval, paired by episode, and the mean of every other number of the summaries' entries.

    Raises:
        ValueError: Runs of a task differ in game or in measured episodes.
    """
    results = [
        Result(method, task, run_seed, read_summary(run / "summary.json"), read_evaluation(run / "evaluation.json"))
        for method, task, run_seed, run in cells
    ]
    tasks: dict[str, dict[str, list[Result]]] = {}
    games: dict[str, str] = {}
    for result in results:
        game = result.summary["game"]
        if games.setdefault(result.task, game) != game:
            raise ValueError(f"compare: runs on {result.task} are of several games, {games[result.task]} and {game}")
        tasks.setdefault(result.task, {}).setdefault(result.method, []).append(result)
    return {
        "reference": reference,
        "games": games,
        "curves": {},
        "tasks": {
            task: {method: _method(runs, methods[reference], seed) for method, runs in methods.items()}
            for task, methods in tasks.items()
        },
    }


def _method(runs: list[Result], against: list[Result], seed: int) -> dict[str, Any]:
    table: dict[str, dict[str, Any]] = {}
    for name in runs[0].summary["eval"]:
        table[name] = {}
        for mode in runs[0].summary["eval"][name]:
            if any(mode not in run.summary["eval"].get(name, {}) for run in (*runs, *against)):
                raise ValueError(
                    f"compare: {runs[0].method} was measured at {name} costs ({mode}), {against[0].method} was not"
                )
            entries = [run.summary["eval"][name][mode] for run in runs]
            rewards, reference_rewards = (_rewards(side, name, mode) for side in (runs, against))
            entities = runs[0].evaluation["episodes"]["entities"]
            if any(run.evaluation["episodes"]["entities"] != entities for run in (*runs, *against)):
                raise ValueError(f"compare: runs on {runs[0].task} were measured on other episodes")
            paired = len(rewards) == len(reference_rewards)
            difference = (rewards if paired else rewards.mean(0, keepdims=True)) - reference_rewards
            table[name][mode] = {
                "reward": float(rewards.mean()),
                "ci": interval(rewards, entities, seed),
                "by_seed": rewards.mean(1).tolist(),
                "difference": float(difference.mean()),
                "difference_ci": interval(difference, entities, seed),
                **{key: float(np.mean([entry[key] for entry in entries])) for key in _numbers(entries)},
                "share": _mean([entry["share"] for entry in entries]),
            }
    method = {
        "seeds": [run.seed for run in runs],
        "reasoning": runs[0].summary.get("reasoning", "none"),
        "budget": _mean([run.summary["budget"] for run in runs]),
        "eval": table,
    }
    if all(run.summary.get("steering") for run in runs):
        method["steering"] = _mean([run.summary["steering"] for run in runs])
    if all(run.evaluation.get("grid") for run in runs):
        method["grid"] = _mean([run.evaluation["grid"] for run in runs])
    return method


def _numbers(entries: list[dict[str, Any]]) -> list[str]:
    """Returns the keys, except ``reward``, at which every entry holds a number."""
    return [
        key
        for key in entries[0]
        if key != "reward" and all(isinstance(entry.get(key), (int, float)) for entry in entries)
    ]


def _rewards(runs: list[Result], name: str, mode: str) -> np.ndarray:
    """Returns rewards, shape [runs, episodes]."""
    return np.array([run.evaluation["episodes"]["reward"][name][mode] for run in runs])


def _mean(values: list[Any]) -> Any:
    """Returns the mean of structures of equal shape, number by number."""
    if isinstance(values[0], dict):
        return {key: _mean([value[key] for value in values]) for key in values[0]}
    return np.mean(values, axis=0).tolist()


def write_comparison(folder: Path, comparison: dict[str, Any]) -> Path:
    """Writes ``comparison.json``, ``.md`` and ``.html`` and ``figures/*.png``, and prints the table.

    Args:
        folder: Folder of the files.
        comparison: Result of `compared`, with the result of `learning_curves.curves` in ``curves``.

    Returns:
        Path of ``comparison.html``.
    """
    folder = Path(folder)
    write_json(folder / "comparison.json", comparison)
    (folder / "comparison.md").write_text(markdown(comparison), encoding="utf-8")
    (folder / "figures").mkdir(exist_ok=True)
    svgs: dict[str, str] = {}
    for task in comparison["tasks"]:
        for name, figure in _figures(comparison, task).items():
            figures.save_png(figure, folder / "figures" / f"{name}-{task}.png")
            svgs[f"{name}-{task}"] = figures.inline_svg(figure, f"{name}-{task}", f"{name} on {task}")
    html = (
        environment()
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            modes=MODES,
            measured=_measured,
            beside_oracle=_beside_oracle,
            figures=svgs,
            reasoning=_reasoning,
            curves=comparison["curves"],
            curve_cell=curves.cell,
            curve_title=curves.title,
            style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        )
    )
    path = folder / "comparison.html"
    path.write_text(html, encoding="utf-8")
    _print(comparison)
    return path


def _figures(comparison: dict[str, Any], task: str) -> dict[str, Figure]:
    """Draws the figures of a task, by name; maps only of methods that were measured on the steering grid."""
    by_name = {}
    grids = {method: entry["grid"] for method, entry in comparison["tasks"][task].items() if "grid" in entry}
    if grids:
        game = find_game(comparison["games"][task])
        # One line plot: the first quantity of `Description.steering`.
        if game.steering:
            quantity, price = next(iter(game.steering.values()))
            by_name["steering"] = figures.steering_lines(grids, quantity, price, price_names(game))
        if not any(map(has_one_price, grids.values())):
            by_name["plane"] = figures.regrets(grids)
    if task in comparison["curves"]:
        by_name["curve"] = figures.curve(comparison["curves"][task])
    return by_name


def _beside_oracle(methods: dict[str, Any]) -> bool:
    return all(has_oracle(entry["eval"]) for entry in methods.values())


def _measured(methods: dict[str, Any], mode: str) -> list[str]:
    """Returns the cost sets at which at least one method was measured in this mode."""
    names = set_names(entry["eval"] for entry in methods.values())
    return [name for name in names if any(mode in entry["eval"].get(name, {}) for entry in methods.values())]


def _rows(methods: dict[str, Any], mode: str) -> list[list[str]]:
    """Returns a row per method: number of seeds, then the text of `_cell` for each cost set."""
    rows = []
    for method, entry in methods.items():
        row = [method, str(len(entry["seeds"]))]
        for name in _measured(methods, mode):
            cell = entry["eval"].get(name, {}).get(mode)
            row.append("–" if cell is None else _cell(cell))
        rows.append(row)
    return rows


def _cell(cell: dict[str, Any]) -> str:
    low, high = (fixed(bound) for bound in cell["ci"])
    text = f"{fixed(cell['reward'])} [{low}, {high}]"
    if "oracle" in cell:
        text += f" {percent(cell['reward'], cell['oracle'], 1)} %"
    if any(cell["difference_ci"]):
        low, high = (fixed(bound) for bound in cell["difference_ci"])
        text += f"; {fixed(cell['difference'])} [{low}, {high}]"
    return text


def markdown(comparison: dict[str, Any]) -> str:
    """Formats the tables as Markdown."""
    parts = []
    for task, methods in comparison["tasks"].items():
        for mode, title in MODES.items():
            names = _measured(methods, mode)
            if not names:
                continue
            parts += [f"### {task}, {title}", "", _caption(comparison, methods), ""]
            parts += ["| " + " | ".join(["method", "seeds", *(name.replace("_", " ") for name in names)]) + " |"]
            parts += ["|" + "---|" * (2 + len(names))]
            parts += ["| " + " | ".join(row) + " |" for row in _rows(methods, mode)]
            parts += [""]
    return "\n".join([*parts, curves.markdown(comparison["curves"])])


def _caption(comparison: dict[str, Any], methods: dict[str, Any]) -> str:
    measure = "Reward [95 % interval]" + (" and % of the oracle" if _beside_oracle(methods) else "")
    caption = f"{measure}; then the difference to {comparison['reference']} [95 % interval], paired by episode."
    return " ".join([caption, *_reasoning(methods)])


def _reasoning(methods: dict[str, Any]) -> list[str]:
    """Returns a sentence for each method whose games allow text before the tag."""
    return [
        f"{method} plays with {REASONING[entry['reasoning']]}."
        for method, entry in methods.items()
        if entry["reasoning"] != "none"
    ]


def _print(comparison: dict[str, Any]) -> None:
    for task, methods in comparison["tasks"].items():
        beside_oracle = _beside_oracle(methods)
        title = f"{task}, temperature 1: {'% of the oracle' if beside_oracle else 'reward'}"
        table = Table(title=title, box=None)
        table.add_column("method", no_wrap=True)
        names = _measured(methods, "temperature")
        for name in names:
            table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
        for method, entry in methods.items():
            cells = [entry["eval"].get(name, {}).get("temperature") for name in names]
            table.add_row(method, *(_short(cell, beside_oracle) for cell in cells))
        print_wide(table)


def _short(cell: dict[str, Any] | None, beside_oracle: bool) -> str:
    if cell is None:
        return "–"
    return percent(cell["reward"], cell["oracle"], 1) if beside_oracle else fixed(cell["reward"])
