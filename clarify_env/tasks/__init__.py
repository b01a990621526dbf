"""Tasks, one file per task; `registry` loads a task at first use."""

from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.registry import make_task, task_names

__all__ = ["Episode", "Interpretation", "Task", "make_task", "register", "task_names"]
