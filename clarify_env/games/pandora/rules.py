"""The rules of Pandora's boxes (docs/games/pandora.md)."""

from typing import NamedTuple

from clarify_env.games.base import Game, Result
from clarify_env.games.pandora.actions import Action, Commit, Invalid, Look, parse
from clarify_env.tasks.base import Episode, Task

SEARCHER, BOXES = "searcher", "boxes"


class SearcherFacts(NamedTuple):
    """Facts of the searcher: boxes, price and discount, never where the prize is.

    Attributes:
        boxes: Line on the boxes: their labels, each with its probability (stated priors) or its kind (hidden priors).
        price: Price of a look, in units of reward.
        discount: Factor by which each look multiplies the value of the prize; 1: none.
        episode_id: Identifies the episode in its task.
    """

    boxes: str
    price: float
    discount: float
    episode_id: str


def discount_of(episode: Episode) -> float:
    """Returns the factor by which each look multiplies the value of the prize."""
    return float(episode.meta.get("discount", 1.0))


def labels_of(episode: Episode) -> tuple[str, ...]:
    """Returns the labels of an episode's boxes, in order."""
    return tuple([reading.label for reading in episode.interpretations])


class PandoraGame(Game):
    """One game: exactly one box holds a prize of value 1; the searcher looks into boxes and commits to one.

    The score is discount**looks if the box committed to holds the prize, else 0. A look into a box that was looked into
    before is invalid, so a game has at most K + 1 messages of the searcher.

    Args:
        task: The task.
        episode: The episode; each of its readings is a box, with the probability that it holds the prize.
        hidden: Index of the box that holds the prize.
        prices: The price of a look.
    """

    name = "pandora"
    roles = (SEARCHER,)
    __slots__ = ("_labels", "_looked")

    def __init__(self, task: Task, episode: Episode, hidden: int = 0, prices: tuple[float, ...] = (0.0,)):
        super().__init__(task, episode, hidden, prices)
        self.to_move = SEARCHER
        self._labels, self._looked = labels_of(episode), frozenset[str]()

    def facts(self, role: str, prices: tuple[float, ...]) -> SearcherFacts:
        """Returns the facts of the searcher."""
        if role != SEARCHER:
            raise ValueError(f"game pandora has no role {role!r}")
        return SearcherFacts(self.episode.context, float(prices[0]), discount_of(self.episode), self.episode.id)

    def move(self, role: str, text: str | None) -> Action:
        """Plays a message of the searcher; after a look, the boxes say what is in the box."""
        action = parse(text, self._labels)
        if isinstance(action, Look) and action.box in self._looked:
            action = Invalid(text or "", "looked into before")
        self.say(role, text)
        prize = self._labels[self.hidden]
        if isinstance(action, Look):
            self._looked |= {action.box}
            holds_prize = action.box == prize
            self.say(BOXES, f"{action.box} holds the prize." if holds_prize else f"{action.box} is empty.")
        else:
            self._close(action, prize)
        return action

    def _close(self, action: Action, prize: str) -> None:
        looks, invalid = len(self._looked), isinstance(action, Invalid)
        right = isinstance(action, Commit) and action.box == prize
        self.result = Result(
            score=discount_of(self.episode) ** looks if right else 0.0,
            # An invalid message costs one look more, so that it never earns more than a commitment.
            usage={"looks": looks + invalid},
            flags={"invalid": invalid},
        )
