"""Run by CI in an environment that holds ``pip install .`` alone: plays, measures, and checks what is not there.

``python bare_environment.py``: exits with status 1 and one sentence if the environment does not work, or is too large.
"""

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import gymnasium

import clarify_env
from clarify_env.assistants import ScriptedAssistant
from clarify_env.testing import check_game, check_task
from clarify_env.users import ScriptedUser

MOST_MEGABYTES = 150


def play() -> float:
    """Plays one game through PettingZoo; returns its reward."""
    task = clarify_env.make_task("almanac")
    agents = {"assistant": ScriptedAssistant(task, "oracle"), "user": ScriptedUser(task)}
    env = clarify_env.env(task, costs=(0.3, 0.03))
    env.reset(seed=0)
    for role in env.agent_iter():
        _, reward, terminated, _, _ = env.last()
        view = env.unwrapped.game.view(role)
        env.step(None if terminated else agents[role].act([view], [0])[0].text)
    return reward


def measure() -> str:
    """Evaluates a function through `evaluate`, and one game through each mode of vector environments."""
    table = clarify_env.evaluate(lambda messages: "#CLARIFY Which kind?", "almanac", costs="between", episodes=10)
    for mode in ("sync", "async"):
        env = gymnasium.make_vec("clarify_env/Assistant-v0", num_envs=2, vectorization_mode=mode)
        env.reset(seed=0)
        assert env.step(["#ANSWER Ada"] * 2)[2].all(), f"{mode}: an answer ends a game"
        env.close()
    return str(table)


def lacks(package: str) -> str:
    """Returns what importing a package of the extra says, in the form of a command."""
    done = subprocess.run([sys.executable, "-m", f"{package}.none"], capture_output=True, text=True)
    assert done.returncode, f"{package} can be imported"
    return done.stderr.strip()


def main() -> None:
    """Runs every check; prints the size."""
    print(f"one game: reward {play():.2f}")
    print(measure())
    check_task(clarify_env.make_task("ledger"), episodes=2)
    check_game(clarify_env.make_task("almanac"), episodes=1)
    for package in ("agents", "trainers"):
        sentence = lacks(package)
        assert "\n" not in sentence and "pip install 'clarify-env[train]'" in sentence, sentence
        print(sentence)
    names = sorted(one.name for one in distributions())
    assert "torch" not in names and "transformers" not in names, names
    folder = Path(sys.prefix)
    size = sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512 / 2**20  # as `du` counts
    print(f"{', '.join(names)}: {size:.0f} MB of at most {MOST_MEGABYTES}")
    assert size < MOST_MEGABYTES, f"the environment alone takes {size:.0f} MB"


if __name__ == "__main__":
    main()
