"""The `qa_jsonl` task: your own queries and readings, from a file with one JSON object per line."""

import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import Episode, Interpretation, Task, distinguishing_labels, register
from clarify_env.tasks.records import (
    SPLITS,
    UnusableError,
    account,
    check_shares,
    clean,
    drawn_splits,
    field,
    json_lines,
    strings,
    told_apart,
    typed,
)
from clarify_env.words import count_words

METRICS = ("em", "f1")
# Label of the only reading of a query if the file has none: lists need a label.
ONLY = "only"
# Largest line in bytes: a long document fits; a file without newlines is refused before it fills the memory.
LONGEST_LINE = 4_000_000
_FIELDS = ("id", "question", "context", "interpretations", "split", "entity")
_READING_FIELDS = ("text", "answers", "weight", "label")


class _Record(NamedTuple):
    where: str
    key: str
    split: str | None
    entity: str
    episode: Episode


@register
class QAJsonl(Task):
    """Queries from a file with one JSON object per line.

    A line is ``{"question", "context"?, "interpretations": [{"text", "answers": [...], "weight"?, "label"?}], "split"?,
    "id"?, "entity"?}``. ``text`` is the query made unambiguous, ``answers`` the answer and its aliases. Weights are
    positive and sum to 1; without weights, readings are equally likely. A ``label`` distinguishes a reading from the
    others in few words; by default it is derived from the texts. Queries of one ``entity`` share facts and stay in one
    split. A mistake raises an error with file, line and field; a correct record that cannot be played is dropped and
    counted.

    Args:
        path: The file.
        world_seed: Seed of the splits, if the file has none.
        validation: Share of the entities for validation, if the file has no splits.
        test: Share of the entities for test, if the file has no splits.
        metric: ``"em"`` or ``"f1"``.
        max_readings: Records with more readings are dropped: the oracle evaluates every subset of the readings.
        max_answer_words: Records with a reading whose aliases are all longer are dropped.

    Attributes:
        dropped: Number of dropped records by reason.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version.
    """

    name = "qa_jsonl"
    version = 1

    def __init__(
        self,
        path: str | os.PathLike,
        world_seed: int = 0,
        validation: float = 1 / 6,
        test: float = 1 / 3,
        metric: str = "em",
        max_readings: int = 6,
        max_answer_words: int = 12,
    ):
        if metric not in METRICS:
            raise ValueError(f"task.metric must be one of {', '.join(METRICS)}, not {metric!r}")
        check_shares(validation, test)
        self.path, self.metric, self.world_seed = str(path), metric, world_seed
        self.max_readings, self.max_answer_words = max_readings, max_answer_words
        dropped: Counter[str] = Counter()
        records: dict[tuple[str, str], _Record] = {}
        ids: dict[str, str] = {}
        count = 0
        for record in _records(self.path):
            count += 1
            if (first := ids.setdefault(record.key, record.where)) != record.where:
                raise ValueError(f"{record.where}: id {record.key!r} stands for a question already, at {first}")
            try:
                episode = self._playable(record.episode)
                # A duplicate could be in two splits.
                identity = normalize(episode.query), episode.context
                if records.setdefault(identity, record._replace(episode=episode)).where != record.where:
                    raise UnusableError("asked twice")
            except UnusableError as reason:
                dropped[str(reason)] += 1
        self.dropped, self._read = dict(dropped.most_common()), count
        self._world = self._split(list(records.values()), {"validation": validation, "test": test})
        self._usable = sum(map(len, self._world.values()))
        self.sizes = {split: len(episodes) for split, episodes in self._world.items()}

    def report(self) -> str:
        """One sentence on the numbers of usable and of dropped records, with reasons."""
        return account(self.path, self._usable, self._read, self.dropped)

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[split][index]

    def _playable(self, episode: Episode) -> Episode:
        """Adds missing labels to an episode.

        Raises:
            UnusableError: The episode cannot be played.
        """
        readings = episode.interpretations
        if len(readings) > self.max_readings:
            raise UnusableError(f"more than {self.max_readings} readings")
        if any(min(map(count_words, reading.answers)) > self.max_answer_words for reading in readings):
            raise UnusableError(f"answer of more than {self.max_answer_words} words")
        if not all(reading.label for reading in readings):
            default = [readings[0].label or ONLY]
            labels = distinguishing_labels([r.text for r in readings], episode.query) if len(readings) > 1 else default
            if labels is None:
                raise UnusableError("reading without words of its own")
            readings = tuple(
                reading._replace(label=reading.label or label) for reading, label in zip(readings, labels, strict=True)
            )
        episode = episode._replace(interpretations=readings)
        if not told_apart(self, episode):
            raise UnusableError("labels that a question or a list cannot tell apart")
        return episode

    def _split(self, records: list[_Record], shares: dict[str, float]) -> dict[str, list[Episode]]:
        """Episodes by split: the splits of the file, or splits of the entities drawn by ``world_seed``."""
        has_split = [record.split is not None for record in records]
        if any(has_split) and not all(has_split):
            raise ValueError(f"{records[has_split.index(False)].where}: split is missing, which other lines have")
        split_of: dict[str, str] = {}
        if all(has_split):
            for record in records:
                if split_of.setdefault(record.entity, str(record.split)) != record.split:
                    raise ValueError(
                        f"{record.where}: entity {record.entity!r} is also in split {split_of[record.entity]}"
                    )
        else:
            entities = list(dict.fromkeys(record.entity for record in records))
            split_of = drawn_splits(entities, shares["validation"], shares["test"], self.world_seed)
        world: dict[str, list[Episode]] = {split: [] for split in SPLITS}
        for record in records:
            episodes_of_split = world[split_of[record.entity]]
            episodes_of_split.append(record.episode._replace(id=f"{split_of[record.entity]}/{len(episodes_of_split)}"))
        if empty := [split for split, episodes in world.items() if not episodes]:
            reasons = account(self.path, len(records), self._read, self.dropped)
            raise ValueError(f"no question is left for {' and '.join(empty)} ({reasons})")
        return world


def _records(path: str) -> Iterator[_Record]:
    """Reads the records of the file.

    Raises:
        ValueError: The file is wrong; the message names file, line and field.
    """
    for where, value in json_lines(path, LONGEST_LINE):
        record = typed(value, dict, where, "the line")
        _refuse_unknown(record, _FIELDS, where, "")
        query = " ".join(field(record, "question", str, where).split())
        if not query:
            raise ValueError(f"{where}: question is empty")
        context = field(record, "context", str, where) if "context" in record else ""
        split = field(record, "split", str, where) if "split" in record else None
        if split is not None and split not in SPLITS:
            raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, not {split!r}")
        # The key does not depend on the path, so a copy of the file gives the same episodes.
        key = field(record, "id", str, where) if "id" in record else where.removeprefix(f"{path}, ")
        entity = field(record, "entity", str, where) if "entity" in record else key
        readings = _readings(field(record, "interpretations", list, where), where)
        yield _Record(where, key, split, entity, Episode("", query, context, readings, {"entity": entity}))


def _readings(values: list[Any], where: str) -> tuple[Interpretation, ...]:
    if not values:
        raise ValueError(f"{where}: interpretations is empty")
    readings = []
    for i, value in enumerate(values):
        name = f"interpretations[{i}]"
        text = " ".join(field(value, "text", str, where, name).split())
        _refuse_unknown(value, _READING_FIELDS, where, f"{name}.")
        answers = clean(strings(value, "answers", where, name))
        if not text or not answers:
            raise ValueError(f"{where}: {name}.{'answers has no answer' if text else 'text is empty'}")
        label = " ".join(field(value, "label", str, where, name).split()) if "label" in value else ""
        if ";" in label or ": " in label:
            raise ValueError(f"{where}: {name}.label must hold neither ';' nor ': ', which end a list's labels")
        weight = float(field(value, "weight", float, where, name)) if "weight" in value else math.nan
        if weight <= 0:
            raise ValueError(f"{where}: {name}.weight must be positive, not {weight:g}")
        readings.append(Interpretation(label, text, answers, weight))
    weights = np.array([reading.weight for reading in readings])
    if np.isnan(weights).all():
        weights = np.full(len(readings), 1 / len(readings))
    elif np.isnan(weights).any():
        missing = int(np.isnan(weights).argmax())
        raise ValueError(f"{where}: interpretations[{missing}].weight is missing, which other readings have")
    if abs(weights.sum() - 1) > 1e-6:
        raise ValueError(f"{where}: the weights of interpretations sum to {weights.sum():g}, not 1")
    weights = (weights / weights.sum()).tolist()
    return tuple(reading._replace(weight=weight) for reading, weight in zip(readings, weights, strict=True))


def _refuse_unknown(record: dict, known: tuple[str, ...], where: str, name: str) -> None:
    if unknown := sorted(set(record) - set(known)):
        raise ValueError(f"{where}: {name}{unknown[0]} is no field; known: {', '.join(known)}")
