"""The `ambigqa` task: real queries that annotators found ambiguous (AmbigQA, Min et al. 2020, arXiv 2004.10645)."""

import os
import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from clarify_env.scores.answers import Form, normalize, normalize_with_symbols
from clarify_env.tasks.base import Episode, Interpretation, distinguishing_labels, register
from clarify_env.tasks.reader import ONLY, FileTask
from clarify_env.tasks.records import (
    UnusableError,
    clean,
    field,
    load_json,
    refuse_unlabelled,
    strings,
    told_apart,
    typed,
)
from clarify_env.words import count_words

_CHOICES = {
    "metric": ("em", "f1", "em_symbols", "f1_symbols"),
    "disagreement": ("drop", "first", "majority"),
    "overlap": ("drop", "merge", "keep"),
}
_YEAR = re.compile(r"1\d{3}|20\d\d")


class _Reading(NamedTuple):
    text: str
    answers: tuple[str, ...]
    share: int = 1


@register
class AmbigQA(FileTask):
    """Queries of AmbigQA's light or full JSON, ambiguous or not, split by query.

    Readings are equally likely. Labels are the distinguishing words of the readings; the only reading of a query has
    the label `ONLY`. Records that cannot be played are dropped and counted by reason.

    Args:
        path: The JSON file; it may be compressed by gzip.
        world_seed: Seed of the choice of queries and of the splits.
        questions: Number of queries to draw from all usable ones, including single-answer ones; ``None``: all.
        validation: Number of them for validation, 0 for none; ``None``: a sixth.
        test: Number of them for test, 0 for none; ``None``: a third. The remaining ones are for training.
        metric: ``"em"`` or ``"f1"``; with ``_symbols`` at the end, symbols are kept in every episode.
        disagreement: Treatment of records whose annotators disagree. ``"drop"``: dropped if they disagree on whether
            the query is ambiguous, or give single answers with no common alias; ``"majority"``: the vote of the
            majority counts (a tie is dropped); ``"first"``: only the first annotation counts. Of several lists of
            readings the first is used; several single answers become aliases.
        years: Whether to keep queries whose labels consist of years only.
        overlap: Treatment of readings that share an answer (equal after normalisation with symbols kept): ``"drop"``
            the record, ``"merge"`` the readings into one with their total weight, or ``"keep"`` them.
        max_readings: Records with more readings are dropped.
        max_answer_words: Records with a reading whose aliases are all longer are dropped.
        strict: Whether a record that is not in the format is an error instead of being dropped, counted and logged.

    Attributes:
        dropped: Number of dropped records by reason.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version; 2, answers in Unicode form NFKC, symbols distinguish queries and readings.
    """

    name = "ambigqa"
    version = 2

    def __init__(
        self,
        path: str | os.PathLike,
        world_seed: int = 0,
        questions: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        metric: str = "em",
        disagreement: str = "drop",
        years: bool = True,
        overlap: str = "drop",
        max_readings: int = 5,
        max_answer_words: int = 6,
        strict: bool = False,
    ):
        super().__init__(path, world_seed, strict)
        for option, value in (("metric", metric), ("disagreement", disagreement), ("overlap", overlap)):
            if value not in _CHOICES[option]:
                raise ValueError(f"task.{option} must be one of {', '.join(_CHOICES[option])}, not {value!r}")
        self.metric = metric
        self.disagreement, self.overlap, self.years = disagreement, overlap, years
        self.max_readings, self.max_answer_words = max_readings, max_answer_words
        usable: dict[str, Episode] = {}
        for record in self._read(_values(self.path), _record):
            try:
                episode = self._build(*record)
                # A duplicate could be in two splits.
                if usable.setdefault(normalize_with_symbols(episode.query), episode) is not episode:
                    raise UnusableError("asked twice")
            except UnusableError as reason:
                self.dropped[str(reason)] += 1
        sizes = self._sizes(questions, validation, test)
        order = np.random.default_rng(world_seed).permutation(len(usable))
        pool = list(usable.values())
        episodes = iter([pool[i] for i in order[: sum(sizes.values())]])
        self._settle({split: [next(episodes) for _ in range(size)] for split, size in sizes.items()}, ())

    def _sizes(self, questions: int | None, validation: int | None, test: int | None) -> dict[str, int]:
        total = self.usable if questions is None else questions
        if total > self.usable:
            raise ValueError(f"task.questions={total}, but {self.report()}")
        evaluation_sizes = {
            "validation": total // 6 if validation is None else validation,
            "test": total // 3 if test is None else test,
        }
        sizes = {"train": total - sum(evaluation_sizes.values()), **evaluation_sizes}
        # A split may be empty if the options say so.
        least = {"train": validation is None or test is None, "validation": validation != 0, "test": test != 0}
        if not total or any(size < least[split] for split, size in sizes.items()):
            raise ValueError(f"{total} questions cannot be split into {sizes}: none may be empty ({self.report()})")
        return sizes

    def _build(self, key: str, question: str, annotations: list[tuple[bool, list[_Reading]]]) -> Episode:
        """Makes an episode from a record.

        Raises:
            UnusableError: The record cannot be played.
        """
        ambiguous, readings = self._agreed(annotations)
        readings = [reading._replace(answers=clean(reading.answers)) for reading in readings]
        if not all(reading.answers for reading in readings):
            raise UnusableError("reading without an answer")
        readings = self._parted(readings) if ambiguous else [_pooled(question, readings, self.disagreement)]
        if len(readings) > self.max_readings:
            raise UnusableError(f"more than {self.max_readings} readings")
        if any(min(map(count_words, reading.answers)) > self.max_answer_words for reading in readings):
            raise UnusableError(f"answer of more than {self.max_answer_words} words")
        labels = distinguishing_labels([r.text for r in readings], question) if len(readings) > 1 else [ONLY]
        if labels is None:
            raise UnusableError("reading without words of its own")
        if not self.years and all(_YEAR.fullmatch(word) for label in labels for word in label.split()):
            raise UnusableError("told apart by years only")
        total = sum(reading.share for reading in readings)
        interpretations = tuple(
            Interpretation(label, reading.text, reading.answers, reading.share / total)
            for label, reading in zip(labels, readings, strict=True)
        )
        episode = Episode("", question, "", interpretations, {"entity": key})
        if not told_apart(self, episode):
            raise UnusableError("labels that a question or a list cannot tell apart")
        return episode

    def _agreed(self, annotations: list[tuple[bool, list[_Reading]]]) -> tuple[bool, list[_Reading]]:
        """Resolves the annotations to (whether the query is ambiguous, its readings or single answers)."""
        if self.disagreement == "first":
            return annotations[0]
        votes = Counter(ambiguous for ambiguous, _ in annotations).most_common()
        if len(votes) == 2 and (self.disagreement == "drop" or votes[0][1] == votes[1][1]):
            raise UnusableError("annotators disagree on ambiguity")
        ambiguous = votes[0][0]
        lists = [readings for vote, readings in annotations if vote == ambiguous]
        return ambiguous, lists[0] if ambiguous else [reading for readings in lists for reading in readings]

    def _parted(self, readings: list[_Reading]) -> list[_Reading]:
        """Drops, merges or keeps readings that share an answer, as ``overlap`` says."""
        if self.overlap == "keep":
            return readings
        result: list[_Reading] = []
        for reading in readings:
            same = [other for other in result if _share_answer(reading, other)]
            if same and self.overlap == "drop":
                raise UnusableError("readings share an answer")
            # The merged reading takes the position and the text of the first; one reading may connect two others.
            group = [*same, reading]
            merged = _Reading(group[0].text, clean([a for r in group for a in r.answers]), sum(r.share for r in group))
            result = [merged if same and other is same[0] else other for other in result if other not in same[1:]]
            result += [] if same else [merged]
        return result


def _pooled(question: str, answers: list[_Reading], disagreement: str) -> _Reading:
    """Merges the annotators' single answers into one reading."""
    if disagreement == "drop" and not all(_share_answer(answers[0], other, normalize) for other in answers):
        raise UnusableError("annotators disagree on the answer")
    return _Reading(question, clean([alias for single in answers for alias in single.answers]))


def _share_answer(reading: _Reading, other: _Reading, form: Form = normalize_with_symbols) -> bool:
    return not set(map(form, reading.answers)).isdisjoint(map(form, other.answers))


def _values(path: str) -> list[tuple[str, Any]]:
    """Reads the file; returns (place for error messages, record).

    Raises:
        ValueError: The file is no list, or has no labels.
    """
    records = typed(load_json(path), list, path, "the whole")
    is_labelled = not records or any(not isinstance(record, dict) or "annotations" in record for record in records)
    refuse_unlabelled(path, is_labelled, "annotations")
    return [(f"{path}, record {number}", record) for number, record in enumerate(records, 1)]


def _record(record: Any, where: str) -> tuple[str, str, list[tuple[bool, list[_Reading]]]]:
    """Parses a record into (id, query, annotations); an annotation is (whether ambiguous, readings).

    Raises:
        ValueError: It is wrong; the message names file, record and field.
    """
    key = field(record, "id", str, where)
    question = " ".join(field(record, "question", str, where).split())
    annotations = field(record, "annotations", list, where)
    if not question or not annotations:
        raise ValueError(f"{where}: {'annotations' if question else 'question'} is empty")
    return key, question, [_annotation(a, question, where, f"annotations[{i}]") for i, a in enumerate(annotations)]


def _annotation(annotation: Any, question: str, where: str, name: str) -> tuple[bool, list[_Reading]]:
    kind = field(annotation, "type", str, where, name)
    if kind == "singleAnswer":
        return False, [_Reading(question, strings(annotation, "answer", where, name))]
    if kind != "multipleQAs":
        raise ValueError(f"{where}: {name}.type must be singleAnswer or multipleQAs, not {kind!r}")
    pairs = field(annotation, "qaPairs", list, where, name)
    # Some releases nest the pairs one level deeper.
    pairs = [pair for entry in pairs for pair in (entry if isinstance(entry, list) else [entry])]
    if not pairs:
        raise ValueError(f"{where}: {name}.qaPairs is empty")
    readings = []
    for i, pair in enumerate(pairs):
        text = field(pair, "question", str, where, f"{name}.qaPairs[{i}]")
        readings.append(_Reading(" ".join(text.split()), strings(pair, "answer", where, f"{name}.qaPairs[{i}]")))
    return True, readings
