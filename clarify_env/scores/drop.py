"""DROP's F1 with scales, as questions over financial tables are scored (DROP: arXiv 1903.00161; TAT-QA: 2105.07624).

An answer is one span or several, parted by ``;`` and a space. A span is a number, with or without a scale ("$1,496.5
million", "22.2%", "(12)" for -12), or words. Spans of prediction and gold are aligned one to one so that their F1 over
sets of tokens is highest, and a span too many or too few counts as 0. Two numbers match if their values do: the F1 of
a number is 1 or 0.

Where TAT-QA's scorer joins the spans of an answer into one, here they are aligned, as DROP does. It reads "(1,040)" as
1040, because of the comma; here it is -1040. A predicted word's parts around a hyphen count as words of their own, as
there, only where a gold answer joins them so: else a hyphen would make words cheaper.
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from clarify_env.scores.answers import normalize
from clarify_env.words import strip_invisible

SCALES = {"hundred": 100.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "percent": 0.01}
_SPANS = re.compile(r";\s+")
_CURRENCIES = "$€£¥"
_MINUS = str.maketrans("\u2212\u2013", "--")  # a minus sign, and the dash that tables have for it
_DIGITS = r"((?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(rf"(\()?([+-]?)[{_CURRENCIES}]?(\()?([+-]?){_DIGITS}(%)?(\))?(%)?")
# Places to which numbers are compared, and to which one that has a scale is rounded before it is scaled.
_PLACES, _SCALED_PLACES = 4, 2

Tokens = frozenset[str]


def drop_f1(prediction: str, answers: Iterable[str]) -> float:
    """The best F1, in [0, 1], of the prediction against one of the aliases.

    Args:
        prediction: What was said.
        answers: Aliases; of several spans, each parted by ``;`` and a space.
    """
    if not normalize(prediction):
        return 0.0
    return max((_aligned(prediction, gold) for gold in answers), default=0.0)


def number(text: str) -> float | None:
    """The value of a number with its scale, as it is compared; ``None`` if the text is none."""
    words = [word for word in strip_invisible(text).translate(_MINUS).lower().split() if word not in _CURRENCIES]
    scale = SCALES.get(words[1]) if len(words) > 1 else 1.0
    found = _NUMBER.fullmatch(words[0]) if words and scale else None
    if found is None or scale is None:
        return None
    opened, sign, inside, sign_inside, digits, percent, closed, after = found.groups()
    if bool(opened or inside) != bool(closed) or (sign and sign_inside):
        return None
    value = float(digits.replace(",", ""))
    if not math.isfinite(value):
        return None
    value *= -1 if closed or "-" in (sign, sign_inside) else 1
    if percent or after:
        return round(value * SCALES["percent"], _PLACES)
    return round(value if scale == 1 else round(value, _SCALED_PLACES) * scale, _PLACES)


def _aligned(prediction: str, gold: str) -> float:
    golds = _spans(gold)
    joined = frozenset(word for span in golds for word in _words(span) if "-" in word)
    said = [_tokens(span, joined) for span in _spans(prediction)]
    wanted = [_tokens(span, joined) for span in golds]
    scores = np.array([[_f1(one, other) for other in said] for one in wanted])
    if scores.size == 1:
        return float(scores[0, 0])
    from scipy.optimize import linear_sum_assignment  # takes a fifth of a second to import

    rows, columns = linear_sum_assignment(-scores)
    return float(scores[rows, columns].sum() / max(scores.shape))


def _spans(text: str) -> Sequence[str]:
    return [span for span in _SPANS.split(text.strip().removesuffix(";")) if normalize(span)] or [""]


def _words(span: str) -> list[str]:
    return strip_invisible(span).lower().split()


@lru_cache(maxsize=65536)
def _tokens(span: str, joined: Tokens) -> Tokens:
    """A span's tokens; words of ``joined`` are taken apart at their hyphens."""
    if (value := number(span)) is not None:
        return frozenset([_written(value)])
    words = [part for word in _words(span) for part in (word.split("-") if word in joined else [word])]
    values = ((word, number(word)) for word in words)
    tokens = (normalize(word) if value is None else _written(value) for word, value in values)
    return frozenset(token for token in tokens if token)


def _written(value: float) -> str:
    return f"{value:.{_PLACES}f}"


def _f1(one: Tokens, other: Tokens) -> float:
    common = len(one & other)
    return 2 * common / (len(one) + len(other)) if common else 0.0
