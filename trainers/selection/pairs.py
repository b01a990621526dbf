"""Preference pairs as in ACT (action-based contrastive self-training, arXiv 2406.00222, algorithm 2).

A pair holds two continuations of the same prompt. One is sampled from the policy; the other is from a reference game
played before, either of the better action or of another action.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Message, Trajectory, Turn, View
from clarify_env.games.description import Decision
from clarify_env.games.setup import Setup
from trainers.selection.tree import Tree

if TYPE_CHECKING:
    from agents.render import Renderer

Messages = tuple[Message, ...]
# Token ids of each message of the learning role in a side, as sampled; empty for one that no language model sent.
Replies = tuple[tuple[int, ...], ...]


class Pair(NamedTuple):
    """Two continuations of one prompt.

    Attributes:
        episode_id: Id of the episode.
        prices: The prices.
        view: View of the learning role at the prompt.
        chosen: Messages of the preferred side; the last is the learning role's.
        rejected: Messages of the other side.
        case: ``other_action``: the policy sampled another action than the better one. ``good``, ``bad``: it sampled the
            better action with a good or bad result. ``off_policy``: both sides are reference games.
        chosen_ids: Token ids of the learning role's messages of the preferred side.
        rejected_ids: The same of the other side.
    """

    episode_id: str
    prices: Prices
    view: View
    chosen: Messages
    rejected: Messages
    case: str
    chosen_ids: Replies = ()
    rejected_ids: Replies = ()

    @classmethod
    def of(
        cls, episode_id: str, prices: Prices, view: View, chosen: Sequence[Turn], rejected: Sequence[Turn], case: str
    ) -> "Pair":
        """Makes the pair of two continuations, each given by the learning role's turns; see `own_turns`."""
        ids = _ids(chosen), _ids(rejected)
        return cls(episode_id, prices, view, _messages(chosen), _messages(rejected), case, *ids)

    def to_json(self) -> dict[str, Any]:
        """Returns the line of a pair file."""
        sides = {name: [list(message) for message in getattr(self, name)] for name in ("chosen", "rejected")}
        return {"episode_id": self.episode_id, "prices": list(self.prices), "case": self.case, **sides}


class References:
    """Reference games of an episode, with which sampled games are paired.

    Args:
        setup: Game, task and options.
        episode: The episode.
        games: Games on the episode, each distinct first message played for every hidden possibility.
        role: The learning role.
    """

    def __init__(self, setup: Setup, episode: Any, games: Sequence[Trajectory], role: str):
        self.setup, self.episode, self.tree = setup, episode, Tree(setup, episode, role)
        self._by_opening: dict[tuple[Decision, int], list[Trajectory]] = {}
        for game in games:
            self.tree.add(game)
            key = setup.decision(episode, game.turns[0].reply.text or "")
            self._by_opening.setdefault((key, game.hidden), []).append(game)

    def better(self, prices: Prices, labels: str) -> str:
        """Returns the action of highest value in these games; with ``labels="gold"`` that of the data set."""
        if labels == "gold":
            return self.setup.game.gold_action(self.episode)
        values = self.tree.actions(prices)
        return max(_valid(values), key=lambda action: values[action][0], default="")

    def games(self, prices: Prices, hidden: int) -> dict[str, Trajectory]:
        """Returns for each action the game of highest reward among those with its best first message."""
        values, best = self.tree.actions(prices), {}
        for action in values:
            games = self._by_opening.get((values[action][1], hidden), []) if action in _valid(values) else []
            if games:
                best[action] = max(games, key=lambda game: game.result.reward(prices, self.tree.role))
        return best


def _valid(actions: Mapping[str, Any]) -> list[str]:
    return [action for action in actions if action != "invalid"]


def pair(
    setup: Setup,
    sampled: Trajectory,
    references: Mapping[str, Trajectory],
    better: str,
    threshold: float,
    simulate: bool,
    rng: np.random.Generator,
) -> Pair | None:
    """Makes the pair of a sampled game.

    Args:
        setup: Game, task and options.
        sampled: A game of the current policy.
        references: For each action, a reference game.
        better: The better action here.
        threshold: Minimum score of a good result.
        simulate: Whether messages after the first one count; if not, sides are first messages only.
        rng: Draws the other action that is paired with a good result.

    Returns:
        The pair; ``None`` if the references lack the action that it needs.
    """
    opening = sampled.turns[0]
    action = setup.game.kind(opening)
    others = sorted(set(references) - {better})
    best = references.get(better)

    def make_pair(chosen: Sequence[Turn], rejected: Sequence[Turn], case: str) -> Pair:
        return Pair.of(sampled.episode_id, sampled.prices, opening.view, chosen, rejected, case)

    if action != better:
        if best is None:
            return None
        return make_pair(own_turns(best, opening.role, 1), own_turns(sampled, opening.role, 1), "other_action")
    length = None if simulate else 1
    plays_on = len(sampled.moves((opening.role,))) > 1
    if sampled.result.of(opening.role).score >= threshold or (plays_on and not simulate):
        if not others:
            return None
        other = references[others[rng.integers(len(others))]]
        return make_pair(own_turns(sampled, opening.role, length), own_turns(other, opening.role, 1), "good")
    if best is None:
        return None
    return make_pair(own_turns(best, opening.role, length), own_turns(sampled, opening.role, length), "bad")


def off_policy(
    references: Mapping[str, Trajectory],
    better: str,
    episode_id: str,
    view: View,
    prices: Prices,
    simulate: bool,
    rng: np.random.Generator,
) -> Pair | None:
    """Makes a pair of reference games: the better action's game is preferred to another action's (plain DPO).

    As in case ``good`` of `pair`, the rejected side is a first message; without ``simulate`` the chosen one is as well.
    """
    others = sorted(set(references) - {better})
    if better not in references or not others:
        return None
    other = references[others[rng.integers(len(others))]]
    sides = own_turns(references[better], view.role, None if simulate else 1), own_turns(other, view.role, 1)
    return Pair.of(episode_id, prices, view, *sides, "off_policy")


def own_turns(game: Trajectory, role: str, messages: int | None = None) -> list[Turn]:
    """Returns the turns of a role that make a side of a pair.

    Args:
        game: The game.
        role: The role.
        messages: Number of the game's turns to consider; ``None``: all.
    """
    return [turn for turn in game.turns[:messages] if turn.role == role]


def _messages(turns: Sequence[Turn]) -> Messages:
    """Returns the messages that a role hears, up to and including its own last message."""
    last = turns[-1]
    assert last.reply.text is not None, "a model's reply has text"
    return (*last.view.heard, Message(last.role, last.reply.text))


def _ids(turns: Sequence[Turn]) -> Replies:
    return tuple(turn.reply.ids or () for turn in turns)


class Side(NamedTuple):
    """One side of a pair as tokens.

    Attributes:
        prompt: Token ids of the prompt.
        ids: Token ids after the prompt.
        own: Whether each of these ids belongs to a message of the learning role.
    """

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    own: tuple[bool, ...]


class Preference(NamedTuple):
    """A preferred and a rejected continuation of one prompt, as tokens."""

    chosen: Side
    rejected: Side

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns a row of a data set."""
        return {name: side._asdict() for name, side in zip(self._fields, self, strict=True)}


def tokens(renderer: "Renderer", view: View, messages: Messages, replies: Replies) -> Side | None:
    """Converts a side to tokens: the replies as sampled, between them what the chat template writes.

    A reply that was cut at its longest length has no end token of its own; the one before the next message is the
    template's.

    Args:
        renderer: Makes the prompts.
        view: View of the learning role at the prompt.
        messages: The messages of the side.
        replies: Token ids of the learning role's messages among them; a message without any is tokenized.

    Returns:
        The side; ``None`` if the template rewrites earlier messages in later prompts.
    """
    prompt = written = renderer.encode(view)  # what prompts hold, whose earlier replies are tokenized from their text
    ids: list[int] = []
    own: list[bool] = []
    left = iter(replies)
    end: tuple[int, ...] = ()  # what the reply before lacks
    for index, message in enumerate(messages):
        if message.sender == view.role:
            context = renderer.encode(view.after(messages[:index]))
            if context[: len(written)] != written:
                return None
            between, reply = (*end, *context[len(written) :]), next(left, ()) or renderer.tokenize_reply(message.text)
            end = () if reply[-1] in renderer.end_ids else (renderer.end_id,)
            ids += between + reply
            own += [False] * len(between) + [True] * len(reply)
            written = context + renderer.tokenize_reply(message.text)
    return Side(prompt, tuple(ids), tuple(own))
