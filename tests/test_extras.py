"""What `agents` and `trainers` say where their extra is not installed, or another package has their name."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from clarify_env import extras
from clarify_env.extras import require, require_neighbour

ROOT = Path(__file__).resolve().parents[1]
OURS = "from clarify_env.extras import require\n"


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (["torch"], "trainers needs torch: install the extra [train], as pip install 'clarify-env[train]'"),
        (["torch", "trl"], "trainers needs torch, trl: install the extra [train]"),
        (list("abcde"), "trainers needs a, b, c and 2 more: install the extra [train]"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, missing, words):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in missing else object())
    require("trainers", ("numpy",), "train")
    with pytest.raises(ImportError) as error:
        require("trainers", ("numpy", *missing), "train")
    assert str(error.value).startswith(words) and error.value.name == "trainers"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Makes folders with a package of one name; the first stands first on the path, and `ours` beside trainers."""

    def make(*places):
        for place, text in places:
            folder = tmp_path / place / "players_of_this_test"
            folder.mkdir(parents=True)
            if text is not None:
                (folder / "__init__.py").write_text(text)
            monkeypatch.syspath_prepend(tmp_path / place)
        return tmp_path

    return make


NAME = "players_of_this_test"


@pytest.mark.parametrize(
    ("places", "words", "why"),
    [
        ([("ours", OURS)], None, "ours"),
        ([("ours", OURS), ("cwd", None)], None, "a folder that is no package hides nothing"),
        (
            [("ours", OURS), ("cwd", "")],
            "cwd/{name} hides the package {name} of clarify-env: rename it, or start",
            "a folder",
        ),
        ([("ours", OURS), ("site", "x = 1")], "site/{name} is the package {name} of open-players, not of", "installed"),
        ([("ours", "import openai")], "ours/{name} hides the package", "overwritten by another distribution"),
        ([("cwd", "")], "cwd/{name} hides the package", "ours is not there at all"),
    ],
)
def test_another_package_of_the_name_is_named_by_its_folder(packages, places, words, why, monkeypatch):
    root = packages(*places)
    monkeypatch.setattr(extras, "packages_distributions", lambda: {NAME: ["clarify-env", "open-players"]})
    site = type("Distribution", (), {"locate_file": lambda self, name: root / "site" / name})
    monkeypatch.setattr(extras, "distribution", lambda name: site())
    folder = root / "ours" / "trainers"
    if words is None:
        require_neighbour("trainers", folder, NAME)
        return
    with pytest.raises(ImportError) as error:
        require_neighbour("trainers", folder, NAME)
    assert str(error.value).startswith(f"{root}/{words.format(name=NAME)}"), why
    assert error.value.name == "trainers" and "\n" not in str(error.value)


def test_a_package_that_is_not_there_at_all(tmp_path):
    with pytest.raises(ImportError, match=f"clarify-env is not whole: there is no package {NAME} beside {tmp_path}"):
        require_neighbour("trainers", tmp_path / "trainers", NAME)


def run(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_command_from_a_folder_with_its_own_agents(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("raise SystemExit('run')")
    for line in (("-m", "trainers.evaluate"), ("-m", "trainers.rest", "--help")):
        done = run(tmp_path, *line)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert f"{tmp_path}/agents hides the package agents of clarify-env" in done.stderr
    assert run(tmp_path, "-P", "-c", "import trainers, agents").returncode == 0, "the README's way out"


def test_a_folder_with_its_own_trainers_is_passed_over_by_the_readmes_way(tmp_path):
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "__init__.py").write_text("")
    assert run(tmp_path, "-m", "trainers.evaluate").stderr.count("\n") == 1
    assert run(tmp_path, "-P", "-c", "import trainers.runs.options").returncode == 0


@pytest.mark.parametrize(("package", "missing"), [("agents", "torch"), ("trainers", "trl"), ("trainers", "hydra")])
def test_without_the_extra_a_package_is_refused_in_one_sentence(tmp_path, package, missing):
    done = run(tmp_path, "-c", f"import sys; sys.modules[{missing!r}] = None; import {package}")
    *_, last = done.stderr.splitlines()
    words = f"{package} needs {missing}: install the extra [train], as pip install 'clarify-env[train]'"
    assert done.returncode == 1 and last == f"ImportError: {words}"


def test_the_environment_alone_needs_little():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.partition(">")[0] for line in project["dependencies"]}
    assert names <= {"numpy", "gymnasium", "pettingzoo", "sqlglot", "sqlparse"}
    assert "torch>=2.9,<2.14" in project["optional-dependencies"]["train"]
    for extra in ("joblib", "similarity", "test"):
        assert "clarify-env[train]" in project["optional-dependencies"][extra], extra


@pytest.mark.parametrize(
    ("module", "peer", "extra"),
    [("trl", "datasets", "train"), ("openenv", "openenv", "openenv")],
    ids=["trl", "openenv"],
)
def test_an_adapter_without_its_peer_names_the_extra(module, peer, extra, monkeypatch):
    name = f"clarify_env.adapters.{module}"
    monkeypatch.setitem(sys.modules, peer, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError) as error:
        importlib.import_module(name)
    sentence = f"{name} needs {peer}: install the extra [{extra}], as pip install 'clarify-env[{extra}]'"
    assert str(error.value) == sentence and error.value.name == name


def test_an_adapter_as_a_command_without_its_peer_is_one_sentence(tmp_path):
    (tmp_path / "openenv.py").write_text("raise ModuleNotFoundError('no', name='openenv')")
    done = run(tmp_path, "-m", "clarify_env.adapters.openenv", "--help")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("clarify_env.adapters.openenv needs openenv: install the extra [openenv]")
