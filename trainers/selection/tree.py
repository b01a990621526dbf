"""Game tree of one episode: values decisions and selects the messages to learn (docs/design.md).

A node is a point at which the learning role is to move, identified by the messages heard. A branch is a decision at a
node. The reward is linear in the prices, so the tree can be valued at any prices, not only at those of the games.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Message, Reply, Trajectory, Turn, reward
from clarify_env.games.description import Decision, Description
from clarify_env.games.setup import Setup

Heard = tuple[Message, ...]


def check_role(game: Description, role: str) -> None:
    """Refuses a role whose decisions have no expectation over what is hidden.

    Raises:
        ValueError: The role can tell what is hidden.
    """
    if role not in game.blind:
        raise ValueError(
            f"game {game.name}: decisions of {role} cannot be averaged over what is hidden, since it knows that; "
            "select whole games by reward instead (rest.rule=best)"
        )


@dataclass
class Branch:
    """One decision at a node, with all games that took it.

    Attributes:
        reply: Message of fewest words among those of this decision; the first one if several.
        words: Number of words of that message.
        final: For each hidden possibility, (games, sum of scores, sums of usage ...) over the games in which this was
            the learning role's last move.
        after: The next nodes, by the messages of other roles in between.
    """

    reply: Reply
    words: int
    final: dict[int, np.ndarray] = field(default_factory=dict)
    after: dict[Heard, "Node"] = field(default_factory=dict)


@dataclass
class Node:
    """A point at which the learning role is to move.

    Attributes:
        heard: Messages heard so far.
        games: Number of games that reached the node, by hidden possibility.
        branches: Branches by decision.
    """

    heard: Heard = ()
    games: dict[int, int] = field(default_factory=dict)
    branches: dict[Decision, Branch] = field(default_factory=dict)


class Choice(NamedTuple):
    """A selected message.

    Attributes:
        heard: Messages heard before it.
        reply: The best message of its action.
        mass: Reach: probability that play comes to this point.
        best: The best message of all actions.
        margin: Value of the best action minus the value of the second best; infinite if there is only one.
        value: Value of the best action: the expected reward of the game.
    """

    heard: Heard
    reply: Reply
    mass: float
    best: Reply
    margin: float
    value: float


class Tree:
    """Tree of all games of one episode from the view of one learning role.

    Args:
        setup: Game, task and options.
        episode: The episode.
        role: The learning role. It must not know what is hidden (`Description.blind`).

    Attributes:
        prices: Prices of the games.
        games: The games, in the order of adding.

    Raises:
        ValueError: The role knows what is hidden.
    """

    def __init__(self, setup: Setup, episode: Any, role: str):
        check_role(setup.game, role)
        self.setup, self.episode, self.role, self.root = setup, episode, role, Node()
        self.weights = np.array(setup.weights(episode))
        self.prices: set[Prices] = set()
        self.games: list[Trajectory] = []

    def add(self, game: Trajectory) -> None:
        """Adds a game."""
        self.prices.add(game.prices)
        self.games.append(game)
        node, turns, result = self.root, game.moves((self.role,)), game.result.of(self.role)
        for turn, following in zip(turns, [*turns[1:], None], strict=True):
            node.games[game.hidden] = node.games.get(game.hidden, 0) + 1
            branch = self._branch(node, turn)
            if following is None:
                record = np.array([1, result.score, *result.usage.values()])
                branch.final[game.hidden] = branch.final.get(game.hidden, 0) + record
                return
            heard = following.view.heard
            between = heard[len(turn.view.heard) + 1 :]
            if between not in branch.after:
                branch.after[between] = Node(heard)
            node = branch.after[between]

    def _branch(self, node: Node, turn: Turn) -> Branch:
        text = turn.reply.text or ""
        key, words = self.setup.decision(self.episode, text), self.setup.game.words(text)
        branch = node.branches.get(key)
        if branch is None:
            branch = node.branches[key] = Branch(turn.reply, words)
        elif words < branch.words and not branch.after:
            branch.reply, branch.words = turn.reply, words
        return branch

    def actions(self, prices: Prices) -> dict[str, tuple[float, Decision]]:
        """Returns, for each action of a first message, (value at some prices, decision) of its best decision."""
        best: dict[str, tuple[float, Decision]] = {}
        share, vectors = {i: 1.0 for i in self.root.games}, np.array([prices])
        for key, branch in self.root.branches.items():
            value = float(self._value(branch, share, vectors)[0])
            action = self.setup.game.action_of(key)
            if action not in best or value > best[action][0]:
                best[action] = value, key
        return best

    def value(self, prices: np.ndarray) -> np.ndarray:
        """Returns the value, shape [C], of taking the best decision at every turn, at prices of shape [C, usage]."""
        return self._values(self.root, {i: 1.0 for i in self.root.games}, prices).max(0)

    def _values(self, node: Node, share: dict[int, float], prices: np.ndarray) -> np.ndarray:
        """Returns value times mass of each decision of a node, shape [decisions, C]; see `_value`."""
        return np.stack([self._value(branch, share, prices) for branch in node.branches.values()])

    def _value(self, branch: Branch, share: dict[int, float], prices: np.ndarray) -> np.ndarray:
        """Returns value times mass of a decision, shape [C]; mass = sum of weight * share over hidden possibilities.

        A possibility for which the decision was not played gets the mean value of those for which it was played.
        """
        total, played_mass = np.zeros(len(prices)), 0.0
        totals = _totals(branch)
        for hidden, (games, score, *usage) in branch.final.items():
            if hidden in share:
                mass = self.weights[hidden] * share[hidden]
                if hidden in totals:  # some games went on, as if others ended by a partner's message
                    mass *= games / (games + totals[hidden])
                total += mass * reward(score, usage, prices.T) / games
                played_mass += mass
        for node, below in _shares(branch, share):
            if below:
                total += self._values(node, below, prices).max(0)
                played_mass += sum(self.weights[i] * part for i, part in below.items())
        mass = sum(self.weights[i] * part for i, part in share.items())
        return total * mass / played_mass if played_mass else np.full(len(prices), -np.inf)

    def choices(
        self, prices: np.ndarray, temperature: float = 0.0, rng: np.random.Generator | None = None
    ) -> list[list[Choice]]:
        """Selects, at each price vector, a first message and one message at every node that can follow.

        Args:
            prices: Shape [C, usage].
            temperature: Actions are drawn with odds exp(value / temperature), where value is that of the action's best
                message; in units of reward. 0: the action of highest value.
            rng: Random generator; required if the temperature is not 0.
        """
        chosen: list[list[Choice]] = [[] for _ in prices]

        def noise(*shape: int) -> np.ndarray:
            # argmax(value + Gumbel noise) is a draw with odds exp(value / temperature).
            return temperature * rng.gumbel(size=shape) if temperature and rng is not None else np.zeros(shape)

        self._choose(self.root, {i: 1.0 for i in self.root.games}, prices, np.arange(len(prices)), chosen, noise)
        return chosen

    def _choose(
        self,
        node: Node,
        share: dict[int, float],
        prices: np.ndarray,
        where: np.ndarray,
        chosen: list[list[Choice]],
        noise: Callable[..., np.ndarray],
    ) -> None:
        branches, mass = list(node.branches.values()), sum(self.weights[i] * part for i, part in share.items())
        words = np.array([branch.words for branch in branches])
        kinds = np.array([self.setup.game.action_of(key) for key in node.branches])
        values = self._values(node, share, prices[where]) / mass
        # Add the same noise to all decisions of an action, so that its best decision represents it; none to invalid.
        actions = [kind for kind in dict.fromkeys(kinds) if kind != "invalid"]
        noises = dict(zip(actions, noise(len(actions), len(where)), strict=True))
        noisy_values = values + np.stack([noises.get(kind, np.zeros(len(where))) for kind in kinds])
        selected, best = _highest(noisy_values, words), _highest(values, words)
        margin = values.max(0) - np.where(kinds[:, None] == kinds[best], -np.inf, values).max(0)
        for index in np.unique(selected):
            branch, here = branches[index], np.flatnonzero(selected == index)
            for at in here:
                chosen[where[at]].append(
                    Choice(
                        node.heard,
                        branch.reply,
                        mass,
                        branches[best[at]].reply,
                        float(margin[at]),
                        float(values[best[at], at]),
                    )
                )
            for child, below in _shares(branch, share):
                if below:
                    self._choose(child, below, prices, where[here], chosen, noise)


def _highest(values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Returns the index, shape [C], of the highest of values [n, C]; ties go to fewest words, shape [n]."""
    return np.where(values >= values.max(0) - 1e-9, -words[:, None], -np.inf).argmax(0)


def _totals(branch: Branch) -> dict[int, int]:
    """Returns the number of games that went on after a decision, by hidden possibility."""
    totals: dict[int, int] = {}
    for node in branch.after.values():
        for hidden, games in node.games.items():
            totals[hidden] = totals.get(hidden, 0) + games
    return totals


def _shares(branch: Branch, share: dict[int, float]) -> Iterator[tuple[Node, dict[int, float]]]:
    """Yields the nodes after a decision with the share of each possibility that reaches them."""
    totals = _totals(branch)
    for hidden, (games, *_) in branch.final.items():
        if hidden in totals:
            totals[hidden] += int(games)
    for node in branch.after.values():
        yield node, {i: share[i] * games / totals[i] for i, games in node.games.items() if i in share}
