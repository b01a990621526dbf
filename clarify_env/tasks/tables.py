"""Figures of a table: their places, the heads of their columns, and formulas over them."""

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

# Rises in percent after which many two-digit numbers stay whole.
_RISES = (10, 20, 25, 30, 40, 50, 60, 75, 80, 100)
_LETTER = re.compile(r"[A-Za-z]")
_YEAR = re.compile(r"(?:19|20)\d\d")
# Figures in derivations: with thousands separators, and possibly in parentheses or with a percent sign.
_FIGURE = re.compile(r"(?<![\d.])\d[\d,]*(?:\.\d+)?%?|\(\s*\d[\d,]*(?:\.\d+)?\s*\)")
# Variants of brackets, minus, times and division signs; currency signs are removed.
_VARIANTS = str.maketrans("\u2212\u2013[]\u00d7x\u00f7", "--()**/", "$\u20ac\u00a3")
_PLACE = re.compile(r"\{\d+\}")
_NOT_FORMULA = re.compile(r"[^\s()+\-*/]")
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def places(table: Table, formula: "Formula") -> list[Place]:
    """Rows that contain all figures of a formula: (row, columns in the order of the formula)."""
    result = []
    for r, row in enumerate(table):
        column_of: dict[float | None, int] = {}
        for c, cell in enumerate(row[1:], 1):
            column_of.setdefault(number(cell), c)
        if all(figure in column_of for figure in formula.figures):
            result.append((r, tuple(column_of[figure] for figure in formula.figures)))
    return result


class Formula(NamedTuple):
    """Derivation of an answer: an expression with a place ``{i}`` for each figure, and the figures."""

    text: str
    figures: tuple[float, ...]
    percent: bool

    @property
    def single(self) -> bool:
        """Whether the answer is one figure of the table."""
        return self.text == "{0}"

    def value(self, row: Sequence[str], columns: Sequence[int]) -> str | None:
        """Value of the formula with the figures in other columns of a row; ``None`` if one of them is no figure."""
        cells = [number(row[c]) if c < len(row) else None for c in columns]
        if None in cells:
            return None
        return _calculate(self.text.format(*(f"({cell!r})" for cell in cells)), self.percent)


def formula_of(derivation: str, answer: str, scale: str) -> Formula | None:
    """Parses a recorded derivation; ``None`` if its value is not the recorded answer."""
    figures: list[float] = []

    def place(match: re.Match) -> str:
        value = number(match.group())
        figures.append(value if value is not None else math.nan)
        return f"{{{len(figures) - 1}}}"

    text = _FIGURE.sub(place, derivation.translate(_VARIANTS))
    if not figures or _NOT_FORMULA.search(_PLACE.sub("", text)):
        return None
    formula = Formula(text, tuple(figures), scale == "percent")
    value_text = _calculate(text.format(*(f"({figure!r})" for figure in figures)), formula.percent)
    return formula if value_text is not None and number(value_text) == number(answer) else None


def _calculate(expression: str, percent: bool) -> str | None:
    """Value of an arithmetic expression, rounded to two places; ``None`` if it has none."""
    try:
        value = _evaluate(ast.parse(expression.strip(), mode="eval").body)
    except (
        SyntaxError,
        ZeroDivisionError,
        OverflowError,
        RecursionError,
        MemoryError,
    ):  # last two: too deep
        return None
    return None if value is None else f"{round(100 * value if percent else value, 2):.10g}"


def _evaluate(node: ast.AST) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number_ = _evaluate(operand)
            return None if number_ is None else -number_
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            first, second = _evaluate(left), _evaluate(right)
            return None if first is None or second is None else _OPERATORS[type(op)](first, second)
    return None


def heads_of(table: Table) -> dict[int, str]:
    """Head of each column: a year or date, else the last head that is no unit in parentheses."""
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
    """Draws (before, after, rise): whole numbers in a range, after = before * (1 + rise / 100)."""
    rise = _RISES[rng.integers(len(_RISES))]
    candidates = [n for n in range(low, high) if n * rise % 100 == 0 and n * (100 + rise) <= 100 * high]
    before = candidates[rng.integers(len(candidates))]
    return before, before + before * rise // 100, rise
