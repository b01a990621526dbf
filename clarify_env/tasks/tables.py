"""Figures of a table in text: where they stand, what heads stand over them, and what is worked out from them."""

import ast
import math
import operator
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.scores.drop import number

Table = tuple[tuple[str, ...], ...]
Place = tuple[int, tuple[int, ...]]  # a row, and columns of it

# Rises in percent that leave many numbers of two digits whole.
_RISES = (10, 20, 25, 30, 40, 50, 60, 75, 80, 100)
_LETTER = re.compile(r"[A-Za-z]")
_YEAR = re.compile(r"(?:19|20)\d\d")
# In derivations: figures, with thousands separators and perhaps in parentheses or with a percent sign.
_FIGURE = re.compile(r"(?<![\d.])\d[\d,]*(?:\.\d+)?%?|\(\s*\d[\d,]*(?:\.\d+)?\s*\)")
# What people write for brackets, minus, times and over; currencies are left out.
_WRITTEN = str.maketrans("\u2212\u2013[]\u00d7x\u00f7", "--()**/", "$\u20ac\u00a3")
_PLACE = re.compile(r"\{\d+\}")
_NOT_FORMULA = re.compile(r"[^\s()+\-*/]")
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def places(table: Table, formula: "Formula") -> list[Place]:
    """Where in one row the figures of a formula stand: row and columns, in the formula's order."""
    found = []
    for r, row in enumerate(table):
        at: dict[float | None, int] = {}
        for c, cell in enumerate(row[1:], 1):
            at.setdefault(number(cell), c)
        if all(figure in at for figure in formula.figures):
            found.append((r, tuple(at[figure] for figure in formula.figures)))
    return found


class Formula(NamedTuple):
    """How an answer is worked out: an expression with a place for each figure, and the figures."""

    text: str
    figures: tuple[float, ...]
    percent: bool

    @property
    def single(self) -> bool:
        """Whether the answer is a figure of the table as it stands."""
        return self.text == "{0}"

    def value(self, row: Sequence[str], columns: Sequence[int]) -> str | None:
        """What it comes to with the figures of other places; ``None`` where one is no figure."""
        cells = [number(row[c]) if c < len(row) else None for c in columns]
        if None in cells:
            return None
        return _calculated(self.text.format(*(f"({cell!r})" for cell in cells)), self.percent)


def formula_of(derivation: str, answer: str, scale: str) -> Formula | None:
    """Takes a recorded derivation apart, where it comes to the recorded answer."""
    figures: list[float] = []

    def place(found: re.Match) -> str:
        value = number(found.group())
        figures.append(value if value is not None else math.nan)
        return f"{{{len(figures) - 1}}}"

    text = _FIGURE.sub(place, derivation.translate(_WRITTEN))
    if not figures or _NOT_FORMULA.search(_PLACE.sub("", text)):
        return None
    formula = Formula(text, tuple(figures), scale == "percent")
    shown = _calculated(text.format(*(f"({figure!r})" for figure in figures)), formula.percent)
    return formula if shown is not None and number(shown) == number(answer) else None


def _calculated(expression: str, percent: bool) -> str | None:
    """The value of a sum of numbers, to two places; ``None`` where it has none."""
    try:
        value = _evaluated(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, RecursionError, MemoryError):  # the last two of depth
        return None
    return None if value is None else f"{round(100 * value if percent else value, 2):.10g}"


def _evaluated(node: ast.AST) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if (value := _evaluated(operand)) is not None:
            return -value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            one, other = _evaluated(left), _evaluated(right)
            return None if one is None or other is None else _OPERATORS[type(op)](one, other)
    return None


def heads_of(table: Table) -> dict[int, str]:
    """What stands above each column's figures: a year or date, else the last head that is no unit in parentheses."""
    heads: dict[int, str] = {}
    for row in table:
        if any(c and _is_figure(cell) for c, cell in enumerate(row)):
            break
        for c, cell in enumerate(row[1:], 1):
            unit = cell.strip().startswith("(") or bool(_YEAR.search(heads.get(c, "")))
            if _YEAR.search(cell) or (_LETTER.search(cell) and not unit):
                heads[c] = " ".join(cell.split())
    return heads


def _is_figure(cell: str) -> bool:
    return number(cell) is not None and not _YEAR.fullmatch(cell.strip())


def rising(low: int, high: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draws two whole numbers in a range, and the whole percentage by which the second is above the first."""
    rise = _RISES[rng.integers(len(_RISES))]
    fit = [n for n in range(low, high) if n * rise % 100 == 0 and n * (100 + rise) <= 100 * high]
    before = fit[rng.integers(len(fit))]
    return before, before + before * rise // 100, rise
