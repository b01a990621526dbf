"""Tests of adapters whose peers need an environment of their own; `pytest -m peers` runs them."""

import os
import re
import subprocess

import pytest
from peers import ROOT, environment

pytestmark = [pytest.mark.peers, pytest.mark.timeout(3600)]


def test_openenv():
    python = environment("openenv", "pytest", "pytest-timeout")
    options = ["--noconftest", "-o", "addopts=", "-p", "no:cacheprovider", "-q", "tests/test_openenv.py"]
    done = subprocess.run(
        [str(python), "-m", "pytest", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 30 and "skipped" not in done.stdout
