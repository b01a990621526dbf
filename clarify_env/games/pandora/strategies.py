"""Scripted searchers: fixed strategies, threshold rules, and the oracle player.

All look into the likeliest box and commit to the likeliest box; they differ in when they commit. They hold the task and
look up the boxes' probabilities by episode; like every searcher they do not know where the prize is.
"""

from collections.abc import Callable

from clarify_env.games.base import Reply, View
from clarify_env.games.pandora.actions import COMMIT, LOOK, parse
from clarify_env.games.pandora.index import commits
from clarify_env.games.pandora.rules import BOXES, SearcherFacts, discount_of, labels_of
from clarify_env.tasks.base import Task

# Whether to commit now, from: probability of the likeliest box, looks so far, price of a look, discount.
RULES: dict[str, Callable[[float, int, float, float], bool]] = {
    "commit": lambda likeliest, looks, price, discount: True,
    "look_once": lambda likeliest, looks, price, discount: looks >= 1,
    "look_all": lambda likeliest, looks, price, discount: False,
    "threshold_50": lambda likeliest, looks, price, discount: likeliest >= 0.5,
    "threshold_70": lambda likeliest, looks, price, discount: likeliest >= 0.7,
    "threshold_90": lambda likeliest, looks, price, discount: likeliest >= 0.9,
    # One look is taken to settle it: worth discount - price (the rule in the text of arXiv 2602.16699).
    "threshold": lambda likeliest, looks, price, discount: likeliest >= discount - price,
}
FIXED = tuple(RULES)
STRATEGIES = ("oracle", *FIXED)


def looks_before_commitment(name: str, weights: tuple[float, ...], price: float, discount: float) -> int:
    """Most looks of a rule before it commits; a last box is never looked into."""
    falling, left = sorted(weights, reverse=True), 1.0
    for looks, weight in enumerate(falling[:-1]):
        if RULES[name](weight / left, looks, price, discount):
            return looks
        left -= weight
    return len(falling) - 1


class ScriptedSearcher:
    """Plays a strategy.

    Args:
        task: The task whose episodes it plays.
        name: One of `STRATEGIES`.
    """

    def __init__(self, task: Task, name: str):
        if name not in STRATEGIES:
            raise ValueError(f"assistant.strategy must be one of {', '.join(STRATEGIES)}, not {name!r}")
        self.task, self.name = task, name

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """Returns the searcher's message at a view."""
        facts = view.facts
        assert isinstance(facts, SearcherFacts), "the searcher has facts"
        episode = self.task.lookup(facts.episode_id)
        left, found = remaining(view, labels_of(episode), tuple(r.weight for r in episode.interpretations))
        box = found or max(left, key=left.__getitem__)
        discount = discount_of(episode)
        looks = len(view.heard) // 2
        if found or len(left) == 1:
            ends = True
        elif self.name == "oracle":
            ends = commits(tuple(left.values()), facts.price, discount, discount**looks)
        else:
            ends = RULES[self.name](left[box], looks, facts.price, discount)
        return f"{COMMIT if ends else LOOK} {box}"


def remaining(view: View, labels: tuple[str, ...], weights: tuple[float, ...]) -> tuple[dict[str, float], str]:
    """Returns the probability of each box that may hold the prize, and the label of the box that does, once found."""
    left, prize = dict(zip(labels, weights, strict=True)), ""
    for message, reply in zip(view.heard[::2], view.heard[1::2], strict=True):
        box = parse(message.text, labels)[0]
        assert reply.sender == BOXES, "the boxes reply to a look"
        if reply.text.endswith("prize."):
            prize = box
        else:
            left.pop(box)
    total = sum(left.values())
    return {label: weight / total for label, weight in left.items()}, prize
