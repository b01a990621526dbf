"""Tasks: sources of episodes with splits, a scoring rule, and the replies of the scripted user."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clarify_env.plugins import described
from clarify_env.scores.answers import Form, normalize, token_f1
from clarify_env.scores.metrics import SCORES, episode_metric, form_of


class Interpretation(NamedTuple):
    """One reading of a query.

    Attributes:
        label: Few words that distinguish it from the other readings.
        text: The query, made unambiguous.
        answers: The gold answer and its aliases.
        weight: Probability that this reading is meant; an episode's weights sum to 1.
        attributes: (name, value) pairs that a question can ask about; empty if the data has none.
    """

    label: str
    text: str
    answers: tuple[str, ...]
    weight: float
    attributes: tuple[tuple[str, str], ...] = ()


class Item(NamedTuple):
    """One entry of a list: the label of a reading (may be empty) and an answer."""

    label: str
    answer: str


class Episode(NamedTuple):
    """One ambiguous or clear query, as dealt in a game.

    Attributes:
        id: ``"{split}/{index}"``, unique in the task.
        query: The user's opening message.
        context: The assistant's private context; may be empty.
        interpretations: The readings, at least one.
        meta: JSON-able facts for reports; ``meta["entity"]`` groups the episodes that share facts.
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
# Words without information, which make poor labels.
_FUNCTION_WORDS = frozenset(
    """and are as at be been being but by did do does for from had has have how in is it its of on or than that these
    this those to was were what when where which who whom whose with""".split()
)


# Number of episodes of an endless split among which random draws choose.
ENDLESS = 2**31


# Metrics of episodes, by the identity of their readings: (readings, metric of the task, metric of the episode).
_METRICS: dict[int, tuple[tuple[Interpretation, ...], str, str]] = {}
_MOST_METRICS = 4096


class Task:
    """Base class of tasks. A subclass sets the class attributes and `_episode`; the rest has working defaults.

    Evaluation in several processes pickles tasks, so they must hold no open files and no lambdas.

    Attributes:
        name: Registered name.
        version: Rises when episodes, scoring or replies change.
        sizes: Number of episodes of each split; ``None`` for an endless one.
        metric: Name in `SCORES` of the score that is the accuracy; see also `metric_of`.
        attributes: For each attribute that a question can ask about, the words that name it.
        pretraining: Splits that a model may be pretrained on; ``None``: all, if facts are parametric knowledge. If
            facts stand in the context, validation and test must not be pretrained on.
        statement: How a chat about facts, in pretraining, states an answer; ``{}`` stands for it.
        parts: Tasks of a mix by name; empty for other tasks.
        known_odds: Whether the weights of the readings are all that can be known of which one is meant; if not, as for
            recorded cases of which each is the only one of its episode, games have no oracle.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    sizes: dict[str, int | None]
    metric: str = "em"
    attributes: ClassVar[dict[str, tuple[str, ...]]] = {}
    pretraining: ClassVar[tuple[str, ...] | None] = None
    statement: ClassVar[str] = "{}"
    parts: Mapping[str, "Task"] = MappingProxyType({})
    known_odds: ClassVar[bool] = True

    def episode(self, split: str, index: int) -> Episode:
        """Returns an episode. Deterministic: the same arguments give the same episode in every process.

        Raises:
            ValueError: The task has no such split or index, or its own code fails to make the episode.
        """
        size = self.split_size(split)
        if index < 0 or (size is not None and index >= size):
            raise ValueError(f"task {self.name} has no episode {index} in split {split!r} of {size}")
        try:
            return self._episode(split, index)
        except ValueError:
            raise
        except Exception as error:  # whatever another package's task raises
            raise ValueError(f"task {self.name}: episode {index} of split {split}: {described(error)}") from error

    def _episode(self, split: str, index: int) -> Episode:
        raise NotImplementedError(f"class {type(self).__name__} needs a method _episode(self, split, index)")

    def split_size(self, split: str) -> int | None:
        """Number of episodes of a split; ``None`` if it is endless.

        Raises:
            ValueError: The task has no such split.
        """
        if split not in tuple(self.sizes):  # which need not be hashable
            raise ValueError(f"task {self.name} has no split {split!r}, only {', '.join(self.sizes)}")
        return self.sizes[split]

    def lookup(self, episode_id: str) -> Episode:
        """Returns the episode with this id."""
        split, _, index = episode_id.rpartition("/")
        return self.episode(split, int(index))

    def episodes(self, split: str) -> Iterator[Episode]:
        """Yields the episodes of a split in order."""
        size, index = self.split_size(split), 0
        while size is None or index < size:
            yield self.episode(split, index)
            index += 1

    def report(self) -> str:
        """One sentence on the task's episodes and on the records that it dropped."""
        return f"task {self.name}: " + ", ".join(f"{size or 'endless'} {split}" for split, size in self.sizes.items())

    def score(self, answer: str, intent: int, episode: Episode) -> float:
        """Accuracy, in [0, 1], of an answer when reading ``intent`` is meant."""
        return SCORES[self.metric_of(episode)](answer, episode.interpretations[intent].answers)

    def f1(self, answer: str, intent: int, episode: Episode) -> float:
        """Token F1, in [0, 1]; reported in addition to the accuracy."""
        return token_f1(answer, episode.interpretations[intent].answers, self.normal_form(episode))

    def rivals(self, episode: Episode) -> tuple[tuple[str, ...], ...]:
        """Aliases of each answer that scores must tell from the others: those of each reading."""
        return tuple([tuple(reading.answers) for reading in episode.interpretations])

    def metric_of(self, episode: Episode) -> str:
        """Metric of an episode: `metric`, or its variant that keeps symbols (`clarify_env.scores.metrics`)."""
        readings, metric = episode.interpretations, self.metric
        if len(readings) == 1:
            return metric
        # Found by identity, which is faster than to hash all answers: games ask for it at every end.
        entry = _METRICS.get(id(readings))
        if entry is None or entry[0] is not readings or entry[1] != metric:
            if len(_METRICS) >= _MOST_METRICS:
                _METRICS.clear()
            chosen = episode_metric(metric, self.rivals(episode))
            entry = _METRICS[id(readings)] = (readings, metric, chosen)
        return entry[2]

    def normal_form(self, episode: Episode) -> Form:
        """Normal form by which answers in an episode are equal: `normalize`, or the one that keeps symbols."""
        return form_of(self.metric_of(episode))

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """Returns the scripted user's reply to a clarifying question when reading ``intent`` is meant.

        If the question offers readings, the reply has the words of the best offer that describe the intended reading.
        If it names attributes, the reply is the value of the first one. Otherwise it is `NOT_UNDERSTOOD`.
        """
        intended = episode.interpretations[intent]
        question_text = question.lower()
        distinctive = {word for reading in episode.interpretations for word in _words_of(reading)}
        distinctive -= set(_WORD.findall(episode.query.lower()))
        words = [word for word in _words_of(intended) if word in distinctive]
        for label in (reading.label.lower() for reading in episode.interpretations):
            if _OFFERS.search(label):
                # "Paris, Texas" is one offer.
                question_text = question_text.replace(label, _OFFERS.sub(" ", label))
        offers = [set(_WORD.findall(part)) & distinctive for part in _OFFERS.split(question_text)]
        if any(offers):
            # The best offer has the most words of the intended reading, then the fewest other words.
            best = max(offers, key=lambda offer: (len(offer.intersection(words)), -len(offer.difference(words))))
            spelling = {word.lower(): word for word in _WORD.findall(description(intended))}
            # Some letters are several characters in lower case.
            reply_words = [spelling.get(word, word) for word in words if word in best]
            return _sentence(reply_words) if reply_words else NONE_OF_THESE
        values = dict(intended.attributes)
        for name in self.attributes_named(question_text):
            if name in values:
                return _sentence([values[name]])
        return NOT_UNDERSTOOD

    def attributes_named(self, question: str) -> Iterator[str]:
        """Yields the attributes that a question names, in the order of its words."""
        for word in _WORD.findall(question.lower()):
            for name, names in self.attributes.items():
                if word in names:
                    yield name

    def match(self, label: str, intent: int, episode: Episode) -> float:
        """Fit of an item's label to a reading, in [0, 1]: token F1 against its attributes, or against its label."""
        intended = episode.interpretations[intent]
        return token_f1(label, [description(intended)])

    def pick(self, items: Sequence[Item], intent: int, episode: Episode) -> list[int]:
        """Returns the items of a list that a user may pick when reading ``intent`` is meant.

        Returns:
            Indices of the items with the best fit (in a tie several, of which the user draws one); all indices if no
            item has a label; none if no label fits.
        """
        if not any(item.label for item in items):
            return list(range(len(items)))
        scores = [self.match(item.label, intent, episode) if item.label else 0.0 for item in items]
        best = max(scores)
        return [index for index, fit in enumerate(scores) if fit == best] if best > 0 else []

    def questions(self, episode: Episode) -> list[str]:
        """Useful clarifying questions: one per attribute, and one that offers every reading."""
        readings = episode.interpretations
        about_attributes = [self.ask_attribute(name) for name in dict(readings[0].attributes)]
        return [*about_attributes, self.ask_readings([reading.label for reading in readings])]

    def ask_attribute(self, name: str) -> str:
        """Writes a question about an attribute."""
        return f"Which {name}?"

    def ask_readings(self, labels: Sequence[str]) -> str:
        """Writes a question that offers readings."""
        return (
            f"Do you mean {', '.join(labels[:-1])} or {labels[-1]}?" if len(labels) > 1 else f"Do you mean {labels[0]}?"
        )

    def facts(self, episode: Episode) -> list[tuple[str, str]]:
        """Facts of an episode, as pairs (unambiguous query, answer)."""
        return [(reading.text, reading.answers[0]) for reading in episode.interpretations]

    def lessons(self, episode: Episode, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Facts in the order in which a warm start teaches them; by default those of `facts` in a random order."""
        facts = self.facts(episode)
        return [facts[i] for i in rng.permutation(len(facts))]

    def demonstrated(self, intent: int, episode: Episode) -> str | None:
        """A right answer to show in demonstrations; ``None``, as here: the shortest one."""
        return None

    def read_out(self, episode: Episode, rng: np.random.Generator) -> str:
        """Rewords or reorders the context, for pretraining; by default its lines are permuted."""
        lines = episode.context.splitlines()
        return "\n".join(lines[i] for i in rng.permutation(len(lines)))

    def own(self, episode: Episode) -> tuple["Task", Episode]:
        """Returns (task of the episode, the episode under that task's id); a mix returns one of its parts."""
        return self, episode


def description(reading: Interpretation) -> str:
    """What tells a reading from others: the values of its attributes, or its label."""
    return " ".join(value for _, value in reading.attributes) or reading.label


def _words_of(reading: Interpretation) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(description(reading).lower())))


def _sentence(values: Sequence[str]) -> str:
    return f"The {' '.join(values)} one."


def distinguishing_labels(texts: Sequence[str], query: str) -> list[str] | None:
    """Derives a label for each reading: its words that are neither in the query nor in any other reading.

    A reading without such a word gets its words that are not in every reading. Function words such as "of" are removed
    if the labels differ without them.

    Args:
        texts: The unambiguous form of each reading.
        query: The ambiguous query.

    Returns:
        One label per reading, no two with the same set of words; ``None`` if there are no such labels.
    """
    query_words = set(normalize(query).split())
    words = [dict.fromkeys(normalize(text).split()) for text in texts]
    tokens = [[word for word in tokens_of if word not in query_words and _WORD.search(word)] for tokens_of in words]
    common = set.intersection(*map(set, tokens))
    for removed in (_FUNCTION_WORDS, frozenset()):
        labels = []
        for index, tokens_of in enumerate(tokens):
            others = set(chain(*tokens[:index], *tokens[index + 1 :]))
            candidates = [word for word in tokens_of if word not in removed]
            labels.append([w for w in candidates if w not in others] or [w for w in candidates if w not in common])
        if all(labels) and len(set(map(frozenset, labels))) == len(labels):
            return [" ".join(label) for label in labels]
    return None


# Tasks known by name; `clarify_env.tasks.registry` adds those that it loads.
REGISTERED: dict[str, type[Task]] = {}


def register(cls: type[Task]) -> type[Task]:
    """Class decorator: makes a task known by its ``name``."""
    REGISTERED[cls.name] = cls
    return cls
