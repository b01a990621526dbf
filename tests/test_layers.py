"""Who may import whom: the graph of all imports of the three packages, those inside functions included."""

import ast
from collections import deque
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("clarify_env", "agents", "trainers")
KERNEL = (
    "clarify_env.games",
    *(
        f"clarify_env.games.{name}"
        for name in ("agents", "base", "conduct", "declared", "demonstration", "description", "solved")
    ),
)
ENVIRONMENTS = ("clarify_env.aec", "clarify_env.gym", "clarify_env.dealing", "clarify_env.testing")


def read_sources():
    """Source of each module, by name; a package is its `__init__`."""
    sources = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            sources[name] = path.read_text(encoding="utf-8")
    return sources


def ancestors(name):
    """The packages that hold a module."""
    parts = name.split(".")
    return {".".join(parts[:n]) for n in range(1, len(parts))}


def imports_of(name, source, modules):
    """Names of all modules that a module's text imports, foreign ones included.

    Importing a.b.c also imports a and a.b, unless they hold the importer: then they are there already.
    """
    imported = set()
    is_package = any(name in ancestors(module) for module in modules)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                package = name.split(".") if is_package else name.split(".")[:-1]
                package = package[: len(package) - node.level + 1]
                target = ".".join([*package, target] if target else package)
            for alias in node.names:
                submodule = f"{target}.{alias.name}"
                imported.add(submodule if submodule in modules else target)
    packages = set().union(*map(ancestors, imported)) - ancestors(name)
    return (imported | (packages & modules.keys())) - {name}


def import_graph(sources):
    """What each module imports."""
    return {name: imports_of(name, source, sources) for name, source in sources.items()}


def circle(graph, package):
    """A circle of imports inside a package, as names; ``None`` where there is none."""
    inside = {name: {other for other in graph[name] if lies_in(other, package)} for name in graph}
    try:
        TopologicalSorter({name: sorted(inside[name]) for name in sorted(inside) if lies_in(name, package)}).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def lies_in(name, package):
    """Whether a module is a package or lies in it."""
    return name == package or name.startswith(f"{package}.")


def way(graph, start, is_forbidden):
    """The shortest chain of imports from a module to a forbidden one; ``None`` where there is none."""
    chains, seen = deque([[start]]), {start}
    while chains:
        chain = chains.popleft()
        for name in sorted(graph.get(chain[-1], ())):
            if is_forbidden(name):
                return [*chain, name]
            if name not in seen:
                seen.add(name)
                chains.append([*chain, name])
    return None


def any_of(*packages, but=()):
    """A test of names: whether a module lies in one of the packages, and in none of the excepted ones."""

    def lies(name):
        return any(lies_in(name, package) for package in packages) and not any(lies_in(name, other) for other in but)

    return lies


def is_command(name):
    """Whether a module is a command of the trainers, one file each."""
    return name.startswith("trainers.") and f"{name.replace('.', '/')}.py" in COMMANDS


def is_main(name):
    return name.endswith(".__main__")


def faults(graph, may_not, forbidden):
    """Chains of imports that lead from the modules that may not to what is forbidden."""
    starts = filter(may_not, graph)
    chains = [way(graph, start, lambda name, start=start: name != start and forbidden(name)) for start in starts]
    return [" imports ".join(chain) for chain in chains if chain]


SOURCES = read_sources()
GRAPH = import_graph(SOURCES)
COMMANDS = {f"trainers/{path.name}" for path in (ROOT / "trainers").glob("[!_]*.py")}

LAYERS = [
    (any_of("clarify_env"), any_of("agents", "trainers"), "the environment knows neither agents nor trainers"),
    (any_of("clarify_env"), any_of("torch", "transformers"), "the environment needs no torch"),
    (any_of("agents"), any_of("trainers"), "agents know no trainers"),
    (KERNEL.__contains__, any_of("clarify_env.games", "clarify_env.tasks", but=KERNEL[1:]), "the kernel knows no game"),
    (
        lambda name: any_of("clarify_env.games", "clarify_env.tasks")(name) and not is_main(name),
        any_of(*ENVIRONMENTS),
        "games and tasks know no environment",
    ),
    (
        lambda name: any_of("clarify_env.tasks", "clarify_env.scores")(name) and not is_main(name),
        any_of("clarify_env.games"),
        "tasks know no games",
    ),
    (
        any_of(*PACKAGES, but=["clarify_env.adapters"]),
        any_of("clarify_env.adapters"),
        "nothing else imports the adapters to other people's trainers",
    ),
    (
        any_of("trainers", but=["trainers.compare", "trainers.mix"]),
        is_command,
        "neither a command nor the library imports a command, but for those that compare them and mix their runs",
    ),
]


@pytest.mark.parametrize(("may_not", "forbidden", "why"), LAYERS, ids=[why for *_, why in LAYERS])
def test_layers(may_not, forbidden, why):
    assert any(map(may_not, GRAPH)), "the rule is about modules that are there"
    assert faults(GRAPH, may_not, forbidden) == [], why


@pytest.mark.parametrize("package", PACKAGES)
def test_there_are_no_circles(package):
    imports = circle(GRAPH, package)
    assert imports is None, " imports ".join(imports or ())


def test_every_import_can_be_seen():
    """What is imported by a name made at run time, no walk over the text finds."""
    for name, source in SOURCES.items():
        nodes = list(ast.walk(ast.parse(source)))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        used |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert not used & {"import_module", "__import__", "run_module", "run_path"}, name


def test_every_folder_with_modules_is_a_package():
    """A folder without `__init__` is found from this checkout alone, not from an installed wheel."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()] == []


# The checker itself, on made-up packages.

MADE_UP = {
    "a": "from a.one import x",
    "a.one": "import os.path\nfrom a import two",
    "a.two": "from .deep import leaf\nfrom .deep.leaf import y",
    "a.deep": "",
    "a.deep.leaf": "def late():\n    import b.deep.leaf\n",
    "b": "import json",
    "b.deep": "",
    "b.deep.leaf": "if False:\n    from .. import other",
    "b.other": "",
}


def test_the_graph_holds_lazy_relative_and_implied_imports():
    assert import_graph(MADE_UP) == {
        "a": {"a.one"},
        "a.one": {"a.two", "os.path"},
        "a.two": {"a.deep.leaf", "a.deep"},
        "a.deep": set(),
        "a.deep.leaf": {"b", "b.deep", "b.deep.leaf"},
        "b": {"json"},
        "b.deep": set(),
        "b.deep.leaf": {"b.other"},
        "b.other": set(),
    }
    assert circle(import_graph(MADE_UP), "a") is circle(import_graph(MADE_UP), "b") is None


@pytest.mark.parametrize(
    ("module", "line", "members", "why"),
    [
        ("a.deep.leaf", "from a.two import z", {"a.two", "a.deep.leaf"}, "two modules of each other"),
        ("a.deep.leaf", "def f():\n    from ..two import z", {"a.two", "a.deep.leaf"}, "though inside a function"),
        ("a.deep", "from a import one", {"a.one", "a.two", "a.deep"}, "by a package that an import implies"),
        ("a.one", "from a import x", {"a", "a.one"}, "a package and a module of it"),
        ("a.two", "import a", {"a", "a.one", "a.two"}, "longer ones too"),
    ],
)
def test_a_circle_is_found(module, line, members, why):
    graph = import_graph(MADE_UP | {module: f"{MADE_UP[module]}\n{line}"})
    assert set(circle(graph, "a")) == members, why
    assert circle(graph, "b") is None


def test_a_forbidden_import_is_found_however_far_away():
    graph = import_graph(MADE_UP)
    may_not, forbidden = any_of("a"), any_of("b", but=["b.deep"])
    assert faults(graph, any_of("b"), any_of("a")) == []
    assert "a imports a.one imports a.two imports a.deep.leaf imports b" in faults(graph, may_not, forbidden)
    assert faults(graph, any_of("a.deep"), any_of("b.other")) == ["a.deep.leaf imports b.deep.leaf imports b.other"]
    assert faults(graph, any_of("b"), any_of("json")) == ["b imports json"], "foreign ones too"


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("clarify_env.words", "def f():\n    from agents.hf import load", 0),
        ("clarify_env.spaces", "import torch.nn", 1),
        ("clarify_env.costs", "from transformers import AutoTokenizer", 1),
        ("agents.selfplay", "from trainers import runs", 2),
        ("clarify_env.games.base", "from clarify_env.games.clarification.actions import parse", 3),
        ("clarify_env.games", "from clarify_env.games import clarification", 3),
        ("clarify_env.games.description", "from clarify_env.tasks.base import Task", 3),
        ("clarify_env.games.clarification.rules", "from clarify_env.aec import env", 4),
        ("clarify_env.tasks.sql", "from clarify_env import testing", 4),
        ("clarify_env.tasks.base", "from clarify_env.games.base import Game", 5),
        ("agents.kinds", "from clarify_env.adapters import trl", 6),
        ("clarify_env.gym", "def f():\n    import clarify_env.adapters.openenv", 6),
        ("trainers.grpo", "from trainers.rest import main", 7),
        ("trainers.learning.update", "from trainers import rest", 7),
        ("trainers.rest", "from trainers.compare import Cell", 7),
        ("trainers.runs.run", "from trainers.compare import main", 7),
    ],
)
def test_each_rule_fails_where_it_is_broken(module, line, rule):
    graph = GRAPH | {module: imports_of(module, f"{SOURCES[module]}\n{line}\n", SOURCES)}
    assert any(module in chain for chain in faults(graph, *LAYERS[rule][:2]))
