"""``python -m trainers``: lists the commands, ``python -m trainers.NAME``."""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from clarify_env.streams import print_anything

_FOLDER = Path(__file__).parent


def commands() -> Iterator[tuple[str, str]]:
    """Yields name and first line of the docstring of each command, without importing it."""
    for path in sorted(_FOLDER.glob("[!_]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        yield path.stem, docstring.partition("\n")[0].replace("``", "")


def main(arguments: Sequence[str]) -> int:
    """Prints the commands; returns the exit code, 1 if a command is named here rather than as a module."""
    print_anything()
    listed = dict(commands())
    name = next((word for word in arguments if not word.startswith("-")), None)
    if name is not None:
        command = f"trainers.{name if name in listed else 'NAME'}"
        print(f"error: a command is run as python -m {command}; python -m trainers lists them", file=sys.stderr)
        return 1
    print("python -m trainers.NAME OPTION=VALUE ... runs a command; --help lists its options:\n")
    print("\n".join(f"  {name:12}  {text}" for name, text in listed.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
