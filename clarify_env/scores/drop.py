"""DROP's F1 with scales, the score of answers about financial tables (DROP: arXiv 1903.00161; TAT-QA: 2105.07624).

An answer is one span or several, separated by ``;`` and a space. A span is a number, with or without a scale ("$1,496.5
million", "22.2%", "(12)" for -12), or words. Spans of prediction and gold are aligned one to one to maximise the sum of
their F1 over sets of tokens; a missing or surplus span scores 0. Two numbers match if their values are equal: the F1 of
a number is 1 or 0.

Differences from TAT-QA's scorer: it joins the spans of an answer into one, here they are aligned, as in DROP. It reads
"(1,040)" as 1040 because of the comma, here it is -1040. It splits every predicted word at hyphens; here a word is
split only if a gold answer contains it with its hyphens, because otherwise hyphens would make words cheaper.
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
_MINUS = str.maketrans("\u2212\u2013", "--")  # a minus sign, and the dash that tables use for it
_DIGITS = r"((?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(rf"(\()?([+-]?)[{_CURRENCIES}]?(\()?([+-]?){_DIGITS}(%)?(\))?(%)?")
# Decimal places to which numbers are compared, and to which a number with a scale is rounded before it is scaled.
_PLACES, _SCALED_PLACES = 4, 2

Tokens = frozenset[str]


def drop_f1(prediction: str, answers: Iterable[str]) -> float:
    """DROP's F1 of the prediction, in [0, 1]: the maximum over the aliases.

    Args:
        prediction: The answer to score.
        answers: Aliases; several spans of one alias are separated by ``;`` and a space.
    """
    if not normalize(prediction):
        return 0.0
    return max((_aligned(prediction, gold) for gold in answers), default=0.0)


def number(text: str) -> float | None:
    """Value of a number with its scale, rounded for comparison; ``None`` if the text is no number."""
    words = [word for word in strip_invisible(text).translate(_MINUS).lower().split() if word not in _CURRENCIES]
    scale = SCALES.get(words[1]) if len(words) > 1 else 1.0
    match = _NUMBER.fullmatch(words[0]) if words and scale else None
    if match is None or scale is None:
        return None
    open_before_sign, sign, open_after_sign, second_sign, digits, percent, close, second_percent = match.groups()
    if bool(open_before_sign or open_after_sign) != bool(close) or (sign and second_sign):
        return None
    value = float(digits.replace(",", ""))
    if not math.isfinite(value):
        return None
    value *= -1 if close or "-" in (sign, second_sign) else 1
    if percent or second_percent:
        return round(value * SCALES["percent"], _PLACES)
    return round(value if scale == 1 else round(value, _SCALED_PLACES) * scale, _PLACES)


def _aligned(prediction: str, gold: str) -> float:
    gold_spans = _spans(gold)
    hyphenated = frozenset(word for span in gold_spans for word in _words(span) if "-" in word)
    predicted_sets = [_tokens(span, hyphenated) for span in _spans(prediction)]
    gold_sets = [_tokens(span, hyphenated) for span in gold_spans]
    scores = np.array([[_f1(gold_set, predicted_set) for predicted_set in predicted_sets] for gold_set in gold_sets])
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
def _tokens(span: str, hyphenated: Tokens) -> Tokens:
    """Tokens of a span; words in ``hyphenated`` are split at their hyphens."""
    if (value := number(span)) is not None:
        return frozenset([_number_token(value)])
    words = [part for word in _words(span) for part in (word.split("-") if word in hyphenated else [word])]
    values = ((word, number(word)) for word in words)
    tokens = (normalize(word) if value is None else _number_token(value) for word, value in values)
    return frozenset(token for token in tokens if token)


def _number_token(value: float) -> str:
    return f"{value:.{_PLACES}f}"


def _f1(first: Tokens, second: Tokens) -> float:
    common = len(first & second)
    return 2 * common / (len(first) + len(second)) if common else 0.0
