"""The `abgcoqa` task: queries about stories, some of them ambiguous (Abg-CoQA, Guo et al. 2021, AKBC)."""

import os
import re
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import Episode, Interpretation, distinguishing_labels, register
from clarify_env.tasks.reader import ONLY, FileTask
from clarify_env.tasks.records import (
    SPLITS,
    UnusableError,
    check_shares,
    clean,
    drawn_splits,
    field,
    load_json,
    once,
    refuse_unlabelled,
    thin,
    told_apart,
    typed,
)
from clarify_env.words import count_words

# Beginnings of clarifying questions and of replies, before the words of a meaning.
_MEANS = r"(?:mean|meant|want to know|referring to|asking)\b"
_ASKS = re.compile(rf"(?:by\s+\W?\w+\W*\s+)?(?:do|are|did) you\s+{_MEANS}", re.IGNORECASE)
_REPLIES = re.compile(rf"(?:(?:yes|no|nope)\b[\s,.]*)?(?:i(?:\s+am|'m)?\s+{_MEANS})?", re.IGNORECASE)
_YES = re.compile(r"yes\W*", re.IGNORECASE)
# The annotators' answer if the story does not tell.
_UNKNOWN = "unknown"


_Reading = tuple[str, tuple[str, ...]]  # (meaning, annotators' answers); an empty meaning: the query itself


class _Record(NamedTuple):
    key: str
    story: str
    turns: tuple[tuple[str, str], ...]
    question: str
    ambiguous: bool
    readings: tuple[_Reading, ...]


@register
class AbgCoQA(FileTask):
    """Queries in a conversation about a story that only the assistant sees, split by story.

    The readings of an ambiguous query come from its recorded clarifying question and the replies to it, with equal
    weights; a clear query has one reading. The score is CoQA's token F1 (arXiv 1808.07042) against the annotators'
    answers. Records that cannot be played are dropped and counted.

    Args:
        path: The JSON file; it may be compressed by gzip.
        world_seed: Seed of the splits.
        validation: Share of the stories for validation.
        test: Share of the stories for test.
        clear: Largest number of clear queries per ambiguous one, in every split; ``None``: all.
        history: Whether the context includes the previous turns.
        max_answer_words: Records with a reading whose answers are all longer are dropped.
        strict: Whether a record that is not in the format is an error instead of being dropped, counted and logged.

    Attributes:
        dropped: Number of dropped records by reason.
        kept: Number of usable records, ``ambiguous`` and ``clear``.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version; 2, answers in Unicode form NFKC, none left out for lack of words.
    """

    name = "abgcoqa"
    version = 2
    metric = "f1"
    pretraining = ("train",)

    def __init__(
        self,
        path: str | os.PathLike,
        world_seed: int = 0,
        validation: float = 1 / 6,
        test: float = 1 / 3,
        clear: float | None = None,
        history: bool = True,
        max_answer_words: int = 12,
        strict: bool = False,
    ):
        super().__init__(path, world_seed, strict)
        required = check_shares(validation, test, clear)
        self.history, self.max_answer_words = history, max_answer_words
        records = self._read(_values(self.path), partial(_record, places={}))
        stories = list(dict.fromkeys(record.story for record in records))
        split_of = drawn_splits(stories, validation, test, world_seed)
        self.kept: dict[str, int] = Counter()
        world: dict[str, list[Episode]] = {split: [] for split in SPLITS}
        for record in records:
            try:
                world[split_of[record.story]].append(self._build(record))
                self.kept["ambiguous" if record.ambiguous else "clear"] += 1
            except UnusableError as reason:
                self.dropped[str(reason)] += 1
        if dropped_clear := thin(world, clear, world_seed):
            self.kept["clear"] -= dropped_clear
            self.dropped["clear, beyond task.clear"] = dropped_clear
        self._settle(world, required)

    def report(self) -> str:
        """One sentence on the numbers of usable and of dropped records, with reasons."""
        return f"{super().report()}; {self.kept['ambiguous']} ambiguous, {self.kept['clear']} clear"

    def _build(self, record: _Record) -> Episode:
        """Makes an episode from a record.

        Raises:
            UnusableError: The record cannot be played.
        """
        if record.ambiguous and len(record.readings) < 2:
            raise UnusableError("ambiguous, but with one reading on record")
        answers_of = [clean(answers) for _, answers in record.readings]
        if not all(answers_of):
            raise UnusableError("blank answer")
        if any(min(map(count_words, answers)) > self.max_answer_words for answers in answers_of):
            raise UnusableError(f"answer of more than {self.max_answer_words} words")
        meanings = [meaning for meaning, _ in record.readings]
        labels = distinguishing_labels(meanings, record.question) if record.ambiguous else [ONLY]
        if labels is None:
            raise UnusableError("reading without words of its own")
        readings = tuple(
            Interpretation(label, f"{record.question} {meaning}".strip(), answers, 1 / len(labels))
            for label, meaning, answers in zip(labels, meanings, answers_of, strict=True)
        )
        turns = [f"Q: {question}\nA: {answer}" for question, answer in record.turns if self.history]
        context = "\n\n".join([record.story, *(["\n".join(turns)] if turns else [])])
        meta = {"entity": record.key.partition("|")[0], "ambiguous": record.ambiguous}
        episode = Episode("", record.question, context, readings, meta)
        if not told_apart(self, episode):
            raise UnusableError("labels that a question or a list cannot tell apart")
        return episode


def _values(path: str) -> list[tuple[str, Any]]:
    """Reads the file; returns (place for error messages, record).

    Raises:
        ValueError: The file is no Abg-CoQA, or has no labels.
    """
    records = field(typed(load_json(path), dict, path, "the whole"), "data", list, path)
    is_labelled = not records or any(not isinstance(record, dict) or "ambiguity" in record for record in records)
    refuse_unlabelled(path, is_labelled, "ambiguity")
    return [(f"{path}, record {number}", record) for number, record in enumerate(records, 1)]


def _record(record: Any, where: str, places: dict[str, str]) -> _Record:
    """Parses a record; ``places`` holds the ids so far.

    Raises:
        ValueError: It is wrong; the message names file, record and field.
    """
    key = field(record, "id", str, where)
    ambiguity = field(record, "ambiguity", str, where)
    if ambiguity not in ("ambiguous", "non_ambiguous"):
        raise ValueError(f"{where}: ambiguity must be ambiguous or non_ambiguous, not {ambiguity!r}")
    target = field(record, "target_turn", dict, where)
    question = " ".join(field(target, "question", str, where, "target_turn").split())
    if not question:
        raise ValueError(f"{where}: target_turn.question is empty")
    history = enumerate(field(record, "history_turns", list, where))
    turns = tuple(
        (
            field(turn, "question", str, where, f"history_turns[{i}]"),
            field(turn, "answer", str, where, f"history_turns[{i}]"),
        )
        for i, turn in history
    )
    readings: list[_Reading] = [("", (field(target, "answer", str, where, "target_turn"),))]
    ambiguous = ambiguity == "ambiguous"
    if ambiguous:
        readings = _readings(field(record, "clarification_turn", dict, where), where)
    once(places, key, where, f"id {key!r} stands for a query")
    return _Record(key, field(record, "story", str, where), turns, question, ambiguous, tuple(readings))


def _readings(clarification: dict[str, Any], where: str) -> list[_Reading]:
    """Reads the meaning and the answers of each recorded reply to a clarifying question."""
    name = "clarification_turn"
    question = field(clarification, "question", str, where, name)
    replies = field(clarification, "answers", list, where, name)
    if not replies:
        raise ValueError(f"{where}: {name}.answers is empty")
    readings = []
    for i, reply in enumerate(replies):
        inside = f"{name}.answers[{i}]"
        words = field(reply, "clr_ans", str, where, inside)
        keys = [key for key in ("org_ans", "org_ans_2", "org_ans_3") if reply.get(key) is not None]
        golds = [field(reply, key, str, where, inside) for key in keys]
        if not golds:
            raise ValueError(f"{where}: {inside}.org_ans is missing")
        # Answers of annotators who found one take precedence over "unknown".
        usable = [answer for answer in golds if normalize(answer) not in ("", _UNKNOWN)]
        words = words.strip()
        meaning = _ASKS.sub("", question, count=1) if _YES.fullmatch(words) else _REPLIES.sub("", words, count=1)
        readings.append((" ".join(meaning.strip(" ?.,").split()), tuple(usable or golds)))
    return readings
