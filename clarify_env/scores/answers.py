"""Answer scoring: exact match and token F1 with SQuAD's normalisation (Rajpurkar et al. 2016, evaluate-v1.1).

Differences from SQuAD's script, which compares code points:

* Texts are brought to Unicode form NFKC first, with ASCII quotes, hyphens and slashes for their typographic variants.
* "a" is a letter, not an article, at the end of a text, before "and" or "or", and in a list of letters at the end: the
  answers "option A" and "A, C" keep their letter.
* A text of which nothing would be left, such as "The", "+" or "The The", stays as it is.
* `normalize_with_symbols` keeps signs, decimal points and symbols; `clarify_env.scores.metrics` says when it is used.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from clarify_env.words import strip_invisible

Form = Callable[[str], str]

_ARTICLES = ("a", "an", "the")
# Words that show that an "a" before them is a letter. At most nine words of a list are looked at: linear time.
_LETTER = r"\s*\Z|\s+(?:and|or)\b|(?:\s+(?:[a-z]|and|or)\b){1,9}\s*\Z"
_ARTICLE = re.compile(rf"\b(?:the|an|a\b(?!{_LETTER}))\b")
_ARTICLE_BETWEEN_SPACES = re.compile(rf"(?<!\S)(?:the|an|a(?!\S)(?!{_LETTER}))(?!\S)")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Punctuation of sentences: all that says nothing about which answer is meant. What stays: symbols; points before digits
# or at the start of a word (1.5, .NET); commas and colons between digits, unless they separate thousands; hyphens that
# do not join letters (-5, 12-13, O-); an exclamation mark after a digit.
_SENTENCE_PUNCTUATION = re.compile(
    r"""["'`;?_()\[\]{}] | (?<!\d)! | (?<=\S)\.(?!\d) | \.(?!\w)
    | ,(?!\d) | (?<!\d), | (?<=\d),(?=\d{3}(?!\d)) | (?<!\d): | :(?!\d)
    | (?<=[^\W\d_])-(?=\w) | (?<=\w)-(?=[^\W\d_]) | (?<!\S)-+(?!\S)""",
    re.VERBOSE,
)
_NUMBER_IN_PARENTHESES = re.compile(r"\(\s*(\$?\d[\d.,]*%?)\s*\)")
# Typographic variants of ASCII characters that NFKC leaves, or would turn into a space and a combining mark.
_TYPOGRAPHIC = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a\u02b9\u02bb\u02bc\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212", "-"),
        **dict.fromkeys("\u2044\u2215", "/"),
    }
)
# Largest number of articles that are tried one by one.
_MOST_REMOVABLE = 20
# NFKC would turn x² into x2, and 1½ into 11/2.
_SUPERSCRIPT = re.compile(r"[\u00b2\u00b3\u00b9\u2070\u2074-\u207b]+")
_FRACTION = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e\u2189])")


def canonical(text: str) -> str:
    """Removes invisible characters and brings a text to Unicode form NFKC, with ASCII quotes, hyphens and slashes.

    Superscripts are written with ``^``. No white space arises: the price of a text counts the words that it had before.
    """
    text = strip_invisible(text)
    if text.isascii():
        return text
    text = _FRACTION.sub("+", _SUPERSCRIPT.sub(r"^\g<0>", text.translate(_TYPOGRAPHIC)))
    result = unicodedata.normalize("NFKC", text)
    if len(result.split()) != len(text.split()):
        characters = (c if c.isspace() else "".join(unicodedata.normalize("NFKC", c).split()) for c in text)
        result = unicodedata.normalize("NFKC", "".join(characters))
    return result.translate(_TYPOGRAPHIC)


def _squad(text: str) -> str:
    text = canonical(text).lower()
    words = text.translate(_PUNCTUATION)
    return " ".join((_ARTICLE.sub(" ", words).split() or words.split()) or text.split())


def _with_symbols(text: str) -> str:
    text = canonical(text).lower()
    words = _SENTENCE_PUNCTUATION.sub("", _NUMBER_IN_PARENTHESES.sub(r"-\1", text))
    return " ".join((_ARTICLE_BETWEEN_SPACES.sub(" ", words).split() or words.split()) or text.split())


_squad_cached = lru_cache(maxsize=65536)(_squad)
_with_symbols_cached = lru_cache(maxsize=16384)(_with_symbols)


def normalize(text: str) -> str:
    """Normalises a text as SQuAD does: lower-cases it, then removes punctuation, articles and surplus white space.

    Invisible characters are removed first, as in `count_words`, so that the score and the price see the same words. The
    differences from SQuAD are in the module's docstring. Only a text without visible characters has an empty form.
    """
    # Long texts are not cached: they would fill the memory.
    return _squad_cached(text) if len(text) < 200 else _squad(text)


def normalize_with_symbols(text: str) -> str:
    """Normalises a text as `normalize` does, but keeps signs, decimal points and symbols.

    "-5", "5", "1.5", "15", "$5", "5%", "C", "C++", "C#" and "O-" stay distinct; "(12)" becomes "-12". Removed are
    articles, quotes, brackets, and the punctuation of sentences.
    """
    return _with_symbols_cached(text) if len(text) < 200 else _with_symbols(text)


def without_removed(words: Sequence[str], form: Form = normalize) -> list[str]:
    """Returns the words of a text without those that leave its normal form as it is, such as articles."""
    removable = [canonical(word).lower().translate(_PUNCTUATION) in ("", *_ARTICLES) for word in words]
    remaining = [word for word, is_removable in zip(words, removable, strict=True) if not is_removable]
    normal = form(" ".join(words))
    if len(remaining) == len(words) or form(" ".join(remaining)) == normal:
        return remaining
    remaining = list(words)
    if sum(removable) <= _MOST_REMOVABLE:
        for i in reversed(range(len(words))):
            if removable[i] and form(" ".join(remaining[:i] + remaining[i + 1 :])) == normal:
                del remaining[i]
    return remaining


@lru_cache(maxsize=16384)
def _normalized(answers: tuple[str, ...], form: Form) -> tuple[str, ...]:
    return tuple(map(form, answers))


def exact_match(prediction: str, answers: Iterable[str], form: Form = normalize) -> float:
    """Exact match: 1.0 if the prediction equals one of the aliases after normalisation, else 0.0.

    Args:
        prediction: The answer to score.
        answers: Aliases of the gold answer.
        form: `normalize` or `normalize_with_symbols`.
    """
    predicted = form(prediction)
    return float(bool(predicted) and predicted in _normalized(tuple(answers), form))


def token_f1(prediction: str, answers: Iterable[str], form: Form = normalize) -> float:
    """Token F1 of the prediction, in [0, 1]: the maximum over the aliases; arguments as for `exact_match`."""
    text, golds = form(prediction), _normalized(tuple(answers), form)
    if text in golds:
        return float(bool(text))
    words = text.split()
    word_set, best = set(words), 0.0
    for gold in map(str.split, golds):
        if not word_set.isdisjoint(gold):  # most share no token, and this test is faster than counting
            common = (Counter(words) & Counter(gold)).total()
            best = max(best, 2 * common / (len(words) + len(gold)))
    return best
