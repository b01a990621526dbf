"""Reads the docstrings under the fields of dataclasses, which say what options mean."""

import ast
import inspect
import textwrap
import typing
from functools import lru_cache
from itertools import pairwise


@lru_cache
def field_docs(cls: type) -> dict[str, str]:
    """Returns the docstring under each field of a dataclass, in one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is object or not typing.get_type_hints(base):
            continue
        definition = _definition(base)
        for statement, after in pairwise(definition.body):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = after.value.value if isinstance(after.value, ast.Constant) else None
                if isinstance(text, str):
                    docs[ast.unparse(statement.target)] = " ".join(text.split())
    return docs


def _definition(cls: type) -> ast.ClassDef:
    """Returns the definition of a class: the one of its name in its module or, if there are several, its own source."""
    module = inspect.getmodule(cls)
    if module is not None and "." not in cls.__qualname__:
        definitions = _definitions(inspect.getsource(module)).get(cls.__name__, ())
        if len(definitions) == 1:
            return definitions[0]
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef), "the source of a class is its definition"
    return definition


@lru_cache
def _definitions(source: str) -> dict[str, list[ast.ClassDef]]:
    """Returns the definitions of the classes at the top of a module, by name."""
    definitions: dict[str, list[ast.ClassDef]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            definitions.setdefault(node.name, []).append(node)
    return definitions
