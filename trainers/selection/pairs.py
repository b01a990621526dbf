"""Preference pairs as in ACT (action-based contrastive self-training, arXiv 2406.00222, algorithm 2).

A pair holds two ways to play on from the same prompt. One side is what the policy just did; the other keeps its
reference, taken from games played before: the better action's, or that of another action.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agents.hf import HFAgent
from clarify_env.costs import Costs
from clarify_env.games.base import Trajectory, View
from clarify_env.games.clarification.actions import KINDS, kind, parse
from clarify_env.tasks.base import Episode, Task
from trainers.selection.tree import Decision, Tree, decision

Messages = tuple[tuple[str, str], ...]
_ACTIONS = set(KINDS) - {"invalid"}


class Pair(NamedTuple):
    """Two ways to play on from one prompt.

    Attributes:
        view: What the assistant saw.
        chosen: (role, text) of each message of the better one, the assistant's last.
        rejected: The same of the worse one.
        case: Why: ``other_action`` was sampled, or the right one with a ``good`` or a ``bad`` outcome; ``off_policy``
            where nothing was sampled.
    """

    view: View
    chosen: Messages
    rejected: Messages
    case: str

    def to_json(self) -> dict[str, Any]:
        """As a line of a pair file."""
        view = self.view
        return {
            "episode_id": view.episode_id,
            "query": view.query,
            "context": view.context,
            "costs": list(view.costs),
            "case": self.case,
            "chosen": list(self.chosen),
            "rejected": list(self.rejected),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Pair":
        """The pair of a line."""
        view = View(
            "assistant", record["query"], record["context"], None, (), Costs(*record["costs"]), 0, record["episode_id"]
        )
        chosen, rejected = (tuple((role, text) for role, text in record[side]) for side in ("chosen", "rejected"))
        return cls(view, chosen, rejected, record["case"])


class References:
    """A question's games to hold others against.

    Args:
        task: Says what messages amount to.
        episode: The question.
        games: Played on it, each distinct first message for every reading.
    """

    def __init__(self, task: Task, episode: Episode, games: Sequence[Trajectory]):
        self.task, self.episode, self.tree = task, episode, Tree(task, episode)
        self._opened: dict[tuple[Decision, int], list[Trajectory]] = {}
        for game in games:
            self.tree.add(game)
            key = decision(task, episode, game.turns[0].reply.text)
            self._opened.setdefault((key, game.intent), []).append(game)

    def better(self, costs: Costs, labels: str) -> str:
        """The better action: that of the highest value in these games or, with ``labels="gold"``, the data set's.

        The label of a data set for clarification knows no costs: to ask where there are several readings.
        """
        if labels == "gold":
            return "clarify" if len(self.episode.interpretations) > 1 else "answer"
        values = self.tree.actions(costs)
        return max(_ACTIONS & set(values), key=lambda action: values[action][0], default="")

    def games(self, costs: Costs, intent: int) -> dict[str, Trajectory]:
        """For each action, the game of its best first message, and of the best replies after it for this reading."""
        found = {}
        for action, (_, key) in self.tree.actions(costs).items():
            its = self._opened.get((key, intent), []) if action in _ACTIONS else []
            if its:
                found[action] = max(its, key=lambda game: game.outcome.reward(costs))
        return found


def pair(
    sampled: Trajectory,
    references: Mapping[str, Trajectory],
    better: str,
    threshold: float,
    simulate: bool,
    rng: np.random.Generator,
) -> Pair | None:
    """The pair of a sampled game.

    Args:
        sampled: A game of the current policy.
        references: For each action, a game to hold it against.
        better: The better action here.
        threshold: Least score of a good outcome.
        simulate: Whether what comes after a question counts; without it sides are first messages.
        rng: Draws which other action stands against a good outcome.

    Returns:
        ``None`` where the references lack the action that is needed.
    """
    action = kind(parse(sampled.turns[0].reply.text))
    others = sorted(set(references) - {better})
    view, best = sampled.turns[0].view, references.get(better)
    if action != better:
        return best and Pair(view, said(best, 1), said(sampled, 1), "other_action")
    whole = None if simulate else 1
    good = sampled.outcome.accuracy >= threshold or (action == "clarify" and not simulate)
    if good:
        other = references[others[rng.integers(len(others))]] if others else None
        return other and Pair(view, said(sampled, whole), said(other, 1), "good")
    return best and Pair(view, said(best, whole), said(sampled, whole), "bad")


def off_policy(references: Mapping[str, Trajectory], better: str, view: View, rng: np.random.Generator) -> Pair | None:
    """Plain DPO's pair, from the references alone: the better action's game against another action's."""
    others = sorted(set(references) - {better})
    if better not in references or not others:
        return None
    other = references[others[rng.integers(len(others))]]
    return Pair(view, said(references[better]), said(other), "off_policy")


def said(game: Trajectory, messages: int | None = None) -> Messages:
    """A game's messages, or the first so many, without what the user said last."""
    turns = game.turns[:messages]
    if turns[-1].role == "user":
        turns = turns[:-1]
    shown = turns[-1].view.history
    return (*shown, ("assistant", turns[-1].reply.text))


class Side(NamedTuple):
    """One side of a pair as tokens.

    Attributes:
        prompt: Token ids of the prompt.
        ids: Of all that follows it.
        spoken: Whether each of these is the assistant's.
    """

    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    spoken: tuple[bool, ...]


def tokens(agent: HFAgent, view: View, messages: Messages) -> Side | None:
    """A side as tokens; ``None`` where the template does not keep what was said as it was said."""
    prompt = agent.encode(view)
    ids: tuple[int, ...] = prompt
    spoken: list[bool] = []
    for index, (role, text) in enumerate(messages):
        if role == "assistant":
            context = agent.encode(view._replace(history=messages[:index], turn=index))
            if context[: len(ids)] != ids:
                return None
            reply = agent.tokenize_reply(text)
            spoken += [False] * (len(context) - len(ids)) + [True] * len(reply)
            ids = context + reply
    return Side(prompt, ids[len(prompt) :], tuple(spoken))
