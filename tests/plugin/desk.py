"""Desk: an asker and two helpers, who answer in private and may look things up at a price."""

from dataclasses import dataclass
from typing import NamedTuple

from clarify_env.games.base import Game, Reply, Result
from clarify_env.games.description import Description
from clarify_env.scores.answers import exact_match
from clarify_env.tasks.base import Episode, Interpretation, Task, register

# Sentences that ask for the tree of a town.
ASK = ("Which tree stands in {}?", "What is the tree of {}?", "Name the tree of {}.", "{}: which tree?")
TOWNS = {"Alder": "oak", "Birch": "elm", "Cedar": "ash", "Dover": "fir", "Esker": "fir", "Fjord": "elm"}
HELPERS = ("helper_0", "helper_1")


@register
class Trees(Task):
    """Which tree stands on the square of a town."""

    name = "trees"
    sizes = {"train": 100, "validation": 20, "test": 20}

    def _episode(self, split, index):
        towns = {"train": ["Alder", "Birch", "Cedar", "Dover"], "validation": ["Esker"], "test": ["Fjord"]}[split]
        town = towns[index % len(towns)]
        reading = Interpretation(town, f"the tree of {town}", (TOWNS[town],), 1.0)
        query = f"Ticket {index}. {ASK[index % len(ASK)].format(town)}"
        return Episode(f"{split}/{index}", query, "", (reading,), {"entity": town})


class Facts(NamedTuple):
    """What a role knows: its brief, and, as helper, whether its book holds the answer."""

    brief: str
    note: str = ""

    def __str__(self):
        return f"{self.brief} {self.note}".strip()


class DeskGame(Game):
    """The asker hears two helpers, who do not hear each other; one of them, drawn, remembers the answer."""

    name = "desk"
    roles = ("asker", *HELPERS)

    def __init__(self, task, episode, hidden=0, prices=(0.0,), most_calls=1):
        super().__init__(task, episode, hidden, prices, most_calls=most_calls)
        self.to_move, self._calls = "helper_0", dict.fromkeys(HELPERS, 0)

    def facts(self, role, prices):
        if role == "asker":
            return Facts(f"{self.episode.query} Answer in one word, from what the helpers say.")
        if role == "book":
            return Facts("Looks up towns.")
        if role not in HELPERS:
            raise ValueError(f"desk has no role {role!r}")
        knows = role == HELPERS[self.hidden]
        note = f"You remember: {self.episode.interpretations[0].answers[0]}." if knows else ""
        return Facts(f"{self.episode.query} Say the tree, or LOOKUP for {prices[0]:g}.", note)

    def move(self, role, text):
        if role == "book":
            self.say("book", text, (self._caller,))
            self.to_move = self._caller
        elif role == "asker":
            self.say("asker", text)
            score = exact_match(text or "", self.episode.interpretations[0].answers)
            calls = {helper: Result(score, {"calls": n}, {}) for helper, n in self._calls.items()}
            self.result = Result(score, {"calls": sum(self._calls.values())}, {}, calls)
        elif (text or "").startswith("LOOKUP") and self._calls[role] < self.options["most_calls"]:
            self._calls[role] += 1
            self._caller, self.to_move = role, "book"
            self.say(role, self.episode.interpretations[0].label, ("book",))
        else:
            self.say(role, text, ("asker",))
            self.to_move = "helper_1" if role == "helper_0" else "asker"


class Book:
    """The tool: returns the tree of the town it is asked for, and counts how often it is run."""

    name = "book"
    runs = 0

    def act(self, views, seeds, openings=None):
        type(self).runs += len(views)
        return [Reply(TOWNS[view.heard[-1].text]) for view in views]


class Remembering:
    """A scripted helper: says what it remembers, else looks it up, else says what the book said."""

    name = "remembering"

    def act(self, views, seeds, openings=None):
        return [Reply(self.say(view)) for view in views]

    def say(self, view):
        if view.facts.note:
            return view.facts.note.removeprefix("You remember: ").rstrip(".")
        results = [message.text for message in view.heard if message.sender == "book"]
        return results[-1] if results else "LOOKUP"


class Trusting:
    """A scripted asker: repeats what the first helper said."""

    name = "trusting"

    def act(self, views, seeds, openings=None):
        return [Reply(next(m.text for m in view.heard if m.sender == "helper_0")) for view in views]


@dataclass(frozen=True)
class DeskOptions:
    """The options of ``game=desk``."""

    most_calls: int = 1
    """Look-ups that each helper may make; a further one is just a message."""


class Desk(Description):
    """What environments, self-play, trainers and reports ask of the game."""

    name, game = "desk", DeskGame
    learns = DeskGame.roles
    usage, priced = ("calls",), HELPERS
    blind = ("asker",)
    openings = {helper: {"lookup": "LOOKUP"} for helper in HELPERS}
    players = {"asker": ("trusting",), "helper_0": ("remembering",), "helper_1": ("remembering",)}
    options = DeskOptions

    def weights(self, episode):
        return (0.5, 0.5)

    def player(self, role, task, name, **options):
        return Trusting() if role == "asker" else Remembering()

    def tools(self, task):
        return {"book": Book()}
