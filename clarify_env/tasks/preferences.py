"""The `preferences` task: requests whose best answer depends on who asks (the setting of STaR-GATE, arXiv 2403.19154).

"Suggest a dinner." has an answer for every persona, such as "vegan spicy cheap". The assistant knows which personas ask
and how often, not which of them this one is. It may ask about one attribute at a time; what it answers is worth as much
as it satisfies.
"""

from itertools import product

import numpy as np

from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Interpretation, Task, register
from clarify_env.tasks.profiles import geometric

_SPLITS = ("train", "validation", "test")
# What is asked for, and the attributes that matter with their values; no value stands twice in a domain.
DOMAINS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "dinner": (
        ("Suggest a dinner.", "What should I cook tonight?"),
        {"diet": ("vegan", "fish", "meat"), "taste": ("mild", "spicy"), "budget": ("cheap", "lavish")},
    ),
    "trip": (
        ("Plan a weekend for me.", "Where should I go for a few days?"),
        {"place": ("seaside", "mountains", "city"), "company": ("alone", "family"), "travel": ("train", "plane")},
    ),
    "film": (
        ("What should I watch?", "Recommend a film."),
        {"genre": ("comedy", "thriller", "drama"), "length": ("short", "epic"), "language": ("French", "Japanese")},
    ),
    "gift": (
        ("I need a present.", "What can I bring to the party?"),
        {"age": ("child", "adult", "senior"), "use": ("practical", "decorative"), "budget": ("modest", "generous")},
    ),
    "exercise": (
        ("How do I get fit?", "Give me a workout."),
        {"goal": ("strength", "endurance", "balance"), "place": ("home", "outdoors"), "time": ("daily", "weekly")},
    ),
    "book": (
        ("What should I read next?", "Find me a book."),
        {"subject": ("history", "science", "poetry"), "mood": ("light", "serious"), "format": ("audio", "paper")},
    ),
}
# How much likelier each persona is than the next.
_SKEWS = (1.1, 1.6, 2.5)


@register
class Preferences(Task):
    """Requests of hidden personas, scored by how much of a persona's preferences an answer names (token F1).

    Every episode draws anew which personas ask and how often; the context says so, to the assistant alone. All differ
    in their attributes, so a question about one attribute parts them, and several may be needed: the user answers what
    is asked first and no more, whatever else a question offers.

    Args:
        world_seed: Everything follows from it.
        train: Episodes for training.
        validation: Episodes for validation.
        test: Episodes for test.
        personas: Most personas of a request, at least 2.
        attributes: Attributes that matter, 2 or 3.

    Version history: 1, first version.
    """

    name = "preferences"
    version = 1
    metric = "f1"
    attributes = {name: (name,) for _, its in DOMAINS.values() for name in its}
    pretraining = ("train",)

    def __init__(
        self,
        world_seed: int = 0,
        train: int = 2000,
        validation: int = 200,
        test: int = 400,
        personas: int = 4,
        attributes: int = 3,
    ):
        if not 2 <= personas <= 5:
            raise ValueError(f"task.personas must lie in 2 to 5, not {personas}")
        if attributes not in (2, 3):
            raise ValueError(f"task.attributes must be 2 or 3, not {attributes}")
        if min(train, validation, test) < 1:
            raise ValueError(f"task preferences needs episodes in each split, not {train}, {validation} and {test}")
        self.world_seed, self.personas, self.count = world_seed, personas, attributes
        self.sizes = {"train": train, "validation": validation, "test": test}

    def _episode(self, split: str, index: int) -> Episode:
        rng = np.random.default_rng([self.world_seed, _SPLITS.index(split), index])
        domain = list(DOMAINS)[rng.integers(len(DOMAINS))]
        asks, attributes = DOMAINS[domain]
        names = [list(attributes)[i] for i in np.sort(rng.permutation(len(attributes))[: self.count])]
        everyone = list(product(*(attributes[name] for name in names)))
        count = int(rng.integers(1, min(self.personas, len(everyone)) + 1))
        chosen = [everyone[i] for i in rng.permutation(len(everyone))[:count]]
        weights = geometric(count, _SKEWS[rng.integers(len(_SKEWS))])
        query = asks[rng.integers(len(asks))]
        readings = tuple(
            Interpretation(
                label=" ".join(values),
                text=f"{query} Preferred: {', '.join(f'{n} {v}' for n, v in zip(names, values, strict=True))}.",
                answers=(" ".join(values),),
                weight=weight,
                attributes=tuple(zip(names, values, strict=True)),
            )
            for values, weight in zip(chosen, weights, strict=True)
        )
        shown = [f"{round(100 * r.weight)}%: {', '.join(' '.join(pair) for pair in r.attributes)}" for r in readings]
        context = "\n".join(["Who asks this:", *shown])
        return Episode(f"{split}/{index}", query, context, readings, {"entity": f"{split}/{index}", "domain": domain})

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """The value of the first attribute that a question names, or a value of which it offers; nothing more."""
        meant = dict(episode.interpretations[intent].attributes)
        values = {value.lower(): name for r in episode.interpretations for name, value in r.attributes}
        about = {name: name for name in meant} | values
        asked = next((about[word] for word in normalize(question).split() if word in about), None)
        return NOT_UNDERSTOOD if asked is None else f"The {meant[asked]} one."

    def questions(self, episode: Episode) -> list[str]:
        """One question an attribute."""
        return [self.ask_attribute(name) for name, _ in episode.interpretations[0].attributes]
