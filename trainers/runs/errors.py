"""Errors of a command as one sentence: which a user can cause, how they read, and where they are written."""

import os
import re
import sys
import traceback
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clarify_env.games.agents import PlayerError, StoppedError
from clarify_env.options import unknown

# Errors that a user can cause. All others are bugs and show their traceback.
CAUSED = (ValueError, OSError, FloatingPointError, NotImplementedError, OmegaConfBaseException, HydraException)


def sentence(error: BaseException) -> str:
    """Returns an error as one sentence, on one line."""
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key}: {first_line(error)}"
    text = " ".join(str(error).split())
    return f"{text}; all replies are stored, and the same command goes on from here" if _goes_on(error) else text


def _goes_on(error: BaseException) -> bool:
    """Returns whether a run that ended with an error can go on: a player did not reply, or its budget was spent."""
    return isinstance(error, PlayerError | StoppedError)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message: what follows in omegaconf's are details of its types."""
    return str(error).strip().partition("\n")[0]


def hydra_sentence(error: Exception, known: list[str]) -> str:
    """Returns an error of hydra as one sentence; for an unknown option it names the closest known one."""
    text = str(error).partition("Config search path")[0]
    missing = re.search(r"Could not override '([^']+)'", text)
    if missing and "No match in the defaults list" not in text:
        return unknown(missing[1], [name for name in known if name != missing[1]])
    return " ".join(text.split())


def report_error(error: BaseException, config: DictConfig) -> str:
    """Prints an error as one sentence and returns it; the traceback goes to the run's log, of a bug also to stderr."""
    message = sentence(error)
    if not isinstance(error, CAUSED):
        traceback.print_exc()
        message = f"{type(error).__name__}: {message}"
    print(f"error: {message}", file=sys.stderr)
    folder = Path(str(OmegaConf.select(config, "run_dir", default=".")))
    # A config that was refused leaves nothing behind.
    if os.path.exists(folder / "config.json") and os.access(folder, os.W_OK):
        with (folder / "run.log").open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(traceback.format_exc())
    return message
