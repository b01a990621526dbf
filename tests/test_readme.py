"""What the README and docs show is run: Python and commands here or in .ci/run; one that nobody runs fails."""

import importlib.util
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from unittest.mock import patch

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"(?:<!-- ci:(?P<ci>[\w-]+) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
SHOWN = ("tasks.md", "results.md", "data.md", "users.md", "rating.md")
DOCS = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in SHOWN)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(README + DOCS)]
PYTHON = [block["body"] for block in BLOCKS if block["language"] == "python"]
SHELL = [
    (block["ci"], line)
    for block in BLOCKS
    if block["language"] == "sh"
    for line in block["body"].replace("\\\n", " ").splitlines()
]
TRAINERS = [line for _, line in SHELL if " -m trainers." in line and " && " not in line]
# Commands that finish in seconds, run as they stand.
CHEAP = [
    ".venv/bin/python -m clarify_env.games.clarification task=almanac",
    ".venv/bin/python -m clarify_env.tasks show almanac",
    ".venv/bin/python -m clarify_env.tasks check docs/questions.jsonl",
]


def arguments(line: str) -> list[str]:
    return shlex.split(line.replace(".venv/bin/python", shlex.quote(sys.executable)))


def run(command: list[str], timeout: float) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_PROGRESS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[-1][:40])
def test_python_runs(code, tmp_path):
    # A task registered here must not be known to other tests.
    from clarify_env.tasks.base import REGISTERED

    (tmp_path / "readme.py").write_text(code, encoding="utf-8")
    with patch.dict(REGISTERED):
        runpy.run_path(str(tmp_path / "readme.py"), run_name="__main__")


def test_the_complete_task_is_under_40_lines():
    code = next(code for code in PYTHON if "(Task)" in code)
    assert len(code.splitlines()) < 40


@pytest.mark.slow  # each is a process of its own
@pytest.mark.parametrize("line", CHEAP)
def test_cheap_command_runs(line):
    assert line in [shown for _, shown in SHELL]
    done = run(arguments(line), timeout=120)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize("line", TRAINERS)
def test_overrides_make_a_whole_config(line):
    """Composes configs that hold every value of a sweep once, as hydra does, and resolves all of them."""
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from trainers.runs.command import COMMANDS, CONF

    module, *overrides = [word for word in arguments(line)[2:] if word != "-m"]
    assert importlib.util.find_spec(module), f"there is no command {module}"
    # Registers the resolvers, and the tasks that have no file of their own.
    importlib.import_module(module)
    choices = []
    for override in OverridesParser.create().parse_overrides(overrides):
        texts = [override.input_line]
        if override.is_sweep_override():
            texts = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
        choices.append(texts)
    name = module.removeprefix("trainers.")
    for number in range(max(map(len, choices), default=1)):
        job = [texts[number % len(texts)] for texts in choices]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(name, COMMANDS[name].command_line().hydra_overrides(job))
        assert OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def test_every_command_is_run_by_someone():
    ci = (ROOT / ".ci" / "run").read_text()
    by_ci = {part for marker, line in SHELL if marker and f"readme {marker}" in ci for part in line.split(" && ")}
    # The first command is the second's install without the tests' packages, and the jobs whose quick form CI runs.
    by_ci |= {part.replace("[test]", "[train]") for part in by_ci} | {
        part.replace(" size=quick", "").replace(" --quick", "") for part in by_ci
    }
    for _, line in SHELL:
        left = [part for part in line.split(" && ") if part not in by_ci and part not in CHEAP and part not in TRAINERS]
        assert not left, f"neither a test nor .ci/run covers {left[0]!r}"


def test_entry_points_of_the_readme_are_valid():
    shown = tomllib.loads(next(block["body"] for block in BLOCKS if block["language"] == "toml"))
    assert list(shown["project"]["entry-points"]) == ["clarify_env.tasks"]


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_the_docs_exist(page):
    named = r"`((?:clarify_env|agents|trainers|conf|docs)/[\w/.]+\.\w+)`"
    for name in re.findall(named, page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


EXAMPLES = runpy.run_path(str(ROOT / "docs" / "examples.py"))


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "tasks").glob("*.md")), ids=lambda page: page.stem)
def test_what_the_pages_of_tasks_show_is_what_their_commands_print(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page.read_text(encoding="utf-8")
    commands = [match["command"] for match in EXAMPLES["SHOWN"].finditer(text)]
    assert len(commands) == text.count("```sh"), "each command stands above what it prints"
    for command in commands:
        if EXAMPLES["printed"](command) is None:
            pytest.skip(f"no data for {command} (set CLARIFY_DATA)")
    assert EXAMPLES["renewed"](text) == text, "python docs/examples.py writes the page anew"
