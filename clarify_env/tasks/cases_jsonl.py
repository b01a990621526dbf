"""The `cases_jsonl` task: your own cases for the game `interview`, from a file with one JSON object per line."""

import os
import string
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

from clarify_env.scores.answers import normalize_with_symbols
from clarify_env.scores.metrics import episode_metric
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Interpretation, register
from clarify_env.tasks.facts import content_words, fact_asked
from clarify_env.tasks.line_files import HOW_WRITTEN, METRICS, fields_of, lines_of
from clarify_env.tasks.reader import FileTask
from clarify_env.tasks.records import (
    SPLITS,
    UnusableError,
    check_shares,
    clean,
    field,
    once,
    other_format,
    strings,
    typed,
)

_FIELDS = ("id", "question", "options", "answer", "answers", "facts", "shown", "synonyms", "split", "entity", "context")


class _Record(NamedTuple):
    where: str
    split: str | None
    entity: str
    episode: Episode


@register
class CasesJsonl(FileTask):
    """Cases from a file with one JSON object per line: a question, its answer and the facts that a user holds.

    A line is ``{"question", "options" or "answers", "answer"?, "facts": [...], "shown"?, "synonyms"?, "context"?,
    "split"?, "id"?, "entity"?}``; a field of value null is missing. With ``options`` (a list, or an object by letter),
    ``answer`` is the right one, in full or as its letter; ``answers`` are the gold answer and its aliases. The first
    ``shown`` facts (1) are told at the start, the others only if they are asked for. A fact is a text; what stands
    before its first ``": "`` is its name. ``synonyms`` maps a word to others of the same meaning, beside the built-in
    ones. Nothing is known of how likely a case is, so there is no oracle.

    A record that is not in this format, and a correct record that cannot be played, are left out, and named with line
    and reason in `refused`; so each record is accounted for.

    Args:
        path: The file; it may be compressed by gzip.
        world_seed: Seed of the splits, if the file has none.
        validation: Share of the entities for validation, if the file has no splits.
        test: Share of the entities for test, if the file has no splits.
        metric: ``"em"`` or ``"f1"``; with ``_symbols`` at the end, symbols are kept.
        strict: Whether a record that is not in the format is an error with file, line and field.

    Attributes:
        refused: A sentence on each record that is left out, in the order of the file: file, line and reason.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version; 2, options that differ by symbols alone are told apart.
    """

    name = "cases_jsonl"
    known_odds = False
    version = 2
    unit = "cases"
    pretraining = ("train",)

    def __init__(
        self,
        path: str | os.PathLike,
        world_seed: int = 0,
        validation: float = 1 / 6,
        test: float = 1 / 3,
        metric: str = "em",
        strict: bool = False,
    ):
        super().__init__(path, world_seed, strict)
        if metric not in METRICS:
            raise ValueError(f"task.metric must be one of {', '.join(METRICS)}, not {metric!r}")
        required, self.metric = check_shares(validation, test), metric
        try:
            records = self._read(lines_of(self.path), partial(_record, path=self.path, places={}))
        except ValueError as error:
            if (kind := other_format(self.path)) is None:
                raise
            raise ValueError(f"{error}; the file is {kind}: {HOW_WRITTEN}") from error
        records = self._of_one_split(records)
        playable: dict[tuple[str, str], _Record] = {}
        for record in records:
            try:
                _check_playable(record.episode)
                episode = record.episode
                identity = normalize_with_symbols(episode.query), " ".join(episode.meta["facts"])
                if playable.setdefault(identity, record).where != record.where:
                    raise UnusableError("the same case twice")
            except UnusableError as reason:
                self._drop_unplayable(record.where, str(reason))
        world = self._place(playable.values(), validation, test)
        stated = {record.split for record in records if record.split is not None}
        self._settle(world, [split for split in SPLITS if split in (stated or required)])

    @property
    def refused(self) -> list[str]:
        """A sentence on each record that is left out: file, line and reason; in the order of the file."""
        return sorted([*self._malformed, *self._unplayable], key=_line_number)

    def rivals(self, episode: Episode) -> tuple[tuple[str, ...], ...]:
        """The options of a case, each by itself; see `Task.rivals`."""
        return tuple((option,) for option in episode.meta["options"])

    def metric_of(self, episode: Episode) -> str:
        """Metric of a case: its options are told apart, "1.5 mg" from "15 mg"; see `Task.metric_of`."""
        return episode_metric(self.metric, self.rivals(episode))

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """Returns the one fact that a question asks for (`clarify_env.tasks.facts.fact_asked`); else `NOT_UNDERSTOOD`.

        Facts shown at the start are told again if they are asked for.
        """
        known = [(name, value) for name, value in (_parts(fact) for fact in episode.meta["facts"])]
        index = fact_asked(question, known, episode.meta["question"], episode.meta["synonyms"])
        return NOT_UNDERSTOOD if index is None else episode.meta["facts"][index]

    def questions(self, episode: Episode) -> list[str]:
        """One question for each fact that is not shown: its name, or else its words."""
        hidden = episode.interpretations[0].attributes
        return [name or value for name, value in hidden]


def _line_number(sentence: str) -> int:
    digits = sentence.partition(", line ")[2].partition(":")[0]
    return int(digits) if digits.isdigit() else 0


def _parts(fact: str) -> tuple[str, str]:
    """Returns (name, text) of a fact; one without a name has an empty one."""
    name, colon, value = fact.partition(": ")
    return (name, value) if colon and len(name.split()) <= 4 else ("", fact)


def _check_playable(episode: Episode) -> None:
    """Checks that a case can be played.

    Raises:
        UnusableError: It cannot.
    """
    facts = episode.meta["facts"]
    if not episode.interpretations[0].attributes:
        raise UnusableError("no fact is left to ask for")
    if len(set(map(normalize_with_symbols, facts))) < len(facts):
        raise UnusableError("the same fact twice")
    if not all(content_words(fact) for fact in facts):
        raise UnusableError("a fact without words that a question could ask for")


def _record(line: bytes | None, where: str, path: str, places: dict[str, str]) -> _Record:
    """Parses a line; ``places`` holds the ids so far.

    Raises:
        ValueError: It is wrong; the message names file, line and field.
    """
    record = fields_of(line, where, _FIELDS)
    question = _line(field(record, "question", str, where))
    if not question:
        raise ValueError(f"{where}: question is empty")
    facts = [_line(fact) for fact in strings(record, "facts", where)]
    if not all(facts):
        raise ValueError(f"{where}: facts[{facts.index('')}] is empty")
    options, answers = _answers(record, where)
    shown = _shown(record, len(facts), where)
    split = field(record, "split", str, where) if "split" in record else None
    if split is not None and split not in SPLITS:
        raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, not {split!r}")
    # The key does not depend on the path, so a copy of the file gives the same episodes.
    key = _key(record, "id", where) if "id" in record else where.removeprefix(f"{path}, ")
    entity = _key(record, "entity", where) if "entity" in record else key
    once(places, key, where, f"id {key!r} stands for a case")
    lines = [question, *([f"Options: {'; '.join(options)}"] if options else []), *facts[:shown]]
    case = Interpretation("case", "; ".join(facts), answers, 1.0, tuple(map(_parts, facts[shown:])))
    context = field(record, "context", str, where) if "context" in record else ""
    meta = {
        "entity": entity,
        "question": question,
        "options": options,
        "facts": facts,
        "shown": shown,
        "synonyms": _synonyms(record, where),
    }
    return _Record(where, split, entity, Episode("", "\n".join(lines), context, (case,), meta))


def _line(text: str) -> str:
    return " ".join(text.split())


def _answers(record: dict[str, Any], where: str) -> tuple[list[str], tuple[str, ...]]:
    """Returns the options, if there are any, and the gold answer with its aliases."""
    if "options" not in record and "answers" not in record:
        raise ValueError(f"{where}: options and answers are missing: one of them must say what may be answered")
    if "options" not in record:
        if "answer" in record:
            raise ValueError(f"{where}: answer is the right one of options, which are missing; write answers")
        answers = clean(strings(record, "answers", where))
        if not answers:
            raise ValueError(f"{where}: answers has no answer")
        return [], answers
    by_letter = _options(record, where)
    options, forms = list(by_letter.values()), [normalize_with_symbols(text) for text in by_letter.values()]
    if repeated := next((form for form, count in Counter(forms).items() if count > 1), None):
        raise ValueError(f"{where}: options holds {repeated!r} twice")
    if "answers" in record:
        if "answer" in record:
            raise ValueError(f"{where}: answer and answers both say what is right; write one of them")
        gold = clean(strings(record, "answers", where))
        if not any(normalize_with_symbols(answer) in forms for answer in gold):
            raise ValueError(f"{where}: answers holds none of options")
        return options, gold
    answer = _line(field(record, "answer", str, where))
    right = answer if normalize_with_symbols(answer) in forms else by_letter.get(answer, answer)
    if normalize_with_symbols(right) not in forms:
        raise ValueError(f"{where}: answer {answer!r} is none of options, nor the letter of one")
    # The letter of an option is an answer too, where no option is itself that letter.
    letter = next(
        key for key, text in by_letter.items() if normalize_with_symbols(text) == normalize_with_symbols(right)
    )
    return options, clean([right, *([letter] if normalize_with_symbols(letter) not in forms else [])])


def _options(record: dict[str, Any], where: str) -> dict[str, str]:
    """Returns the options by letter."""
    value = record["options"]
    if isinstance(value, dict):
        named = {
            str(key): typed(text, str, where, f"options.{key}")
            for key, text in typed(value, dict, where, "options").items()
        }
    else:
        named = dict(zip(string.ascii_uppercase, strings(record, "options", where), strict=False))
    named = {key: _line(text) for key, text in named.items()}
    if len(named) < 2 or not all(map(normalize_with_symbols, named.values())):
        raise ValueError(f"{where}: options must be at least 2 texts, none of them empty")
    if len(named) < len(value):
        raise ValueError(f"{where}: options must be at most {len(string.ascii_uppercase)} texts, not {len(value)}")
    return named


def _shown(record: dict[str, Any], count: int, where: str) -> int:
    shown = record.get("shown", 1)
    if not isinstance(shown, int) or isinstance(shown, bool) or shown < 0:
        raise ValueError(f"{where}: shown must be a whole number of at least 0, not {shown!r}")
    if shown > count:
        raise ValueError(f"{where}: shown is {shown}, and facts has {count}")
    return shown


def _synonyms(record: dict[str, Any], where: str) -> dict[str, list[str]]:
    if "synonyms" not in record:
        return {}
    given = field(record, "synonyms", dict, where)
    return {key: list(strings(given, key, where, "synonyms")) for key in given}


def _key(record: dict[str, Any], name: str, where: str) -> str:
    """An id or an entity; a whole number is read as its digits."""
    value = record[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return field(record, name, str, where)
