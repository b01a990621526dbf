"""What commands do not import to print their help or to refuse a config."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainers.__main__ import main

ROOT = Path(__file__).parents[1]
HEAVY = tuple(
    """torch transformers tokenizers safetensors scipy matplotlib peft datasets accelerate trl tensorboard jinja2 rich
    sentence_transformers pandas pettingzoo sqlglot""".split()
)
NAMES = (
    *("rest", "rwsft", "contrastive", "stargate", "grpo", "imitate", "prompted", "evaluate", "pretrain", "compare"),
    *("export", "import", "reverify", "mix"),
)
# Command lines that end with an answer: help, slips, wrong values, and values that do not fit together.
LINES = [
    ("compare", "--help"),  # which imports the commands that it compares
    ("rest", "rest.hindsigt=3"),
    ("rest", "rest.hindsight=abc"),
    ("evaluate", "assistant=scripted", "task=qa_jsonl", "task.path=/nowhere"),
]
MORE = [
    *((name, "--help") for name in NAMES),
    ("rest", "--help", "rest.k=7", "rollouts=plain", "user=self"),
    ("rest", "update.learning_rate=fast"),
    ("rest", "costs.alpha=[2,1]"),
    ("rest", "task=nothing"),
    ("rest", "assistant=hf"),
    ("rest", "assistant.model=/nowhere/model"),
    ("rest", "assistant.device=gpu"),
    ("rest", "budget.games=30"),
    ("grpo", "budget.games=30"),
    ("evaluate", "eval.sets=[far]"),
    ("compare", "only=[chess]"),
    ("export", "run=/nowhere"),
    ("import", "import.path=/nowhere"),
    ("reverify", "run=/nowhere"),
    ("mix", "runs=[/nowhere,/elsewhere]"),
    ("rest", "report_to=carrier_pigeon"),
]
SCRIPT = """
import importlib, io, sys, contextlib
for name, *words in {lines!r}:
    sys.argv = [name + ".py", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            importlib.import_module("trainers." + name).main()
            code = 0
        except SystemExit as end:
            code = end.code
    heavy = [module for module in {heavy!r} if module in sys.modules]
    assert not heavy, (name, words, heavy)
    is_help = "--help" in words
    assert code == (0 if is_help else 1), (name, words, code, err.getvalue())
    assert (" = " in out.getvalue()) if is_help else (err.getvalue().count(chr(10)) == 1), (name, words, err.getvalue())
print("all")
"""


@pytest.mark.parametrize("lines", [LINES, pytest.param(MORE, marks=pytest.mark.slow)], ids=["some", "more"])
def test_help_and_refusals_import_nothing_heavy(tmp_path, lines):
    script = SCRIPT.format(lines=lines, heavy=HEAVY)
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all\n", "")
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.slow
def test_scripted_players_are_measured_without_torch(tmp_path):
    words = ["size=quick", "assistant=scripted", "eval.episodes=2", "eval.sets=[between]", "run_dir=run"]
    script = f"""
import sys
from trainers import evaluate
sys.argv = ["evaluate.py", *{words}]
evaluate.main()
heavy = [name for name in ("torch", "transformers", "peft", "trl") if name in sys.modules]
assert not heavy, heavy
"""
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin", "OMP_NUM_THREADS": "1", "NO_PROGRESS": "1"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, check=True, capture_output=True)
    assert (tmp_path / "run" / "summary.json").exists() and not (tmp_path / "run" / "tensorboard").exists()


def test_the_package_lists_its_commands(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    names = [path.stem for path in sorted((ROOT / "trainers").glob("[!_]*.py"))]
    assert [line.split()[0] for line in lines] == names and all(len(line.split()) > 3 for line in lines)
    assert main(["rest", "seed=1"]) == 1
    assert capsys.readouterr().err.startswith("error: a command is run as python -m trainers.rest;")
