"""DROP's F1 with scales, the score of answers about financial tables (DROP: arXiv 1903.00161; TAT-QA: 2105.07624).

An answer is one span or several, separated by ``;`` and a space. A span is a number, with or without a scale ("$1,496.5
million", "22.2%", "2½", "(12)" for -12), or words. Spans of prediction and gold are aligned one to one to maximise
the sum of their F1 over sets of tokens; a missing or surplus span scores 0. Two numbers match if their values are
equal: the F1 of a number is 1 or 0.

Differences from TAT-QA's scorer: it joins the spans of an answer into one, here they are aligned, as in DROP. It reads
"(1,040)" as 1040 because of the comma, here it is -1040. It splits every predicted word at hyphens; here a word is
split only if a gold answer contains it with its hyphens, because otherwise hyphens would make words cheaper. Words are
normalised as in `clarify_env.scores.answers`.
"""

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from clarify_env.scores.answers import Form, canonical, normalize, normalize_with_symbols, without_removed
from clarify_env.scores.assignment import largest_sum

SCALES = {name: Decimal(value) for name, value in {"hundred": "1e2", "thousand": "1e3", "million": "1e6"}.items()}
SCALES |= {"billion": Decimal("1e9"), "trillion": Decimal("1e12"), "percent": Decimal("0.01")}
_PER = {"%": SCALES["percent"], "\u2030": Decimal("0.001")}  # per cent, per mille
_SPANS = re.compile(r";\s+")
# The dollars of several countries, pound, yen, baht, and the currency signs of Unicode from the euro to the rupee.
_CURRENCY = r"(?:(?:us|au|ca|hk|mx|nt|nz|sg|a|c|r|s)?\$|[\u00a3\u00a5\u0e3f\u20a0-\u20c0])"
# The fractions that are one character in Unicode, as `canonical` writes them: "1/2", "3/4". Others, such as "1/12", are
# no numbers, but dates and the like.
_FRACTION = "(?:1/(?:[2-9]|10)|2/[35]|3/[458]|4/5|5/[68]|7/8)"
# A comma separates thousands or, as in India, hundreds above a thousand. It is a decimal comma only where thousands are
# separated by spaces, apostrophes or points: "1 234,5", "1.234,5"; "1,5" is no number. Points separate thousands where
# there are several: "1.234.567".
_DIGITS = rf"""(?P<digits>(?:\d{{1,15}}[ +])?{_FRACTION} | \d{{1,3}}(?:\.\d{{3}}){{2,}}
    | \d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}(?:\.\d*)? | \d{{1,3}}(?:[ ']\d{{3}})+(?:[.,]\d*)?
    | \d{{1,3}}(?:\.\d{{3}})+,\d+ | \d+(?:\.\d*)? | \.\d+)
    (?:e(?P<exponent>[+-]?\d{{1,3}}) | [ ]?[x*\u00d7][ ]?10\^(?P<power>[+-]?\d{{1,3}}))?"""
_NUMBER = re.compile(
    rf"""(?P<open>\()?[ ]?(?P<sign>[+-])?[ ]?(?P<before>{_CURRENCY})?[ ]?(?P<inner_open>\()?[ ]?(?P<inner_sign>[+-])?
    [ ]?(?P<inside>{_CURRENCY})?[ ]?{_DIGITS}[ ]?(?P<percent>[%\u2030])?[ ]?(?P<after>{_CURRENCY})?[ ]?(?P<close>\))?
    [ ]?(?P<outer_percent>[%\u2030])?[ ]?(?P<last>{_CURRENCY})?(?:[ ](?P<scale>\S+)(?:[ ].*)?)?""",
    re.VERBOSE,
)
# Parts of one number with a space between them, inside a longer span: "( 12 )", "5 %", "$ 5", "5 €".
_SPACES = [
    (re.compile(rf"(?<![\d/.,])(\d+) (?={_FRACTION}(?![\d/]))"), r"\1+"),
    (re.compile(rf"\( ?([+-]?{_CURRENCY}?) ?(\d[\d.,]*) ?([%\u2030]?) ?\)"), r"(\1\2\3)"),
    (re.compile(rf"({_CURRENCY}) (?=[\d(.+-])"), r"\1"),
    (re.compile(rf"(?<=[\d)]) (?=(?:[%\u2030]|{_CURRENCY})(?!\S*\d))"), ""),
]
# Numbers are compared to this many decimal places, and a number with a scale is rounded before it is scaled. Where this
# would make a number zero, it is compared to as many significant digits.
_PLACES, _SCALED_PLACES = 4, 2
# Largest number of characters of a number, with the words after its scale.
_LONGEST_NUMBER = 1000

Tokens = frozenset[str]


class Figure(NamedTuple):
    """A number as it is written.

    Attributes:
        value: The number before its scale, sign included.
        scale: Its scale; a percent sign is 0.01, a per mille sign 0.001.
        currency: Its currency sign, "US$" as "$"; may be empty.
        percent: Whether it has a percent or per mille sign.
    """

    value: float
    scale: Decimal
    currency: str
    percent: bool


def drop_f1(prediction: str, answers: Iterable[str], form: Form = normalize) -> float:
    """DROP's F1 of the prediction, in [0, 1]: the maximum over the aliases.

    Args:
        prediction: The answer to score.
        answers: Aliases; several spans of one alias are separated by ``;`` and a space.
        form: Normal form of words. With `normalize_with_symbols` the currency of a number counts as well.
    """
    if not normalize(prediction):
        return 0.0
    return max((_aligned(prediction, gold, form) for gold in answers), default=0.0)


drop_f1_with_symbols = partial(drop_f1, form=normalize_with_symbols)


def spans_key(answer: str, form: Form = normalize) -> tuple[tuple[str, ...], ...]:
    """What `drop_f1` compares of an answer: answers with equal keys score 1 against each other."""
    spans = _spans(answer)
    hyphenated = _hyphenated(spans)
    return tuple(sorted(tuple(sorted(_tokens(span, hyphenated, form))) for span in spans))


def number(text: str) -> float | None:
    """Value of a number with its scale; ``None`` if the text is no number.

    Spaces around brackets, signs, currencies and percent signs do not matter, nor does punctuation at the end. Words
    after the scale are ignored ("3 million years"). Scientific notation is read as ``1e-07`` or ``1.5 x 10^3``.
    """
    figure = read_figure(text)
    if figure is None:
        return None
    # Decimal: "22.2%" and "0.222" are the same float.
    return figure.value if figure.scale == 1 else float(Decimal(repr(figure.value)) * figure.scale)


@lru_cache(maxsize=65536)
def read_figure(text: str) -> Figure | None:
    """Parses a number; ``None`` if the text is none, or is longer than people write numbers."""
    if len(text) > _LONGEST_NUMBER or not any(character.isnumeric() for character in text):
        return None
    match = _NUMBER.fullmatch(" ".join(canonical(text).lower().split()).rstrip(".,;:!? "))
    if match is None:
        return None
    part = match.groupdict()
    is_open, is_closed = bool(part["open"]) + bool(part["inner_open"]), bool(part["close"])
    currencies = [sign for name in ("before", "inside", "after", "last") if (sign := part[name])]
    percents = [sign for name in ("percent", "outer_percent") if (sign := part[name])]
    scale = SCALES.get(part["scale"].removesuffix("s")) if part["scale"] else Decimal(1)
    if is_open != is_closed or (part["sign"] and part["inner_sign"]) or scale is None:
        return None
    if len(currencies) > 1 or len(percents) > 1:
        return None
    value = float(f"{_plain(part['digits'])}e{part['exponent'] or part['power'] or 0}")
    if not math.isfinite(value) or (scale != 1 and not math.isfinite(value * float(scale))):
        return None
    negative = is_closed or "-" in (part["sign"], part["inner_sign"])
    scale = _PER[percents[0]] if percents else scale
    currency = "".join(currencies).removeprefix("us")
    return Figure(-value if negative else value, scale, currency, bool(percents))


def _plain(digits: str) -> str:
    """Digits without separators of thousands or fraction bars, with a decimal point."""
    if "/" in digits:
        *whole, numerator, denominator = map(int, re.split("[ +/]", digits))
        return repr(sum(whole) + numerator / denominator)
    if digits.count(".") > 1 and "," not in digits:
        return digits.replace(".", "")
    if re.search(r"[ '].*,|\..*,", digits):
        digits = digits.replace(".", "").replace(",", ".")
    return re.sub("[ ',]", "", digits)


def _aligned(prediction: str, gold: str, form: Form) -> float:
    gold_spans = _spans(gold)
    hyphenated = _hyphenated(gold_spans)
    predicted_sets = [_tokens(span, hyphenated, form) for span in _spans(prediction)]
    gold_sets = [_tokens(span, hyphenated, form) for span in gold_spans]
    scores = np.array([[_f1(gold_set, predicted_set) for predicted_set in predicted_sets] for gold_set in gold_sets])
    return largest_sum(scores) / max(scores.shape)


def _spans(text: str) -> Sequence[str]:
    text = canonical(text).strip()
    return [span for span in _SPANS.split(text.removesuffix(";")) if normalize(span)] or [text]


def _hyphenated(spans: Sequence[str]) -> Tokens:
    return frozenset(word for span in spans for word in _words(span) if "-" in word)


def _words(span: str) -> list[str]:
    span = " ".join(span.lower().split())
    for spaces, replacement in _SPACES:
        span = spaces.sub(replacement, span)
    return span.split()


def _tokens(span: str, hyphenated: Tokens, form: Form) -> Tokens:
    """Tokens of a span; words in ``hyphenated`` are split at their hyphens."""
    # Long texts are not cached: they would fill the memory.
    return (_tokens_cached if len(span) < 200 else _tokens_of)(span, hyphenated, form)


def _tokens_of(span: str, hyphenated: Tokens, form: Form) -> Tokens:
    if (figure := read_figure(span)) is not None:
        return frozenset([_number_token(figure, form)])
    words = [part for word in _words(span) for part in (word.split("-") if word in hyphenated else [word])]
    figures = ((word, read_figure(word)) for word in without_removed(words, form))
    tokens = frozenset(form(word) if figure is None else _number_token(figure, form) for word, figure in figures)
    return tokens - {""} or frozenset([form(span)])


_tokens_cached = lru_cache(maxsize=65536)(_tokens_of)


def _number_token(figure: Figure, form: Form) -> str:
    value, scale = figure.value, float(figure.scale)
    if not figure.percent and scale != 1:
        value = round(value, _SCALED_PLACES) or value
    value *= scale
    text = f"{value:.{_PLACES}f}"
    if float(text) == 0:
        text = f"{value:.{_PLACES}g}" if value else "0.0000"
    return f"{figure.currency if form is normalize_with_symbols else ''}{text}"


def _f1(first: Tokens, second: Tokens) -> float:
    common = len(first & second)
    return 2 * common / (len(first) + len(second)) if common else 0.0
