"""The adapters for verifiers, SkyRL-gym and GEM: the same games as directly, and the examples of docs/adapters.md."""

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import peer_games
import pytest
from peers import ROOT, environment
from plugin_wheel import install
from scripted_endpoint import serve

# Module of each peer, by the extra.
PEERS = {"verifiers": "verifiers", "skyrl": "skyrl_gym", "gem": "gem"}
# With the versions of constraints.txt, beside which these peers can be installed; GEM cannot.
PINNED = ("-c", str(ROOT / "constraints.txt"))
MORE = {"verifiers": PINNED, "skyrl": PINNED, "gem": ()}


@pytest.mark.parametrize("extra", PEERS)
def test_an_adapter_without_its_peer_names_the_extra(monkeypatch, extra):
    monkeypatch.delitem(sys.modules, f"clarify_env.adapters.{extra}", raising=False)
    for module in ("verifiers", "omegaconf", "skyrl_gym", "gem"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as error:
        import_module(f"clarify_env.adapters.{extra}")
    assert re.fullmatch(
        rf"clarify_env.adapters.{extra} needs [\w.]+: install the extra \[{extra}\], as pip install "
        rf"'clarify-env\[{extra}\]'",
        str(error.value),
    )


def test_verifiers_of_one_agent_an_episode_is_refused(monkeypatch):
    monkeypatch.delitem(sys.modules, "clarify_env.adapters.verifiers", raising=False)
    old = ModuleType("verifiers")
    old.v1 = ModuleType("verifiers.v1")
    monkeypatch.setitem(sys.modules, "verifiers", old)
    monkeypatch.setitem(sys.modules, "verifiers.v1", old.v1)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1.14")
    with pytest.raises(ImportError, match=r"needs verifiers 0\.4, not 0\.1\.14: install the extra \[verifiers\]"):
        import_module("clarify_env.adapters.verifiers")


@pytest.mark.parametrize("extra", PEERS)
def test_a_few_games_equal_those_played_directly(extra):
    if find_spec(PEERS[extra]) is None:
        pytest.skip(f"{PEERS[extra]} is not installed; test_200_games_equal_those_played_directly installs it")
    assert peer_games.PEERS[extra](20)


@pytest.mark.peers
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("extra", PEERS)
def test_200_games_equal_those_played_directly(extra, tmp_path):
    python = environment(extra, *MORE[extra])
    variables = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "HOME": str(tmp_path)}
    command = [str(python), str(ROOT / "tests" / "peer_games.py"), extra, "200"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(rf"{extra}: (\d+) games equal", done.stdout)[1]) >= 200


def examples(title):
    """The code of one section of docs/adapters.md, in order: (language, text)."""
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)


@pytest.mark.peers
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("title", "extra", "words"),
    [
        ("verifiers", "verifiers", r"(user|assistant) True -?\d"),
        ("SkyRL-gym", "skyrl", r"'questions': 1"),
        ("GEM", "gem", r"'accuracy'"),
    ],
)
def test_the_examples_of_the_docs_run(title, extra, words, tmp_path):
    python = environment(extra, *MORE[extra])
    variables = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), str(install(tmp_path))]),
        "PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]),
        "HOME": str(tmp_path),
    }
    printed = ""
    with serve(lambda chat, seed: "#CLARIFY Which kind?" if len(chat) == 2 else "#ANSWER 12") as (url, bodies):
        # Modules are saved before the commands that name them; what reads the runs goes last.
        blocks = sorted(examples(title), key=lambda block: (block[0] == "python") - 2 * block[1].startswith("# "))
        assert blocks
        for language, text in blocks:
            text = text.replace("http://127.0.0.1:8000/v1", url)
            if name := re.match(r"# (\w+\.py)\n", text):
                (tmp_path / name[1]).write_text(text)
            command = ["bash", "-ec", text] if language == "sh" else [str(python), "-c", text]
            done = subprocess.run(
                command, cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=600
            )
            assert done.returncode == 0, text + done.stdout + done.stderr
            printed += done.stdout
    assert re.search(words, printed), printed
    assert bodies or title != "verifiers"
