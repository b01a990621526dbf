"""The `qa_jsonl` task: your own queries and readings, from a file with one JSON object per line."""

import logging
import math
import os
import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from clarify_env.scores.answers import normalize_with_symbols
from clarify_env.tasks.base import Episode, Interpretation, distinguishing_labels, register
from clarify_env.tasks.line_files import HOW_WRITTEN, METRICS, fields_of, lines_of, refuse_unknown
from clarify_env.tasks.reader import ONLY, FileTask
from clarify_env.tasks.records import (
    SPLITS,
    UnusableError,
    check_shares,
    clean,
    field,
    once,
    other_format,
    told_apart,
    typed,
)
from clarify_env.words import count_words

_LOGGER = logging.getLogger(__name__)
# Weights whose sum differs from 1 by less are rounded shares.
_TOLERANCE = 1e-6
_FIELDS = ("id", "question", "context", "interpretations", "split", "entity")
_AS_WRITTEN_BY = "as datasets' to_json(FILE) or pandas' to_json(FILE, orient='records', lines=True) do"
_READING_FIELDS = ("text", "answers", "weight", "label")


class _Record(NamedTuple):
    where: str
    split: str | None
    entity: str
    episode: Episode
    is_rescaled: bool


@register
class QAJsonl(FileTask):
    """Queries from a file with one JSON object per line.

    A line is ``{"question", "context"?, "interpretations": [{"text", "answers": [...], "weight"?, "label"?}], "split"?,
    "id"?, "entity"?}``; a field of value null is missing, and ``id`` and ``entity``
    may be whole numbers. ``text`` is the query made unambiguous, ``answers`` the answer and its aliases. Weights are
    positive and divided by their sum, so that counts will do; without weights, readings are equally likely. A ``label``
    distinguishes a reading from the others in few words; by default it is derived from the texts. Queries of one
    ``entity`` share facts and stay in one split. If the file states splits, only those exist: a file of test queries
    alone can be evaluated. A record that is not in this format, and a correct record that cannot be played, are dropped
    and counted.

    Args:
        path: The file; it may be compressed by gzip.
        world_seed: Seed of the splits, if the file has none.
        validation: Share of the entities for validation, if the file has no splits.
        test: Share of the entities for test, if the file has no splits.
        metric: ``"em"`` or ``"f1"``; with ``_symbols`` at the end, symbols are kept in every episode.
        max_readings: Records with more readings are dropped: the oracle evaluates every subset of the readings.
        max_answer_words: Records with a reading whose aliases are all longer are dropped.
        strict: Whether a record that is not in the format is an error with file, line and field instead of being
            dropped, counted and logged.

    Attributes:
        dropped: Number of dropped records by reason.
        rescaled: Number of records whose weights did not sum to 1.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version; 2, answers in Unicode form NFKC, symbols distinguish queries, weights of any sum.
    """

    name = "qa_jsonl"
    version = 2

    def __init__(
        self,
        path: str | os.PathLike,
        world_seed: int = 0,
        validation: float = 1 / 6,
        test: float = 1 / 3,
        metric: str = "em",
        max_readings: int = 6,
        max_answer_words: int = 12,
        strict: bool = False,
    ):
        super().__init__(path, world_seed, strict)
        if metric not in METRICS:
            raise ValueError(f"task.metric must be one of {', '.join(METRICS)}, not {metric!r}")
        required = check_shares(validation, test)
        self.metric, self.max_readings, self.max_answer_words = metric, max_readings, max_answer_words
        try:
            records = self._read(lines_of(self.path), partial(_record, path=self.path, places={}))
        except ValueError as error:
            if (kind := other_format(self.path)) is None:
                raise
            raise ValueError(f"{error}; the file is {kind}: {HOW_WRITTEN}, {_AS_WRITTEN_BY}") from error
        records = self._of_one_split(records)
        self.rescaled = sum(record.is_rescaled for record in records)
        playable: dict[tuple[str, str], _Record] = {}
        for record in records:
            try:
                episode = self._playable(record.episode)
                # A duplicate could be in two splits.
                identity = normalize_with_symbols(episode.query), episode.context
                if playable.setdefault(identity, record._replace(episode=episode)).where != record.where:
                    raise UnusableError("asked twice")
            except UnusableError as reason:
                self._drop_unplayable(record.where, str(reason))
        world = self._place(playable.values(), validation, test)
        stated = {record.split for record in records if record.split is not None}
        self._settle(world, [split for split in SPLITS if split in (stated or required)])
        if self.rescaled:
            _LOGGER.warning("%s: %s", self.path, self._rescaled_text())

    def report(self) -> str:
        """One sentence on the numbers of usable and of dropped records, with reasons."""
        return f"{super().report()}; {self._rescaled_text()}" if self.rescaled else super().report()

    def _rescaled_text(self) -> str:
        return f"weights that do not sum to 1 were divided by their sum in {self.rescaled} of {self._total} {self.unit}"

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


def _key(record: dict[str, Any], name: str, where: str) -> str:
    """An id or an entity; a whole number is read as its digits."""
    value = record[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return field(record, name, str, where)


def _record(line: bytes | None, where: str, path: str, places: dict[str, str]) -> _Record:
    """Parses a line; ``places`` holds the ids so far.

    Raises:
        ValueError: It is wrong; the message names file, line and field.
    """
    record = fields_of(line, where, _FIELDS)
    query = " ".join(field(record, "question", str, where).split())
    if not query:
        raise ValueError(f"{where}: question is empty")
    context = field(record, "context", str, where) if "context" in record else ""
    split = field(record, "split", str, where) if "split" in record else None
    if split is not None and split not in SPLITS:
        raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, not {split!r}")
    # The key does not depend on the path, so a copy of the file gives the same episodes.
    key = _key(record, "id", where) if "id" in record else where.removeprefix(f"{path}, ")
    entity = _key(record, "entity", where) if "entity" in record else key
    readings, is_rescaled = _readings(_listed(record, where), where)
    once(places, key, where, f"id {key!r} stands for a query")
    return _Record(where, split, entity, Episode("", query, context, readings, {"entity": entity}), is_rescaled)


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    # Programs that write tables, such as `datasets`, give every record every field.
    return {key: value for key, value in record.items() if value is not None}


def _listed(record: dict[str, Any], where: str) -> list[Any]:
    """The readings as a list; `datasets` may write a list of objects as an object of lists, one per field."""
    readings = record.get("interpretations")
    if not isinstance(readings, dict):
        return field(record, "interpretations", list, where)
    columns = {key: value for key, value in readings.items() if isinstance(value, list)}
    if not columns or len(columns) < len(readings) or len({len(values) for values in columns.values()}) > 1:
        raise ValueError(f"{where}: interpretations must be a list, or an object of lists of one length")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _readings(values: list[Any], where: str) -> tuple[tuple[Interpretation, ...], bool]:
    """Parses the readings of a record; also returns whether their weights do not sum to 1."""
    if not values:
        raise ValueError(f"{where}: interpretations is empty")
    readings = []
    for i, given in enumerate(values):
        name = f"interpretations[{i}]"
        value = _without_nulls(typed(given, dict, where, name))
        text = " ".join(field(value, "text", str, where, name).split())
        refuse_unknown(value, _READING_FIELDS, where, f"{name}.")
        aliases = [answer for answer in field(value, "answers", list, where, name) if answer is not None]
        answers = clean([typed(alias, str, where, f"{name}.answers[{k}]") for k, alias in enumerate(aliases)])
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
    if weights.max() > sys.float_info.max / len(weights):  # their sum may be no float
        weights = weights / weights.max()
    is_rescaled = abs(weights.sum() - 1) > _TOLERANCE
    weights = weights / weights.sum()
    if not weights.min() > 0:
        raise ValueError(f"{where}: interpretations[{int(weights.argmin())}].weight is too small beside the others")
    shares = weights.tolist()
    return tuple(r._replace(weight=share) for r, share in zip(readings, shares, strict=True)), is_rescaled
