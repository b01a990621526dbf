"""Options: what a field allows, what is refused in which words, what --help prints, and size=quick of every command."""

import re
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import pytest
from configs import arguments_of, config_of
from hydra.errors import HydraException

from clarify_env import games
from clarify_env.field_docs import field_docs
from clarify_env.games.base import Game
from clarify_env.games.description import Description
from clarify_env.options import check_arguments, defaults, described, option, read, rule_of
from trainers import compare, evaluate, prompted, rest
from trainers.runs import command as commands
from trainers.runs import errors
from trainers.runs.command import COMMANDS, CONF
from trainers.runs.help import help_page
from trainers.runs.renamed import RENAMED, refuse_renamed

NAMES = [
    "rest",
    "rwsft",
    "contrastive",
    "stargate",
    "grpo",
    "imitate",
    "sft",
    "prompted",
    "probe",
    "evaluate",
    "pretrain",
    "compare",
]


@dataclass
class Oven:
    """Options of every type."""

    heat: float = option(180.0, least=50, most=250)
    """Temperature in degrees."""
    trays: int = option(2, least=1)
    """Number of trays."""
    fan: bool = option(False)
    """Whether the fan turns."""
    mode: str = option("bake", choices=("bake", "grill", "toast"))
    """What it does."""
    share: float | None = option(None, above=0, below=1)
    """Share of the power;
    null: all."""
    steps: list[float] = option([1.0, 2.0], length=2, above=0)
    """Two steps."""
    rack: str | None = option(None, choices=("top", "low", None))
    """Rack; null: none."""
    sets: list[str] = option(["a"], choices=("a", "b"))
    """Sets."""
    depth: int | list[str] = option(4)
    """Depth, or kinds."""
    more: dict[str, Any] = option({})
    """Anything else."""


GOOD = [
    ({}, Oven(), "the defaults"),
    ({"heat": 200}, Oven(heat=200.0), "a whole number is a number"),
    ({"share": None}, Oven(), "null where it is allowed"),
    ({"depth": ["x"]}, Oven(depth=["x"]), "one of two types"),
    ({"steps": [1, 3]}, Oven(steps=[1.0, 3.0]), "numbers of a list"),
]
REFUSED = [
    ({"heat": 20}, "oven.heat must be a number in [50, 250], not 20", "too low"),
    ({"heat": "hot"}, "oven.heat must be a number in [50, 250], not 'hot'", "text"),
    ({"heat": float("nan")}, "oven.heat must be a number in [50, 250], not nan", "no number"),
    ({"heat": True}, "oven.heat must be a number in [50, 250], not True", "true is no number"),
    ({"trays": 1.5}, "oven.trays must be a whole number of at least 1, not 1.5", "half a tray"),
    ({"trays": True}, "oven.trays must be a whole number of at least 1, not True", "true is no whole number"),
    ({"fan": 1}, "oven.fan must be true or false, not 1", "a number for true"),
    ({"mode": "fry"}, "oven.mode must be one of bake, grill, toast, not 'fry'", "a choice there is not"),
    ({"rack": "mid"}, "oven.rack must be top or low or null, not 'mid'", "null is named once"),
    ({"share": 1}, "oven.share must be a number between 0 and 1 or null, not 1", "a bound that is excluded"),
    ({"steps": [1]}, "oven.steps must be two numbers above 0, not [1]", "one of two"),
    ({"steps": [1, -1]}, "oven.steps must be two numbers above 0, not [1, -1]", "one out of range"),
    ({"sets": []}, "oven.sets must be one or more of a, b, not none", "nothing chosen"),
    ({"sets": ["a", "c"]}, "oven.sets must be one or more of a, b, not a, c", "one there is not"),
    ({"more": 3}, "oven.more must be a mapping, not 3", "no mapping"),
    ({"tray": 3}, "there is no option oven.tray; did you mean oven.trays?", "a slip"),
    ({"colour": 3}, "there is no option oven.colour; known: oven.heat, oven.trays", "nothing like it"),
]


@pytest.mark.parametrize(("values", "expect", "why"), GOOD, ids=[row[2] for row in GOOD])
def test_what_is_allowed(values, expect, why):
    assert read(Oven, values, "oven") == expect


@pytest.mark.parametrize(("values", "sentence", "why"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_is_refused(values, sentence, why):
    with pytest.raises(ValueError, match="^" + re.escape(sentence)):
        read(Oven, values, "oven")


def test_a_value_without_default_must_be_given():
    @dataclass
    class Lamp:
        watts: int = option(least=1)

    with pytest.raises(ValueError, match=r"lamp\.watts is missing: it must be a whole number of at least 1"):
        read(Lamp, {}, "lamp")


def test_defaults_are_copied():
    defaults(Oven)["more"]["x"] = 1
    assert defaults(Oven)["more"] == {} and Oven().more is not Oven().more


def test_docstrings_of_fields():
    docs = field_docs(Oven)
    assert set(docs) == {one.name for one in fields(Oven)}
    assert docs["share"] == "Share of the power; null: all.", "in one line"


def test_arguments_of_a_constructor():
    class Plug:
        def __init__(self, task: str, size: int, path: str | None = None):
            pass

    check_arguments(Plug, {"size": 3, "path": None}, "task", skip=("task",))
    for values, sentence in (
        ({"size": "big"}, "task.size must be a whole number, not 'big'"),
        ({"task": "x"}, "there is no option task.task; known: task.size, task.path"),
        ({"siz": 3}, "there is no option task.siz; did you mean task.size?"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            check_arguments(Plug, values, "task", skip=("task",))


OLD = [
    ("sample=branching", "rollouts=all_readings"),
    ("sample=plain", "rollouts=plain"),
    ("sample.free=2", "rollouts.free=2"),
    ("rollouts=branching", "rollouts=all_readings"),
    ("costs=default", "costs=clarification"),
    ("selfplay.max_questions=3", "game.max_questions=3"),
    ("selfplay.redact_leaks=true", "game.leaks=redact"),
    ("game.redact_leaks=false", "game.leaks=count"),
    ("selfplay.reasoning=free", "game.reasoning=free"),
    ("+budget.questions=9", "budget.episodes=9"),
    ("curve_questions=[5]", "curve_episodes=[5]"),
    ("comparison=quick", "size=quick"),
    ("rest.dearest=0.2", "rest.corner=0.2"),
]


@pytest.mark.parametrize(("old", "now"), OLD)
def test_old_names_are_refused_with_the_new_one(old, now):
    with pytest.raises(ValueError, match=f"{re.escape(old)} is an old name: write {re.escape(now)}$"):
        refuse_renamed(["seed=1", old])


def test_every_old_name_is_tried():
    assert {old.lstrip("+").partition("=")[0].replace("sample.free", "sample") for old, _ in OLD} >= set(RENAMED)
    refuse_renamed(["-m", "seed=0,1", "rollouts=plain", "selfplay.chunk=4", "~user", "hydra/launcher=joblib"])


@pytest.mark.parametrize(
    ("module", "override", "sentence"),
    [
        (rest, "rest.hindsigt=3", "there is no option rest.hindsigt; did you mean rest.hindsight?"),
        (rest, "+rest.speed=3", "there is no option rest.speed; known: rest.iterations, rest.hindsight"),
        (rest, "rest.k=many", "rest.k must be a whole number of at least 1, not 'many'"),
        (rest, "rest.start=middle", "rest.start must be base or previous, not 'middle'"),
        (rest, "sample=branching", "sample=branching is an old name: write rollouts=all_readings"),
        (rest, "costs=default", "costs=default is an old name: write costs=clarification"),
        (rest, "seed=x", "seed must be a whole number in [0, 2147483647], not 'x'"),
        (rest, "user=hf", "user.model must be given: it has no default"),
        (rest, "+assistant.temperature=2", "assistant.temperature"),
        (prompted, "eval.gold_logprob=3", "eval.gold_logprob must be true or false, not 3"),
        (prompted, "budget.games=3", "there is no option budget.games; known: "),
        (prompted, "task.train_names=many", "task.train_names must be a whole number, not 'many'"),
        (evaluate, "+moon=full", "there is no option moon; known: "),
        (compare, "seeds=[a]", "seeds must be a list of whole numbers of at least 0, not ['a']"),
        (compare, "curve=true tune=true", "compare: tune and curve are two comparisons; choose one"),
    ],
)
def test_a_command_refuses_in_one_sentence(command, tmp_path, module, override, sentence):
    if module is compare:
        code, error = 1, compared(*override.split())
    else:
        code, error = command(module, override, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: {sentence}") and error.count("\n") == 1 and "Traceback" not in error


def compared(*overrides):
    """What `trainers.compare` says; its command line takes no model."""
    try:
        COMMANDS["compare"].read(config_of("compare", *overrides))
    except ValueError as error:
        return f"error: {errors.sentence(error)}\n"
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_every_option_with_its_docstring(name):
    config = config_of(name)
    page = help_page(name, COMMANDS[name].sections(), config, CONF)
    for section, cls in COMMANDS[name].sections().items():
        for one in fields(cls):
            path = f"{section}.{one.name}" if section else one.name
            assert f"\n  {path} = " in page, path
            assert field_docs(cls).get(one.name), f"{path} has no docstring"
            assert described(get_type_hints(cls)[one.name], rule_of(one)), path
    assert "run_dir = " in page and "  size: full, laptop, quick" in page


def test_help_of_a_command_line(capsys, monkeypatch):
    """With the values of that line."""
    monkeypatch.setattr("sys.argv", ["rest.py", "--help", "rest.k=7", "rollouts=plain"])
    rest.main()
    page = capsys.readouterr().out
    assert "  rest.k = 7   (a whole number of at least 1; default: 4)\n      Games that top_k keeps" in page
    assert "  rollouts.forced = 0 " in page and "  rollouts: all_readings, asking, plain" in page


@pytest.mark.parametrize("game", ["clarification", "pandora"])
@pytest.mark.parametrize("size", ["full", "quick", "laptop"])
@pytest.mark.parametrize("name", ["rest", "rwsft", "contrastive", "grpo", "sft", "prompted"])
def test_sizes_pass_the_checks_of_each_command(name, size, game):
    assert arguments_of(name, f"size={size}", f"game={game}")


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_quick_form(name):
    full, quick = config_of(name), config_of(name, "size=quick")
    assert full != quick, "it makes something smaller"
    assert set(full) == set(quick), "and adds no option"
    if "budget" in full:
        assert quick.budget.games < full.budget.games and quick["update"].runs == 1
    if name not in ("pretrain", "compare"):
        assert quick.eval.episodes < full.eval.episodes


@pytest.mark.parametrize("planed", [False, True], ids=["fixed prices", "a plane of its own"])
def test_costs_of_a_game_of_another_package_are_named_by_its_usage(monkeypatch, planed):
    """They are there without a file, so that a slip in their name is refused."""

    @dataclass
    class Plane:
        most: float = option(0.5, above=0)
        """Largest price of a word."""

    class Hints(Description):
        name = "hints_of_this_test"
        game = Game
        usage = ("words", "hints")
        plane_options = Plane if planed else None

    monkeypatch.setitem(games._LOADED, Hints.name, Hints())
    commands.offer_plugins()
    config = config_of("rest", f"game={Hints.name}")
    assert config.costs == ({"most": 0.5} if planed else {"words": 0.0, "hints": 0.0})
    with pytest.raises(HydraException, match=r"costs\.word_"):
        config_of("rest", f"game={Hints.name}", "costs.word_=1")
