"""The `abgcoqa` task: queries about stories, some of them ambiguous (Abg-CoQA, Guo et al. 2021, AKBC)."""

import os
import re
from collections import Counter
from typing import Any, NamedTuple

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
    load_json,
    thin,
    told_apart,
    typed,
)
from clarify_env.words import count_words

ONLY = "only"
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
class AbgCoQA(Task):
    """Queries in a conversation about a story that only the assistant sees, split by story.

    The readings of an ambiguous query come from its recorded clarifying question and the replies to it, with equal
    weights; a clear query has one reading. The score is CoQA's token F1 (arXiv 1808.07042) against the annotators'
    answers. Records that cannot be played are dropped and counted.

    Args:
        path: The JSON file.
        world_seed: Seed of the splits.
        validation: Share of the stories for validation.
        test: Share of the stories for test.
        clear: Largest number of clear queries per ambiguous one, in every split; ``None``: all.
        history: Whether the context includes the previous turns.
        max_answer_words: Records with a reading whose answers are all longer are dropped.

    Attributes:
        dropped: Number of dropped records by reason.
        kept: Number of usable records, ``ambiguous`` and ``clear``.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version.
    """

    name = "abgcoqa"
    version = 1
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
    ):
        check_shares(validation, test, clear)
        self.path, self.world_seed, self.history = str(path), world_seed, history
        self.max_answer_words = max_answer_words
        records = _load(self.path)
        self._read = len(records)
        stories = list(dict.fromkeys(record.story for record in records))
        split_of = drawn_splits(stories, validation, test, world_seed)
        self.dropped: dict[str, int] = {}
        self.kept: dict[str, int] = Counter()
        self._world: dict[str, list[Episode]] = {split: [] for split in SPLITS}
        for record in records:
            episodes_of_split = self._world[split_of[record.story]]
            try:
                episodes_of_split.append(
                    self._build(record)._replace(id=f"{split_of[record.story]}/{len(episodes_of_split)}")
                )
                self.kept["ambiguous" if record.ambiguous else "clear"] += 1
            except UnusableError as reason:
                self.dropped[str(reason)] = self.dropped.get(str(reason), 0) + 1
        if dropped_clear := thin(self._world, clear, world_seed):
            self.kept["clear"] -= dropped_clear
            self.dropped["clear, beyond task.clear"] = dropped_clear
        self.sizes = {split: len(episodes) for split, episodes in self._world.items()}
        if empty := [split for split, size in self.sizes.items() if not size]:
            raise ValueError(f"no question is left for {' and '.join(empty)} ({self.report()})")

    def report(self) -> str:
        """One sentence on the numbers of usable and of dropped records, with reasons."""
        summary = account(self.path, sum(self.kept.values()), self._read, self.dropped)
        return f"{summary}; {self.kept['ambiguous']} ambiguous, {self.kept['clear']} clear"

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[split][index]

    def _build(self, record: _Record) -> Episode:
        """Makes an episode from a record.

        Raises:
            UnusableError: The record cannot be played.
        """
        if record.ambiguous and len(record.readings) < 2:
            raise UnusableError("ambiguous, but with one reading on record")
        answers_of = [clean(answers) for _, answers in record.readings]
        if not all(answers_of):
            raise UnusableError("answer without words")
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


def _load(path: str) -> list[_Record]:
    """Reads the file.

    Raises:
        ValueError: The file is wrong; the message names file, record and field.
    """
    content = typed(load_json(path), dict, path, "the whole")
    records: list[_Record] = []
    places: dict[str, str] = {}
    for number, record in enumerate(field(content, "data", list, path), 1):
        where = f"{path}, record {number}"
        key = field(record, "id", str, where)
        if (first := places.setdefault(key, where)) != where:
            raise ValueError(f"{where}: id {key!r} stands for a question already, at {first}")
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
        records.append(_Record(key, field(record, "story", str, where), turns, question, ambiguous, tuple(readings)))
    return records


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
        golds = [field(reply, key, str, where, inside) for key in ("org_ans", "org_ans_2", "org_ans_3") if key in reply]
        if not golds:
            raise ValueError(f"{where}: {inside}.org_ans is missing")
        # Answers of annotators who found one take precedence over "unknown".
        usable = [answer for answer in golds if normalize(answer) not in ("", _UNKNOWN)]
        words = words.strip()
        meaning = _ASKS.sub("", question, count=1) if _YES.fullmatch(words) else _REPLIES.sub("", words, count=1)
        readings.append((" ".join(meaning.strip(" ?.,").split()), tuple(usable or golds)))
    return readings
