"""The last messages worth considering at an episode, the oracle's among them (DESIGN section 3a).

A list is a set of items, each serving one reading or, where readings share an answer, a group of them. For every group
the texts that are best at *some* price of a word are found first; answers are those texts, lists are combinations.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations, pairwise, product
from typing import NamedTuple

import numpy as np

from clarify_env.games.clarification.actions import ANSWER, MultiAnswer, parse, words
from clarify_env.scores.answers import normalize
from clarify_env.scores.drop import number
from clarify_env.tasks.base import Episode, Item, Task
from clarify_env.words import count_words

# Of a partial score's sub-bags of words, at most this many are priced: enough for five readings of six words each.
_MOST_BAGS = 20_000
# Of a label of many words, at most this many are tried.
_MOST_LABEL_WORDS = 8

Group = tuple[int, ...]


class Plan(NamedTuple):
    """A last message and what it is worth before costs.

    Attributes:
        action: ``"answer"`` or ``"multi_answer"``.
        text: The message, tag included.
        words: Words charged.
        accuracy: Expected accuracy for each reading, were it the intent; shape [readings].
    """

    action: str
    text: str
    words: int
    accuracy: np.ndarray


def shortest_answer(task: Task, episode: Episode, reading: int) -> str:
    """The fewest words that score as much as the best alias: one without the words that scoring does not see."""
    aliases = episode.interpretations[reading].answers
    # An article costs a word and earns nothing, so "The Beatles" is better said as "Beatles".
    said = sorted(dict.fromkeys([*map(_seen, aliases), *aliases]), key=count_words)
    return max(said, key=lambda text: task.score(text, reading, episode))


def _seen(answer: str) -> str:
    return " ".join(word for word in answer.replace("_", "").split() if normalize(word))


def shortest_label(task: Task, episode: Episode, reading: int) -> str:
    """The fewest words of a reading's label by which it is found in any list: they fit it and no other reading."""
    labels = [other.label for other in episode.interpretations]
    rivals = [i for i in range(len(labels)) if i != reading]
    if " " not in labels[reading]:
        return labels[reading]
    for part in sorted(labels[reading].split(), key=len):
        fit = task.match(part, reading, episode)
        # Where labels have words in common, one word of this one may fit it less well than all of another's.
        if all(task.match(part, i, episode) == 0 and task.match(labels[i], reading, episode) < fit for i in rivals):
            return part
    return labels[reading]


def list_message(items: Iterable[tuple[str, str]]) -> str:
    """Words a list of (label, answer) pairs: on one line, unless an item holds a ``;``."""
    lines = [f"{label}: {answer}" for label, answer in items]
    return "#MULTI_ANS " + ("\n".join(lines) if any(";" in line for line in lines) else "; ".join(lines))


def closing_plans(task: Task, episode: Episode) -> list[Plan]:
    """Every last message worth considering: silence, guesses, joined guesses, labelled lists of any subset.

    Lists are exact where a right answer is right for one reading only and each reading has a word of its own. Where
    readings share answers or, under a partial score, words, labels that cover a group are searched as well.
    """
    task, episode = task.own(episode)
    weights = np.array([reading.weight for reading in episode.interpretations])
    everyone = range(len(weights))
    texts, accuracy = {"em": _aliases, "f1": _bags, "drop": _grown}[task.metric](task, episode)
    lengths = np.array([count_words(text) for text in texts])
    groups = [group for size in range(1, len(weights) + 1) for group in combinations(everyone, size)]
    best = {group: _frontier(lengths, accuracy[:, group] @ weights[list(group)]) for group in groups}
    said = dict.fromkeys(texts[i] for indices in best.values() for i in indices)
    plans = [_plan(task, episode, "answer", f"#ANSWER {text}".rstrip()) for text in ("", *said)]

    # One item for several readings pays where a text is right for all of them, or a word of it is.
    shared = accuracy[lengths == 1] if task.metric == "f1" else accuracy
    useful = [group for group in groups if best[group] and (len(group) == 1 or (shared[:, group] > 0).all(1).any())]
    own = [shortest_label(task, episode, i) for i in everyone]
    clear = [
        count_words(own[i]) == 1 and not any(task.match(own[i], j, episode) for j in everyone if j != i)
        for i in everyone
    ]
    plain = {group: " ".join(own[i] for i in group) for group in useful}
    options: dict[Group, list[_Label]] = {}
    lists, worth = [], []
    for parts in (parts for subset in groups for parts in _partitions(subset, useful) if len(parts) > 1):
        labels = tuple(plain[part] for part in parts)
        if not all(clear[i] for part in parts for i in part) or max(map(len, parts)) > 1:
            for part in parts:
                if part not in options:
                    options[part] = _label_options(task, episode, part, plain[part])
            labels = _fewest([options[part] for part in parts], parts, labels)
        mass = [accuracy[:, part] @ weights[list(part)] for part in parts]
        for chosen in _paths([best[part] for part in parts], lengths, mass):
            lists.append(list_message(zip(labels, (texts[i] for i in chosen), strict=True)))
            gained = np.zeros(len(weights))
            for part, i in zip(parts, chosen, strict=True):
                gained[list(part)] = accuracy[i, list(part)]
            worth.append((sum(map(count_words, labels)) + lengths[list(chosen)].sum(), gained))
    if len(lists) > 64:
        length, gained = np.array([w for w, _ in worth]), np.array([g for _, g in worth])
        kept = {i for group in groups for i in _frontier(length, gained[:, group] @ weights[list(group)])}
        lists = [lists[i] for i in sorted(kept)]
    return plans + [_plan(task, episode, "multi_answer", text) for text in lists]


def _plan(task: Task, episode: Episode, action: str, text: str) -> Plan:
    parsed = parse(text)
    items = parsed.items if isinstance(parsed, MultiAnswer) else (Item("", text.removeprefix(ANSWER).strip()),)
    accuracy = np.zeros(len(episode.interpretations))
    for intent in range(len(accuracy)):
        fits = task.pick(items, intent, episode)
        if fits:
            accuracy[intent] = sum(task.score(items[i].answer, intent, episode) for i in fits) / len(fits)
    return Plan(action, text, words(parsed), accuracy)


def _aliases(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Answers that score all or nothing: each reading's shortest, and all that are shared; their accuracy [m, n]."""
    everyone = range(len(episode.interpretations))
    holders = Counter(alias for reading in episode.interpretations for alias in set(map(normalize, reading.answers)))
    texts = dict.fromkeys(shortest_answer(task, episode, i) for i in everyone)
    texts |= dict.fromkeys(_seen(a) for r in episode.interpretations for a in r.answers if holders[normalize(a)] > 1)
    accuracy = np.array([[task.score(text, i, episode) for i in everyone] for text in texts])
    return list(texts), accuracy


def _bags(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Sub-bags of the words of the readings' answers, and their token F1 [m, n].

    Words that occur in the same aliases are worth the same, so only how many of each kind are said is varied. Beside
    its shortest alias, a reading's others matter where they share words with another reading.
    """
    everyone = range(len(episode.interpretations))
    aliases = [(i, _seen(shortest_answer(task, episode, i))) for i in everyone]
    others = sorted(
        {(i, _seen(a)) for i in everyone for a in episode.interpretations[i].answers} - set(aliases),
        key=lambda other: (count_words(other[1]), other),
    )
    kinds = _kinds(aliases)
    for reading, alias in others:
        shared = {word for i, text in [*aliases, *others] if i != reading for word in normalize(text).split()}
        more = _kinds([*aliases, (reading, alias)])
        bags = np.prod([len(kind) + 1 for kind in more.values()])
        if bags <= _MOST_BAGS and not shared.isdisjoint(normalize(alias).split()):
            aliases, kinds = [*aliases, (reading, alias)], more
    sizes = [len(kind) + 1 for kind in kinds.values()]
    while np.prod(sizes) > _MOST_BAGS:
        sizes[int(np.argmax(sizes))] -= 1
    counts = np.indices(sizes).reshape(len(sizes), -1).T[1:]
    holds = np.array([[i in kind for i in range(len(aliases))] for kind in kinds], dtype=float)
    total = counts.sum(1, keepdims=True) + np.array([len(normalize(alias).split()) for _, alias in aliases])
    scores = 2 * (counts @ holds) / total
    owners = np.array([i for i, _ in aliases])
    accuracy = np.array([scores[:, owners == i].max(1) for i in everyone]).T
    words_of = list(kinds.values())
    said = [[word for kind, k in zip(words_of, row, strict=True) for word in kind[:k]] for row in counts.tolist()]
    return [" ".join(bag) for bag in said], accuracy


def _grown(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Answers under a score by spans, built up a word at a time, each word that which adds most; their score [m, n].

    A span's F1 rises by less with every word, so this finds the best answer of each length for a reading. Where several
    readings' answers are words, it is also done for the expectation over all of them.
    """
    everyone = range(len(episode.interpretations))
    weights = [reading.weight for reading in episode.interpretations]
    whole = {i: shortest_answer(task, episode, i) for i in everyone}
    texts = dict.fromkeys(alias for reading in episode.interpretations for alias in reading.answers)

    def expected(text: str, readings: Iterable[int]) -> float:
        return sum(weights[i] * task.score(text, i, episode) for i in readings)

    for i in everyone:
        texts |= dict.fromkeys(_grow(whole[i], partial(expected, readings=[i])))
    if sum(number(text) is None for text in whole.values()) > 1:
        for i in everyone:
            texts |= dict.fromkeys(_grow(whole[i], partial(expected, readings=everyone)))
    return list(texts), np.array([[task.score(text, i, episode) for i in everyone] for text in texts])


def _grow(answer: str, worth: Callable[[str], float]) -> Iterator[str]:
    """The parts of an answer, from its best word on, each by the word more that makes it worth most."""
    words = [(n, word) for n, span in enumerate(answer.split("; ")) for word in span.split()]
    said: set[int] = set()

    def spoken(chosen: set[int]) -> str:
        spans: dict[int, list[str]] = {}
        for place in sorted(chosen):
            spans.setdefault(words[place][0], []).append(words[place][1])
        return "; ".join(" ".join(span) for span in spans.values())

    while len(said) < len(words):
        said = max(({*said, k} for k in range(len(words)) if k not in said), key=lambda more: worth(spoken(more)))
        yield spoken(said)


def _kinds(aliases: list[tuple[int, str]]) -> dict[Group, list[str]]:
    """The words of some aliases by the aliases (as indices) they occur in; a word said twice in one occurs as two."""
    tokens = [Counter(map(normalize, alias.split())) for _, alias in aliases]
    spelled = {normalize(word): word for _, alias in aliases for word in alias.split()}
    kinds: dict[Group, list[str]] = {}
    for token, word in spelled.items():
        for nth in range(max(own[token] for own in tokens)):
            kinds.setdefault(tuple(i for i, own in enumerate(tokens) if own[token] > nth), []).append(word)
    return kinds


def _frontier(lengths: np.ndarray, values: np.ndarray) -> list[int]:
    """Indices of what is best at some price a word, shortest first: the upper concave hull."""
    order = np.lexsort((-values, lengths))
    hull: list[int] = []
    for i in order[np.unique(lengths[order], return_index=True)[1]]:
        if values[i] <= (values[hull[-1]] if hull else 0):
            continue
        while len(hull) > 1 and _slope(lengths, values, hull[-2], i) >= _slope(lengths, values, hull[-2], hull[-1]):
            hull.pop()
        hull.append(int(i))
    return hull


def _slope(lengths: np.ndarray, values: np.ndarray, a: int, b: int) -> float:
    return (values[b] - values[a]) / (lengths[b] - lengths[a])


def _paths(frontiers: list[list[int]], lengths: np.ndarray, values: list[np.ndarray]) -> Iterator[tuple[int, ...]]:
    """The choices, one text a group, that are best together at some price: words are added where they earn most."""
    steps = [
        (-_slope(lengths, value, a, b), group, b)
        for group, (frontier, value) in enumerate(zip(frontiers, values, strict=True))
        for a, b in pairwise(frontier)
    ]
    chosen = [frontier[0] for frontier in frontiers]
    yield tuple(chosen)
    for _, group, index in sorted(steps):
        chosen[group] = index
        yield tuple(chosen)


def _partitions(readings: Group, groups: Sequence[Group]) -> Iterator[tuple[Group, ...]]:
    """Ways to part ``readings`` into some of ``groups``."""
    if not readings:
        yield ()
        return
    for group in groups:
        if group[0] == readings[0] and set(group) <= set(readings):
            for rest in _partitions(tuple(i for i in readings if i not in group), groups):
                yield (group, *rest)


class _Label(NamedTuple):
    text: str
    words: int
    fits: np.ndarray


def _label_options(task: Task, episode: Episode, part: Group, plain: str) -> list[_Label]:
    """Labels for the item of a group of readings: ``plain``, and any other that is as good in one respect.

    A word that fits other readings too may still do in a short list, or serve several readings, or beside another word
    make the label fit better than the next item's.
    """
    everyone = range(len(episode.interpretations))
    texts = [text for r in episode.interpretations for text in (r.label, *(value for _, value in r.attributes))]
    known = dict.fromkeys(word for text in texts for word in text.split())
    common = [word for word in known if all(task.match(word, i, episode) > 0 for i in part)][:_MOST_LABEL_WORDS]
    said = dict.fromkeys([plain, *(" ".join(c) for size in (1, 2, 3) for c in combinations(common, size))])
    labels = [
        _Label(text, count_words(text), np.array([task.match(text, i, episode) for i in everyone])) for text in said
    ]
    kept: list[_Label] = []
    # A label should fit its own readings well and the others badly; one that a shorter one beats in both is left out.
    sign = np.where([i in part for i in everyone], 1, -1)
    for label in sorted(labels, key=lambda label: label.words):
        if not any((sign * other.fits >= sign * label.fits).all() for other in kept):
            kept.append(label)
    return kept


def _fewest(options: Sequence[Sequence[_Label]], parts: tuple[Group, ...], plain: tuple[str, ...]) -> tuple[str, ...]:
    """The labels of fewest words, one from each part's options, by which every reading finds its item."""
    for chosen in sorted(product(*options), key=lambda chosen: sum(label.words for label in chosen)):
        if all(
            chosen[p].fits[i] > max(label.fits[i] for q, label in enumerate(chosen) if q != p)
            for p, part in enumerate(parts)
            for i in part
        ):
            return tuple(label.text for label in chosen)
    return plain
