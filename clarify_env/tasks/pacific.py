"""The `pacific` task: queries about financial tables and text (PACIFIC, Deng et al. 2022, arXiv 2210.08817).

If a recorded turn is answered by a clarifying question, its query is ambiguous, and the next turn states the meaning.
The other readings are the other figures of that row or column of the table; their labels are the heads.
"""

import os
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

from clarify_env.scores.answers import normalize
from clarify_env.scores.drop import number
from clarify_env.tasks.base import Episode, Interpretation, register
from clarify_env.tasks.reader import ONLY, FileTask
from clarify_env.tasks.records import (
    SPLITS,
    UnusableError,
    check_shares,
    drawn_splits,
    field,
    load_json,
    once,
    refuse_unlabelled,
    strings,
    thin,
    told_apart,
    typed,
)
from clarify_env.tasks.tables import Formula, Place, Table, formula_of, heads_of, places
from clarify_env.words import count_words

_SCALES = ("", "thousand", "million", "billion", "percent")
_LABELS = ("req_clari", "answer")
_TYPES = ("span", "multi-span", "arithmetic", "count")


class _Turn(NamedTuple):
    """A recorded turn: query, answers, and whether the answer is a clarifying question (``asks_back``)."""

    question: str
    resolved: str
    answers: tuple[str, ...]
    asks_back: bool
    formula: Formula | None
    scale: str
    raw: str


class _Dialogue(NamedTuple):
    key: str
    table: Table
    text: tuple[str, ...]
    turns: tuple[_Turn, ...]


@register
class Pacific(FileTask):
    """Conversations about a table and text that only the assistant sees, split by table.

    One reading of an ambiguous query is the recorded meaning. The others mean neighbouring figures: in the same row if
    the reply names a column (such as a year), in the same column if it names a row. Readings are equally likely. Clear
    turns are episodes with one reading. Records that cannot be played are dropped and counted.

    Args:
        path: The JSON file; it may be compressed by gzip. PACIFIC's own test file has no labels and is refused.
        world_seed: Seed of the splits.
        validation: Share of the tables for validation.
        test: Share of the tables for test.
        clear: Largest number of clear queries per ambiguous one, in every split; ``None``: all.
        history: Whether the context includes the previous turns. If not, the query is the data's rewritten form, which
            does not depend on them.
        clarifications: Number of recorded clarifying questions about other tables in the context, as examples.
        max_readings: Records with more readings are dropped.
        max_answer_words: Records with a longer answer are dropped.
        max_context: Records with more characters of table, text and history are dropped; ``None``: no limit.
        strict: Whether a dialogue that is not in the format is an error instead of being dropped, counted and logged.

    Attributes:
        dropped: Number of dropped turns by reason.
        kept: Number of episodes, ``ambiguous`` and ``clear``; an ambiguous one uses two turns.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version; 2, numbers with spaces and in scientific notation, answers in Unicode form NFKC,
    none left out for lack of words; 3, numbers with fractions, per mille, trillions, plural scales and more currencies.
    """

    name = "pacific"
    version = 3
    unit = "turns"
    metric = "drop"
    attributes = {"column": ("year", "period", "date", "when", "column"), "row": ("kind", "type", "component", "row")}
    pretraining = ("train",)

    def __init__(
        self,
        path: str | os.PathLike,
        world_seed: int = 0,
        validation: float = 1 / 6,
        test: float = 1 / 3,
        clear: float | None = None,
        history: bool = True,
        clarifications: int = 0,
        max_readings: int = 5,
        max_answer_words: int = 20,
        max_context: int | None = None,
        strict: bool = False,
    ):
        super().__init__(path, world_seed, strict)
        required = check_shares(validation, test, clear)
        if clarifications < 0:
            raise ValueError(f"task.clarifications must be at least 0, not {clarifications}")
        self.history = history
        self.max_readings, self.max_answer_words, self.max_context = max_readings, max_answer_words, max_context
        dialogues = self._read(_values(self.path), partial(_dialogue, places={}), lambda d: max(1, len(_turns_of(d))))
        self.kept: dict[str, int] = Counter()
        split_of = drawn_splits([dialogue.key for dialogue in dialogues], validation, test, world_seed)
        train = [dialogue for dialogue in dialogues if split_of[dialogue.key] == "train"]
        self._examples = _examples(train, clarifications)
        world: dict[str, list[Episode]] = {split: [] for split in SPLITS}
        for dialogue in dialogues:
            world[split_of[dialogue.key]] += self._episodes_of(dialogue)
        if dropped_clear := thin(world, clear, world_seed):
            self.kept["clear"] -= dropped_clear
            self.dropped["clear, beyond task.clear"] = dropped_clear
        self._settle(world, required)

    def report(self) -> str:
        """One sentence on the numbers of usable and of dropped turns, with reasons; it accounts for every turn."""
        summary = f"{self.kept['ambiguous']} ambiguous with the turn that clarifies each, {self.kept['clear']} clear"
        return f"{super().report()}; {summary}"

    def _episodes_of(self, dialogue: _Dialogue) -> list[Episode]:
        """Makes the episodes of a dialogue; counts its other turns by the reason why they cannot be played."""
        episodes = []
        for place, turn in enumerate(dialogue.turns):
            clarified = place and dialogue.turns[place - 1].asks_back
            if turn.asks_back:
                continue  # it is played, or dropped, together with the next turn
            query_turn = dialogue.turns[place - 1] if clarified else turn
            try:
                episodes.append(self._build(dialogue, place - bool(clarified), query_turn, turn))
                self.kept["ambiguous" if clarified else "clear"] += 1
            except UnusableError as reason:
                self.dropped[str(reason)] += 2 if clarified else 1
        return episodes

    def _build(self, dialogue: _Dialogue, place: int, query_turn: _Turn, meaning: _Turn) -> Episode:
        """Makes an episode from the turn of a query and the turn that states its meaning (the same if it is clear).

        Raises:
            UnusableError: The turns cannot be played.
        """
        if not all(map(normalize, meaning.raw.split("; "))):
            raise UnusableError("blank answer")
        query = query_turn.question if self.history else query_turn.resolved
        readings = [Interpretation(ONLY, meaning.resolved, meaning.answers, 1.0)]
        if query_turn is not meaning:
            readings = _alternative_readings(dialogue.table, query_turn, meaning)
        if len(readings) > self.max_readings:
            raise UnusableError(f"more than {self.max_readings} readings")
        if any(min(map(count_words, reading.answers)) > self.max_answer_words for reading in readings):
            raise UnusableError(f"answer of more than {self.max_answer_words} words")
        context = _context(dialogue, place if self.history else 0, self._examples)
        if self.max_context is not None and len(context) > self.max_context:
            raise UnusableError(f"context of more than {self.max_context} characters")
        meta = {"entity": dialogue.key, "ambiguous": query_turn is not meaning}
        episode = Episode("", query, context, tuple(readings), meta)
        if not told_apart(self, episode):
            raise UnusableError("labels that a question or a list cannot tell apart")
        return episode


def _alternative_readings(table: Table, query_turn: _Turn, meaning: _Turn) -> list[Interpretation]:
    """Readings of an ambiguous query: the recorded one, then those of neighbouring figures.

    Raises:
        UnusableError: The recorded figures are not in the table, or no head of the table matches the reply.
    """
    if meaning.formula is None:
        raise UnusableError("clarified answer is no figure, nor worked out from figures")
    places_of_figures = places(table, meaning.formula)
    if not places_of_figures:
        raise UnusableError("figures that are in no row of the table")
    reply_words = _words(meaning.resolved) - _words(query_turn.resolved)
    heads = heads_of(table)
    for row, columns in places_of_figures:
        column_head = " to ".join(dict.fromkeys(heads.get(c, "") for c in sorted(columns)))
        if _names(column_head, reply_words):
            offsets = sorted(range(-max(heads), max(heads)), key=abs)
            candidates = [(row, tuple(c + offset for c in columns)) for offset in offsets]
            place_of = {
                " to ".join(dict.fromkeys(heads[c] for c in sorted(cs))): (r, cs)
                for r, cs in candidates
                if all(c in heads for c in cs)
            }
            return _readings("column", column_head, place_of, table, query_turn, meaning)
        if _names(table[row][0], reply_words):
            row_indices = sorted((r for r in range(len(table)) if table[r]), key=lambda r: abs(r - row))
            place_of = {}
            for r in row_indices:
                place_of.setdefault(table[r][0].strip(), (r, columns))
            return _readings("row", table[row][0].strip(), place_of, table, query_turn, meaning)
    raise UnusableError("no head of the table tells what the reply adds")


def _readings(
    name: str, recorded_head: str, place_of: dict[str, Place], table: Table, query_turn: _Turn, meaning: _Turn
) -> list[Interpretation]:
    """Readings of the places under some heads; the recorded one, ``recorded_head``, comes first."""
    formula = meaning.formula
    assert formula is not None, "the caller checks it"
    # A possible head has all the words that the recorded head shares with the query.
    common = {word for word in _words(recorded_head) & _words(query_turn.resolved) if len(word) > 2}
    figures: dict[str, tuple[str, ...]] = {recorded_head: meaning.answers}
    for head, (row, columns) in place_of.items():
        value = formula.value(table[row], columns)
        if head and head != recorded_head and value is not None and common <= _words(head):
            figures[head] = _figure(table[row][columns[0]] if formula.single else value, meaning.scale)
    if len(figures) < 2:
        raise UnusableError("no other figure in the row or column")
    if len({number(answers[0]) for answers in figures.values()}) < len(figures):
        raise UnusableError("readings of equal figures")
    labels = {head: " ".join(head.replace(";", " ").replace(": ", " ").split()) for head in figures}
    return [
        Interpretation(
            label=labels[head],
            text=meaning.resolved if head == recorded_head else f"{query_turn.resolved.rstrip('?. ')}: {labels[head]}?",
            answers=answers,
            weight=1 / len(figures),
            attributes=((name, labels[head]),),
        )
        for head, answers in figures.items()
    ]


def _words(text: str) -> set[str]:
    return set(normalize(text).split())


def _names(head: str, reply_words: set[str]) -> bool:
    """Whether a reply names a head: they share a word or number of at least three characters."""
    return any(word in reply_words for word in _words(head) if len(word) > 2)


def _figure(cell: str, scale: str) -> tuple[str, ...]:
    """Writes a figure with its scale; a percentage with the sign first, which is shorter."""
    text = " ".join(cell.replace(";", "").split())
    if scale == "percent" and "%" not in text:
        return f"{text}%", f"{text} percent"
    return (f"{text} {scale}".strip(),) if "%" not in text else (text,)


def _context(dialogue: _Dialogue, turns: int, examples: str) -> str:
    table = "\n".join(" | ".join(" ".join(cell.split()) for cell in row) for row in dialogue.table)
    history = "\n".join(f"Q: {turn.question}\nA: {turn.raw}" for turn in dialogue.turns[:turns])
    return "\n\n".join(part for part in (table, "\n".join(dialogue.text), history, examples) if part)


def _examples(dialogues: list[_Dialogue], count: int) -> str:
    """Writes recorded clarifying questions, one per table, each with its query."""
    turns = [next((turn for turn in dialogue.turns if turn.asks_back), None) for dialogue in dialogues]
    lines = [f"Q: {turn.question}\nAsked back: {turn.raw}" for turn in turns if turn][:count]
    return "\n".join(["Of other tables:", *lines]) if lines else ""


def _values(path: str) -> list[tuple[str, Any]]:
    """Reads the file; returns (place for error messages, dialogue).

    Raises:
        ValueError: The file is no list, or has no labels.
    """
    records = typed(load_json(path), list, path, "the whole")
    turns = [turn for record in records for turn in _turns_of(record)]
    is_labelled = all(not turns or any(turn.get(key) is not None for turn in turns) for key in _LABELS)
    refuse_unlabelled(path, is_labelled, " and ".join(_LABELS))
    return [(f"{path}, record {number}", record) for number, record in enumerate(records, 1)]


def _turns_of(record: Any) -> list[dict[str, Any]]:
    turns = record.get("questions") if isinstance(record, dict) else None
    return [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []


def _dialogue(record: Any, where: str, places: dict[str, str]) -> _Dialogue:
    """Parses a record; ``places`` holds the ids of tables so far.

    Raises:
        ValueError: It is wrong; the message names file, record and field.
    """
    table = field(record, "table", dict, where)
    key = field(table, "uid", str, where, "table")
    rows = tuple(
        tuple(
            typed(cell, str, where, f"table.table[{r}][{c}]")
            for c, cell in enumerate(typed(row, list, where, f"table.table[{r}]"))
        )
        for r, row in enumerate(field(table, "table", list, where, "table"))
    )
    texts = tuple(
        field(part, "text", str, where, f"paragraphs[{i}]")
        for i, part in enumerate(field(record, "paragraphs", list, where))
    )
    turns = tuple(
        _turn(turn, where, f"questions[{i}]") for i, turn in enumerate(field(record, "questions", list, where))
    )
    for i, turn in enumerate(turns):
        if turn.asks_back and (i + 1 == len(turns) or turns[i + 1].asks_back):
            raise ValueError(f"{where}: questions[{i}] asks back and no turn after it answers")
    ids = [field(turn, "uid", str, where, f"questions[{i}]") for i, turn in enumerate(record["questions"])]
    if duplicates := [uid for uid, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{where}: questions: uid {duplicates[0]!r} stands twice")
    once(places, key, where, f"table.uid {key!r} stands for a table")
    return _Dialogue(key, rows, texts, turns)


def _turn(turn: Any, where: str, name: str) -> _Turn:
    question = " ".join(field(turn, "question", str, where, name).split())
    resolved = " ".join(field(turn, "original_question", str, where, name).split())
    if not question or not resolved:
        raise ValueError(f"{where}: {name}.{'original_question' if question else 'question'} is empty")
    asks_back = turn.get("req_clari")
    if not isinstance(asks_back, bool):
        raise ValueError(f"{where}: {name}.req_clari must be true or false, not {asks_back!r}")
    scale = field(turn, "scale", str, where, name)
    if scale not in _SCALES:
        raise ValueError(f"{where}: {name}.scale must be one of {', '.join(_SCALES[1:])} or empty, not {scale!r}")
    kind = field(turn, "answer_type", str, where, name)
    if asks_back or kind in ("span", "multi-span"):
        spans = tuple(" ".join(span.replace(";", ",").split()) for span in strings(turn, "answer", where, name))
        if not spans:
            raise ValueError(f"{where}: {name}.answer is empty")
    elif kind in _TYPES:
        value = turn.get("answer")
        text = value if isinstance(value, str) else f"{typed(value, float, where, f'{name}.answer'):.10g}"
        if number(text) is None:
            raise ValueError(f"{where}: {name}.answer must be a number, not {text!r}")
        spans = (text,)
    else:
        raise ValueError(f"{where}: {name}.answer_type must be one of {', '.join(_TYPES)}, not {kind!r}")
    variants = [_figure(span, scale) if number(span) is not None else (f"{span} {scale}".rstrip(),) for span in spans]
    answers = tuple("; ".join(alternatives) for alternatives in zip(*variants, strict=False))
    derivation = field(turn, "derivation", str, where, name)
    if kind == "span" and len(spans) == 1:
        derivation = spans[0]
    formula = formula_of(derivation, spans[0], scale if kind == "arithmetic" else "") if kind != "multi-span" else None
    return _Turn(question, resolved, answers, asks_back, formula, scale, "; ".join(spans))
