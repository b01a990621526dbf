"""The `pacific` task: questions over financial tables and text (PACIFIC, Deng et al. 2022, arXiv 2210.08817).

A turn that asks back is an ambiguous question; the turn after it says what was meant. Rival readings are the other
figures of that row or column of the table, told apart by its other heads.
"""

import os
from collections import Counter
from typing import Any, NamedTuple

from clarify_env.scores.answers import normalize
from clarify_env.scores.drop import number
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.records import (
    SPLITS,
    UnusableError,
    account,
    check_shares,
    drawn_splits,
    field,
    load_json,
    strings,
    thin,
    told_apart,
    typed,
)
from clarify_env.tasks.tables import Formula, Place, Table, formula_of, heads_of, places
from clarify_env.words import count_words

ONLY = "only"
_SCALES = ("", "thousand", "million", "billion", "percent")
_TYPES = ("span", "multi-span", "arithmetic", "count")


class _Turn(NamedTuple):
    """A turn as recorded: what was asked, its answers in words, and whether it asks back."""

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
class Pacific(Task):
    """Conversations over a table and text that the assistant alone sees, split by table.

    Of an ambiguous question the recorded meaning is one reading; the others ask for the figures beside its own, in the
    same row where the reply names a column (such as a year), in the same column where it names a row. Readings are
    equally likely. Turns that are clear stay in, with one reading. What cannot be played is left out and counted.

    Args:
        path: The JSON file.
        world_seed: Draws the splits.
        validation: Share of the tables for validation.
        test: Share of the tables for test.
        clear: Clear questions for each ambiguous one, at most, in every split; ``None``: all.
        history: Whether the turns before stand in the context. If not, questions that lean on them are asked in the
            words that the data gives for them alone.
        clarifications: Recorded clarifying questions of other tables, so many, that stand in the context as examples.
        max_readings: Questions with more are left out.
        max_answer_words: Questions with a longer answer are left out.
        max_context: Questions with more characters of table, text and history are left out; ``None`` for no limit.

    Attributes:
        dropped: How many turns were left out, by reason.
        kept: How many episodes there are, ``ambiguous`` and ``clear``; a clarified question uses two turns.

    Raises:
        ValueError: An option or the file is wrong.

    Version history: 1, first version.
    """

    name = "pacific"
    version = 1
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
    ):
        check_shares(validation, test, clear)
        if clarifications < 0:
            raise ValueError(f"task.clarifications must be at least 0, not {clarifications}")
        self.path, self.world_seed, self.history = str(path), world_seed, history
        self.max_readings, self.max_answer_words, self.max_context = max_readings, max_answer_words, max_context
        dialogues = _load(self.path)
        self._read = sum(len(dialogue.turns) for dialogue in dialogues)
        self.dropped: dict[str, int] = Counter()
        self.kept: dict[str, int] = Counter()
        split_of = drawn_splits([dialogue.key for dialogue in dialogues], validation, test, world_seed)
        train = [dialogue for dialogue in dialogues if split_of[dialogue.key] == "train"]
        self._examples = _examples(train, clarifications)
        self._world: dict[str, list[Episode]] = {split: [] for split in SPLITS}
        for dialogue in dialogues:
            its, split = self._world[split_of[dialogue.key]], split_of[dialogue.key]
            its += [e._replace(id=f"{split}/{len(its) + k}") for k, e in enumerate(self._played(dialogue))]
        if gone := thin(self._world, clear, world_seed):
            self.kept["clear"] -= gone
            self.dropped["clear, beyond task.clear"] = gone
        self.sizes = {split: len(episodes) for split, episodes in self._world.items()}
        if empty := [split for split, size in self.sizes.items() if not size]:
            raise ValueError(f"no question is left for {' and '.join(empty)} ({self.report()})")

    def report(self) -> str:
        """One sentence on what was kept, and what was left out and why; it accounts for every turn."""
        played = f"{self.kept['ambiguous']} ambiguous with the turn that clarifies each, {self.kept['clear']} clear"
        used = 2 * self.kept["ambiguous"] + self.kept["clear"]
        return f"{account(self.path, used, self._read, self.dropped, 'turns')}; {played}"

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[split][index]

    def _played(self, dialogue: _Dialogue) -> list[Episode]:
        """The episodes of a dialogue; counts its other turns by what keeps them from being played."""
        episodes = []
        for place, turn in enumerate(dialogue.turns):
            after = place and dialogue.turns[place - 1].asks_back
            if turn.asks_back:
                continue  # it is played with the turn that answers it, or left out with it
            asked = dialogue.turns[place - 1] if after else turn
            try:
                episodes.append(self._build(dialogue, place - bool(after), asked, turn))
                self.kept["ambiguous" if after else "clear"] += 1
            except UnusableError as reason:
                self.dropped[str(reason)] = self.dropped.get(str(reason), 0) + (2 if after else 1)
        return episodes

    def _build(self, dialogue: _Dialogue, place: int, asked: _Turn, meant: _Turn) -> Episode:
        """Makes an episode of a question and the turn that says what it means (the same, if it is clear).

        Raises:
            UnusableError: It cannot be played.
        """
        if not all(map(normalize, meant.raw.split("; "))):
            raise UnusableError("answer without words")
        query = asked.question if self.history else asked.resolved
        readings = [Interpretation(ONLY, meant.resolved, meant.answers, 1.0)]
        if asked is not meant:
            readings = _rivals(dialogue.table, asked, meant)
        if len(readings) > self.max_readings:
            raise UnusableError(f"more than {self.max_readings} readings")
        if any(min(map(count_words, reading.answers)) > self.max_answer_words for reading in readings):
            raise UnusableError(f"answer of more than {self.max_answer_words} words")
        context = _shown(dialogue, place if self.history else 0, self._examples)
        if self.max_context is not None and len(context) > self.max_context:
            raise UnusableError(f"context of more than {self.max_context} characters")
        meta = {"entity": dialogue.key, "ambiguous": asked is not meant}
        episode = Episode("", query, context, tuple(readings), meta)
        if not told_apart(self, episode):
            raise UnusableError("labels that a question or a list cannot tell apart")
        return episode


def _rivals(table: Table, asked: _Turn, meant: _Turn) -> list[Interpretation]:
    """The recorded reading first, then those of the figures beside its own.

    Raises:
        UnusableError: Its figures are not in the table, or no head of the table says what the reply adds.
    """
    if meant.formula is None:
        raise UnusableError("clarified answer is no figure, nor worked out from figures")
    at = places(table, meant.formula)
    if not at:
        raise UnusableError("figures that are in no row of the table")
    added = _words(meant.resolved) - _words(asked.resolved)
    heads = heads_of(table)
    for row, columns in at:
        above = " to ".join(dict.fromkeys(heads.get(c, "") for c in sorted(columns)))
        if _names(above, added):
            moves = [(row, tuple(c + by for c in columns)) for by in sorted(range(-max(heads), max(heads)), key=abs)]
            found = {
                " to ".join(dict.fromkeys(heads[c] for c in sorted(cs))): (r, cs)
                for r, cs in moves
                if all(c in heads for c in cs)
            }
            return _worded("column", above, found, table, asked, meant)
        if _names(table[row][0], added):
            nearest = sorted(range(len(table)), key=lambda r: abs(r - row))
            found = {}
            for r in nearest:
                found.setdefault(table[r][0].strip(), (r, columns))
            return _worded("row", table[row][0].strip(), found, table, asked, meant)
    raise UnusableError("no head of the table tells what the reply adds")


def _worded(
    name: str, own: str, found: dict[str, Place], table: Table, asked: _Turn, meant: _Turn
) -> list[Interpretation]:
    """The readings of the places under some heads, the recorded one (``own``) first."""
    # Heads that the question could mean have the words of it that the recorded one has.
    common = {word for word in _words(own) & _words(asked.resolved) if len(word) > 2}
    figures: dict[str, tuple[str, ...]] = {own: meant.answers}
    for head, (row, columns) in found.items():
        value = meant.formula.value(table[row], columns)
        if head and head != own and value is not None and common <= _words(head):
            figures[head] = _figure(table[row][columns[0]] if meant.formula.single else value, meant.scale)
    if len(figures) < 2:
        raise UnusableError("no other figure in the row or column")
    if len({number(answers[0]) for answers in figures.values()}) < len(figures):
        raise UnusableError("readings of equal figures")
    said = {head: " ".join(head.replace(";", " ").replace(": ", " ").split()) for head in figures}
    return [
        Interpretation(
            label=said[head],
            text=meant.resolved if head == own else f"{asked.resolved.rstrip('?. ')}: {said[head]}?",
            answers=answers,
            weight=1 / len(figures),
            attributes=((name, said[head]),),
        )
        for head, answers in figures.items()
    ]


def _words(text: str) -> set[str]:
    return set(normalize(text).split())


def _names(head: str, added: set[str]) -> bool:
    """Whether the words that a reply adds name a head: they hold a number or a word of three letters of it."""
    return any(word in added for word in _words(head) if len(word) > 2)


def _figure(cell: str, scale: str) -> tuple[str, ...]:
    """A figure in words: with its scale, or for a percentage with the sign, which is shorter."""
    said = " ".join(cell.replace(";", "").split())
    if scale == "percent" and "%" not in said:
        return f"{said}%", f"{said} percent"
    return (f"{said} {scale}".strip(),) if "%" not in said else (said,)


def _shown(dialogue: _Dialogue, turns: int, examples: str) -> str:
    table = "\n".join(" | ".join(" ".join(cell.split()) for cell in row) for row in dialogue.table)
    said = "\n".join(f"Q: {turn.question}\nA: {turn.raw}" for turn in dialogue.turns[:turns])
    return "\n\n".join(part for part in (table, "\n".join(dialogue.text), said, examples) if part)


def _examples(dialogues: list[_Dialogue], count: int) -> str:
    """Recorded clarifying questions, one a table, with the question that was asked."""
    asked = [next((turn for turn in dialogue.turns if turn.asks_back), None) for dialogue in dialogues]
    shown = [f"Q: {turn.question}\nAsked back: {turn.raw}" for turn in asked if turn][:count]
    return "\n".join(["Of other tables:", *shown]) if shown else ""


def _load(path: str) -> list[_Dialogue]:
    """Reads the file.

    Raises:
        ValueError: With the file, the record and the field that is wrong.
    """
    dialogues: list[_Dialogue] = []
    seen: dict[str, str] = {}
    for number_, record in enumerate(typed(load_json(path), list, path, "the whole"), 1):
        where = f"{path}, record {number_}"
        table = field(record, "table", dict, where)
        key = field(table, "uid", str, where, "table")
        if (first := seen.setdefault(key, where)) != where:
            raise ValueError(f"{where}: table.uid {key!r} stands for a table already, at {first}")
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
        if double := [uid for uid, count in Counter(ids).items() if count > 1]:
            raise ValueError(f"{where}: questions: uid {double[0]!r} stands twice")
        dialogues.append(_Dialogue(key, rows, texts, turns))
    return dialogues


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
        shown = value if isinstance(value, str) else f"{typed(value, float, where, f'{name}.answer'):.10g}"
        if number(shown) is None:
            raise ValueError(f"{where}: {name}.answer must be a number, not {shown!r}")
        spans = (shown,)
    else:
        raise ValueError(f"{where}: {name}.answer_type must be one of {', '.join(_TYPES)}, not {kind!r}")
    worded = [_figure(span, scale) if number(span) is not None else (f"{span} {scale}".rstrip(),) for span in spans]
    answers = tuple("; ".join(said) for said in zip(*worded, strict=False))
    derivation = field(turn, "derivation", str, where, name)
    if kind == "span" and len(spans) == 1:
        derivation = spans[0]
    formula = formula_of(derivation, spans[0], scale if kind == "arithmetic" else "") if kind != "multi-span" else None
    return _Turn(question, resolved, answers, asks_back, formula, scale, "; ".join(spans))
