"""The `preferences` task: requests whose best answer depends on who asks (the setting of STaR-GATE, arXiv 2403.19154).

"Suggest a dinner." has an answer for every persona, such as "vegan spicy cheap". The assistant knows the possible
personas and their probabilities, but not which of them asks. It may ask about one attribute at a time; the score of an
answer is the share of preferences that it satisfies (token F1).
"""

from itertools import product

import numpy as np

from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Interpretation, Task, register
from clarify_env.tasks.profiles import geometric

_SPLITS = ("train", "validation", "test")
# Domains: wordings of the query, and the values of each attribute; no value occurs twice in a domain.
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
# Ratio of each persona's weight to the next one.
_SKEWS = (1.1, 1.6, 2.5)


@register
class Preferences(Task):
    """Requests of hidden personas; the score is token F1 between an answer and the persona's preferences.

    Every episode draws its personas and their weights, which the context states to the assistant alone. Personas differ
    in their attributes. A question about one attribute splits them, and several questions may be needed: the user
    replies to the first attribute that a question names, and to nothing else.

    Args:
        world_seed: Seed of all episodes.
        train: Number of episodes for training.
        validation: Number of episodes for validation.
        test: Number of episodes for test.
        personas: Largest number of personas of a request, 2 to 5.
        attributes: Number of attributes of a request, 2 or 3.

    Version history: 1, first version.
    """

    name = "preferences"
    version = 1
    metric = "f1"
    attributes = {name: (name,) for _, values in DOMAINS.values() for name in values}
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
        wordings, attributes = DOMAINS[domain]
        names = [list(attributes)[i] for i in np.sort(rng.permutation(len(attributes))[: self.count])]
        possible = list(product(*(attributes[name] for name in names)))
        count = int(rng.integers(1, min(self.personas, len(possible)) + 1))
        personas = [possible[i] for i in rng.permutation(len(possible))[:count]]
        weights = geometric(count, _SKEWS[rng.integers(len(_SKEWS))])
        query = wordings[rng.integers(len(wordings))]
        readings = tuple(
            Interpretation(
                label=" ".join(values),
                text=f"{query} Preferred: {', '.join(f'{n} {v}' for n, v in zip(names, values, strict=True))}.",
                answers=(" ".join(values),),
                weight=weight,
                attributes=tuple(zip(names, values, strict=True)),
            )
            for values, weight in zip(personas, weights, strict=True)
        )
        lines = [f"{round(100 * r.weight)}%: {', '.join(' '.join(pair) for pair in r.attributes)}" for r in readings]
        context = "\n".join(["Who asks this:", *lines])
        return Episode(f"{split}/{index}", query, context, readings, {"entity": f"{split}/{index}", "domain": domain})

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """Value of the first attribute that a question names, directly or by one of its values."""
        values_meant = dict(episode.interpretations[intent].attributes)
        values = {value.lower(): attribute for r in episode.interpretations for attribute, value in r.attributes}
        attribute_of = {attribute: attribute for attribute in values_meant} | values
        name = next((attribute_of[word] for word in normalize(question).split() if word in attribute_of), None)
        return NOT_UNDERSTOOD if name is None else f"The {values_meant[name]} one."

    def questions(self, episode: Episode) -> list[str]:
        """One question per attribute."""
        return [self.ask_attribute(name) for name, _ in episode.interpretations[0].attributes]
