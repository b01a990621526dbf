"""Compliance tests that other packages can run on their own tasks and games.

Both functions raise `AssertionError` with a sentence on the check that failed. `check_task` returns a sentence on what
was checked, `check_game` returns ``None``::

    from clarify_env.testing import check_game, check_task

    print(check_task(MyTask()))
    check_game(MyTask(), game="my_game")
"""

from clarify_env.testing.games import check_game
from clarify_env.testing.secrecy import holds, reachable
from clarify_env.testing.tasks import check_task

__all__ = ["check_game", "check_task", "holds", "reachable"]
