"""The episodes that an evaluation plays."""

from typing import Any

from clarify_env.tasks.base import Task


def split_episodes(task: Task, split: str, most: int, prefix: str = "") -> list[Any]:
    """Returns the first ``most`` episodes of a split.

    Args:
        task: The task.
        split: Name of the split.
        most: Most episodes.
        prefix: Stands before the names of these options in an error, such as ``eval.``.

    Raises:
        ValueError: The task has no such split, or the number is not at least 1.
    """
    if split not in task.sizes:
        raise ValueError(f"{prefix}split: task {task.name} has no split {split!r}, only {', '.join(task.sizes)}")
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"{prefix}episodes must be a whole number of at least 1, not {most!r}")
    size = task.sizes[split]
    return [task.episode(split, index) for index in range(most if size is None else min(most, size))]
