"""Environments of their own for other projects' packages, made once from the package index and kept."""

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def environment(extra: str, *more: str) -> Path:
    """Returns the Python of an environment with this package's dependencies, an extra of it (if it has one of that
    name), and further packages; see `environment_of`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return environment_of(extra, *project["dependencies"], *project["optional-dependencies"].get(extra, ()), *more)


def environment_of(name: str, *packages: str) -> Path:
    """Returns the Python of an environment with some packages alone.

    Skips the test, with pip's last words, where it cannot be made.
    """
    digest = hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"clarify-env-peer-{name}-{digest}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", *packages]):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
                pytest.skip(f"no environment for {name} can be made: {lines[-1]}")
        complete.touch()
    return python
