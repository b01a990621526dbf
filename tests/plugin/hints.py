"""Hints: a describer who knows which object is meant, and a guesser who does not."""

import numpy as np

from clarify_env.games.base import Game, Result
from clarify_env.games.description import Description
from clarify_env.scores.answers import exact_match, normalize
from clarify_env.tasks.base import Episode, Interpretation, Task, register
from clarify_env.words import count_words

OBJECTS = ("apple", "boat", "candle", "drum", "engine", "fence", "guitar", "hammer")


@register
class Objects(Task):
    """Four objects an episode, one of which is meant."""

    name = "objects"
    sizes = {"train": 100, "validation": 20, "test": 20}

    def _episode(self, split, index):
        rng = np.random.default_rng([list(self.sizes).index(split), index])
        names = rng.choice(OBJECTS, size=4, replace=False).tolist()
        readings = tuple(Interpretation(name, f"the {name}", (name,), 0.25) for name in names)
        return Episode(f"{split}/{index}", "Which object?", "", readings, {"entity": f"{split}/{index}"})


class HintsGame(Game):
    """The describer says something about the object, the guesser names one; the object's name is taboo."""

    name = "hints"
    roles = ("describer", "guesser")

    def __init__(self, task, episode, hidden=0, prices=(0.0,), **options):
        super().__init__(task, episode, hidden, prices, **options)
        self.to_move = "describer"

    def facts(self, role, prices):
        names = ", ".join(reading.label for reading in self.episode.interpretations)
        if role == "guesser":
            return f"Objects: {names}. Name the one that is described."
        if role == "describer":
            return f"Describe the {self._meant}, one of {names}. A word costs {prices[0]:g}."
        raise ValueError(f"hints has no role {role!r}")

    @property
    def _meant(self):
        return self.episode.interpretations[self.hidden].label

    def move(self, role, text):
        self.say(role, text)
        if role == "describer":
            self.to_move = "guesser"
            return
        hint = self.heard(role)[0].text
        taboo = self._meant in normalize(hint).split()
        score = 0.0 if taboo else exact_match(text or "", [self._meant])
        # The describer pays for its words; the guesser does not.
        guesser = Result(score, {"words": 0}, {"taboo": taboo})
        self.result = Result(score, {"words": count_words(hint)}, {"taboo": taboo}, {"guesser": guesser})


class Hints(Description):
    """What environments, self-play, trainers and reports ask of the game."""

    name, game = "hints", HintsGame
    learns = ("describer", "guesser")
    usage, priced = ("words",), ("describer",)
    blind = ("guesser",)

    def weights(self, episode):
        return tuple(reading.weight for reading in episode.interpretations)
