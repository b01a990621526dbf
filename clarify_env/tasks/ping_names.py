"""The name game: each player holds a table of records; exactly one record is in both (docs/games/ping.md).

Every other record of Bob's differs from one of Alice's in a single field, so that all fields must be compared.
"""

from collections.abc import Sequence

import numpy as np

from clarify_env.options import whole_number
from clarify_env.tasks.base import Episode, register
from clarify_env.tasks.private import PrivateTask, private_episode

# Values of each field: words that occur in no other field.
FIELDS = (
    "amber azure black brown coral cream green ivory khaki lilac ochre olive pearl umber violet white",
    "badger beaver bison camel cobra eagle falcon gecko heron jackal lemur otter panda raven tiger zebra",
    "baker barber carver cooper dyer farmer glazier joiner mason miller painter potter sailor tailor tanner weaver",
    "athens berlin cairo delhi geneva havana lagos lima madrid nairobi oslo paris quito rome tokyo vienna",
    "apple cherry date fennel ginger lemon mango nutmeg onion peach pepper quince radish sorrel thyme walnut",
    "april autumn dawn dusk friday july june monday morning night noon spring summer sunday winter weekend",
)
VALUES = tuple(tuple(words.split()) for words in FIELDS)
Record = tuple[str, ...]
# Near misses of a record that are tried before a whole table is drawn anew.
_TRIES = 1000
# Each record is compared with all others.
MOST_RECORDS = 300


@register
class PingNames(PrivateTask):
    """Tables of records that share one record; Alice's are in ascending order, Bob's in descending order.

    Args:
        records: Records of each table.
        fields: Fields of each record.
        values: Different values of each field; more records want more.
        world_seed: Tables follow from it, never from ``seed``.
        validation: Episodes of the validation split.
        test: Episodes of the test split; the train split is endless.
    """

    name = "ping_names"
    example = "amber badger baker"
    rules = {
        "alice": "You and your partner each hold a table of records. Exactly one record is in both tables; many others "
        "differ in a single field. Find out which one by talking, then name it.",
        "bob": "You and your partner each hold a table of records. Exactly one record is in both tables; many others "
        "differ in a single field. Find out which one by talking, then name it.",
    }

    def __init__(
        self,
        records: int = 9,
        fields: int = 3,
        values: int = 8,
        world_seed: int = 0,
        validation: int = 200,
        test: int = 400,
    ) -> None:
        self.records = whole_number("task.records", records, least=2)
        self.fields = whole_number("task.fields", fields, least=3)
        self.values = whole_number("task.values", values, least=2)
        if self.fields > len(VALUES) or self.values > len(VALUES[0]):
            raise ValueError(f"task.fields must be at most {len(VALUES)}, and task.values at most {len(VALUES[0])}")
        if self.records > (most := min(self.values ** (self.fields - 1) // 6, MOST_RECORDS)):
            raise ValueError(
                f"task.records must be at most {most} with task.fields={fields} and task.values={values}, not {records}"
            )
        self._set_splits(world_seed, validation, test)

    def words(self) -> list[tuple[str, ...]]:
        """Returns the values of each field."""
        return [values[: self.values] for values in VALUES[: self.fields]]

    def _episode(self, split: str, index: int) -> Episode:
        rng, drawn = self._rng(split, index), None
        while drawn is None:
            drawn = self._draw(rng)
        own, twins = drawn
        order = sorted(range(self.records), key=lambda i: own[i])
        bobs = [table(sorted((own[i] if i == shared else twins[i] for i in order), reverse=True)) for shared in order]
        answers = [" ".join(own[i]) for i in order]
        query = "Which record is in both tables?"
        return private_episode(f"{split}/{index}", query, answers, table([own[i] for i in order]), bobs)

    def _draw(self, rng: np.random.Generator) -> tuple[list[Record], list[Record]] | None:
        """Draws the records and a near miss of each; ``None``: one of them seems to have none that is left."""
        own: list[Record] = []
        while len(own) < self.records:
            _add(own, own, tuple(str(rng.choice(values)) for values in self.words()))
        twins: list[Record] = []
        for record in own:
            others = [*(row for row in own if row != record), *twins]
            if not any(_add(twins, others, _changed(record, self.words(), rng)) for _ in range(_TRIES)):
                return None
        return own, twins


def table(records: list[Record]) -> str:
    """Writes records, one a line."""
    return "\n".join(map(" ".join, records))


def rows(text: str) -> list[Record]:
    """Reads a table."""
    return [tuple(line.split()) for line in text.splitlines()]


def agreeing(one: Record, other: Record) -> int:
    """Returns the number of fields in which two records agree."""
    return sum(a == b for a, b in zip(one, other, strict=False))


def _add(records: list[Record], others: list[Record], record: Record) -> bool:
    """Adds a record unless it agrees with another one in all fields but one, or in all; returns whether it did."""
    if any(agreeing(record, other) >= len(record) - 1 for other in others):
        return False
    records.append(record)
    return True


def _changed(record: Record, words: Sequence[tuple[str, ...]], rng: np.random.Generator) -> Record:
    """Returns a record with another value in one field."""
    field = int(rng.integers(len(record)))
    value = str(rng.choice([value for value in words[field] if value != record[field]]))
    return (*record[:field], value, *record[field + 1 :])
