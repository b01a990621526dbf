"""``python -m clarify_env.tasks``: checks a data file, or prints episodes of a task.

``check FILE`` reads a file in the `qa_jsonl` format, reports which records can be played, and runs `check_task` on it.
``show TASK`` prints episodes with their readings, their plans and the oracle's messages over the cost plane.

Further arguments, as key=value: ``task.OPTION`` (an option of the task), ``split``, ``episodes`` (their number),
``first`` (index of the first), ``costs.alpha`` and ``costs.beta`` (``[low,high]``), ``max_questions``.
"""

import string
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clarify_env.arguments import read
from clarify_env.costs import CostPlane
from clarify_env.games.clarification.oracle import Solved, solve
from clarify_env.tasks import Task, make_task
from clarify_env.testing import check_task

_DEFAULTS = {"split": "test", "episodes": 3, "first": 0, "max_questions": 2}
_GRID = 8
_SIGNS = string.ascii_letters.swapcase() + string.digits + "+-"  # at most one per point of the grid
_MOST_PLANS = 12


def main(arguments: Sequence[str]) -> int:
    """Runs a command.

    Args:
        arguments: The command line: command, subject, then ``key=value`` arguments.

    Returns:
        The exit code: 2 if an argument or a file is wrong, 1 if a check of the task fails; both after one sentence on
        stderr.
    """
    commands: dict[str, Callable[..., str]] = {"check": check, "show": show}
    try:
        command, subject, *rest = arguments
        run = commands[command]
    except (ValueError, KeyError):
        print("clarify_env.tasks: give check FILE or show TASK, then key=value arguments", file=sys.stderr)
        return 2
    try:
        report = run(subject, **read(rest, _DEFAULTS))
        # Control characters of a file must not reach the terminal.
        print("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in report))
    except (ValueError, AssertionError) as error:
        print(f"clarify_env.tasks: {error}", file=sys.stderr)
        return 1 if isinstance(error, AssertionError) else 2
    return 0


def check(path: str, task_options: dict[str, Any], plane: CostPlane, episodes: int, **_: Any) -> str:
    """Reads a file as task `qa_jsonl`, runs `check_task` on it and returns the report as text.

    Raises:
        ValueError: The file is wrong.
        AssertionError: A check of the task fails.
    """
    task = make_task("qa_jsonl", path=path, **task_options)
    lines = [task.report()]
    for split, size in task.sizes.items():
        counts = Counter(len(episode.interpretations) for episode in task.episodes(split))
        readings = ", ".join(f"{counts[n]} of {n} reading{'s' * (n > 1)}" for n in sorted(counts))
        lines.append(f"{split}: {size} questions, {readings}")
    check_task(task, episodes=max(episodes, 20), plane=plane)
    return "\n".join([*lines, "every check passed"])


def show(
    name: str, task_options: dict[str, Any], plane: CostPlane, split: str, episodes: int, first: int, max_questions: int
) -> str:
    """Describes episodes of a task as text.

    Raises:
        ValueError: There is no such task, split or episode.
    """
    task = make_task(name, **task_options)
    selection = [task.episode(split, first + i) for i in range(episodes)]
    descriptions = [describe(task, solved, plane) for solved in solve(task, selection, max_questions)]
    return "\n\n".join([task.report(), *descriptions])


def describe(task: Task, solved: Solved, plane: CostPlane) -> str:
    """Describes an episode as text: readings, questions, plans, and the oracle's first messages on a grid of costs."""
    episode = solved.episode
    parts = [f"== {episode.id}: {episode.query}"]
    if episode.context:
        parts.append(f"context:\n{_indented(episode.context)}")
    parts.append("readings (weight, label, answers, meaning):")
    parts += [f"  {r.weight:.2f}  {r.label}: {' | '.join(r.answers)}  ({r.text})" for r in episode.interpretations]
    parts.append("questions, and which readings' users reply alike:")
    parts += [
        f"  {question}  {' / '.join(' '.join(map(str, group)) for group in groups)}"
        for question, groups in solved.questions
    ]
    parts.append("last messages (words, expected accuracy):")
    accuracies = [float(plan.accuracy @ solved.weights) for plan in solved.plans]
    best = sorted(range(len(accuracies)), key=lambda i: (-accuracies[i], solved.plans[i].words))
    parts += [
        f"  {solved.plans[i].words:3d}  {accuracies[i]:.2f}  {_on_one_line(solved.plans[i].text)}"
        for i in best[:_MOST_PLANS]
    ]
    if len(best) > _MOST_PLANS:
        parts.append(f"  … and {len(best) - _MOST_PLANS} more")
    return "\n".join([*parts, *_map(solved, plane)])


def _map(solved: Solved, plane: CostPlane) -> list[str]:
    """Lines of a map: one sign per first message of the oracle over a grid of the plane, and a legend."""
    alphas, betas = plane.grid(_GRID)
    signs: dict[str, str] = {}
    rows = []
    for alpha in alphas:
        texts = [solved.message(np.array([(alpha, beta)]), solved.everyone, solved.max_questions) for beta in betas]
        row_signs = [signs.setdefault(text, _SIGNS[len(signs)]) for text in texts]
        rows.append(f"  {alpha:7.2f}" + "".join(f"{sign:>7}" for sign in row_signs))
    head = ["the oracle's first message (rows: alpha, columns: beta):", " " * 9 + "".join(f"{b:7.3f}" for b in betas)]
    return [*head, *rows, *(f"  {sign}: {_on_one_line(text)}" for text, sign in signs.items())]


def _on_one_line(text: str) -> str:
    return " / ".join(text.splitlines())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
