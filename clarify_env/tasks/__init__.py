"""Tasks, one file per task. Importing this package registers the built-in tasks."""

from clarify_env.tasks import abgcoqa as abgcoqa
from clarify_env.tasks import almanac as almanac
from clarify_env.tasks import ambigqa as ambigqa
from clarify_env.tasks import ledger as ledger
from clarify_env.tasks import mix as mix
from clarify_env.tasks import pacific as pacific
from clarify_env.tasks import preferences as preferences
from clarify_env.tasks import qa_jsonl as qa_jsonl
from clarify_env.tasks import sql as sql
from clarify_env.tasks.base import Episode, Interpretation, Task, make_task, register, task_names

__all__ = ["Episode", "Interpretation", "Task", "make_task", "register", "task_names"]
