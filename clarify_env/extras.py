"""Says in one sentence what the packages `agents` and `trainers` lack: an extra, or their place on the path."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

_DISTRIBUTION = "clarify-env"
# Most missing modules that an error names.
_NAMED = 3


def require(package: str, modules: tuple[str, ...], extra: str) -> None:
    """Checks that the modules that a package needs are installed.

    Args:
        package: The package that is being imported. The error carries its name, so that ``python -m package.module``
            prints one line.
        modules: Modules that it needs.
        extra: Extra of this distribution that brings them.

    Raises:
        ImportError: A module is missing.
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise ImportError(
            f"{package} needs {', '.join(missing[:_NAMED])}{more}: install the extra [{extra}], "
            f"as pip install '{_DISTRIBUTION}[{extra}]'",
            name=package,
        )


@contextmanager
def extra(package: str, name: str) -> Iterator[None]:
    """Says in one sentence which extra brings a module that the imports inside the block lack.

    Args:
        package: The module that is being imported, as in `require`.
        name: Extra of this distribution that brings what it imports.

    Raises:
        ImportError: A module is missing.
        SystemExit: The same, with the sentence alone, where the module is run as a command.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        sentence = f"{package} needs {missing}: install the extra [{name}], as pip install '{_DISTRIBUTION}[{name}]'"
        command = getattr(sys.modules["__main__"], "__spec__", None)
        if command is not None and command.name == package:
            raise SystemExit(sentence) from None
        raise ImportError(sentence, name=package) from None


def require_neighbour(package: str, folder: Path, other: str) -> None:
    """Checks that another package of this distribution is the one that Python finds by its name.

    Another distribution (openai-agents) also installs a package ``agents``, and a folder of that name beside a script
    hides the installed one.

    Args:
        package: The package that is being imported.
        folder: Its folder; the other package lies beside it. Each package's ``__init__`` names ``clarify_env``.
        other: Name of the other package.

    Raises:
        ImportError: Python finds another package; the message names its folder.
    """
    spec, ours = find_spec(other), folder.resolve().parent / other
    places = [Path(place).resolve() for place in (spec and spec.submodule_search_locations) or ()]
    if ours in places and "clarify_env" in (ours / "__init__.py").read_text(encoding="utf-8"):
        return
    if spec is None:
        raise ImportError(f"{_DISTRIBUTION} is not whole: there is no package {other} beside {folder}", name=package)
    place = places[0] if places else Path(spec.origin or other)
    owner = next((name for name in _owners(other) if distribution(name).locate_file(other) == place), None)
    if owner is None:
        raise ImportError(
            f"{place} hides the package {other} of {_DISTRIBUTION}: rename it, or start Python in another folder or "
            "as python -P",
            name=package,
        )
    raise ImportError(
        f"{place} is the package {other} of {owner}, not of {_DISTRIBUTION}: uninstall {owner} or use another "
        "environment",
        name=package,
    )


def _owners(package: str) -> list[str]:
    return [name for name in packages_distributions().get(package, ()) if name != _DISTRIBUTION]
