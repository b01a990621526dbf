"""``python -m clarify_env.tasks COMMAND TASK_OR_FILE [KEY=VALUE ...]``: checks, shows or solves the episodes of a task.

Commands:
  check   reports which records of a file can be played, and checks that the task keeps the promises of a task
  show    prints episodes with their readings, their plans and the oracle's first messages over the cost plane
  oracle  prints the oracle's actions and rewards over the cost plane, on all episodes of a split

TASK_OR_FILE is a task (a name, module:Class or FILE.py:Class) or a file in the qa_jsonl format; a task's own file is
given as task.path=FILE. Examples:
  check questions.jsonl
  check pacific task.path=validation.json task.clear=0.5
  show almanac episodes=1 first=7

Arguments:
  task.OPTION=VALUE        an option of the task; `show TASK --help` lists them
  split=NAME               split of show and oracle (test)
  episodes=N first=N       number and first index of the episodes of show (3, 0); check reads at least 20 of each split
  costs.alpha=[low,high]   the cost plane; also costs.beta
  max_questions=N          largest number of questions of show and oracle (2)
"""

import inspect
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clarify_env.arguments import read
from clarify_env.costs import CostPlane
from clarify_env.games.clarification import __main__ as oracle_map
from clarify_env.games.clarification.oracle import Solved, solve
from clarify_env.plugins import is_source
from clarify_env.scores.metrics import equated
from clarify_env.streams import print_anything
from clarify_env.tasks import Task, make_task, task_names
from clarify_env.tasks.registry import task_class
from clarify_env.testing import check_task

_DEFAULTS = {"split": "test", "episodes": 3, "first": 0, "max_questions": 2}
_USAGE = "give check, show or oracle, then a task or a file; --help says more"
_HELP = ("--help", "-h", "help")
_GRID = 8
_SIGNS = string.ascii_letters.swapcase() + string.digits + "+-"  # at most one per point of the grid
_MOST_PLANS = 12


def main(arguments: Sequence[str]) -> int:
    """Runs a command.

    Args:
        arguments: The command line: command, task or file, then ``key=value`` arguments.

    Returns:
        The exit code: 2 if an argument or a file is wrong, 1 if a check of the task fails; both after one sentence on
        stderr.
    """
    print_anything()
    commands: dict[str, Callable[..., str]] = {"check": check, "show": show, "oracle": oracle}
    try:
        if any(argument in _HELP for argument in arguments):
            report = _help([argument for argument in arguments if argument not in (*_HELP, *commands)])
        elif not arguments or arguments[0] not in commands:
            raise ValueError(_USAGE)
        else:
            name, rest = _subject(arguments[1:])
            report = commands[arguments[0]](name, **read(rest, _DEFAULTS))
        # Control characters of a file must not reach the terminal.
        print("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in report))
    except (ValueError, AssertionError) as error:
        print(f"clarify_env.tasks: {error}", file=sys.stderr)
        return 1 if isinstance(error, AssertionError) else 2
    return 0


def _subject(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Splits the arguments after a command.

    ``pacific task.path=FILE``, ``task=pacific task.path=FILE``, ``pacific FILE``, ``FILE`` and ``task.path=FILE`` are
    understood.

    Returns:
        Name of the task, and the ``key=value`` arguments.

    Raises:
        ValueError: There is no task, or two; the message says what to write.
    """
    plain = [argument for argument in arguments if "=" not in argument or Path(argument).is_file()]
    named = [argument.removeprefix("task=") for argument in arguments if argument.startswith("task=")]
    rest = [argument for argument in arguments if argument not in plain and not argument.startswith("task=")]
    has_path = any(argument.startswith("task.path=") for argument in rest)
    tasks = named + [argument for argument in plain if argument in task_names() or is_source(argument)]
    files = [argument for argument in plain if argument not in tasks]
    if len(tasks) > 1 or len(files) + has_path > 1:
        raise ValueError(f"give one task and one file: TASK task.path=FILE, not {' '.join(arguments)}")
    if not tasks and not files and not has_path:
        raise ValueError(_USAGE)
    if files and not tasks and not Path(files[0]).expanduser().exists() and not set("./~") & set(files[0]):
        raise ValueError(f"{files[0]!r} is neither a task nor a file; tasks: {', '.join(task_names())}")
    name = tasks[0] if tasks else "qa_jsonl"
    rest += [f"task.path={path}" for path in files]
    options = inspect.signature(task_class(name)).parameters
    for argument in rest:
        key, _, value = argument.partition("=")
        if key in options and key not in _DEFAULTS:
            raise ValueError(f"{key} is an option of the task: write task.{key}={value}")
    if "path" in options and options["path"].default is inspect.Parameter.empty and not files and not has_path:
        raise ValueError(f"task {name} reads a file: write task.path=FILE")
    return name, rest


def _help(subjects: Sequence[str]) -> str:
    """The help text: of the commands, and of the options of a task if one is named."""
    names = [subject.removeprefix("task=") for subject in subjects if "=" not in subject or subject.startswith("task=")]
    if names and (names[0] in task_names() or is_source(names[0])):
        options = ", ".join(f"task.{name}" for name in inspect.signature(task_class(names[0])).parameters)
        return f"task {names[0]}\n\n{inspect.getdoc(task_class(names[0]))}\n\nOptions: {options or 'none'}"
    lines = [f"  {name:<{max(map(len, task_names()))}}  {_first_sentence(name)}" for name in task_names()]
    return "\n".join([inspect.cleandoc(__doc__).replace("``", ""), "", "Tasks:", *lines])


def _first_sentence(name: str) -> str:
    try:
        text = inspect.getdoc(task_class(name)) or ""
    except ValueError as error:
        return f"({error})"
    return " ".join(text.partition("\n\n")[0].split())


def check(name: str, task_options: dict[str, Any], plane: CostPlane, episodes: int, **_: Any) -> str:
    """Makes a task, runs `check_task` on it and returns the report as text.

    Raises:
        ValueError: The file is wrong.
        AssertionError: A check of the task fails.
    """
    task = make_task(name, **task_options)
    lines = [task.report()]
    for split, size in task.sizes.items():
        if size is None:
            lines.append(f"{split}: endless")
            continue
        counts = Counter(len(episode.interpretations) for episode in task.episodes(split))
        readings = ", ".join(f"{counts[n]} of {n} reading{'s' * (n > 1)}" for n in sorted(counts))
        lines.append(f"{split}: {size} episode{'s' * (size > 1)}, {readings}")
    lines += _equated_lines(task)
    return "\n".join([*lines, check_task(task, episodes=max(episodes, 20), plane=plane)])


def _equated_lines(task: Task) -> Iterator[str]:
    """Lines on the episodes whose metric keeps symbols, with the answers that would be equal without them."""
    for split, size in task.sizes.items():
        if size is None:
            continue
        for episode in task.episodes(split):
            part, inner = task.own(episode)
            metric = task.metric_of(episode)
            if metric != part.metric:
                first, second = next(equated(part.metric, part.rivals(inner)))
                yield f"{episode.id}: {first!r} and {second!r} are equal under {part.metric}, so {metric} is its metric"


def oracle(name: str, task_options: dict[str, Any], plane: CostPlane, split: str, max_questions: int, **_: Any) -> str:
    """Describes the oracle's actions and rewards over the cost plane as text.

    Raises:
        ValueError: There is no such task or split.
    """
    return oracle_map.describe(name, split, max_questions, task_options, plane)


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
