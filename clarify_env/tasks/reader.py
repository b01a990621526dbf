"""Base class of tasks that read one data file: dropped records, splits, and the report on them."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from clarify_env.tasks.base import Episode, Task
from clarify_env.tasks.records import SPLITS, drawn_splits

Record = TypeVar("Record")


class PlacedRecord(Protocol):
    """A record that may state its split."""

    @property
    def where(self) -> str:
        """File and line, for errors."""
        ...

    @property
    def split(self) -> str | None:
        """The split that it states, if it does."""
        ...

    @property
    def entity(self) -> str:
        """What it is about; no entity is in two splits."""
        ...

    @property
    def episode(self) -> Episode:
        """Its episode."""
        ...


Placed = TypeVar("Placed", bound=PlacedRecord)

# Label of the only reading of a query: nothing distinguishes it, but lists need a label.
ONLY = "only"
_LOGGER = logging.getLogger(__name__)
MALFORMED = "not in the format"
# Largest number of malformed records that are named one by one, and of episodes in the report.
_MOST_NAMED = 10


class FileTask(Task):
    """Episodes from one data file.

    A record that is not in the format is dropped, counted and named in the log, or is an error if ``strict``. A correct
    record that cannot be played is dropped and counted by reason. If no record is in the format, the file is refused.

    Args:
        path: The file; it may be compressed by gzip.
        world_seed: Seed of the splits.
        strict: Whether a record that is not in the format is an error.

    Attributes:
        dropped: Number of dropped records by reason.
        equated: Ids of the episodes whose metric keeps symbols (`clarify_env.scores.metrics`).
    """

    #: Name of what the numbers of the report count.
    unit = "queries"

    def __init__(self, path: str | os.PathLike, world_seed: int, strict: bool):
        self.path, self.world_seed, self.strict = str(path), world_seed, strict
        self.dropped: Counter[str] = Counter()
        self.equated: tuple[str, ...] = ()
        self._total = 0
        self._malformed: list[str] = []
        self._unplayable: list[str] = []
        self._world: dict[str, list[Episode]] = {}

    def _read(
        self,
        values: Iterable[tuple[str, Any]],
        parse: Callable[[Any, str], Record],
        count: Callable[[Any], int] = lambda _: 1,
    ) -> list[Record]:
        """Parses the records of the file.

        Args:
            values: (file and line or record for error messages, value).
            parse: Makes a record of a value and its place; raises ValueError if it is not in the format.
            count: Number of units, as in the report, of a value.

        Raises:
            ValueError: A record is not in the format, and ``strict`` is set or no other one is.
        """
        records = []
        for where, value in values:
            self._total += count(value)
            try:
                records.append(parse(value, where))
            except ValueError as error:
                self._drop_malformed(error, count(value))
        if self._malformed and not records:
            raise ValueError(self._malformed[0])
        return records

    def _drop_malformed(self, error: ValueError, count: int = 1) -> None:
        """Counts a record that is not in the format; if ``strict``, raises its error."""
        if self.strict:
            raise error
        self._malformed.append(str(error))
        self.dropped[MALFORMED] += count

    def _drop_unplayable(self, where: str, reason: str) -> None:
        """Counts a correct record that cannot be played."""
        self.dropped[reason] += 1
        self._unplayable.append(f"{where}: {reason}")

    def _of_one_split(self, records: Sequence[Placed]) -> list[Placed]:
        """Returns the records that state a split, and the same one as the others of their entity; drops the rest.

        All records are returned if none states a split.
        """
        if all(record.split is None for record in records):
            return list(records)
        consistent: list[Placed] = []
        split_of: dict[str, str] = {}
        for record in records:
            if record.split is None:
                self._drop_malformed(ValueError(f"{record.where}: split is missing, which other lines have"))
            elif (known := split_of.setdefault(record.entity, record.split)) != record.split:
                self._drop_malformed(ValueError(f"{record.where}: entity {record.entity!r} is also in split {known}"))
            else:
                consistent.append(record)
        return consistent

    def _place(self, playable: Iterable[PlacedRecord], validation: float, test: float) -> dict[str, list[Episode]]:
        """Returns the episodes of each split: the one that a record states, else one drawn for its entity."""
        placed = list(playable)
        split_of = drawn_splits(list(dict.fromkeys(r.entity for r in placed)), validation, test, self.world_seed)
        world: dict[str, list[Episode]] = {split: [] for split in SPLITS}
        for record in placed:
            world[record.split or split_of[record.entity]].append(record.episode)
        return world

    def _settle(self, world: dict[str, list[Episode]], required: Sequence[str]) -> None:
        """Sets the episodes of the splits; splits without episodes do not exist.

        Args:
            world: Episodes by split; they are numbered here.
            required: Splits that must have episodes.

        Raises:
            ValueError: A required split has no episodes.
        """
        self._warn(self._malformed, "the record is dropped (task.strict=true makes this an error)", "dropped")
        self._warn(self._unplayable, "the record cannot be played and is left out", "left out")
        if empty := [split for split in required if not world[split]]:
            advice = f"give more {self.unit}, or leave a split out (task.validation=0, task.test=0 or 1)"
            raise ValueError(f"no {self.unit} are left for {', '.join(empty)} ({self.report()}); {advice}")
        self._world = {
            split: [episode._replace(id=f"{split}/{i}") for i, episode in enumerate(world[split])]
            for split in SPLITS
            if world[split]
        }
        self.sizes = {split: len(episodes) for split, episodes in self._world.items()}
        self.equated = tuple(
            episode.id
            for episodes in self._world.values()
            for episode in episodes
            if self.metric_of(episode) != self.metric
        )

    def _warn(self, messages: Sequence[str], consequence: str, state: str) -> None:
        """Names records in the log, the first ones one by one."""
        for message in messages[:_MOST_NAMED]:
            _LOGGER.warning("%s; %s", message, consequence)
        if len(messages) > _MOST_NAMED:
            _LOGGER.warning("%s: %d more records are %s", self.path, len(messages) - _MOST_NAMED, state)

    @property
    def usable(self) -> int:
        """Number of usable records, in units of the report."""
        return self._total - sum(self.dropped.values())

    def report(self) -> str:
        """One sentence on the numbers of usable and of dropped records, with reasons."""
        reasons = ", ".join(f"{reason} ({count})" for reason, count in self.dropped.most_common())
        text = f"{self.path}: {self.usable} of {self._total} {self.unit} usable; dropped: {reasons or 'none'}"
        if self.equated:
            named = ", ".join([*self.equated[:_MOST_NAMED], *(["…"] if len(self.equated) > _MOST_NAMED else [])])
            text += f"; the score keeps symbols, without which readings would share answers, in {len(self.equated)}: "
            text += named
        return text

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[split][index]
