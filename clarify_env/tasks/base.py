"""Tasks: sources of episodes with splits, a scoring rule, and a user who understands questions about them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from itertools import chain
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clarify_env.scores.answers import exact_match, normalize, token_f1
from clarify_env.scores.drop import drop_f1


class Interpretation(NamedTuple):
    """One reading of a query.

    Attributes:
        label: The shortest words that tell it from the other readings.
        text: The query, made unambiguous.
        answers: The gold answer and its aliases.
        weight: Probability that this reading is meant; an episode's weights sum to 1.
        attributes: (name, value) pairs a question can ask about; empty where the data has none.
    """

    label: str
    text: str
    answers: tuple[str, ...]
    weight: float
    attributes: tuple[tuple[str, str], ...] = ()


class Item(NamedTuple):
    """One entry of a list: the reading it is for (may be empty) and its answer."""

    label: str
    answer: str


class Episode(NamedTuple):
    """One question to play.

    Attributes:
        id: ``"{split}/{index}"``, unique in the task.
        query: The user's opening message.
        context: The assistant's private context, may be empty.
        interpretations: The readings, at least one.
        meta: JSON-able facts for reports; ``meta["entity"]`` groups the questions that share facts.
    """

    id: str
    query: str
    context: str
    interpretations: tuple[Interpretation, ...]
    meta: dict[str, Any]


NOT_UNDERSTOOD = "I do not understand the question."
NONE_OF_THESE = "None of these."
REFUSAL = "none of these"

_WORD = re.compile(r"\w+")
_OFFERS = re.compile(r"[,;?\n]|\bor\b")
# Words that tell a person nothing, and so make poor labels.
_FUNCTION_WORDS = frozenset(
    """and are as at be been being but by did do does for from had has have how in is it its of on or than that these
    this those to was were what when where which who whom whose with""".split()
)


# Of an endless split, so many episodes are drawn from at random.
ENDLESS = 2**31


# Scores by name: exact match, token F1, and DROP's F1.
SCORES: dict[str, Callable[[str, Iterable[str]], float]] = {"em": exact_match, "f1": token_f1, "drop": drop_f1}


class Task:
    """Base class of tasks. A subclass sets the class attributes and `_episode`; the rest has working defaults.

    Tasks are pickled where evaluation goes on in several processes, so they hold no open files and no lambdas.

    Attributes:
        name: Registered name.
        version: Rises when episodes, scoring or replies change.
        sizes: Number of episodes of each split; ``None`` for an endless one.
        metric: Which score is the accuracy, by its name in `SCORES`.
        attributes: For each attribute a question can ask about, the words that name it.
        pretraining: The splits that a model may be pretrained on; ``None``: all, since facts of every entity may be
            known. Where facts stand in the context, what was pretrained on must not be evaluated on.
        parts: Of a mix, its tasks by name; empty for any other task.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    sizes: dict[str, int | None]
    metric: str = "em"
    attributes: ClassVar[dict[str, tuple[str, ...]]] = {}
    pretraining: ClassVar[tuple[str, ...] | None] = None
    parts: Mapping[str, "Task"] = MappingProxyType({})

    def episode(self, split: str, index: int) -> Episode:
        """Returns an episode. Pure: the same arguments give the same episode, in any process.

        Raises:
            ValueError: The task has no such split or index.
        """
        if split not in self.sizes:
            raise ValueError(f"task {self.name} has no split {split!r}, only {', '.join(self.sizes)}")
        size = self.sizes[split]
        if index < 0 or (size is not None and index >= size):
            raise ValueError(f"task {self.name} has no episode {index} in split {split!r} of {size}")
        return self._episode(split, index)

    def _episode(self, split: str, index: int) -> Episode:
        raise NotImplementedError

    def lookup(self, episode_id: str) -> Episode:
        """Returns the episode with this id."""
        split, _, index = episode_id.rpartition("/")
        return self.episode(split, int(index))

    def episodes(self, split: str) -> Iterator[Episode]:
        """Yields the episodes of a split in order."""
        size, index = self.sizes[split], 0
        while size is None or index < size:
            yield self.episode(split, index)
            index += 1

    def report(self) -> str:
        """One sentence on what the task holds, and on what it left out of its data."""
        return f"task {self.name}: " + ", ".join(f"{size or 'endless'} {split}" for split, size in self.sizes.items())

    def score(self, answer: str, intent: int, episode: Episode) -> float:
        """Accuracy, in [0, 1], of an answer when reading ``intent`` is meant."""
        return SCORES[self.metric](answer, episode.interpretations[intent].answers)

    def f1(self, answer: str, intent: int, episode: Episode) -> float:
        """Token F1, in [0, 1]; reported beside the accuracy."""
        return token_f1(answer, episode.interpretations[intent].answers)

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """What a user who means ``intent`` says to a clarifying question: what was asked and no more.

        A question that offers readings gets the offered words that fit; one that names an attribute gets its value (the
        first one named, if several are); any other is not understood.
        """
        meant = episode.interpretations[intent]
        asked = question.lower()
        named = {word for reading in episode.interpretations for word in _words_of(reading)}
        named -= set(_WORD.findall(episode.query.lower()))
        own = [word for word in _words_of(meant) if word in named]
        for label in (reading.label.lower() for reading in episode.interpretations):
            if _OFFERS.search(label):
                # "Paris, Texas" is one offer.
                asked = asked.replace(label, _OFFERS.sub(" ", label))
        offers = [set(_WORD.findall(part)) & named for part in _OFFERS.split(asked)]
        if any(offers):
            # The best fit names most of what is meant and least of what is not.
            best = max(offers, key=lambda offer: (len(offer.intersection(own)), -len(offer.difference(own))))
            spelled = {word.lower(): word for word in _WORD.findall(_described(meant))}
            said = [spelled[word] for word in own if word in best]
            return _sentence(said) if said else NONE_OF_THESE
        values = dict(meant.attributes)
        for word in _WORD.findall(asked):
            for name, cues in self.attributes.items():
                if word in cues and name in values:
                    return _sentence([values[name]])
        return NOT_UNDERSTOOD

    def match(self, label: str, intent: int, episode: Episode) -> float:
        """How well a list's label fits a reading: token F1 against its attributes or its label, 0 for no fit."""
        meant = episode.interpretations[intent]
        return token_f1(label, [_described(meant)])

    def pick(self, items: Sequence[Item], intent: int, episode: Episode) -> list[int]:
        """Which items of a list a user who means ``intent`` could take.

        Returns:
            The indices of the items whose label fits strictly best (several: they tie, and one is drawn); all of them
            where no item has a label; none where no label fits.
        """
        if not any(item.label for item in items):
            return list(range(len(items)))
        fits = [self.match(item.label, intent, episode) if item.label else 0.0 for item in items]
        best = max(fits)
        return [index for index, fit in enumerate(fits) if fit == best] if best > 0 else []

    def questions(self, episode: Episode) -> list[str]:
        """Questions worth asking: one an attribute, and one that offers every reading."""
        readings = episode.interpretations
        asked = [self.ask_attribute(name) for name in dict(readings[0].attributes)]
        return [*asked, self.ask_readings([reading.label for reading in readings])]

    def ask_attribute(self, name: str) -> str:
        """Words a question about an attribute."""
        return f"Which {name}?"

    def ask_readings(self, labels: Sequence[str]) -> str:
        """Words a question that offers readings."""
        return (
            f"Do you mean {', '.join(labels[:-1])} or {labels[-1]}?" if len(labels) > 1 else f"Do you mean {labels[0]}?"
        )

    def facts(self, episode: Episode) -> list[tuple[str, str]]:
        """What is known about an episode, as questions that mean one thing and their answers."""
        return [(reading.text, reading.answers[0]) for reading in episode.interpretations]

    def read_out(self, episode: Episode, rng: np.random.Generator) -> str:
        """The context in other words or another order, for pretraining; here its lines in another order."""
        lines = episode.context.splitlines()
        return "\n".join(lines[i] for i in rng.permutation(len(lines)))

    def own(self, episode: Episode) -> tuple["Task", Episode]:
        """The task an episode belongs to, and the episode as that task knows it; a mix of tasks says whose it is."""
        return self, episode


def _described(reading: Interpretation) -> str:
    return " ".join(value for _, value in reading.attributes) or reading.label


def _words_of(reading: Interpretation) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(_described(reading).lower())))


def _sentence(values: Sequence[str]) -> str:
    return f"The {' '.join(values)} one."


def distinguishing_labels(texts: Sequence[str], query: str) -> list[str] | None:
    """Derives a label for each reading: its words shared neither with the query nor with the other readings.

    A reading without such a word gets those that are not in every reading. Words like "of" and "which" are left out
    where the labels are told apart without.

    Args:
        texts: The unambiguous form of each reading.
        query: The ambiguous query.

    Returns:
        One label a reading, no two with the same words, or ``None`` where there are none.
    """
    asked = set(normalize(query).split())
    words = [dict.fromkeys(normalize(text).split()) for text in texts]
    tokens = [[word for word in own if word not in asked and _WORD.search(word)] for own in words]
    everywhere = set.intersection(*map(set, tokens))
    for left_out in (_FUNCTION_WORDS, frozenset()):
        labels = []
        for index, own in enumerate(tokens):
            others = set(chain(*tokens[:index], *tokens[index + 1 :]))
            said = [word for word in own if word not in left_out]
            labels.append([w for w in said if w not in others] or [w for w in said if w not in everywhere])
        if all(labels) and len(set(map(frozenset, labels))) == len(labels):
            return [" ".join(label) for label in labels]
    return None


_REGISTRY: dict[str, type[Task]] = {}


def register(cls: type[Task]) -> type[Task]:
    """Class decorator: makes a task known to `make_task` by its ``name``."""
    _REGISTRY[cls.name] = cls
    return cls


def task_class(name: str) -> type[Task]:
    """Returns a task's class: a built-in one, or one another package offers by entry point ``clarify_env.tasks``.

    Raises:
        ValueError: There is no such task.
    """
    if name not in _REGISTRY:
        for point in entry_points(group="clarify_env.tasks"):
            if point.name == name:
                _REGISTRY[name] = point.load()
                break
        else:
            raise ValueError(f"unknown task {name!r}; known: {', '.join(task_names())}")
    return _REGISTRY[name]


def task_names() -> list[str]:
    """Names of all tasks, those offered by other packages included."""
    return sorted({*_REGISTRY, *(point.name for point in entry_points(group="clarify_env.tasks"))})


def make_task(name: str, **options: Any) -> Task:
    """Makes a task by name.

    Args:
        name: A name in `task_names`.
        **options: The task's own options.

    Raises:
        ValueError: There is no such task, or it has no such option.
    """
    cls = task_class(name)
    try:
        return cls(**options)
    except TypeError as error:
        raise ValueError(f"task {name}: {error}") from error
