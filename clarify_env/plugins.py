"""Loads classes of other people: from entry points of installed packages, from modules, and from files."""

import sys
import traceback
import warnings
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints
from importlib.metadata import entry_points as all_entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

# What the import of another package's module may raise; it may also end the interpreter (`sys.exit`).
_RAISED = (Exception, SystemExit)
_FILE = ".py"


def entry_points(group: str) -> EntryPoints:
    """Returns the entry points of a group; the installed packages are listed once for each `sys.path`."""
    return _listed(tuple(sys.path)).select(group=group)


@lru_cache(maxsize=1)
def _listed(path: tuple[str, ...]) -> Any:
    return all_entry_points()


def named(name: str, built_in: Mapping[str, EntryPoint], offered: EntryPoints, what: str) -> EntryPoint | None:
    """Returns the entry point of a name: the built-in one, or that of another package; ``None``: there is none.

    Warns:
        UserWarning: A package offers the name of a built-in one, which is used.

    Raises:
        ValueError: Several packages offer it.
    """
    places = {point.value: point for point in offered if point.name == name}
    if name in built_in:
        places.pop(built_in[name].value, None)
        if places:
            warnings.warn(
                f"{what} is the built-in one; another package offers {', '.join(places)} under the same name, which "
                "needs another name to be used",
                stacklevel=4,
            )
        return built_in[name]
    if len(places) > 1:
        raise ValueError(f"{what} is offered by several packages: {', '.join(places)}; rename or remove one")
    return next(iter(places.values()), None)


def load(point: EntryPoint, what: str) -> Any:
    """Returns the object of an entry point.

    Args:
        point: The entry point.
        what: Start of the error message, such as ``task 'capitals': its entry point places:Capitals``.

    Raises:
        ValueError: It cannot be loaded, whatever its module raises.
    """
    try:
        return point.load()
    except _RAISED as error:
        raise ValueError(f"{what} cannot be loaded: {described(error)}") from error


def described(error: BaseException) -> str:
    """Returns an exception in one line: its type and its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def subclass(value: Any, base: type, what: str) -> type:
    """Returns a loaded class.

    Raises:
        ValueError: It is no class, or no subclass of ``base``.
    """
    if not (isinstance(value, type) and issubclass(value, base)):
        raise ValueError(f"{what}: {value!r} is no subclass of {base.__module__}.{base.__name__}")
    return value


def is_source(name: str) -> bool:
    """Returns whether a name says where a class is: ``module:Class``, ``FILE.py:Class`` or ``FILE.py``."""
    return ":" in name or name.endswith(_FILE)


def from_source(source: str, base: type, what: str) -> type:
    """Returns a class of a module or of a file.

    A file is imported as the module of its name, and its folder is appended to ``sys.path``: it can import its
    neighbours, and other processes can import it.

    Args:
        source: ``module:Class``, ``FILE.py:Class``, or ``FILE.py`` if the file has only one subclass of ``base``.
        base: What the class must be a subclass of.
        what: Start of the error message, such as ``task ./mine.py``.

    Raises:
        ValueError: The module or the file cannot be imported, or has no such class.
    """
    place, _, attribute = (source, "", "") if source.endswith(_FILE) else source.rpartition(":")
    if place.endswith(_FILE):
        module = _module_of(Path(place).expanduser(), what)
    elif all(part.isidentifier() for part in place.split(".")):
        module = load(EntryPoint(source, place, ""), f"{what}: module {place}")
    else:
        raise ValueError(f"{what}: {place!r} is neither a module nor a {_FILE} file")
    return _attribute(module, attribute, base, what) if attribute else _only(module, base, what)


def _module_of(path: Path, what: str) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"{what}: there is no file {path}")
    path, name = path.resolve(), path.stem
    if not name.isidentifier():
        raise ValueError(f"{what}: Python cannot import a file named {path.name}; name it with letters, digits and _")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    other = sys.modules.get(name)
    if other is not None and Path(getattr(other, "__file__", None) or "").resolve() == path:
        return other
    known = find_spec(name) if other is None else other.__spec__
    if other is not None or (known is not None and Path(known.origin or "").resolve() != path):
        place = known.origin if known is not None else "a running program"
        raise ValueError(f"{what}: another module is named {name} ({place}); rename the file")
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a Python file has a loader"
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except _RAISED as error:
        del sys.modules[name]
        raise ValueError(f"{what}: {_line(error, path)} cannot be loaded: {described(error)}") from error
    return module


def _line(error: BaseException, path: Path) -> str:
    """Returns the path of the file and its line at which an error arose, if it did so there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines = [error.lineno]
    return f"{path}, line {lines[-1]}," if lines else str(path)


def _attribute(module: ModuleType, attribute: str, base: type, what: str) -> type:
    value: Any = module
    for name in attribute.split("."):
        if not hasattr(value, name):
            known = f"subclasses of {base.__name__} there: {_names(module, base)}"
            raise ValueError(f"{what}: {module.__name__} has no {attribute}; {known}")
        value = getattr(value, name)
    return subclass(value, base, what)


def _only(module: ModuleType, base: type, what: str) -> type:
    classes = _subclasses(module, base)
    if len(classes) != 1:
        raise ValueError(
            f"{what}: without :CLASS it must hold one subclass of {base.__name__}, not {_names(module, base)}"
        )
    return next(iter(classes.values()))


def _names(module: ModuleType, base: type) -> str:
    return ", ".join(_subclasses(module, base)) or "none"


def _subclasses(module: ModuleType, base: type) -> dict[str, type]:
    """Returns the subclasses of ``base`` that a module defines, without those that it imports."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    }
