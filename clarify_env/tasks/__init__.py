"""Tasks, one file per task; the registry in `base` loads a task at first use."""

from clarify_env.tasks.base import Episode, Interpretation, Task, make_task, register, task_names

__all__ = ["Episode", "Interpretation", "Task", "make_task", "register", "task_names"]
