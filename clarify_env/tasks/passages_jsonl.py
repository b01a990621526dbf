"""The `passages_jsonl` task: your own questions and corpora for the game `helpers`, from files of JSON lines."""

import logging
import os
from functools import partial
from typing import Any, NamedTuple

from clarify_env.scores.answers import normalize_with_symbols
from clarify_env.tasks.base import Episode, Interpretation, register
from clarify_env.tasks.line_files import HOW_WRITTEN, METRICS, fields_of, lines_of
from clarify_env.tasks.passages import Corpus, Passage, PassageTask
from clarify_env.tasks.reader import ONLY, FileTask
from clarify_env.tasks.records import (
    SPLITS,
    check_shares,
    clean,
    field,
    once,
    other_format,
    strings,
)

_QUESTION = ("id", "question", "answers", "split", "entity")
_PASSAGE = ("id", "title", "text")
_LOGGER = logging.getLogger(__name__)
# Most passages that are named one by one in the log.
_MOST_NAMED = 10


class _Record(NamedTuple):
    where: str
    split: str | None
    entity: str
    episode: Episode


@register
class PassagesJsonl(FileTask, PassageTask):
    """Questions and two corpora from files with one JSON object per line, which may be compressed by gzip.

    A line of ``path`` is ``{"question", "answers": [...], "split"?, "id"?, "entity"?}``; ``answers`` are the gold
    answer and its aliases. A line of a corpus is ``{"id", "title"?, "text"}``; ids are unique in both corpora together,
    and no passage is in both. A field of value null is missing. Nothing is known of what a model's memory holds, so
    there is no best joint plan to compare with.

    A record that is not in this format is left out and named with file, line and field in `refused`.

    Args:
        path: The questions.
        corpus_a: The passages that the first helper can search.
        corpus_b: The passages that the second helper can search.
        about_a: What the first corpus is about, in a few words, for prompts.
        about_b: What the second corpus is about.
        world_seed: Seed of the splits, if the file has none.
        validation: Share of the entities for validation, if the file has no splits.
        test: Share of the entities for test, if the file has no splits.
        metric: ``"f1"`` or ``"em"``; with ``_symbols`` at the end, symbols are kept.
        strict: Whether a record that is not in the format is an error with file, line and field.

    Attributes:
        refused: A sentence on each record that is left out.

    Raises:
        ValueError: An option or a file is wrong.

    Version history: 1, first version.
    """

    name = "passages_jsonl"
    known_odds = False
    unit = "questions"
    pretraining = ("train",)

    def __init__(
        self,
        path: str | os.PathLike,
        corpus_a: str | os.PathLike,
        corpus_b: str | os.PathLike,
        about_a: str = "the first subject",
        about_b: str = "the second subject",
        world_seed: int = 0,
        validation: float = 1 / 6,
        test: float = 1 / 3,
        metric: str = "f1",
        strict: bool = False,
    ):
        super().__init__(path, world_seed, strict)
        if metric not in METRICS:
            raise ValueError(f"task.metric must be one of {', '.join(METRICS)}, not {metric!r}")
        for option, about in (("about_a", about_a), ("about_b", about_b)):
            if not about.strip():
                raise ValueError(f"task.{option} must say what the corpus is about, in a few words")
        required, self.metric = check_shares(validation, test), metric
        self._left_out: list[str] = []
        places: dict[str, str] = {}
        texts: dict[str, str] = {}
        self._corpora = (
            Corpus(about_a, self._passages(corpus_a, "corpus_a", places, texts)),
            Corpus(about_b, self._passages(corpus_b, "corpus_b", places, texts)),
        )
        lines = lines_of(self.path)
        try:
            records = self._read(lines, partial(_question, path=self.path, places={}))
        except ValueError as error:
            raise _with_format(error, self.path) from error
        records = self._of_one_split(records)
        world = self._place(records, validation, test)
        stated = {record.split for record in records if record.split is not None}
        self._settle(world, [split for split in SPLITS if split in (stated or required)])

    @property
    def corpora(self) -> tuple[Corpus, Corpus]:
        """The passages of both files."""
        return self._corpora

    @property
    def refused(self) -> list[str]:
        """A sentence on each record that is left out: file, line and reason; passages first."""
        return [*self._left_out, *self._malformed]

    def report(self) -> str:
        """One sentence on questions and passages."""
        a, b = (len(corpus.passages) for corpus in self._corpora)
        return f"{super().report()}; {a} and {b} passages, {len(self._left_out)} left out"

    def _passages(
        self, path: str | os.PathLike, option: str, places: dict[str, str], texts: dict[str, str]
    ) -> tuple[Passage, ...]:
        """Reads a corpus; ``places`` and ``texts`` hold the ids and passages so far.

        Raises:
            ValueError: The file cannot be read, holds no passage, or, if ``strict``, one that is not in the format.
        """
        passages: list[Passage] = []
        refused: list[str] = []
        try:
            for where, line in lines_of(path):
                try:
                    passages.append(_passage(line, where, places, texts))
                except ValueError as error:
                    if self.strict:
                        raise
                    refused.append(str(error))
            if not passages:
                raise ValueError(refused[0] if refused else f"{path}: no passage in it")
        except ValueError as error:
            # What reads files names the option of the questions.
            text = str(error).replace("task.path", f"task.{option}")
            raise _with_format(ValueError(text), path, when=bool(refused) and not passages) from error
        for sentence in refused[:_MOST_NAMED]:
            _LOGGER.warning("%s; the passage is left out (task.strict=true makes this an error)", sentence)
        if len(refused) > _MOST_NAMED:
            _LOGGER.warning("%s: %d more passages are left out", path, len(refused) - _MOST_NAMED)
        self._left_out += refused
        return tuple(passages)


def _with_format(error: ValueError, path: str | os.PathLike, when: bool = True) -> ValueError:
    """Returns an error that also says in which other format a file is, if it is in one that can be told."""
    kind = other_format(path) if when else None
    return error if kind is None else ValueError(f"{error}; the file is {kind}: {HOW_WRITTEN}")


def _passage(line: bytes | None, where: str, places: dict[str, str], texts: dict[str, str]) -> Passage:
    """Parses a line of a corpus."""
    record = fields_of(line, where, _PASSAGE)
    key = _key(record, "id", where)
    text = _one_line(field(record, "text", str, where))
    title = _one_line(field(record, "title", str, where)) if "title" in record else ""
    if not normalize_with_symbols(text):
        raise ValueError(f"{where}: text is empty")
    once(places, key, where, f"id {key!r} stands for a passage")
    once(texts, f"{title}\n{text}", where, "this passage stands")
    return Passage(key, title, text)


def _question(line: bytes | None, where: str, path: str, places: dict[str, str]) -> _Record:
    """Parses a line of the questions; ``places`` holds the ids so far."""
    record = fields_of(line, where, _QUESTION)
    query = _one_line(field(record, "question", str, where))
    if not query:
        raise ValueError(f"{where}: question is empty")
    answers = clean(strings(record, "answers", where))
    if not answers:
        raise ValueError(f"{where}: answers has no answer")
    split = field(record, "split", str, where) if "split" in record else None
    if split is not None and split not in SPLITS:
        raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, not {split!r}")
    # The key does not depend on the path, so a copy of the file gives the same episodes.
    key = _key(record, "id", where) if "id" in record else where.removeprefix(f"{path}, ")
    entity = _key(record, "entity", where) if "entity" in record else key
    once(places, key, where, f"id {key!r} stands for a question")
    reading = Interpretation(ONLY, query, answers, 1.0)
    return _Record(where, split, entity, Episode("", query, "", (reading,), {"entity": entity, "where": where}))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _key(record: dict[str, Any], name: str, where: str) -> str:
    """An id or an entity; a whole number is read as its digits."""
    value = record.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return field(record, name, str, where)
