"""Answer scoring: exact match and token F1 with SQuAD's normalisation (Rajpurkar et al. 2016, evaluate-v1.1)."""

import re
import string
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from clarify_env.words import strip_invisible

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@lru_cache(maxsize=65536)
def _normalize_short(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", strip_invisible(text).lower().translate(_PUNCTUATION)).split())


def normalize(text: str) -> str:
    """Normalises a text as SQuAD does: lower-cases it, then removes punctuation, articles and surplus white space.

    Invisible characters are removed first, as in `count_words`, so that the score and the price see the same words.
    """
    # Long texts are not cached: they would fill the memory.
    return _normalize_short(text) if len(text) < 200 else _normalize_short.__wrapped__(text)


@lru_cache(maxsize=16384)
def _normalized(answers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(normalize, answers))


def exact_match(prediction: str, answers: Iterable[str]) -> float:
    """Exact match: 1.0 if the prediction equals one of the aliases after normalisation, else 0.0."""
    predicted = normalize(prediction)
    return float(bool(predicted) and predicted in _normalized(tuple(answers)))


def token_f1(prediction: str, answers: Iterable[str]) -> float:
    """Token F1 of the prediction, in [0, 1]: the maximum over the aliases."""
    text, golds = normalize(prediction), _normalized(tuple(answers))
    if text in golds:
        return float(bool(text))
    words = text.split()
    word_set, best = set(words), 0.0
    for gold in map(str.split, golds):
        if not word_set.isdisjoint(gold):  # most share no token, and this test is faster than counting
            common = (Counter(words) & Counter(gold)).total()
            best = max(best, 2 * common / (len(words) + len(gold)))
    return best
