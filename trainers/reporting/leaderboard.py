"""Results of a suite: the table and the picture of one, and the page that compares several.

``python -m trainers.reporting.leaderboard NAME=FILE ...`` prints the page, in Markdown, from files ``suite.json``.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from clarify_env.games import find_game
from trainers.reporting.columns import fixed, percent
from trainers.reporting.figures import INK, LINES, our_style
from trainers.reporting.terminal import print_wide
from trainers.runs.store import read_json

COLUMNS = ("reward [95 %]", "% of the oracle", "optimal match %", "invalid %", "follows the costs")


def show(result: Mapping[str, Any]) -> None:
    """Prints the table of a result, and its one number."""
    table = Table("part", "costs", *COLUMNS, "best fixed strategy")
    for part, name, entry in entries(result):
        best = max(entry["fixed"], key=entry["fixed"].get)
        table.add_row(part, name, *cells(entry, result["parts"][part]), f"{best} {fixed(entry['fixed'][best])}")
    print_wide(table)
    print(f"Steers: {result['steers']:.2f} (1: follows the costs as the oracle does; 0: not at all)")


def entries(result: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yields part, cost set and measures."""
    for part, values in result["parts"].items():
        for name, entry in values["eval"].items():
            yield part, name, entry


def cells(entry: Mapping[str, Any], part: Mapping[str, Any]) -> list[str]:
    """Returns the cells of `COLUMNS` for the measures of a cost set."""
    low, high = entry["reward_ci"]
    match = entry["optimal_match"]
    return [
        f"{fixed(entry['reward'])} [{fixed(low)}, {fixed(high)}]",
        percent(entry["reward"] / entry["oracle"], places=1),
        "–" if match is None else percent(match, places=1),
        percent(entry["share"]["invalid"], places=1),
        fixed(part["steers"], 2),
    ]


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draws what each price steers, policy and oracle, averaged over the other price: one row a part."""
    with our_style():
        rows = len(result["parts"])
        figure = Figure(figsize=(7, 2.2 * rows + 0.5), layout="constrained")
        axes = figure.subplots(rows, 2, squeeze=False)
        for line, (part, values) in zip(axes, result["parts"].items(), strict=True):
            grid = values["grid"]
            game = find_game(values["game"])
            for axis, (quantity, price) in zip(line, game.steering.values(), strict=True):
                x = grid["betas" if price else "alphas"]
                for who, (color, marker) in zip(("policy", "oracle"), ((LINES[0]), (INK, "")), strict=True):
                    mean = np.array(grid[who][quantity]).mean(1 - price)
                    axis.plot(x, mean, color=color, marker=marker, linestyle="-" if marker else "--", label=who)
                axis.set(xlabel=("alpha", "beta")[price], ylabel=quantity, title=part)
                axis.grid(alpha=0.25)
        axes[0, 0].legend()
        figure.suptitle(f"suite {result['suite']}, version {result['version']}: steers {result['steers']:.2f}")
    figure.savefig(path, dpi=120)


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the page that compares results of one suite, best share of the oracle's reward first.

    Args:
        results: Contents of ``suite.json`` by the name that stands in the table.

    Raises:
        ValueError: They are of several suites or versions.
    """
    kinds = {(result["suite"], result["version"]) for result in results.values()}
    if len(kinds) != 1:
        listed = ", ".join(f"{name} {number}" for name, number in sorted(kinds))
        raise ValueError(f"results of several suites or versions cannot be compared: {listed}")
    ((name, number),) = kinds
    lines = [f"# Suite `{name}`, version {number}", ""]
    lines += [*_row(["assistant", "mean % of the oracle", "steers"]), "|---|---|---|"]
    ranked = sorted(results, key=lambda label: -_share(results[label]))
    lines += [
        line
        for label in ranked
        for line in _row([label, percent(_share(results[label]), places=1), fixed(results[label]["steers"], 2)])
    ]
    first = results[ranked[0]]
    for part, of_set, entry in entries(first):
        lines += ["", f"## {part}, {of_set}", "", *_row(["assistant", *COLUMNS]), "|---" * (len(COLUMNS) + 1) + "|"]
        lines += _row(["*oracle*", fixed(entry["oracle"], 3), "100.0", "100.0", "0.0", "1.00"])
        parts = {label: result["parts"][part] for label, result in results.items()}
        for label in sorted(parts, key=lambda label: -parts[label]["eval"][of_set]["reward"]):
            lines += _row([label, *cells(parts[label]["eval"][of_set], parts[label])])
        for strategy, value in sorted(entry["fixed"].items(), key=lambda pair: -pair[1]):
            share = percent(value / entry["oracle"], places=1)
            lines += _row([f"*{strategy}*", fixed(value, 3), share, "–", "–", "–"])
    lines += ["", "## Commands", ""]
    for label in ranked:
        versions = ", ".join(f"{package} {number}" for package, number in results[label]["versions"].items())
        lines.append(f"* {label}: `{results[label]['command']}` ({versions})")
    return "\n".join(lines)


def read_result(name: str, path: Path) -> dict[str, Any]:
    """Reads a file ``suite.json``.

    Raises:
        ValueError: It cannot be read, or is no result of a suite.
    """
    try:
        result: dict[str, Any] = read_json(path)
        parts = [(cells(entry, result["parts"][part]), dict(entry["fixed"])) for part, _, entry in entries(result)]
        whole = bool(parts) and all(name in result for name in ("suite", "version", "steers", "command", "versions"))
    except OSError as error:
        raise ValueError(f"{name}: cannot read {path}: {error.strerror}") from error
    except (LookupError, TypeError, AttributeError, ArithmeticError):
        whole = False
    if not whole:
        raise ValueError(f"{name}: {path} is no result of a suite (suite.json)")
    return result


def _share(result: Mapping[str, Any]) -> float:
    return float(np.mean([entry["reward"] / entry["oracle"] for _, _, entry in entries(result)]))


def _row(texts: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(text.replace('|', '&#124;') for text in texts)} |"]


def main(words: Sequence[str]) -> int:
    """Prints the page of some files; returns the exit status."""
    if {"-h", "--help"} & set(words):
        print(__doc__)
        return 0
    pairs = [word.rpartition("=") for word in words]
    try:
        if not pairs or not all(name and path for name, _, path in pairs):
            raise ValueError("name each result, as NAME=FOLDER/suite.json")
        names = [name for name, _, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"two results have the name {max(names, key=names.count)}")
        print(page({name: read_result(name, Path(path)) for name, _, path in pairs}))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
