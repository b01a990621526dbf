"""Matches a question with the facts of a case: by their words, with synonyms."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
# Words that say nothing about what a question asks for.
_FUNCTION_WORDS = frozenset(
    """a about all also am an and any are as at be been being but by can could did do does for from get give had has
    have he her hers him his how i if in is it its know me my no not of on or our please she should so some tell
    than that the their them then there these they this those to us was we were what when where which who whom
    whose why will with would yes you your case ever anything something many much""".split()
)
# Words for the same thing, in the form of `stem`; each line is one thing. A case may add its own.
_SYNONYMS = """
pain ache hurt sore discomfort
medication medicine drug pill tablet prescription dose
smoke smoker tobacco cigarette
alcohol drink beer wine liquor
temperature fever heat febrile
history previous past earlier
family mother father parent sibling brother sister relative
job work occupation profession employ
age old year
sex gender male female man woman
weight heavy kilogram pound
allergy allergic
noise sound noisy hear
smell odor odour scent
colour color
lamp light indicator led
error message code warning
power electricity voltage supply current
start begin began onset since
travel trip abroad journey
blood bleed
exam examination physical
lab laboratory test result
""".strip()
_SUFFIXES = ("ations", "ation", "ings", "ing", "ies", "edly", "ed", "es", "ly", "s", "e", "y")
_SHORTEST = 3


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Returns a word without its ending, so that forms of a word are equal: smokes, smoking and smoke."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST:
            return word[: -len(suffix)]
    return word


def content_words(text: str) -> tuple[str, ...]:
    """Returns the stems of the words of a text that say what it is about, each once, in order."""
    words = (word for word in _WORD.findall(text.lower()) if word not in _FUNCTION_WORDS)
    return tuple(dict.fromkeys(stem(word) for word in words))


_GROUPS = [frozenset(stem(word) for word in line.split()) for line in _SYNONYMS.splitlines()]


def _meant(words: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """Returns words with all their synonyms."""
    known = set(words)
    for group in (*_GROUPS, *(frozenset(map(stem, (key, *others))) for key, others in synonyms.items())):
        if known & group:
            known |= group
    return frozenset(known)


def fact_asked(
    question: str,
    facts: Sequence[tuple[str, str]],
    query: str = "",
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> int | None:
    """Returns the index of the fact that a question asks for; ``None``: it asks for none of them.

    That is the fact with which the question shares most content words, synonyms included; a word of the fact's name
    counts twice, and a word that several facts share counts less (its share). Ties go to the first fact. Words of the
    case's own question ask for nothing.

    Args:
        question: The question.
        facts: (name, text) of each fact; a name may be empty.
        query: The question of the case.
        synonyms: Further words for the same thing.
    """
    asked = _meant([w for w in content_words(question) if w not in content_words(query)], synonyms or {})
    sets = [(set(content_words(name)), set(content_words(text))) for name, text in facts]
    together = [names | texts for names, texts in sets]
    rarity = {word: 1 / sum(word in words for words in together) for words in together for word in words}
    scores = [
        sum(rarity[word] for word in asked & words) + sum(rarity[word] for word in asked & names)
        for (names, _), words in zip(sets, together, strict=True)
    ]
    best = max(scores, default=0.0)
    return scores.index(best) if best > 0 else None
