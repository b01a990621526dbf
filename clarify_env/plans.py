"""The last messages worth considering at an episode, the oracle's among them (DESIGN section 3a).

A list is a set of items, each serving one reading or, where readings share an answer, a group of them. For every group the
texts that are best at *some* price of a word are found first; answers are those texts, lists are combinations of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from clarify_env.actions import Item, count_words, parse, words
from clarify_env.scoring import normalize
from clarify_env.tasks.base import Episode, Task

# Of a partial score's sub-bags of words, at most this many are priced: enough for five readings of six words each.
_MOST_BAGS = 20_000

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
    """The fewest words of a reading's label that fit it and no other reading."""
    label = episode.interpretations[reading].label
    for part in sorted(label.split(), key=len):
        if [i for i in range(len(episode.interpretations)) if task.match(part, i, episode) > 0] == [reading]:
            return part
    return label


def list_message(items: Iterable[tuple[str, str]]) -> str:
    """Words a list of (label, answer) pairs: on one line, unless an item holds a ``;``."""
    lines = [f"{label}: {answer}" for label, answer in items]
    return "#MULTI_ANS " + ("\n".join(lines) if any(";" in line for line in lines) else "; ".join(lines))


def unlabelled(task: Task, episode: Episode) -> bool:
    """Whether two readings of an episode cannot be told apart by label, so that no list can serve both."""
    everyone = range(len(episode.interpretations))
    items = [Item(shortest_label(task, episode, i), "x") for i in everyone]
    return len(items) > 1 and any(task.pick(items, i, episode) != [i] for i in everyone)


def closing_plans(task: Task, episode: Episode) -> list[Plan]:
    """Every last message worth considering: silence, guesses, joined guesses, labelled lists of any subset.

    Lists are exact where a right answer is right for one reading only and each reading has a word of its own. Where readings share
    answers or, under a partial score, words, labels that cover a group are searched as well.
    """
    weights = np.array([reading.weight for reading in episode.interpretations])
    everyone = range(len(weights))
    texts, accuracy = _bags(task, episode) if task.metric != "em" else _aliases(task, episode)
    lengths = np.array([count_words(text) for text in texts])
    groups = [group for size in range(1, len(weights) + 1) for group in combinations(everyone, size)]
    best = {group: _frontier(lengths, accuracy[:, group] @ weights[list(group)]) for group in groups}
    said = dict.fromkeys(texts[i] for indices in best.values() for i in indices)
    plans = [_plan(task, episode, "answer", f"#ANSWER {text}".rstrip()) for text in ("", *said)]

    # One item for several readings pays where a text is right for all of them, or a word of it is.
    shared = accuracy if task.metric == "em" else accuracy[lengths == 1]
    useful = [group for group in groups if len(group) == 1 or (shared[:, group] > 0).all(1).any()]
    lists, worth = [], []
    for parts in (parts for subset in groups for parts in _partitions(subset, useful) if len(parts) > 1):
        labels = _labels(task, episode, parts)
        for chosen in _paths([best[part] for part in parts], lengths, [accuracy[:, p] @ weights[list(p)] for p in parts]):
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
    items = getattr(parsed, "items", None) or (Item("", parsed.text),)
    accuracy = np.zeros(len(episode.interpretations))
    for intent in range(len(accuracy)):
        fits = task.pick(items, intent, episode)
        if fits:
            accuracy[intent] = sum(task.score(items[i].answer, intent, episode) for i in fits) / len(fits)
    return Plan(action, text, words(parsed), accuracy)


def _aliases(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Answers that score all or nothing, the shortest for each set of readings they are right for; their accuracy [m, n]."""
    everyone = range(len(episode.interpretations))
    holders = Counter(alias for reading in episode.interpretations for alias in set(map(normalize, reading.answers)))
    texts = dict.fromkeys(shortest_answer(task, episode, i) for i in everyone)
    texts |= dict.fromkeys(_seen(a) for r in episode.interpretations for a in r.answers if holders[normalize(a)] > 1)
    accuracy = np.array([[task.score(text, i, episode) for i in everyone] for text in texts])
    return list(texts), accuracy


def _bags(task: Task, episode: Episode) -> tuple[list[str], np.ndarray]:
    """Sub-bags of the readings' shortest answers, and their token F1 [m, n].

    Words that occur in the same readings are worth the same, so only how many of each kind are said is varied.
    """
    answers = [shortest_answer(task, episode, i).split() for i in range(len(episode.interpretations))]
    tokens = [Counter(map(normalize, answer)) for answer in answers]
    spelled = {normalize(word): word for answer in answers for word in answer}
    kinds: dict[Group, list[str]] = {}
    for token, word in spelled.items():
        for nth in range(max(own[token] for own in tokens)):
            kinds.setdefault(tuple(i for i, own in enumerate(tokens) if own[token] > nth), []).append(word)
    sizes = [len(kind) + 1 for kind in kinds.values()]
    while np.prod(sizes) > _MOST_BAGS:
        sizes[int(np.argmax(sizes))] -= 1
    counts = np.indices(sizes).reshape(len(sizes), -1).T[1:]
    holds = np.array([[i in kind for i in range(len(tokens))] for kind in kinds], dtype=float)
    total = counts.sum(1, keepdims=True) + np.array([own.total() for own in tokens])
    said = [" ".join(w for kind, k in zip(kinds.values(), row, strict=True) for w in kind[:k]) for row in counts.tolist()]
    return said, 2 * (counts @ holds) / total


def _frontier(lengths: np.ndarray, values: np.ndarray) -> list[int]:
    """Indices of what is best at some price a word, shortest first: the upper concave hull."""
    order = np.lexsort((-values, lengths))
    hull: list[int] = []
    for i in order[np.unique(lengths[order], return_index=True)[1]]:
        if hull and values[i] <= values[hull[-1]]:
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
        for a, b in zip(frontier, frontier[1:], strict=False)
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


def _labels(task: Task, episode: Episode, parts: tuple[Group, ...]) -> tuple[str, ...]:
    """The fewest label words by which every reading finds the item of its group."""
    own = [shortest_label(task, episode, i) for i in range(len(episode.interpretations))]
    plain = tuple(" ".join(own[i] for i in part) for part in parts)
    if all(len(label.split()) == 1 for label in plain):
        return plain
    values = [value for reading in episode.interpretations for _, value in reading.attributes]
    known = dict.fromkeys(word for text in [*values, *(r.label for r in episode.interpretations)] for word in text.split())
    fits = {word: {i for i in range(len(own)) if task.match(word, i, episode) > 0} for word in known}
    options = []
    for part, label in zip(parts, plain, strict=True):
        # Words that fit others too may do for several readings, or make one's label fit better than another's.
        common = [word for word, who in fits.items() if set(part) <= who and word not in label.split()]
        options.append([label, *(common if len(part) > 1 else [f"{label} {word}" for word in common])])
        if len(part) == 1 < len(label.split()):
            options[-1] += label.split()
    for labels in sorted(product(*options), key=lambda labels: count_words(" ".join(labels))):
        items = [Item(label, "x") for label in labels]
        if all(task.pick(items, i, episode) == [index] for index, part in enumerate(parts) for i in part):
            return labels
    return plain
