"""Calls functions in a new process, as other processes of a run would."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Set in the environment of such a process.
_INSIDE = "CLARIFY_ENV_FRESH_PROCESS"
# The import path is read first: what follows may be of a module that it leads to.
_CODE = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    sys.path[:] = pickle.load(file)
    function, arguments = pickle.load(file)
result = function(*arguments)
with open(sys.argv[2], "wb") as file:
    pickle.dump(result, file)
"""


def inside() -> bool:
    """Returns whether this is such a process: a module that checks itself where it is imported would never end."""
    return _INSIDE in os.environ


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a new process that has imported nothing of this one; returns its result.

    The main script of this process is not run there.

    Args:
        function: A module's function.
        *arguments: Its arguments, picklable.

    Raises:
        RuntimeError: The call failed there; the message is the last line that the process wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        call, result = Path(folder) / "call", Path(folder) / "result"
        call.write_bytes(pickle.dumps(sys.path) + pickle.dumps((function, arguments)))
        command, environment = [sys.executable, "-c", _CODE, str(call), str(result)], os.environ | {_INSIDE: "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        return pickle.loads(result.read_bytes())
