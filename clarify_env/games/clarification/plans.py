"""The candidate last messages of an episode, from which the oracle chooses (docs/design.md).

A list is a set of items, each for one reading or, where readings share an answer, for a group of them. First, for every
group, the texts that are best at *some* price of a word are computed; answers are these texts, lists combine them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, pairwise, product
from typing import NamedTuple

import numpy as np

from clarify_env.games.clarification.actions import ANSWER, MultiAnswer, parse, words
from clarify_env.scores.answers import Form, without_removed
from clarify_env.scores.drop import number
from clarify_env.scores.metrics import SYMBOLS
from clarify_env.tasks.base import Episode, Item, Task
from clarify_env.words import count_words

# Largest number of sub-bags of words that are evaluated under token F1: enough for five readings of six words each.
_MOST_BAGS = 20_000
# Largest number of words of a group's labels that are combined.
_MOST_LABEL_WORDS = 8

Group = tuple[int, ...]


class Plan(NamedTuple):
    """A last message and its accuracy before costs.

    Attributes:
        action: ``"answer"`` or ``"multi_answer"``.
        text: The message, tag included.
        words: Words charged.
        accuracy: Expected accuracy given each reading as the intent; shape [readings].
    """

    action: str
    text: str
    words: int
    accuracy: np.ndarray


def shortest_answer(task: Task, episode: Episode, reading: int) -> str:
    """The alias of highest score, then fewest words, also tried without the words that normalisation removes."""
    aliases = episode.interpretations[reading].answers
    # An article costs a word and adds no score, so "Beatles" is better than "The Beatles".
    form = task.normal_form(episode)
    candidates = sorted(dict.fromkeys([*(_trim(alias, form) for alias in aliases), *aliases]), key=count_words)
    return max(candidates, key=lambda text: task.score(text, reading, episode))


def _trim(answer: str, form: Form) -> str:
    return " ".join(without_removed(answer.replace("_", "").split(), form))


def shortest_label(task: Task, episode: Episode, reading: int) -> str:
    """The shortest part of a reading's label that identifies it in any list: it fits this reading and no other."""
    labels = [other.label for other in episode.interpretations]
    rivals = [i for i in range(len(labels)) if i != reading]
    if " " not in labels[reading]:
        return labels[reading]
    for part in sorted(labels[reading].split(), key=len):
        fit = task.match(part, reading, episode)
        # If labels share words, another reading's whole label may fit this reading better than one word of its own.
        if all(task.match(part, i, episode) == 0 and task.match(labels[i], reading, episode) < fit for i in rivals):
            return part
    return labels[reading]


def list_message(items: Iterable[tuple[str, str]]) -> str:
    """Writes (label, answer) pairs as a list message: on one line, unless an item contains ``;``."""
    lines = [f"{label}: {answer}" for label, answer in items]
    return "#MULTI_ANS " + ("\n".join(lines) if any(";" in line for line in lines) else "; ".join(lines))


def closing_plans(task: Task, episode: Episode) -> list[Plan]:
    """Candidate last messages: the empty answer, guesses, joined guesses, and labelled lists of every subset.

    The lists are optimal if each answer is right for one reading only and each reading has a distinguishing word. If
    readings share answers or, under a partial score, words, labels that cover a group are searched as well.
    """
    task, episode = task.own(episode)
    weights = np.array([reading.weight for reading in episode.interpretations])
    everyone = range(len(weights))
    texts, lengths, accuracy, best = _answers(task, episode)
    plans = [_plan(task, episode, "answer", f"#ANSWER {text}".rstrip()) for text in ("", *_guesses(texts, best))]

    # One item for several readings can pay if a text, or one word of it, is right for all of them.
    shared = accuracy[lengths == 1] if task.metric.removesuffix(SYMBOLS) == "f1" else accuracy
    useful = [group for group in best if best[group] and (len(group) == 1 or (shared[:, group] > 0).all(1).any())]
    short = [shortest_label(task, episode, i) for i in everyone]
    unique = [
        count_words(short[i]) == 1 and not any(task.match(short[i], j, episode) for j in everyone if j != i)
        for i in everyone
    ]
    plain = {group: " ".join(short[i] for i in group) for group in useful}
    options: dict[Group, list[_Label]] = {}
    lists, values = [], []
    for parts in (parts for subset in best for parts in _partitions(subset, useful) if len(parts) > 1):
        labels = tuple(plain[part] for part in parts)
        if not all(unique[i] for part in parts for i in part) or max(map(len, parts)) > 1:
            for part in parts:
                if part not in options:
                    options[part] = _label_options(task, episode, part, plain[part])
            labels = _fewest([options[part] for part in parts], parts, labels)
        mass = [accuracy[:, part] @ weights[list(part)] for part in parts]
        for path in _paths([best[part] for part in parts], lengths, mass):
            lists.append(list_message(zip(labels, (texts[i] for i in path), strict=True)))
            item_accuracy = np.zeros(len(weights))
            for part, i in zip(parts, path, strict=True):
                item_accuracy[list(part)] = accuracy[i, list(part)]
            values.append((sum(map(count_words, labels)) + lengths[list(path)].sum(), item_accuracy))
    if len(lists) > 64:
        length, item_accuracy = np.array([w for w, _ in values]), np.array([g for _, g in values])
        undominated = {i for group in best for i in _frontier(length, item_accuracy[:, group] @ weights[list(group)])}
        lists = [lists[i] for i in sorted(undominated)]
    return plans + [_plan(task, episode, "multi_answer", text) for text in lists]


def guesses(task: Task, episode: Episode) -> list[str]:
    """The answers that are best for some of the readings at some price of a word."""
    texts, _, _, best = _answers(*task.own(episode))
    return _guesses(texts, best)


def _guesses(texts: Sequence[str], best: Mapping[Group, Sequence[int]]) -> list[str]:
    return list(dict.fromkeys(texts[i] for indices in best.values() for i in indices))


def _answers(task: Task, episode: Episode) -> tuple[list[str], np.ndarray, np.ndarray, dict[Group, list[int]]]:
    """Candidate answers, their words [texts] and accuracy [texts, readings], and by group of readings the best ones."""
    weights = np.array([reading.weight for reading in episode.interpretations])
    search = {"em": _aliases, "f1": _bags, "drop": _greedy_parts}[task.metric.removesuffix(SYMBOLS)]
    texts, accuracy = search(task, episode)
    lengths = np.array([count_words(text) for text in texts])
    groups = (group for size in range(1, len(weights) + 1) for group in combinations(range(len(weights)), size))
    best = {group: _frontier(lengths, accuracy[:, group] @ weights[list(group)]) for group in groups}
    return texts, lengths, accuracy, best


def _plan(task: Task, episode: Episode, action: str, text: str) -> Plan:
    closing = parse(text)
    items = closing.items if isinstance(closing, MultiAnswer) else (Item("", text.removeprefix(ANSWER).strip()),)
    accuracy = np.zeros(len(episode.interpretations))
    for intent in range(len(accuracy)):
        indices = task.pick(items, intent, episode)
        if indices:
            accuracy[intent] = sum(task.score(items[i].answer, intent, episode) for i in indices) / len(indices)
    return Plan(action, text, words(closing), accuracy)


def _aliases(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Answers under exact match: each reading's shortest alias and all shared aliases; accuracy [texts, readings]."""
    everyone, form = range(len(episode.interpretations)), task.normal_form(episode)
    counts = Counter(alias for reading in episode.interpretations for alias in set(map(form, reading.answers)))
    texts = dict.fromkeys(shortest_answer(task, episode, i) for i in everyone)
    texts |= dict.fromkeys(_trim(a, form) for r in episode.interpretations for a in r.answers if counts[form(a)] > 1)
    accuracy = np.array([[task.score(text, i, episode) for i in everyone] for text in texts])
    return list(texts), accuracy


def _bags(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Sub-bags of the words of the readings' answers, and their token F1 [texts, readings].

    Words that occur in the same aliases are equivalent (one kind), so only the number of words of each kind is varied.
    Besides its shortest alias, a reading's other aliases matter if they share words with another reading.
    """
    everyone, form = range(len(episode.interpretations)), task.normal_form(episode)
    aliases = [(i, _trim(shortest_answer(task, episode, i), form)) for i in everyone]
    others = sorted(
        {(i, _trim(a, form)) for i in everyone for a in episode.interpretations[i].answers} - set(aliases),
        key=lambda other: (count_words(other[1]), other),
    )
    kinds = _kinds(aliases, form)
    for reading, alias in others:
        shared_words = {word for i, text in [*aliases, *others] if i != reading for word in form(text).split()}
        more_kinds = _kinds([*aliases, (reading, alias)], form)
        bag_count = np.prod([len(kind) + 1 for kind in more_kinds.values()])
        if bag_count <= _MOST_BAGS and not shared_words.isdisjoint(form(alias).split()):
            aliases, kinds = [*aliases, (reading, alias)], more_kinds
    sizes = [len(kind) + 1 for kind in kinds.values()]
    while np.prod(sizes) > _MOST_BAGS:
        sizes[int(np.argmax(sizes))] -= 1
    counts = np.indices(sizes).reshape(len(sizes), -1).T[1:]
    in_alias = np.array([[i in kind for i in range(len(aliases))] for kind in kinds], dtype=float)
    total = counts.sum(1, keepdims=True) + np.array([len(form(alias).split()) for _, alias in aliases])
    scores = 2 * (counts @ in_alias) / total
    owners = np.array([i for i, _ in aliases])
    accuracy = np.array([scores[:, owners == i].max(1) for i in everyone]).T
    words_of = list(kinds.values())
    bags = [[word for kind, k in zip(words_of, row, strict=True) for word in kind[:k]] for row in counts.tolist()]
    return [" ".join(bag) for bag in bags], accuracy


def _greedy_parts(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Answers under DROP's F1, built greedily word by word, and their score [texts, readings].

    The F1 of a span rises by less with every word, so the greedy answer of each length is the best one for a reading.
    If the answers of several readings are words, the expectation over all readings is maximised as well.
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


def _grow(answer: str, value: Callable[[str], float]) -> Iterator[str]:
    """Yields growing parts of an answer; each step adds the word that increases ``value`` most."""
    words = [(n, word) for n, span in enumerate(answer.split("; ")) for word in span.split()]
    places: set[int] = set()

    def text_of(indices: set[int]) -> str:
        spans: dict[int, list[str]] = {}
        for place in sorted(indices):
            spans.setdefault(words[place][0], []).append(words[place][1])
        return "; ".join(" ".join(span) for span in spans.values())

    while len(places) < len(words):
        extended = ({*places, k} for k in range(len(words)) if k not in places)
        places = max(extended, key=lambda more: value(text_of(more)))
        yield text_of(places)


def _kinds(aliases: list[tuple[int, str]], form: Form) -> dict[Group, list[str]]:
    """Groups words by the aliases (as indices) that contain them; a word that occurs twice counts as two words."""
    tokens = [Counter(map(form, alias.split())) for _, alias in aliases]
    spelling = {form(word): word for _, alias in aliases for word in alias.split()}
    kinds: dict[Group, list[str]] = {}
    for token, word in spelling.items():
        for nth in range(max(counts[token] for counts in tokens)):
            kinds.setdefault(tuple(i for i, counts in enumerate(tokens) if counts[token] > nth), []).append(word)
    return kinds


def _frontier(lengths: np.ndarray, values: np.ndarray) -> list[int]:
    """Indices of the texts that are best at some price of a word, shortest first: the upper concave hull."""
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
    """Yields choices of one text per group that are best at some price: steps are taken by falling slope."""
    steps = [
        (-_slope(lengths, value, a, b), group, b)
        for group, (frontier, value) in enumerate(zip(frontiers, values, strict=True))
        for a, b in pairwise(frontier)
    ]
    path = [frontier[0] for frontier in frontiers]
    yield tuple(path)
    for _, group, index in sorted(steps):
        path[group] = index
        yield tuple(path)


def _partitions(readings: Group, groups: Sequence[Group]) -> Iterator[tuple[Group, ...]]:
    """Yields the partitions of ``readings`` into members of ``groups``."""
    if not readings:
        yield ()
        return
    for group in groups:
        if group[0] == readings[0] and set(group) <= set(readings):
            for others in _partitions(tuple(i for i in readings if i not in group), groups):
                yield (group, *others)


class _Label(NamedTuple):
    text: str
    words: int
    fits: np.ndarray


def _label_options(task: Task, episode: Episode, part: Group, plain: str) -> list[_Label]:
    """Candidate labels for the item of a group of readings: ``plain``, and all that no other label dominates.

    A word that fits other readings as well may suffice in a short list, may serve several readings, or may, with
    another word, make the label fit better than that of another item.
    """
    everyone = range(len(episode.interpretations))
    texts = [text for r in episode.interpretations for text in (r.label, *(value for _, value in r.attributes))]
    vocabulary = dict.fromkeys(word for text in texts for word in text.split())
    common = [word for word in vocabulary if all(task.match(word, i, episode) > 0 for i in part)][:_MOST_LABEL_WORDS]
    names = dict.fromkeys([plain, *(" ".join(c) for size in (1, 2, 3) for c in combinations(common, size))])
    labels = [
        _Label(text, count_words(text), np.array([task.match(text, i, episode) for i in everyone])) for text in names
    ]
    undominated: list[_Label] = []
    # A label should fit the readings of its group well and others badly; a label dominated by a shorter one is dropped.
    sign = np.where([i in part for i in everyone], 1, -1)
    for label in sorted(labels, key=lambda label: label.words):
        if not any((sign * other.fits >= sign * label.fits).all() for other in undominated):
            undominated.append(label)
    return undominated


def _fewest(options: Sequence[Sequence[_Label]], parts: tuple[Group, ...], plain: tuple[str, ...]) -> tuple[str, ...]:
    """The labels with the fewest words, one from the options of each part, by which every reading picks its item."""
    for combination in sorted(product(*options), key=lambda combination: sum(label.words for label in combination)):
        if all(
            combination[p].fits[i] > max(label.fits[i] for q, label in enumerate(combination) if q != p)
            for p, part in enumerate(parts)
            for i in part
        ):
            return tuple(label.text for label in combination)
    return plain
