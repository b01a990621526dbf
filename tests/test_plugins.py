"""Classes of other people: tasks by entry point, module and file; what is broken is named when it is asked for."""

import multiprocessing
import pickle
import sys
from importlib.metadata import EntryPoint, EntryPoints

import gymnasium
import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

import clarify_env
from clarify_env import games, make_task
from clarify_env.tasks import registry
from clarify_env.tasks.registry import task_class, task_names

TASK = '''
from neighbour import SIZE
from clarify_env.tasks import Episode, Interpretation, Task


class {name}(Task):
    """A task in a file."""

    name = "mine"

    def __init__(self, size: int = SIZE):
        self.sizes = {{"train": size, "validation": 1, "test": 1}}

    def _episode(self, split, index):
        readings = (Interpretation("one", "one?", ("a",), 0.5), Interpretation("two", "two?", ("b",), 0.5))
        return Episode(f"{{split}}/{{index}}", "Which?", "", readings, {{"entity": f"{{split}}/{{index}}"}})
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with tasks in files, which is the working folder; modules that a test imports are forgotten."""
    (tmp_path / "neighbour.py").write_text("SIZE = 3\n")
    (tmp_path / "one_task.py").write_text(TASK.format(name="One"))
    (tmp_path / "two_tasks.py").write_text(TASK.format(name="One") + TASK.format(name="Two"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


SOURCES = ["one_task.py", "./one_task.py", "one_task.py:One", "two_tasks.py:Two", "{folder}/one_task.py:One"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_task_is_made_from_a_file(folder, source):
    source = source.format(folder=folder)
    task = make_task(source, size=2)
    assert task.name == "mine" and task.sizes["train"] == 2 and make_task(source).sizes["train"] == 3
    assert task_class(source) is task_class(source), "the file is read once"
    assert "mine" not in task_names(), "a file registers nothing"
    env = gymnasium.make("clarify_env/Assistant-v0", task=source, task_options={"size": 1})
    _, info = env.reset(seed=0)
    assert info["episode_id"] == "train/0"
    (row,) = clarify_env.evaluate("guess", source, (0.2, 0.02))
    assert row["accuracy"] == 0.5


def test_a_constructor_that_fails_is_named(folder):
    text = TASK.format(name="One").replace(
        "def __init__(self, size: int = SIZE):", "def __init__(self):\n        {}['x']"
    )
    (folder / "broken.py").write_text(text)
    with pytest.raises(ValueError, match=r"^task broken.py cannot be made: KeyError: 'x'$"):
        make_task("broken.py")


def test_a_task_is_made_from_a_module(folder, monkeypatch):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "inner.py").write_text(TASK.format(name="Inner"))
    monkeypatch.syspath_prepend(folder)
    assert make_task("package.inner:Inner", size=7).sizes["train"] == 7
    assert make_task("one_task:One").name == "mine" and clarify_env.env("one_task:One", task_options={"size": 2})


def test_another_process_knows_a_task_from_a_file(folder):
    task = make_task("one_task.py", size=2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_name_of, (pickle.dumps(task),)) == "mine"


def _name_of(pickled):
    return pickle.loads(pickled).name


BROKEN_SOURCES = [
    ("nowhere.py:One", "", "there is no file nowhere.py", "no such file"),
    (
        "broken.py:One",
        "import nowhere_at_all",
        "broken.py, line 1, cannot be loaded: ModuleNotFoundError: No",
        "imports",
    ),
    ("broken.py", "x = 1\ndef (", "broken.py, line 2, cannot be loaded: SyntaxError: ", "syntax"),
    ("broken.py", "x = 1\n\nraise SystemExit(3)", "broken.py, line 3, cannot be loaded: SystemExit: 3", "it exits"),
    ("broken.py:One", "x = 1", "broken has no One; subclasses of Task there: none", "no such class"),
    ("two_tasks.py:Tow", "", "two_tasks has no Tow; subclasses of Task there: One, Two", "a slip in the class"),
    ("two_tasks.py", "", "without :CLASS it must hold one subclass of Task, not One, Two", "two classes"),
    ("neighbour.py", "", "without :CLASS it must hold one subclass of Task, not none", "no class"),
    ("neighbour.py:SIZE", "", "3 is no subclass of clarify_env.tasks.base.Task", "no class but a number"),
    ("json.py", "x = 1", "another module is named json .*; rename the file", "the name of another module"),
    ("my-task.py", "x = 1", "Python cannot import a file named my-task.py; name it with letters", "no identifier"),
    ("nowhere_at_all:One", "", "module nowhere_at_all cannot be loaded: ModuleNotFoundError", "no such module"),
    ("json:One", "", "json has no One; subclasses of Task there: none", "a module without it"),
    ("a b:One", "", "'a b' is neither a module nor a .py file", "no module's name"),
    (":One", "", "'' is neither a module nor a .py file", "nothing"),
    (
        "broken.py",
        TASK.format(name="One").replace('name = "mine"', ""),
        "class One needs a name, such as name =",
        "no name",
    ),
]


@pytest.mark.parametrize(("source", "text", "sentence", "why"), BROKEN_SOURCES, ids=[why for *_, why in BROKEN_SOURCES])
def test_a_source_that_cannot_be_used_is_named(folder, source, text, sentence, why):
    if text:
        (folder / source.partition(":")[0]).write_text(text)
    for make in (make_task, lambda task: gymnasium.make("clarify_env/Assistant-v0", task=task)):
        with pytest.raises(ValueError, match=f"^task {source}: .*{sentence}") as error:
            make(source)
        assert "\n" not in str(error.value)
    assert "broken" not in sys.modules or "cannot be loaded" not in sentence, "half a module is not kept"


# Entry points of installed packages.

PLUGINS = {
    "missing": ("import a_library_that_is_missing", "ModuleNotFoundError: No module named 'a_library_that_is_missing'"),
    "syntax": ("def (", "SyntaxError"),
    "exits": ("import sys; sys.exit(2)", "SystemExit: 2"),
    "nothing": ("x = 1", "AttributeError: module 'plugin_nothing' has no attribute 'Offered'"),
    "factory": ("def Offered(): ...", r"<function Offered at .*> is no subclass of clarify_env.tasks.base.Task"),
    "unnamed": ("from clarify_env.tasks import Task\nclass Offered(Task): ...", "class Offered needs a name"),
}
# Constructors whose defaults are odd, and what of them is offered.
ODD = {
    "array": ("weights=numpy.ones(3), size=2", {"size": 2}),
    "lambda": ("key=lambda x: x, size=2", {"size": 2}),
    "path": ("path=pathlib.Path('x')", {}),
    "interpolation": ("pattern='${x}', other='???'", {}),
    "nan_and_object": ("a=object(), b=(1, 2), c=None", {"b": [1, 2], "c": None}),
    "stars": ("*more, size=2, **others", {"size": 2}),
    "name": ("name='x', source='y', size=2", {"size": 2}),
    "needed": ("path, size=2", {"path": "???", "size": 2}),
    "hints": ("size: 'NotThere' = 2", {"size": 2}),
}


@pytest.fixture
def offered(folder, monkeypatch):
    """Installs a plug-in for each entry of both tables; returns the names."""
    for name, (source, _) in PLUGINS.items():
        (folder / f"plugin_{name}.py").write_text(source)
    for name, (parameters, _) in ODD.items():
        text = f"import numpy, pathlib\nfrom clarify_env.tasks import Task\nclass Offered(Task):\n    name = '{name}'\n"
        (folder / f"plugin_{name}.py").write_text(f"{text}    def __init__(self, {parameters}): ...\n")
    monkeypatch.syspath_prepend(folder)
    names = [*PLUGINS, *ODD]
    points = EntryPoints([EntryPoint(n, f"plugin_{n}:Offered", "clarify_env.tasks") for n in names])
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))
    monkeypatch.setattr(registry, "REGISTERED", dict(registry.REGISTERED))
    store = ConfigStore.instance().repo
    monkeypatch.setitem(store, "task", dict(store.get("task", {})))
    return names


def test_a_broken_plugin_is_named_when_asked_for(offered):
    assert set(offered) < set(task_names()) and make_task("almanac")
    for name, (_, reason) in PLUGINS.items():
        with pytest.raises(ValueError, match=f"^task '{name}': its entry point plugin_{name}:Offered") as error:
            make_task(name)
        assert error.match(reason) and "\n" not in str(error.value)


SAME_NAME = {"task": (registry, make_task, "almanac"), "game": (games, games.find_game, "clarification")}


@pytest.mark.parametrize("kind", SAME_NAME)
def test_a_name_that_is_taken_is_said(kind, monkeypatch):
    module, make, built_in = SAME_NAME[kind]
    group = f"clarify_env.{kind}s"
    offers = [(built_in, "theirs:Own"), ("twin", "one:Twin"), ("twin", "two:Twin")]
    points = EntryPoints([EntryPoint(name, value, group) for name, value in offers])
    monkeypatch.setattr(module, "entry_points", lambda group: points)
    for known in ("REGISTERED", "_LOADED"):
        if hasattr(module, known):
            monkeypatch.setattr(module, known, {})
    with pytest.warns(UserWarning, match=f"^{kind} '{built_in}' is the built-in one; .* offers theirs:Own"):
        assert make(built_in).name == built_in
    with pytest.raises(ValueError, match=f"^{kind} 'twin' is offered by several packages: one:Twin, two:Twin; rename"):
        make("twin")


def test_no_broken_or_odd_plugin_hinders_a_command(offered):
    from configs import config_of

    from trainers.runs import command as commands

    commands.offer_plugins()
    assert config_of("rest", "task=almanac").task.name == "almanac"
    for name, (_, options) in ODD.items():
        config = config_of("rest", f"task={name}")
        node = OmegaConf.to_container(config.task, resolve=False)
        assert node == {"name": name} | options, name
    with pytest.raises(ValueError, match=r"there is no option task\.sizes; did you mean task\.size\?"):
        commands.COMMANDS["rest"].read(config_of("rest", "task=hints", "+task.sizes=3"))
    for name, (_, reason) in PLUGINS.items():
        with pytest.raises(ValueError, match=reason):
            commands.COMMANDS["rest"].read(config_of("rest", f"task={name}"))


@pytest.mark.parametrize("more", [[], ["task.path=x"]])
@pytest.mark.parametrize("name", ["missing", "exits", "factory"])
def test_the_command_line_names_it_in_one_sentence(command, offered, tmp_path, name, more):
    from trainers import evaluate
    from trainers.runs import command as commands

    commands.offer_plugins()
    code, error = command(evaluate, "assistant=scripted", f"task={name}", *more, f"run_dir={tmp_path / 'run'}")
    assert code == 1 and error.startswith(f"error: task '{name}': its entry point plugin_{name}:Offered")
    assert error.count("\n") == 1


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["rest", "evaluate", "grpo", "pretrain"])
def test_every_command_takes_a_source(folder, name, source):
    from configs import config_of

    from trainers.runs.plugins import offer_sources

    source = source.format(folder=folder)
    overrides = [f"task={source}", "task.size=2"]
    offer_sources(overrides)
    config = config_of(name, *overrides)
    assert config.task == {"name": "mine", "source": source, "size": 2}
    assert config.run_dir.startswith(f"runs/{name}-mine-"), "the folder is named by the task, not by its file"


def test_a_sweep_over_sources(folder):
    from configs import config_of

    from trainers.runs.plugins import offer_sources

    offer_sources(["seed=1", "task=almanac,one_task.py,'./two_tasks.py:Two'", "task.name=x:y"])
    for source in ("one_task.py", "./two_tasks.py:Two"):
        assert config_of("rest", f"task={source}").task.source == source


def test_a_comparison_takes_a_source(folder):
    from hydra import initialize_config_dir

    from trainers.compare import CompareOptions, make_cells
    from trainers.runs.command import CONF

    methods = {"threshold": {"command": "evaluate", "overrides": ["assistant=scripted"], "games": False}}
    options = CompareOptions(
        tasks={"mine": ["task=./one_task.py"]}, methods=methods, only=["threshold"], reference="threshold", seeds=[0]
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        (cell,) = make_cells(options)
    assert cell.overrides[0] == "task=./one_task.py"


def test_a_run_and_its_continuation_on_a_file(command, folder):
    from trainers import evaluate
    from trainers.runs.store import read_json

    line = ["assistant=scripted", "task=./two_tasks.py:Two", "eval.grid=2", "eval.modes=[greedy]", "run_dir=run"]
    for _ in range(2):
        assert command(evaluate, *line)[0] == 0
    assert read_json(folder / "run" / "summary.json")["task"] == "mine"
    assert read_json(folder / "run" / "config.json")["task"]["source"] == "./two_tasks.py:Two"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("./nowhere.py:One", "task ./nowhere.py:One: there is no file nowhere.py"),
        ("nowhere_at_all:One", "task nowhere_at_all:One: module nowhere_at_all cannot be loaded"),
        ("two_tasks.py", "task two_tasks.py: without :CLASS it must hold one subclass of Task, not One, Two"),
    ],
)
def test_a_wrong_source_is_one_sentence(command, folder, source, sentence):
    from trainers import evaluate

    code, error = command(evaluate, "assistant=scripted", f"task={source}")
    assert code == 1 and error.startswith(f"error: {sentence}") and error.count("\n") == 1
    assert not (folder / "runs").exists(), "before anything is made"


def test_options_of_a_task_through_make(tmp_path):
    path = tmp_path / "own.jsonl"
    line = '{"question": "Q%d?", "interpretations": [{"text": "t", "answers": ["Ada"]}], "split": "%s"}\n'
    path.write_text("".join(line % item for item in enumerate(("train", "validation", "test"))))
    env = gymnasium.make("clarify_env/Assistant-v0", task="qa_jsonl", task_options={"path": str(path)})
    observation, info = env.reset(seed=0, options={"split": "test"})
    assert "Q2?" in observation["transcript"] and info["episode_id"] == "test/0"
    _, _, terminated, _, info = env.step("#ANSWER Ada")
    assert terminated and info["episode_id"] == "test/0" and info["outcome"]["accuracy"] == 1
    pair = clarify_env.env("qa_jsonl", task_options={"path": str(path)})
    pair.reset(seed=0)
    assert {pair.infos[role]["episode_id"] for role in pair.agents} == {"train/0"}
    role = gymnasium.make("clarify_env/Role-v0", task="qa_jsonl", role="user", task_options={"path": str(path)})
    assert role.reset(seed=0)[1]["episode_id"] == "train/0"


WRONG = [
    ({"task": "almanack"}, "unknown task 'almanack'; known: abgcoqa, almanac", "a slip"),
    (
        {"task": "qa_jsonl"},
        r"task qa_jsonl needs option path: task.path=… in a command, task_options={'path': …} in Python",
        "no path",
    ),
    (
        {"task": "almanac", "task_options": {"names": 3}},
        "task almanac has no option 'names'; known: world_seed, ",
        "a slip",
    ),
    (
        {"task": make_task("almanac"), "task_options": {"test_names": 3}},
        "task_options are those of a task given by",
        "made",
    ),
    ({"task": type(make_task("almanac"))}, r"make one, Almanac\(\)", "a class"),
    ({"task": None}, "task must be a task or the name of one, not None", "nothing"),
    ({"task": 3}, "task must be a task or the name of one, not 3", "a number"),
    ({"task": "almanac", "max_question": 3}, "game clarification has no option max_question; known", "a game's option"),
    ({"task": "almanac", "max_questions": "3"}, "game.max_questions must be a whole number of at least 0", "its type"),
    ({"task": "almanac", "style": "loud"}, "style must be one of", "a style"),
    ({"task": "almanac", "game": "chess"}, "unknown game 'chess'", "a game"),
    ({"task": "almanac", "costs": (1,)}, "costs must be a pair", "costs"),
]


@pytest.mark.parametrize(("arguments", "sentence", "why"), WRONG)
def test_what_is_wrong_is_said_by_make(arguments, sentence, why):
    for make in (lambda **options: gymnasium.make("clarify_env/Assistant-v0", **options), clarify_env.env):
        with pytest.raises(ValueError, match=sentence):
            make(**arguments)
