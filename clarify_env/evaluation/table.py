"""The table of an evaluation: a row for each cost set, or for each vector of costs, with intervals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from clarify_env.costs import Prices
from clarify_env.evaluation.intervals import intervals
from clarify_env.evaluation.played import Played
from clarify_env.evaluation.reference import Reference
from clarify_env.evaluation.summary import summarize
from clarify_env.games.description import Description


class CostSet(NamedTuple):
    """The games of an agent at one set of costs.

    Attributes:
        name: Name of the set.
        costs: C vectors of costs.
        played: Its games on E episodes.
        against: Oracle and fixed strategies at the same costs; ``None``: the game has no oracle.
    """

    name: str
    costs: Sequence[Prices]
    played: Played
    against: Reference | None

    def at(self, index: int) -> "CostSet":
        """Returns the games at one vector of costs."""
        against = None if self.against is None else self.against.at([index])
        return CostSet(self.name, [self.costs[index]], self.played.at([index]), against)


class Table(Sequence[dict[str, Any]]):
    """Results of an agent: a sequence of rows, each a flat dictionary, as `pandas.DataFrame` takes it.

    A row holds:

    * ``costs``: name of the cost set; in `by_costs` also ``price_USAGE``, the costs themselves;
    * ``episodes``: number of episodes; ``games``: number of games played in the set;
    * ``reward``, and each measure of the game, such as ``accuracy``, ``questions`` and ``words``: means over episodes
      and costs, exact over what is hidden; ``NAME_low`` and ``NAME_high``: 95 % interval (bootstrap over entities);
    * ``share_ACTION``: share of first messages of each kind, in [0, 1]; ``share_invalid``: share of invalid games;
    * and, if the game has an oracle, ``oracle``, ``percent_of_oracle`` (100 reward / oracle), ``regret``,
      ``best_fixed`` (name of the fixed strategy with the highest reward), ``best_fixed_reward``, ``gap_closed`` (0: the
      reward of that strategy, 1: the oracle's; ``None``: both are equal), ``dominance``, and ``optimal_match`` (share
      of valid first messages whose action the oracle would take too, with its interval), as in a run's summary.

    A value is ``None`` where it is not defined. ``str(table)`` is a table for people.

    Attributes:
        title: Who played what.
        sets: The games at each cost set.
        episodes: The episodes.
        transcripts: Sampled games as dictionaries, each with the name of its cost set in ``set``.
        faults: Fault report of each role that is judged and not scripted (`FaultCounts.report`).

    Args:
        game: The game.
        title: Who played what.
        episodes: The episodes.
        sets: The games at each cost set.
        seed: Seed of the bootstrap.
        transcripts: Sampled games.
        priced: Whether each set is one vector of costs, which its row states.
        faults: Fault reports by role.
    """

    def __init__(
        self,
        game: Description,
        title: str,
        episodes: Sequence[Any],
        sets: Sequence[CostSet],
        seed: int,
        transcripts: Sequence[dict[str, Any]] = (),
        priced: bool = False,
        faults: Mapping[str, Any] | None = None,
    ):
        self.title, self.episodes, self.sets, self.transcripts = title, episodes, sets, list(transcripts)
        self.faults = dict(faults or {})
        self._game, self._seed, self._priced = game, seed, priced
        self._rows = [self._row(of_set) for of_set in sets]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as a list."""
        return list(self._rows)

    def by_costs(self) -> "Table":
        """Returns a table with a row for each vector of costs."""
        single = [of_set.at(index) for of_set in self.sets for index in range(len(of_set.costs))]
        return Table(self._game, self.title, self.episodes, single, self._seed, self.transcripts, True, self.faults)

    def _row(self, of_set: CostSet) -> dict[str, Any]:
        entry = summarize(self._game, of_set.played, of_set.against, self.episodes, self._seed)
        share, fixed = entry.pop("share"), entry.pop("fixed", None)
        match_bounds = entry.pop("optimal_match_ci", None) or (None, None)
        del entry["reward_ci"]
        row: dict[str, Any] = {"costs": of_set.name}
        if self._priced:
            row |= {f"price_{name}": price for name, price in zip(self._game.usage, of_set.costs[0], strict=True)}
        row |= {"episodes": len(self.episodes), "games": of_set.played.games}
        measured = [name for name in entry if name in of_set.played.values]
        bounds = intervals([of_set.played.values[name] for name in measured], self.episodes, self._seed)
        for name, value in entry.items():
            row[name] = value
            if name in measured:
                row[f"{name}_low"], row[f"{name}_high"] = bounds[measured.index(name)]
            elif name == "optimal_match":
                row[f"{name}_low"], row[f"{name}_high"] = match_bounds
        row |= {f"share_{action}": value for action, value in share.items()}
        if fixed is not None:
            row["percent_of_oracle"] = 100 * row["reward"] / row["oracle"] if row["oracle"] > 0 else None
            row["best_fixed"] = max(fixed, key=fixed.__getitem__)
            row["best_fixed_reward"] = fixed[row["best_fixed"]]
        return row

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    def __str__(self) -> str:
        columns = self._columns()
        lines = [list(columns)] + [[columns[name](row) for name in columns] for row in self._rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        return "\n".join([self.title, *(text.rstrip() for text in texts)])

    __repr__ = __str__

    def _columns(self) -> dict[str, Any]:
        """Returns the printed columns: title, and the text of a row."""
        first = self._rows[0] if self._rows else {}
        usage = self._game.usage
        columns: dict[str, Any] = {"costs": lambda row: row["costs"]}
        for name in usage if self._priced else ():
            columns[f"price of {name}"] = lambda row, name=name: f"{row[f'price_{name}']:g}"
        columns["reward"] = lambda row: _number(row["reward"])
        columns["95 % interval"] = lambda row: f"{row['reward_low']:z.3f} to {row['reward_high']:z.3f}"
        for name in _headline(first, usage):
            columns[name] = lambda row, name=name: _number(row[name], 2 if name in usage else 3)
        for name in first:
            if name.startswith("share_"):
                columns[f"{name.removeprefix('share_')} %"] = lambda row, name=name: _number(100 * row[name], 0)
        if "oracle" in first:
            columns["% of oracle"] = lambda row: _number(row["percent_of_oracle"], 1)
            columns["gap closed"] = lambda row: _number(row["gap_closed"], 2)
            columns["best fixed"] = lambda row: f"{row['best_fixed']} {_number(row['best_fixed_reward'])}"
        return columns


def _headline(row: dict[str, Any], usage: Sequence[str]) -> list[str]:
    """Returns the measures that are printed: the first one, which says how good the end was, and the usage."""
    measures = [name for name in row if f"{name}_low" in row and name != "reward"]
    return [name for name in measures if name == measures[0] or name in usage]


def _number(value: float | None, places: int = 3) -> str:
    return "–" if value is None else f"{value:z.{places}f}"
