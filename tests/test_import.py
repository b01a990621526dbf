import subprocess
import sys

import pytest

import clarify_env

SCRIPT = """
import random, sys, threading, time, logging
import numpy as np
before = random.getstate(), str(np.random.get_state()), len(logging.root.handlers), threading.active_count()
start = time.process_time()
import clarify_env{more}
spent = time.process_time() - start
after = random.getstate(), str(np.random.get_state()), len(logging.root.handlers), threading.active_count()
assert after == before, "the import changed a global state"
assert "torch" not in sys.modules, "the import loads torch"
assert not {{"agents", "trainers"}} & set(sys.modules), "the environment imports who builds on it"
assert spent < 1, f"the import takes {{spent:.2f}} s of CPU"
"""


@pytest.mark.parametrize(
    "more", ["", ", clarify_env.gym, clarify_env.games.clarification.oracle", ", clarify_env.testing"]
)
def test_import_is_quick_quiet_and_touches_nothing(more):
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(more=more)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_public_names_are_few():
    assert set(clarify_env.__all__) == {"CostPlane", "Costs", "__version__", "env", "evaluate", "make_task", "raw_env"}
    assert all(hasattr(clarify_env, name) for name in clarify_env.__all__)
