"""A suite: the same tasks, episodes, costs, user and prompts for every assistant, by name and version (docs/suite.md).

Each part is an evaluation with a run directory of its own, so a suite that was killed goes on with the same command.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from clarify_env.games import find_game
from trainers.runs.conf import CONF
from trainers.runs.store import read_json, write_json

FOLDER = CONF / "suite"
# What a suite leaves to the one who measures: the assistant, how it is prompted, and how many games are played at once.
FREE = ("assistant", "prompts", "selfplay")
DEFAULT_PROMPTS = "prompts=natural"
MODE = "temperature"


class Suite(NamedTuple):
    """A suite of evaluations.

    Attributes:
        name: Its name.
        version: Rises whenever what is measured changes.
        parts: Overrides of each part, by its name.
    """

    name: str
    version: int
    parts: Mapping[str, Sequence[str]]


def names() -> list[str]:
    """Returns the names of the suites."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_suite(name: str) -> Suite:
    """Reads ``conf/suite/NAME.yaml``.

    Raises:
        ValueError: There is none.
    """
    if name not in names():
        raise ValueError(f"suite must be one of {', '.join(names())}, not {name!r}")
    entry = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    every = dict(word.split("=", 1) for word in entry["every"])
    if "like" in entry:
        like = yaml.safe_load((FOLDER / f"{entry['like']}.yaml").read_text(encoding="utf-8"))
        entry["parts"], every = like["parts"], dict(word.split("=", 1) for word in like["every"]) | every
    words = ["=".join(pair) for pair in every.items()]
    return Suite(name, entry["version"], {part: [*words, *more] for part, more in entry["parts"].items()})


def players(words: Sequence[str]) -> list[str]:
    """Returns the overrides that say who is measured, with the suite's prompts where they name none.

    Raises:
        ValueError: One of them is fixed by the suite, or a flag.
    """
    for word in words:
        if word.startswith("-"):
            raise ValueError(f"{word}: a suite takes no flags; python -m trainers.evaluate --help lists the options")
        section = word.lstrip("+~").partition("=")[0].partition(".")[0]
        if section not in FREE:
            raise ValueError(f"{word}: a suite fixes everything but {', '.join(FREE)} and run_dir")
    prompted = any(word.startswith("prompts") for word in words)
    return [*words, *([] if prompted else [DEFAULT_PROMPTS])]


def check_models(suite: Suite, words: Sequence[str]) -> None:
    """Checks that a model is there for the task of every part, before any part is played.

    Args:
        suite: The suite.
        words: Result of `players`.

    Raises:
        ValueError: The assistant is the embedded model, and a part's task has none.
    """
    from agents.models import model_path  # imports torch

    chosen = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word)
    embedded = "pocket" if chosen.get("assistant", "pocket") == "pocket" else None
    model = chosen.get("assistant.model", embedded)
    for part in suite.parts.values():
        if model is not None:
            model_path(model, dict(word.split("=", 1) for word in part)["task"])


def run_suite(suite: Suite, words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Runs the parts that are not complete, and writes ``suite.json``.

    Args:
        suite: The suite.
        words: Result of `players`.
        folder: Folder of the parts' run directories, and of ``suite.json``.

    Returns:
        The result, as `joined` makes it.

    Raises:
        SystemExit: A part failed; it has said why.
    """
    for part, overrides in suite.parts.items():
        command = ["-m", "trainers.evaluate", *overrides, *words, f"run_dir={folder / part}"]
        print(shlex.join(["python", *command]), flush=True)
        done = subprocess.run([sys.executable, *command])
        if done.returncode:
            raise SystemExit(done.returncode)
    result = joined(suite, words, {part: folder / part for part in suite.parts})
    write_json(folder / "suite.json", result)
    return result


def joined(suite: Suite, words: Sequence[str], folders: Mapping[str, Path]) -> dict[str, Any]:
    """Returns the result of a suite: what was measured, with which versions, and the entry of each part.

    An entry holds, for each cost set, the part's measures (`clarify_env.evaluation.summary`), and ``steers``, the mean
    of `follows` over what the game's prices steer. The result's own ``steers`` is the mean over the parts.
    """
    parts: dict[str, Any] = {}
    for part, folder in folders.items():
        summary, grid = read_json(folder / "summary.json"), read_json(folder / "evaluation.json")["grid"]
        steered = find_game(summary["game"]).steering
        follow = {name: follows(grid, quantity) for name, (quantity, _) in steered.items()}
        parts[part] = {
            "game": summary["game"],
            "task": summary["task"],
            "players": summary["players"],
            "partners": summary.get("partners", {}),
            "eval": {name: modes[MODE] for name, modes in summary["eval"].items()},
            "steering": summary["steering"],
            "follows": follow,
            "steers": float(np.mean(list(follow.values()))),
            "grid": grid,
            "seconds": summary["budget"]["seconds"],
        }
    return {
        "suite": suite.name,
        "version": suite.version,
        "command": shlex.join(["python", "-m", "trainers.evaluate", f"suite={suite.name}", *words]),
        "versions": {name: version(name) for name in ("clarify-env", "torch", "transformers")},
        "steers": float(np.mean([entry["steers"] for entry in parts.values()])),
        "parts": parts,
    }


def follows(grid: Mapping[str, Any], quantity: str) -> float:
    """Returns how far a policy's behaviour follows the costs as the oracle's does.

    It is the slope of the policy's mean over the oracle's, over the points g of the grid: sum (p_g - p)(o_g - o) /
    sum (o_g - o)^2, where p and o are their means. 1: as the oracle's; 0: its behaviour does not depend on the costs,
    or not as the oracle's; below 0: the other way round.

    Args:
        grid: Maps of policy and oracle; see `trainers.evaluation.maps.grid_map`.
        quantity: A first action, or ``words``.
    """
    policy, oracle = (np.array(grid[who][quantity], dtype=float) for who in ("policy", "oracle"))
    deviation = oracle - oracle.mean()
    spread = float((deviation**2).sum())
    return float(((policy - policy.mean()) * deviation).sum() / spread) if spread > 1e-12 else 0.0
