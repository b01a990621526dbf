"""``python -m clarify_env.games.clarification task=almanac``: prints the oracle's actions and rewards.

Arguments, as key=value: ``task`` (a name), ``task.OPTION`` (an option of the task), ``costs.alpha`` and ``costs.beta``
(``[low,high]``), ``split`` and ``max_questions``.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from clarify_env.arguments import read, run
from clarify_env.costs import SETS, CostPlane
from clarify_env.games.clarification.oracle import ACTIONS, FIXED, ActionMap, action_map, solve, summarize
from clarify_env.tasks import make_task

_DEFAULTS = {"task": "almanac", "split": "test", "max_questions": 2}


def main(arguments: Sequence[str]) -> int:
    """Prints the map.

    Args:
        arguments: The command line, as ``key=value`` arguments.

    Returns:
        The exit code: 2 if an argument is wrong, after one sentence on stderr.
    """
    return run(
        "clarify_env.games.clarification.oracle", __doc__, arguments, lambda given: describe(**read(given, _DEFAULTS))
    )


def describe(task: str, split: str, max_questions: int, task_options: dict[str, Any], plane: CostPlane) -> str:
    """The whole report as text."""
    source = make_task(task, **task_options)
    if source.sizes.get(split) is None:
        raise ValueError(f"split must be a finite one of {', '.join(source.sizes)}, not {split!r}")
    solved = solve(source, list(source.episodes(split)), max_questions)
    alphas, betas = plane.grid()
    grid = action_map(solved, alphas, betas)
    parts = [f"{task}, {split}: {len(solved)} episodes; alpha {list(plane.alpha)}, beta {list(plane.beta)}"]
    parts += [_square(name, array, alphas, betas) for name, array in _squares(grid)]
    parts.append(_table({name: summarize(solved, plane.sets()[name]) for name in SETS}))
    return "\n\n".join(parts)


def _squares(grid: ActionMap) -> list[tuple[str, np.ndarray]]:
    shares = [(f"share of {name}", grid.shares[:, :, i]) for i, name in enumerate(ACTIONS)]
    return [*shares, ("value of the oracle", grid.value)]


def _square(name: str, values: np.ndarray, alphas: Sequence[float], betas: Sequence[float]) -> str:
    lines = [f"{name} (rows: alpha, columns: beta)", "       " + "".join(f"{beta:7.3f}" for beta in betas)]
    lines += [f"{alpha:7.2f}" + "".join(f"{v:z7.2f}" for v in row) for alpha, row in zip(alphas, values, strict=True)]
    return "\n".join(lines)


def _table(sets: dict[str, dict[str, Any]]) -> str:
    head = ["costs", "oracle", *ACTIONS, "silent", *(f"{name} %" for name in FIXED)]
    rows = [f"{head[0]:<14}" + "".join(f"{title:>13}" for title in head[1:])]
    for name, means in sets.items():
        plain = [means["oracle"], *means["shares"].values(), means["silent"]]
        # A percentage is undefined if the oracle's reward is not positive.
        ratios = [f"{100 * v / means['oracle']:z.1f}" if means["oracle"] > 0 else "-" for v in means["fixed"].values()]
        rows.append(f"{name:<14}" + "".join(f"{v:13.3f}" for v in plain) + "".join(f"{r:>13}" for r in ratios))
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
