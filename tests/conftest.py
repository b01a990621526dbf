"""A language model small enough for unit tests, made once a session.

What takes seconds to import is imported where it is used: the process that hands out the tests needs none of it.
"""

import copy
import functools
import gc
import logging
import sys

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.pretraining.demonstrations import demonstrations
from clarify_env.tasks.registry import make_task

ALMANAC = {"train_names": 4, "validation_names": 2, "test_names": 2}
# What makes a command small enough for a test.
SMALL = [
    *(f"task.{key}={value}" for key, value in ALMANAC.items()),
    "eval.episodes=2",
    "eval.validation=2",
    "eval.grid=3",
    "eval.transcripts=2",
]


# Imports make half a million objects; to look through them at each collection of garbage took a fifth of the time.
def pytest_sessionstart():
    gc.disable()


def pytest_collection_modifyitems(config, items):
    """Refuses names that change, and leaves out the tests that install other projects, unless ``-m`` names them."""
    changing = [item.nodeid for item in items if " at 0x" in item.nodeid]
    assert not changing, (
        f"the name of a test holds an address, so that no two processes collect the same: {changing[0]}"
    )
    if "peers" not in config.option.markexpr:
        left_out = [item for item in items if "peers" in item.keywords]
        items[:] = [item for item in items if "peers" not in item.keywords]
        config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sizes here are far below what a second thread pays for, and tests run side by side."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def packages_found_once():
    """Keeps which packages there are, which accelerate looks up on disk several times for each training."""
    from accelerate.utils import imports

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(imports, "_is_package_available", functools.cache(imports._is_package_available))
        yield


@pytest.fixture(scope="session", autouse=True)
def composed_once():
    """Keeps what hydra reads and merges; see `composed_once.py`."""
    from composed_once import compose_once

    with pytest.MonkeyPatch.context() as patched:
        compose_once(patched)
        yield


@pytest.fixture(scope="session")
def almanac():
    return make_task("almanac", **ALMANAC)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory, almanac):
    """A Llama of 20,000 weights that has seen enough games to use the tags and to end its messages, in its folder."""
    import torch

    from agents.pocket import build_model, build_tokenizer
    from trainers.learning.options import UpdateOptions
    from trainers.learning.update import update
    from trainers.pretrain import _Encoder
    from trainers.runs.store import save_model

    rng, cells = np.random.default_rng(0), CostPlane().train()
    streams = [
        demonstrations(almanac, split, rng, cells, {"assistant": 0.4, "user": 0.4, "card": 0.2})
        for split in almanac.sizes
    ]
    shown = [next(stream) for _ in range(400) for stream in streams]
    tokenizer = build_tokenizer((text for d in shown for _, text in d.messages), 420)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(tokenizer, width=32, layers=2, heads=2, kv_heads=1, feed_forward=48)
        rows = list(map(_Encoder(tokenizer), shown))
        config = UpdateOptions(learning_rate=2e-2, epochs=1, batch=24)
        model = update(model, rows, config, seed=0, pad=tokenizer.pad_token_id)
    save_model(model, tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_loaded(tiny_folder):
    """The tiny model as it is loaded, which no test changes."""
    from agents.hf import load

    return load(tiny_folder, device="cpu")


@pytest.fixture
def tiny(tiny_loaded):
    """A copy of the tiny model as it was loaded: (model, tokenizer)."""
    return copy.deepcopy(tiny_loaded)


@pytest.fixture
def drawn():
    """Has the reports of a test's commands hold their figures, which take longer than all else in such a run."""


@pytest.fixture
def command(monkeypatch, capsys, tiny_folder, request):
    """Runs a command as its command line would; returns exit code and what it wrote to stderr."""
    from hydra._internal.hydra import Hydra
    from hydra.types import RunMode

    from trainers.reporting import report
    from trainers.rollouts import grow
    from trainers.runs.command import COMMANDS

    monkeypatch.setenv("NO_PROGRESS", "1")
    monkeypatch.setattr(grow, "GROUPS", 2)
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(report, "_draw", lambda *_: {})
    # To learn whether a command is a sweep, hydra makes its config once more, a third of a test's time. None here is.
    monkeypatch.setattr(Hydra, "get_mode", lambda *_, **__: RunMode.RUN)
    level = logging.root.level

    def run(module, *overrides):
        entry = COMMANDS[module.__name__.rpartition(".")[2]]
        plays = entry.with_experiment and entry.plays and "assistant=scripted" not in overrides
        model = [f"assistant.model={tiny_folder}"] if plays else []
        monkeypatch.setattr(sys, "argv", [f"{module.__name__}.py", *model, *overrides])
        capsys.readouterr()
        try:
            module.main()
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    yield run
    logging.root.setLevel(level)  # `hydra.verbose=true` leaves it at DEBUG, where hydra composes each config thrice
