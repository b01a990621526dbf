"""Values and paths of the command line, whatever characters they hold."""

import json
import os
import random
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from trainers.runs.paths import at_home, make_run_dir, quoted

VALUES = [
    "/x/my cells (1)",
    "runs/ab,alpha=1",
    'it\'s "so"',
    "20261127",
    "1e3",
    "null",
    "true",
    "",
    " a ",
    "a\\",
    "a\\'b\\\\",
    "${seed}",
    "\\${seed}",
    "\\\\${x} and ${y:z}",
    "[a, b]",
    "{a: b}",
    "glob(*)",
    "a#b",
    "%20 é ü 漢 \u2212",
    "~/x",
    "$HOME",
    "a: b",
    "#",
    "@package",
    ["x,y", "'", [1, "1"]],
    {"n_jobs": 1, "backend": "a b"},
    {"a": [None, True, 0.5, -3, "off"]},
    7,
    1e-05,
    False,
    None,
]


def through_hydra(value):
    """What a command gets from ``key=...``, interpolations resolved."""
    [override] = OverridesParser.create().parse_overrides([f"key={quoted(value)}"])
    assert not override.is_sweep_override(), "one job"
    again = OverridesParser.create().parse_overrides([f"key={override.get_value_element_as_str()}"])[0]
    assert again.value() == override.value(), "a sweeper writes it anew"
    return OmegaConf.to_container(OmegaConf.create({"seed": 3, "key": override.value()}), resolve=True)["key"]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_quoted_value_arrives_as_it_is(value):
    arrived = through_hydra(value)
    assert arrived == value and type(arrived) is type(value)


def test_any_text_arrives_as_it_is():
    rng = random.Random(0)
    alphabet = "ab0 ,='\"\\${}[]():~!@#%&*?|<>-+.é漢"
    for _ in range(300):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(12)))
        assert through_hydra(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("~/x", "/home/ann/x"),
        ("~/my runs (1)/é", "/home/ann/my runs (1)/é"),
        ("~/", "/home/ann/"),
        ("~", "~"),
        ("a/~/b", "a/~/b"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
        ("~ about 5/6", "~ about 5/6"),
        ("task.path=~/x", "task.path=~/x"),
    ],
)
def test_home_is_read_in_every_option(text, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    config = OmegaConf.create(
        {"run_dir": text, "assistant": {"model": text}, "list": [text, {"path": text}], "other": "${run_dir}", "n": 3}
    )
    OmegaConf.set_struct(config, True)
    changed = at_home(config)
    assert (changed.run_dir, changed.assistant.model, changed.list[0], changed.list[1].path) == (expected,) * 4
    assert changed.other == expected and changed.n == 3 and config.run_dir == text


def test_home_may_be_written_in_a_run_directorys_name_or_in_full(monkeypatch, tmp_path):
    """The identity of a run is that of its folders."""
    from trainers import prompted  # noqa: F401  (offers its options)
    from trainers.runs.command import CONF
    from trainers.runs.identity import config_hash

    monkeypatch.setenv("HOME", str(tmp_path))
    manifest, hashes = tmp_path / "m" / "manifest.json", []
    manifest.parent.mkdir()
    for digest in (None, "a"):  # with the digest of the weights, where the folder has one
        if digest is not None:
            manifest.write_text(json.dumps({"sha256": digest}))
        with initialize_config_dir(str(CONF), version_base="1.3"):
            short, full = (
                config_hash(compose("prompted", [f"assistant.model={quoted(model)}"]))
                for model in ("~/m", f"{tmp_path}/m")
            )
        assert short == full
        hashes.append(short)
    assert hashes[0] != hashes[1]


def unwritable(folder, monkeypatch):
    (folder / "run").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # as root, any folder can be written
    return folder / "run"


def refused(folder, monkeypatch):
    def deny(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", deny)
    return folder / "run"


def a_file(folder, monkeypatch):
    (folder / "run").write_text("")
    return folder / "run"


def under_a_file(folder, monkeypatch):
    return a_file(folder, monkeypatch) / "a" / "b"


def dangling(folder, monkeypatch):
    (folder / "run").symlink_to("nowhere")
    return folder / "run"


def under_a_dangling_link(folder, monkeypatch):
    return dangling(folder, monkeypatch) / "a"


def too_long(folder, monkeypatch):
    return folder / ("x" * 300)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (a_file, "{0}/run is a file, not a folder"),
        (under_a_file, "{0}/run is a file, not a folder"),
        (dangling, "{0}/run is a link to nowhere, which does not exist"),
        (under_a_dangling_link, "{0}/run is a link to nowhere, which does not exist"),
        (unwritable, "nothing can be written in {0}/run; choose another folder"),
        (refused, "{0}/run cannot be created (Permission denied); choose another folder"),
        (too_long, f"{{0}}/{'x' * 300} cannot be created (File name too long); choose another folder"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_directory_that_cannot_be_is_one_sentence(tmp_path, monkeypatch, place, sentence):
    folder = place(tmp_path, monkeypatch)
    with pytest.raises(ValueError) as refusal:
        make_run_dir(folder)
    assert str(refusal.value) == "run_dir: " + sentence.format(tmp_path)


def test_a_link_to_a_folder_is_a_run_directory(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    make_run_dir(tmp_path / "link")
    make_run_dir(tmp_path / "link" / "a" / "b")
    assert (tmp_path / "there" / "a" / "b").is_dir()
