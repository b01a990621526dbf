"""What tests of tasks that read one JSON file share: where real data is, and mistakes that every reader must name."""

import copy
import json
import os
import re
from pathlib import Path

import pytest

from clarify_env.tasks import make_task

DATA = Path(os.environ.get("CLARIFY_DATA", Path(__file__).parents[2] / "shared" / "data"))


def needs(path):
    """Skips a test where a file of the real data is not at hand."""
    return pytest.mark.skipif(not path.exists(), reason=f"no data at {path} (set CLARIFY_DATA)")


def changed(whole, place, value):
    """The data with another value at a place; ``None`` takes the place away."""
    whole = copy.deepcopy(whole)
    *way, last = place
    inside = whole
    for step in way:
        inside = inside[step]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    return whole


def refused(task, path, whole, said, **options):
    """Checks that reading the data ends in one sentence which holds ``said``."""
    path.write_text(whole if isinstance(whole, str) else json.dumps(whole), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        make_task(task, path=path, **options)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def check_broken_files(task, tmp_path, whole):
    """Files that no reader of JSON can read."""
    path, text = tmp_path / "broken.json", json.dumps(whole, indent=1)
    refused(task, path, text[: len(text) // 2], "line ")
    refused(task, path, "", "line 1: not JSON")
    refused(task, path, "[" * 100_000, "nested too deep")
    refused(task, path, '"text"', "the whole must be")
    path.write_bytes(b'["\xff"]')
    with pytest.raises(ValueError, match="not Unicode text at byte 2"):
        make_task(task, path=path)
    with pytest.raises(ValueError, match=r"cannot read .*missing.json"):
        make_task(task, path=tmp_path / "missing.json")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(2**30)  # a gigabyte on one line, which takes no room on the disk
    with pytest.raises(ValueError, match="1,073,741,824 bytes, more than the 200,000,000"):
        make_task(task, path=tmp_path / "large.json")
