"""Tasks by name, registered, built in or of another package: from a name and options to a task."""

import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

from clarify_env.options import convert, parameter_types, whole_number
from clarify_env.plugins import described, entry_points, from_source, is_source, load, named, subclass
from clarify_env.tasks.base import REGISTERED, Task

_GROUP = "clarify_env.tasks"
# Named as in an entry point, and loaded at first use.
_BUILT_IN = {
    name: EntryPoint(name, f"clarify_env.tasks.{name}:{cls}", _GROUP)
    for name, cls in {
        "abgcoqa": "AbgCoQA",
        "almanac": "Almanac",
        "ambigqa": "AmbigQA",
        "archives": "Archives",
        "boxes": "Boxes",
        "cases_jsonl": "CasesJsonl",
        "ledger": "Ledger",
        "mix": "Mix",
        "pacific": "Pacific",
        "passages_jsonl": "PassagesJsonl",
        "ping_chess": "PingChess",
        "ping_names": "PingNames",
        "ping_pictures": "PingPictures",
        "ping_pointers": "PingPointers",
        "preferences": "Preferences",
        "qa_jsonl": "QAJsonl",
        "sql": "SQL",
        "workshop": "Workshop",
    }.items()
}
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def task_class(name: str) -> type[Task]:
    """Returns a task's class.

    Args:
        name: A name in `task_names`, or where the class is: ``module:Class``, ``FILE.py:Class`` or ``FILE.py``.

    Raises:
        ValueError: There is no such task, or what offers it cannot be loaded or is no task.
    """
    if not isinstance(name, str):
        raise ValueError(f"a task's name must be a text, not {name!r}")
    if is_source(name):
        return _named(from_source(name, Task, f"task {name}"), f"task {name}")
    if name not in REGISTERED:
        point = named(name, _BUILT_IN, entry_points(group=_GROUP), f"task {name!r}")
        if point is None:
            known = ", ".join(task_names())
            raise ValueError(f"unknown task {name!r}; known: {known}; or a class, as module:Class or FILE.py:Class")
        what = f"task {name!r}: its entry point {point.value}"
        REGISTERED[name] = _named(subclass(load(point, what), Task, what), what)
    return REGISTERED[name]


def _named(cls: type, what: str) -> type[Task]:
    if not isinstance(getattr(cls, "name", None), str):
        raise ValueError(f"{what}: class {cls.__name__} needs a name, such as name = 'my_task'")
    return cls


def task_names() -> list[str]:
    """Names of all tasks, those offered by other packages included."""
    return sorted({*REGISTERED, *_BUILT_IN, *entry_points(group=_GROUP).names})


def make_task(name: str, **options: Any) -> Task:
    """Makes a task by name.

    Args:
        name: A name in `task_names`, or where its class is: ``module:Class``, ``FILE.py:Class`` or ``FILE.py``.
        **options: The task's own options.

    Raises:
        ValueError: There is no such task, it has no such option, or a value is not of the annotated type.
    """
    cls = task_class(name)
    _check_options(name, inspect.signature(cls).parameters, options)
    arguments = dict(options)
    for key, (hint, rule) in parameter_types(cls).items():
        if key in options and hint is not Any:
            arguments[key] = convert(f"task.{key}", options[key], hint, rule)
    try:
        task = cls(**arguments)
    except (ValueError, OSError):
        raise
    except Exception as error:  # whatever another package's constructor raises
        raise ValueError(f"task {name} cannot be made: {described(error)}") from error
    if not isinstance(getattr(task, "sizes", None), dict):
        raise ValueError(f"task {name}: class {cls.__name__} needs sizes, such as {{'train': 100, 'test': 20}}")
    return _sized(task)


def _check_options(name: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
    named = {key: parameter for key, parameter in parameters.items() if parameter.kind not in _VARIABLE}
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    if (unknown := next((key for key in options if key not in named), None)) is not None and not takes_any:
        raise ValueError(f"task {name} has no option {unknown!r}; known: {', '.join(named) or 'none'}")
    for key, parameter in named.items():
        if parameter.default is inspect.Parameter.empty and key not in options:
            places = f"task.{key}=… in a command, task_options={{{key!r}: …}} in Python"
            raise ValueError(f"task {name} needs option {key}: {places}")


def as_task(task: Any, options: Mapping[str, Any] | None = None) -> Any:
    """Returns a task that is given itself or by name.

    Args:
        task: A task, or a name as in `make_task`.
        options: Options of a task given by name.

    Raises:
        ValueError: It is neither, or `make_task` refuses it, or a task that is made already is given options.
    """
    if not isinstance(options, Mapping | None):
        raise ValueError(f"task_options must be a dictionary, not {options!r}")
    if isinstance(task, str):
        return make_task(task, **(options or {}))
    if isinstance(task, type) or not (hasattr(task, "episode") and hasattr(task, "sizes")):
        hint = f": make one, {task.__name__}()" if isinstance(task, type) and issubclass(task, Task) else ""
        raise ValueError(f"task must be a task or the name of one, not {task!r}{hint}")
    if options:
        raise ValueError(f"task_options are those of a task given by name; {task.name} is made already")
    return _sized(task)


def _sized(task: Any) -> Any:
    """Returns a task whose ``sizes`` are numbers of episodes, or ``None``, by split."""
    sizes = getattr(task, "sizes", None)
    if not isinstance(sizes, Mapping) or not all(isinstance(split, str) for split in sizes):
        raise ValueError(f"task {task.name}: sizes must be a mapping of splits to numbers of episodes, not {sizes!r}")
    for split, size in sizes.items():
        if size is not None:
            whole_number(f"task {task.name}: sizes[{split!r}]", size, least=0)
    return task
