"""The `almanac` task: a procedural world in which one name stands for several things.

"Who designed Ashford?" has a different answer for the film, the bridge and the school of that name. The readings have
weights and differ in kind, era and place; often only one of these attributes separates all readings, so *what* to ask
matters as much as *whether* to ask. Everything follows from ``world_seed``; the facts are parametric knowledge, to be
learned in pretraining (docs/design.md).
"""

from functools import cached_property, lru_cache

import numpy as np

from clarify_env.tasks import almanac_words as words
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.profiles import ANY, LONG, SHORT, draw_length, geometric

# Profiles of names: (share, number of readings, ratio of each weight to the next one, lengths of the answers). The
# shares are the solution of a linear program over many profiles (docs/results.md, "Cost planes").
PROFILES = (
    (0.08, 1, 1.0, ANY),
    (0.37, 2, 1.05, SHORT),
    (0.05, 3, 1.05, SHORT),
    (0.07, 3, 1.05, LONG),
    (0.27, 4, 4.0, LONG),
    (0.16, 5, 3.0, LONG),
)
# Share of ambiguous names where one attribute separates all readings and the other two none; for the other names a
# second attribute separates some readings.
LONE_ATTRIBUTE = 0.5


@register
class Almanac(Task):
    """Ambiguous names of a procedural world, with two queries about each name.

    Args:
        world_seed: Seed of the whole world, including the splits.
        train_names: Number of names in the train split.
        validation_names: Number of names in the validation split.
        test_names: Number of names in the test split.
        metric: ``"em"`` or ``"f1"``.

    Version history: 1, first version; 2, other profiles, answers from pools; 3, other profiles.
    """

    name = "almanac"
    version = 3
    attributes = words.CUES

    def __init__(
        self,
        world_seed: int = 0,
        train_names: int = 180,
        validation_names: int = 50,
        test_names: int = 150,
        metric: str = "em",
    ):
        counts = {"train": train_names, "validation": validation_names, "test": test_names}
        if sum(counts.values()) > len(words.NAMES) or min(counts.values()) < 1:
            raise ValueError(f"task almanac has {len(words.NAMES)} names to share among its splits, not {counts}")
        if metric not in ("em", "f1"):
            raise ValueError(f"task.metric must be em or f1, not {metric!r}")
        self.world_seed, self.metric, self._counts = world_seed, metric, counts
        self.sizes = {split: 2 * count for split, count in counts.items()}

    @cached_property
    def _world(self) -> dict[str, list[Episode]]:
        return _world(self.world_seed, tuple(self._counts.items()))

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[split][index]


@lru_cache(maxsize=4)  # drawing the default world takes 0.1 s, and a process makes the task several times
def _world(seed: int, counts: tuple[tuple[str, int], ...]) -> dict[str, list[Episode]]:
    """Draws the episodes of each split."""
    rng = np.random.default_rng(seed)
    names = [words.NAMES[i] for i in rng.permutation(len(words.NAMES))]
    world = {}
    for split, count in counts:
        names_of_split, names = names[:count], names[count:]
        # Every split has the same shares of profiles, so that choices made on one split hold on the others.
        exact = count * np.cumsum([profile[0] for profile in PROFILES])
        kinds = rng.permutation(np.searchsorted(exact.round(), np.arange(count), side="right"))
        queries = [
            query
            for name, kind in zip(names_of_split, kinds, strict=True)
            for query in _entity(name, PROFILES[kind], rng)
        ]
        world[split] = [episode._replace(id=f"{split}/{i}") for i, episode in enumerate(queries)]
    return world


def _entity(name: str, profile: tuple, rng: np.random.Generator) -> list[Episode]:
    """Draws the readings of a name and two queries about it."""
    _, n, skew, lengths = profile
    weights = geometric(n, skew)
    key, attributes = _attributes(n, rng)
    episodes = []
    for relation in rng.choice(len(words.RELATIONS), size=2, replace=False):
        asks, answers_of = words.RELATIONS[relation]
        ask = asks[rng.integers(len(asks))]
        pool = answers_of[draw_length(lengths, rng) - 1]
        answers = [pool[i] for i in rng.choice(len(pool), size=n, replace=False)]
        readings = tuple(
            Interpretation(
                label=values[key],
                text=ask.format(f"the {values['era']} {values['kind']} {name} in {values['place']}"),
                answers=(gold, *words.aliases(gold)),
                weight=weight,
                attributes=tuple(values.items()),
            )
            for values, gold, weight in zip(attributes, answers, weights, strict=True)
        )
        episodes.append(Episode("", ask.format(name), "", readings, {"entity": name, "key": key}))
    return episodes


def _attributes(n: int, rng: np.random.Generator) -> tuple[str, list[dict[str, str]]]:
    """Draws the attributes of n readings; returns (name of the attribute that separates all, attributes)."""
    order = [list(words.VALUES)[i] for i in rng.permutation(len(words.VALUES))]
    key, second = order[0], order[1]
    values = {}
    for attribute, pool in words.VALUES.items():
        options = [pool[i] for i in rng.choice(len(pool), size=n, replace=False)]
        values[attribute] = options if attribute == key else [options[0]] * n
        if attribute == second and n > 1 and rng.random() >= LONE_ATTRIBUTE:
            # Splits the readings into two groups: a question about it helps, but less than one about the key.
            cut = int(rng.integers(1, n))
            values[attribute] = [options[0]] * cut + [options[1]] * (n - cut)
    return key, [{attribute: values[attribute][i] for attribute in words.VALUES} for i in range(n)]
