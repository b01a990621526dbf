"""A language model small enough for unit tests, made once a session.

What takes seconds to import is imported where it is used: the process that hands out the tests needs none of it.
"""

import copy
import gc
import pickle
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
def configs_read_once():
    """Keeps the configs that hydra has read from files; to read them was a third of the time of making a config."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.core_plugins.importlib_resources_config_source import ImportlibResourcesConfigSource

    def reading_once(load_config):
        configs: dict[tuple[str, str], bytes] = {}

        def load_once(source, config_path):
            key = source.path, config_path
            if key not in configs:
                configs[key] = pickle.dumps(load_config(source, config_path))
            return pickle.loads(configs[key])

        return load_once

    with pytest.MonkeyPatch.context() as patched:
        for source in (FileConfigSource, ImportlibResourcesConfigSource):
            patched.setattr(source, "load_config", reading_once(source.load_config))
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


@pytest.fixture
def tiny(tiny_folder):
    """The tiny model, loaded anew: (model, tokenizer)."""
    from agents.hf import load

    return load(tiny_folder, device="cpu")


@pytest.fixture
def drawn():
    """Has the reports of a test's commands hold their figures, which take longer than all else in such a run."""


@pytest.fixture
def command(monkeypatch, capsys, tiny_folder, request):
    """Runs a command as its command line would; returns exit code and what it wrote to stderr."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
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
    # A command composes its config before hydra does so again; here the second is a copy of the first.
    load_configuration, loaded = ConfigLoaderImpl.load_configuration, {}

    def load_once(loader, config_name, overrides, *args, **kwargs):
        key = config_name, *overrides
        if key not in loaded:
            loaded[key] = load_configuration(loader, config_name, overrides, *args, **kwargs)
        return copy.deepcopy(loaded[key])

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", load_once)

    def run(module, *overrides):
        loaded.clear()
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

    return run
