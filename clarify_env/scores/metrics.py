"""The metrics by name, and the rule by which an episode's metric keeps symbols.

SQuAD's normalisation makes "-5" and "5", "1.5" and "15", "C" and "C++" equal. Where answers of two readings of an
episode would become equal by this, the episode is scored by the variant ``NAME_symbols`` of the metric, whose normal
form is `normalize_with_symbols`. All other episodes are scored by the metric itself.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from itertools import combinations

from clarify_env.scores.answers import Form, exact_match, normalize, normalize_with_symbols, token_f1
from clarify_env.scores.drop import drop_f1, drop_f1_with_symbols, spans_key

SYMBOLS = "_symbols"
# Score by name: exact match, token F1 and DROP's F1; each also with symbols kept.
SCORES: dict[str, Callable[[str, Iterable[str]], float]] = {
    "em": exact_match,
    "f1": token_f1,
    "drop": drop_f1,
    "em_symbols": partial(exact_match, form=normalize_with_symbols),
    "f1_symbols": partial(token_f1, form=normalize_with_symbols),
    "drop_symbols": drop_f1_with_symbols,
}
Answers = tuple[tuple[str, ...], ...]


def form_of(metric: str) -> Form:
    """Normal form of answers under a metric."""
    return normalize_with_symbols if metric.endswith(SYMBOLS) else normalize


@lru_cache(maxsize=16384)
def episode_metric(metric: str, answers: Answers) -> str:
    """Metric of an episode: ``metric``, or its variant that keeps symbols if there are `equated` answers.

    Args:
        metric: A name in `SCORES`; other names are returned as they are.
        answers: Aliases of each reading.
    """
    variant = metric + SYMBOLS
    return variant if variant in SCORES and next(equated(metric, answers), None) else metric


def equated(metric: str, answers: Answers) -> Iterator[tuple[str, str]]:
    """Yields pairs of answers of two readings that are equal under ``metric``, but not with symbols kept."""
    keys = [[(alias, _key(metric, alias), _key(metric + SYMBOLS, alias)) for alias in aliases] for aliases in answers]
    for first, second in combinations(keys, 2):
        for alias, key, key_with_symbols in first:
            for other, other_key, other_key_with_symbols in second:
                if key == other_key and key_with_symbols != other_key_with_symbols:
                    yield alias, other


def _key(metric: str, answer: str) -> object:
    """What a metric compares: answers with equal keys score 1 against each other."""
    name, form = metric.removesuffix(SYMBOLS), form_of(metric)
    if name == "drop":
        return spans_key(answer, form)
    return sorted(form(answer).split()) if name == "f1" else form(answer)
