"""Formats numbers, and chooses the columns of tables from the entries of ``summary.json``."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MODES = {"temperature": "temperature 1", "greedy": "greedy"}
# Values of ``reasoning``, an entry of summaries whose games allowed text before the tag.
REASONING = {"free": "reasoning before the tag: free", "charged": "reasoning before the tag: charged at beta"}
# What a dash under "gap closed" means.
NO_GAP = "gap closed –: the best fixed strategy earns as much as the oracle, so there is no gap to close"
# Numbers of an entry that are not measures of the game.
_REWARDS = ("reward", "oracle", "regret", "regret_action", "gap_closed", "dominance")


class Column(NamedTuple):
    """A column of a table for one measure.

    Attributes:
        name: Key in the entries.
        title: Title of the column.
        places: Decimal places.
        percent: Whether the value is a fraction, printed in percent.
        terminal: Whether the table on the terminal has the column.
    """

    name: str
    title: str
    places: int = 3
    percent: bool = False
    terminal: bool = True

    def text(self, entry: Mapping[str, Any], interval: bool = False) -> str:
        """Formats the measure of an entry, with its interval if that is wanted and known; a dash if there is none."""
        value, bounds = entry.get(self.name), entry.get(f"{self.name}_ci")
        if interval and bounds is not None:
            return f"{self._number(value)} ({' to '.join(map(self._number, bounds))})"
        return self._number(value)

    def _number(self, value: float | None) -> str:
        return percent(value, places=self.places) if self.percent and value is not None else fixed(value, self.places)


class Columns(NamedTuple):
    """Columns of a table of behaviour, from left to right.

    Attributes:
        before: Measures before the shares.
        actions: Kinds of first messages, including ``invalid``.
        after: Measures after the shares.
    """

    before: tuple[Column, ...]
    actions: tuple[str, ...]
    after: tuple[Column, ...]


# Columns before and after the shares, by game. Other games have all measures before the shares, in the data's order.
_CHOSEN = {
    "clarification": (
        (Column("accuracy", "accuracy"), Column("questions", "questions", 2), Column("words", "words", 1)),
        (
            Column("optimal_match", "optimal match %", 1, percent=True),
            Column("ungrounded", "ungrounded %", 1, percent=True, terminal=False),
            Column("leak", "leak %", 1, percent=True, terminal=False),
            Column("action_f1", "action F1"),
            Column("asked_accuracy", "accuracy asked"),
            Column("similarity", "similarity"),
            Column("gold_logprob", "gold log-prob"),
        ),
    ),
    "pandora": (
        (Column("score", "score"), Column("looks", "looks", 2)),
        (
            Column("optimal_match", "optimal match %", 1, percent=True),
            Column("optimal_game", "optimal game %", 1, percent=True),
            Column("decisions", "decisions", 2, terminal=False),
        ),
    ),
    "interview": (
        (
            Column("accuracy", "accuracy"),
            Column("questions", "questions", 2),
            Column("oracle_questions", "oracle's questions", 2),
            Column("words", "words", 1),
        ),
        (
            Column("optimal_match", "optimal match %", 1, percent=True),
            Column("stopped_early", "stopped early %", 1, percent=True),
            Column("asked_late", "asked late %", 1, percent=True),
            Column("question_worth", "worth of a question"),
            Column("worth_paid", "worth of price %", 0, percent=True),
            *(Column(f"accuracy_{n}", f"accuracy after {n}", terminal=False) for n in range(3)),
            Column("accuracy_3", "accuracy after 3+", terminal=False),
            Column("leak", "leak %", 1, percent=True, terminal=False),
        ),
    ),
    "helpers": (
        (Column("f1", "F1"), Column("em", "exact"), Column("calls", "calls", 2)),
        (
            Column("optimal_match", "optimal match %", 1, percent=True),
            Column("calls_known", "calls, memory right", 2),
            Column("calls_partly", "in part", 2),
            Column("calls_unknown", "wrong", 2),
            Column("call_auroc", "call AUROC"),
            Column("asserted_accuracy", "accuracy asserted"),
            Column("hedged_accuracy", "accuracy hedged"),
            Column("hedge_auroc", "hedge AUROC"),
            Column("hedge_ece", "hedge ECE"),
            Column("trust", "trust", terminal=False),
            Column("any_right", "a helper is right", terminal=False),
            Column("asserted_known", "asserted, memory right", terminal=False),
            Column("asserted_unknown", "asserted, elsewhere", terminal=False),
        ),
    ),
}


def columns(game: str, entries: Iterable[Mapping[str, Any]]) -> Columns:
    """Chooses the columns of a table of behaviour.

    Args:
        game: Name of the game.
        entries: All entries of ``summary.json`` in the table.
    """
    entries = list(entries)
    actions = tuple(dict.fromkeys(name for entry in entries for name in entry["share"]))
    names = dict.fromkeys(name for entry in entries for name in measures(entry))
    if game in _CHOSEN:
        before, after = (tuple(column for column in side if column.name in names) for side in _CHOSEN[game])
        return Columns(before, actions, after)
    return Columns(tuple(Column(name, name.replace("_", " ")) for name in names), actions, ())


def measures(entry: Mapping[str, Any]) -> list[str]:
    """Returns the names of a game's measures in an entry, in order: all numbers that are not rewards."""
    numbers = [name for name, value in entry.items() if value is None or isinstance(value, (int, float))]
    return [name for name in numbers if name not in _REWARDS]


def fixed(value: float | None, places: int = 3) -> str:
    """Formats a number with fixed decimal places, zero without a sign; ``None`` becomes a dash."""
    return "–" if value is None else f"{value:z.{places}f}".replace("-", "−")


def percent(value: float, of: float = 1.0, places: int = 0) -> str:
    """Formats 100 value / of; a dash where ``of`` is not positive."""
    return fixed(100 * value / of if of > 0 else None, places)


def settings_text(settings: Mapping[str, Any]) -> str:
    """Formats a player's settings on one line; what is not set is left out."""
    shown = {name: value for name, value in settings.items() if value not in (None, {}, False)}
    return ", ".join(
        f"{name} {settings_text(value) if isinstance(value, Mapping) else value}" for name, value in shown.items()
    )
