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
    """Lower-cases, then removes punctuation, articles and surplus white space, in SQuAD's order.

    Invisible characters go first, so that no spelling can look like two words to the score and one to the price.
    """
    # Long texts bypass the cache: a megabyte of noise is not worth remembering.
    return _normalize_short(text) if len(text) < 200 else _normalize_short.__wrapped__(text)


def exact_match(prediction: str, answers: Iterable[str]) -> float:
    """1.0 if the prediction equals one of the aliases after normalisation, else 0.0."""
    predicted = normalize(prediction)
    return float(bool(predicted) and predicted in map(normalize, answers))


def token_f1(prediction: str, answers: Iterable[str]) -> float:
    """The best token-level F1, in [0, 1], of the prediction against one of the aliases."""
    said, golds = normalize(prediction), [normalize(answer) for answer in answers]
    if said in golds:
        return float(bool(said))
    predicted = said.split()
    tokens, best = set(predicted), 0.0
    for gold in map(str.split, golds):
        if not tokens.isdisjoint(gold):  # few share a token, and counting takes longer
            common = (Counter(predicted) & Counter(gold)).total()
            best = max(best, 2 * common / (len(predicted) + len(gold)))
    return best
