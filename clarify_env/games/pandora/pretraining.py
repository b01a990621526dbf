"""Demonstrations of Pandora's boxes that disregard the price, for the pocket model.

Games in which looking on and committing are equally likely whatever the price, and what a larger model can do before it
sees a price: compare probabilities and prices, and say what is left when a box is empty. Nothing here teaches when to
look. Kinds of boxes (hidden priors) are known as a larger model knows facts: from games and answers about them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Prices, plain
from clarify_env.games.base import Reply, Turn, View
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.pandora.actions import COMMIT, LOOK
from clarify_env.games.pandora.prompts import QUESTION, messages
from clarify_env.games.pandora.rules import SEARCHER, PandoraGame, labels_of
from clarify_env.games.pandora.strategies import remaining
from clarify_env.tasks.base import ENDLESS, Episode, Task
from clarify_env.tasks.boxes import Boxes

# Default share of each kind of demonstration.
SHARES = {"game": 0.4, "where": 0.05, "left": 0.15, "worth": 0.1, "likelier": 0.1, "hidden": 0.2}


def demonstrator(view: View, episode: Episode, rng: np.random.Generator) -> str:
    """Returns a message that looks on or commits with probability 1/2 each, to a box drawn by its probability."""
    left, found = remaining(view, labels_of(episode), tuple(r.weight for r in episode.interpretations))
    if found:
        return f"{COMMIT} {found}"
    box = str(rng.choice(list(left), p=list(left.values())))
    return f"{LOOK if len(left) > 1 and rng.random() < 0.5 else COMMIT} {box}"


def turns(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> list[Turn]:
    """Plays one demonstration game at prices that the demonstrator disregards."""
    weights = [reading.weight for reading in episode.interpretations]
    game = PandoraGame(task, episode, int(rng.choice(len(weights), p=weights)), prices)
    while game.to_move:
        game.apply(Reply(demonstrator(game.view(SEARCHER), episode, rng)))
    return game.turns


def _game(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """A whole game; loss is on every message of the searcher."""
    last = turns(task, episode, prices, rng)[-1]
    chat = [(m["role"], m["content"]) for m in messages(last.view, "pocket")]
    return Demonstration((*chat, ("assistant", last.reply.text or "")), "game", every=True)


def _where(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """Names the box that holds the prize, drawn by its probability."""
    weights = [reading.weight for reading in episode.interpretations]
    return _query(episode, QUESTION, labels_of(episode)[int(rng.choice(len(weights), p=weights))], "where")


def _left(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """Says what remains if a box is empty: the probability of that, and that of each other box."""
    i = int(rng.integers(len(episode.interpretations)))
    readings = episode.interpretations
    rest = 1 - readings[i].weight
    after = [f"{r.label} {round(100 * r.weight / rest)}%" for r in readings if r.label != readings[i].label]
    query, answer = f"If {readings[i].label} is empty?", f"{round(100 * rest)}%: {', '.join(after)}"
    return _query(episode, query, answer, "left")


def _worth(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """Compares the price of a look with a percentage of similar size."""
    price = round(100 * prices[0])
    percent = int(np.clip(round(price * np.exp(rng.uniform(-0.5, 0.5))), 1, 99))
    percent += percent == price
    larger = "a look" if price > percent else f"{percent}%"
    query = f"Look {plain(prices[0], 2)}. Which is more, a look or {percent}%?"
    return Demonstration((("user", query), ("assistant", larger)), "worth")


def _likelier(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """Lists the boxes from the likeliest to the least likely; equal ones in a random order."""
    readings = episode.interpretations
    order = sorted(rng.permutation(len(readings)).tolist(), key=lambda i: -readings[i].weight)
    return _query(episode, "Likeliest first?", " ".join(readings[i].label for i in order), "likelier")


def _hidden(task: Task, episode: Episode, prices: Prices, rng: np.random.Generator) -> Demonstration:
    """A game, or the box that holds the prize, where the kinds of the boxes alone are shown."""
    assert isinstance(task, Boxes), "only boxes have kinds"
    of_kinds = task.hidden.episode("train", int(episode.id.rpartition("/")[2]))
    return (_game if rng.random() < 0.5 else _where)(task.hidden, of_kinds, prices, rng)._replace(kind="hidden")


def _query(episode: Episode, query: str, answer: str, kind: str) -> Demonstration:
    return Demonstration((("system", episode.context), ("user", query), ("assistant", answer)), kind)


_KINDS = {"game": _game, "where": _where, "left": _left, "worth": _worth, "likelier": _likelier, "hidden": _hidden}


def stream(
    task: Task, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
) -> Iterator[Demonstration]:
    """Yields demonstrations on training episodes without end; see `Description.pretraining`."""
    shares = SHARES if shares is None else shares
    if unknown := set(shares) - set(_KINDS):
        raise ValueError(f"pretrain.stages: shares must be of {', '.join(_KINDS)}, not {', '.join(sorted(unknown))}")
    kinds, share = list(shares), np.array(list(shares.values()), dtype=float)
    size = task.split_size("train") or ENDLESS
    while True:
        kind = kinds[int(rng.choice(len(kinds), p=share / share.sum()))]
        episode, vector = task.episode("train", int(rng.integers(size))), prices[int(rng.integers(len(prices)))]
        yield _KINDS[kind](task, episode, vector, rng)
