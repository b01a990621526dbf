"""The `almanac` task: a procedural world in which one name stands for several things.

"Who designed Ashford?" has a different answer for the film, the bridge and the school of that name. The readings are
weighted, differ in kind, era and place, and often only one of the three tells them apart, so that *what* is asked
matters as much as *whether*. Everything follows from ``world_seed``; the facts are parametric knowledge, meant to be
learned in pretraining (DESIGN section 5).
"""

from functools import cached_property

import numpy as np

from clarify_env.tasks import almanac_words as words
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.tasks.profiles import ANY, LONG, SHORT, draw_length, geometric

# What names are like: (share, readings, how much likelier each reading is than the next, lengths). The shares come of a
# linear program over many such profiles (as in benchmarks/profiles.py): each action is the oracle's on a fifth of the
# grid where steering is measured; no fixed strategy earns more than 88 % of the oracle between, 94 % beyond one maximum
# or 81 % beyond both (`python -m clarify_env.games.clarification task=almanac` prints the map); and what the oracle
# does hangs neither on corners of the plane nor on costs beyond the trained ones.
PROFILES = (
    (0.08, 1, 1.0, ANY),
    (0.37, 2, 1.05, SHORT),
    (0.05, 3, 1.05, SHORT),
    (0.07, 3, 1.05, LONG),
    (0.27, 4, 4.0, LONG),
    (0.16, 5, 3.0, LONG),
)
# In this share of ambiguous names one attribute tells all readings apart and the other two none; in the rest a second
# one tells some apart.
LONE_ATTRIBUTE = 0.5


@register
class Almanac(Task):
    """Ambiguous names of a made-up world; each name is asked about twice.

    Args:
        world_seed: Everything in the world follows from it, the splits included.
        train_names: Names in the train split.
        validation_names: Names in the validation split.
        test_names: Names in the test split.
        metric: ``"em"`` or ``"f1"``.

    Version history: 1, first version; 2, other profiles, answers from pools; 3, other
    profiles.
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
        rng = np.random.default_rng(self.world_seed)
        names = [words.NAMES[i] for i in rng.permutation(len(words.NAMES))]
        world = {}
        for split, count in self._counts.items():
            chosen, names = names[:count], names[count:]
            # Every split holds the same mix, so that what is chosen on one is not chosen for its luck.
            exact = count * np.cumsum([profile[0] for profile in PROFILES])
            kinds = rng.permutation(np.searchsorted(exact.round(), np.arange(count), side="right"))
            questions = [
                question
                for name, kind in zip(chosen, kinds, strict=True)
                for question in _entity(name, PROFILES[kind], rng)
            ]
            world[split] = [episode._replace(id=f"{split}/{i}") for i, episode in enumerate(questions)]
        return world

    def _episode(self, split: str, index: int) -> Episode:
        return self._world[split][index]


def _entity(name: str, profile: tuple, rng: np.random.Generator) -> list[Episode]:
    """Draws a name's readings and the two questions asked about it."""
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
    """Draws the readings' attributes; returns with them the one that tells all readings apart."""
    order = [list(words.VALUES)[i] for i in rng.permutation(len(words.VALUES))]
    key, second = order[0], order[1]
    values = {}
    for attribute, pool in words.VALUES.items():
        drawn = [pool[i] for i in rng.choice(len(pool), size=n, replace=False)]
        values[attribute] = drawn if attribute == key else [drawn[0]] * n
        if attribute == second and n > 1 and rng.random() >= LONE_ATTRIBUTE:
            # Tells the readings into two groups: asked about, it helps, but less than the key.
            cut = int(rng.integers(1, n))
            values[attribute] = [drawn[0]] * cut + [drawn[1]] * (n - cut)
    return key, [{attribute: values[attribute][i] for attribute in words.VALUES} for i in range(n)]
