"""The episodes that an evaluation plays."""

from typing import Any

from clarify_env.options import whole_number
from clarify_env.tasks.base import Episode, Task
from clarify_env.tasks.faults import episode_fault


def split_episodes(task: Task, split: str, most: int, prefix: str = "") -> list[Any]:
    """Returns the first ``most`` episodes of a split.

    Args:
        task: The task.
        split: Name of the split.
        most: Most episodes.
        prefix: Stands before the names of these options in an error, such as ``eval.``.

    Raises:
        ValueError: The task has no such split or deals an episode of a wrong form, or the number is not at least 1.
    """
    if split not in task.sizes:
        raise ValueError(f"{prefix}split: task {task.name} has no split {split!r}, only {', '.join(task.sizes)}")
    most = whole_number(f"{prefix}episodes", most, least=1)
    size = task.sizes[split]
    dealt = [task.episode(split, index) for index in range(most if size is None else min(most, size))]
    for index, episode in enumerate(dealt):
        # Games of other packages may have episodes of their own.
        if isinstance(episode, Episode) and (fault := episode_fault(episode)):
            raise ValueError(f"task {task.name}, episode {index} of {split}: {fault}")
    return dealt
