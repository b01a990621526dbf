"""For every command and any values of its options: a run that is about to start, or one sentence that names the option.

Never a traceback, and never a game played. What stops a case is `Command.load`, which follows the checks of a config.
"""

import importlib
import json
import random
import re
import sys

import pytest

from clarify_env import selfplay
from trainers.runs.command import COMMANDS, Command
from trainers.runs.schema import default_choices

NAMES = ("rest", "rwsft", "contrastive", "stargate", "grpo", "imitate", "prompted", "evaluate", "pretrain", "compare")
NUMBERS = (
    "0 1 -1 2 3 7 100 -3 1.5 0.5 -0.5 1e0 1e2 2.0 1e-3 1e-300 1e30 1e300 1e400 -1e400 1_000 007 0x10 "
    "9223372036854775807 9223372036854775808 2147483648 99999999999999999999999 inf -inf nan .5 5. 1e 1,2 1,a"
).split()
TEXTS = [
    *"abc ABC fast many true false null none yes ??? gpu cpu cuda cuda:7 cuda:x mps meta pocket hf oracle test".split(),
    *"[] [1] [1,2] [1.0,2e0] [a,b] [[1]] [null] [seen] [0.1,0.2] [0.2,0.1] [nan,1] {} {a:1} {kind:hf}".split(),
    *"~ ~/x /nowhere /nowhere/x ./x ../x /dev/null . .. a/b a/b/c x.y x=y x:y a#b 100% {a:{b:[1]}}".split(),
    *"$ $x ${x} ${seed} ${run_dir} ${oc.env:HOME} ( ) (( )) [ ] { } ' \" '' \"\" \\ ' \"x' `x` <x>".split(),
    *"& ; * ? ! | @ @x ^ é ß 日本 😀 e\u0301 ﬁ ² int(3) range(1,3) choice(a,b) str(2026) 20261127 1e3".split(),
    "",
    " ",
    "a b",
    "'a b'",
    " a ",
    "a\tb",
    "a\nb",
    "\u202e",
    "x" * 300,
    "x" * 5000,
    "1" * 400,
]
GROUPS = ("task", "game", "assistant", "user", "costs", "prompts", "rollouts", "update", "size", "recipe")
CHOICES = {
    "task": ["almanac", "ledger", "preferences", "sql", "mix", "qa_jsonl", "ambigqa", "pacific", "abgcoqa"],
    "assistant": ["scripted", "hf", "pocket"],
    "user": ["scripted", "self", "hf"],
}
# What keeps a case quick: of a comparison, a cell alone.
FEW = {"compare": ["only=[prompted]", "reference=prompted", "seeds=[0]"]}


class Started(BaseException):
    """A run is about to load its models."""


@pytest.fixture
def outcome(monkeypatch, capsys, tmp_path):
    """Runs command lines; returns ``None`` for one that starts a run, else its exit status and what it wrote."""
    records = tmp_path / "questions.jsonl"
    reading = {"text": "q?", "answers": ["a"], "label": "l"}
    lines = [
        {"question": f"q {i}?", "interpretations": [reading, reading | {"label": "m", "answers": ["b"]}]}
        for i in range(9)
    ]
    records.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def load(self, arguments):
        raise Started

    def never(*args, **kwargs):
        raise AssertionError("a game is played")

    monkeypatch.setattr(Command, "load", load)
    monkeypatch.setattr(selfplay, "_play_chunk", never)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def run(name, overrides):
        module = importlib.import_module(f"trainers.{name}")
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *(word.replace("RECORDS", str(records)) for word in overrides)])
        capsys.readouterr()
        try:
            module.main()
        except Started:
            assert [path.name for path in tmp_path.iterdir()] == [records.name], "nothing is written before"
            return None
        except SystemExit as end:
            written = capsys.readouterr()
            assert [path.name for path in tmp_path.iterdir()] == [records.name], "a refused config leaves nothing"
            return end.code, written.out, written.err
        raise AssertionError("neither started nor refused")

    return run


def overrides_of(name, rng):
    """One to three overrides of a command: options, groups, slips, deletions."""
    line = COMMANDS[name].command_line()
    task = rng.choice(CHOICES["task"]) if "task" in default_choices(name) and rng.random() < 0.3 else None
    words = [f"task={task}"] if task else []
    words += ["task.path=RECORDS"] if task == "qa_jsonl" and rng.random() < 0.8 else []
    if task and rng.random() < 0.7:
        words.append("assistant=scripted")
    line.hydra_overrides(words)
    options = sorted(line.types)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.random()
        if kind < 0.85:
            key = rng.choice(options)
        elif kind < 0.93:
            key = rng.choice([group for group in GROUPS if group in line.choices] or options)
        else:
            key = mangled(rng.choice(options), rng)
        sign = rng.choice(("", "", "", "", "", "", "+", "++"))
        if rng.random() < 0.03:
            words.append(f"~{key}")
        else:
            group = CHOICES.get(key) if rng.random() < 0.5 else None
            words.append(f"{sign}{key}={rng.choice(group or (NUMBERS if rng.random() < 0.5 else TEXTS))}")
    return words


def mangled(key, rng):
    """A name with a slip."""
    place = rng.randrange(len(key))
    return (
        rng.choice((key[:place] + key[place + 1 :], key + "s", key.replace(".", "_"), f"x.{key}", key.upper())) or "x"
    )


def names_an_option(error, words):
    """Whether an error names one of the overrides: by its section or group, or by its own name."""
    keys = [re.sub(r"^(\+\+|\+|~)", "", word).partition("=")[0] for word in words]
    parts = {part for key in keys for part in (key, key.partition(".")[0], key.rpartition(".")[2]) if part}
    # What another task lacks is named by its own option: an embedded model, a file.
    lacking = ("assistant.model", "task.path") if any(key in ("task", "task.name") for key in keys) else ()
    return any(part in error for part in (*parts, *lacking))


def check(outcome, name, rng):
    words = overrides_of(name, rng)
    result = outcome(name, [*FEW.get(name, ()), *words])
    if result is None:
        return
    code, _, error = result
    command_and_error = f"{name} {words}: {error[:3000]}"
    assert code == 1 and error.startswith("error: ") and error.endswith("\n") and error.count("\n") == 1, (
        command_and_error
    )
    assert "Traceback" not in error and names_an_option(error, words), command_and_error


@pytest.mark.parametrize("name", NAMES)
def test_any_values_of_options(outcome, name):
    importlib.import_module(f"trainers.{name}")
    for number in range(8):
        check(outcome, name, random.Random(f"quick {name} {number}"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_thousand_values_of_options(outcome, name):
    importlib.import_module(f"trainers.{name}")
    for number in range(200):
        check(outcome, name, random.Random(f"{name} {number}"))
