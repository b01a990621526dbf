"""Freed memory is kept for what is allocated next."""

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import resource
from trainers.runs.malloc import keep_freed
{}
def use():
    return [bytearray(16 << 20) for _ in range(4)]
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to")
def test_blocks_are_used_again_without_asking_the_system():
    plain, with_keep_freed = (
        int(
            subprocess.run(
                [sys.executable, "-c", COUNT.format(first)],
                cwd=Path(__file__).parents[1],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for first in ("", "keep_freed()")
    )
    assert with_keep_freed < plain / 4, (with_keep_freed, plain)
