"""The configs that the session keeps (`composed_once.py`) are those that hydra composes."""

import importlib

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf

from trainers.runs.command import CONF


def composed(name, *overrides):
    """The whole config of a command line, hydra's own part included."""
    importlib.import_module(f"trainers.{name}")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides), return_hydra_config=True)


def composed_anew(name, *overrides):
    """The same by hydra alone."""
    with pytest.MonkeyPatch.context() as patched:
        for place, function in (
            (config_loader_impl, "create_defaults_list"),
            (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
        ):
            patched.setattr(place, function, getattr(place, function).__wrapped__)
        return composed(name, *overrides)


LINES = [
    ("rest", ["seed=3"]),
    ("rest", ["seed=4", "rest.hindsight=1"]),
    ("rest", ["task=sql", "size=quick", "~costs"]),
    ("evaluate", ["assistant=scripted", "+players.user.kind=self", "eval.sets=[seen]"]),
    ("compare", ["only=[rest]"]),
]


@pytest.mark.parametrize(("name", "overrides"), LINES, ids=[" ".join([name, *words]) for name, words in LINES])
def test_a_kept_config_is_the_one_that_hydra_composes(name, overrides):
    expected = composed_anew(name, *overrides)
    for _ in range(3):
        config = composed(name, *overrides)
        assert OmegaConf.to_container(config) == OmegaConf.to_container(expected)
        with pytest.raises(AttributeError):
            config.nothing = 1  # the structure is fixed, as hydra leaves it
        config.run_dir = "changed"  # a copy: the next one does not know


def test_a_stored_config_is_seen_and_forgotten(monkeypatch):
    importlib.import_module("trainers.evaluate")
    repository = ConfigStore.instance().repo
    for number in (1, 2):
        with monkeypatch.context() as patched:
            patched.setitem(repository, "task", dict(repository.get("task", {})))
            ConfigStore.instance().store(group="task", name="made_up", node={"name": "made_up", "number": number})
            assert composed("evaluate", "task=made_up").task == {"name": "made_up", "number": number}
        with pytest.raises(HydraException, match="made_up"):
            composed("evaluate", "task=made_up")
