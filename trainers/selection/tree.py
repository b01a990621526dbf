"""Selection: from the games played on a question to the rows worth learning (DESIGN section 6).

The games of one question form a tree: decisions at the assistant's turns, branches by what the user replied. Rewards
are linear in the costs, so the tree is valued at any costs, those it was not played at included (hindsight).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import Reply, Trajectory, Turn
from clarify_env.games.clarification.actions import Answer, Clarify, MultiAnswer, parse
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import Episode, Task

Decision = tuple


def decision(task: Task, episode: Episode, text: str) -> Decision:
    """What a message amounts to, whatever its wording.

    The tag with the normalised answer; the set of (reading, answer) pairs listed; or, for a question, what each
    reading's user would be asked to say: two wordings that part the readings alike by the same words are one decision.
    """
    action = parse(text)
    if isinstance(action, Answer):
        return ("answer", normalize(action.text))
    if isinstance(action, MultiAnswer):
        return ("multi_answer", frozenset((normalize(item.label), normalize(item.answer)) for item in action.items))
    if isinstance(action, Clarify):
        return ("clarify", *(task.reply(action.question, i, episode) for i in range(len(episode.interpretations))))
    return ("invalid", action.text)


def _action(key: Decision) -> str:
    """What a decision counts as beside others: a list of one reading is a guess, said in more words."""
    tag, said, *_ = key
    return "answer" if tag == "multi_answer" and len(said) == 1 else tag


@dataclass
class Branch:
    """One decision at a node of the tree, with all games that took it.

    Attributes:
        reply: Its message of fewest words, as first generated.
        words: Words of that message were it the last.
        final: For each intent, [games, summed accuracy, games that ended invalid, summed words] of games
            ended by it.
        after: What followed a question, by what the user replied; with the number of games of each intent.
    """

    reply: Reply
    words: int
    final: dict[int, np.ndarray] = field(default_factory=dict)
    after: dict[str, "Node"] = field(default_factory=dict)


@dataclass
class Node:
    """A point at which the assistant is to speak.

    Attributes:
        history: Messages so far.
        games: Number of games of each intent that came here.
        branches: Decisions taken here.
    """

    history: tuple[tuple[str, str], ...] = ()
    games: dict[int, int] = field(default_factory=dict)
    branches: dict[Decision, Branch] = field(default_factory=dict)


class Choice(NamedTuple):
    """A message worth learning.

    Attributes:
        history: After which messages.
        reply: The best message of its action.
        mass: Share of the question's intents for which play comes here.
        best: The best message of all.
        margin: What that earns more than the best message of another action; infinite where no other was taken here.
    """

    history: tuple[tuple[str, str], ...]
    reply: Reply
    mass: float
    best: Reply
    margin: float


class Tree:
    """All games of one question.

    Attributes:
        costs: The costs they were played at.
        games: The games, as they were added.

    Args:
        task: Says what a question asks.
        episode: The question.
    """

    def __init__(self, task: Task, episode: Episode):
        self.task, self.episode, self.root = task, episode, Node()
        self.weights = np.array([reading.weight for reading in episode.interpretations])
        self.costs: set[Costs] = set()
        self.games: list[Trajectory] = []
        self._heard: dict[tuple, tuple[float, Turn]] = {}

    def add(self, trajectory: Trajectory) -> None:
        """Adds a game."""
        self.costs.add(trajectory.costs)
        self.games.append(trajectory)
        self._add_user_turns(trajectory)
        node, turns = self.root, trajectory.turns
        for index in range(0, len(turns), 2):
            said, heard = turns[index], turns[index + 1] if index + 1 < len(turns) else None
            node.games[trajectory.intent] = node.games.get(trajectory.intent, 0) + 1
            branch = self._branch(node, said, trajectory)
            if heard is None or not isinstance(said.action, Clarify):
                outcome = trajectory.outcome
                record = np.array([1, outcome.accuracy, outcome.invalid, outcome.words])
                branch.final[trajectory.intent] = branch.final.get(trajectory.intent, 0) + record
                return
            # The text as later views show it, which a redaction may have changed.
            shown = turns[index + 2].view.history[-1][1] if index + 2 < len(turns) else heard.reply.text
            if shown not in branch.after:
                branch.after[shown] = Node((*node.history, ("assistant", said.reply.text), ("user", shown)))
            node = branch.after[shown]

    def _branch(self, node: Node, said: Turn, trajectory: Trajectory) -> Branch:
        key = decision(self.task, self.episode, said.reply.text)
        words = len(said.reply.text.split())
        branch = node.branches.get(key)
        if branch is None:
            branch = node.branches[key] = Branch(said.reply, words)
        elif words < branch.words and not branch.after:
            branch.reply, branch.words = said.reply, words
        return branch

    def _add_user_turns(self, trajectory: Trajectory) -> None:
        if trajectory.outcome.leak or trajectory.outcome.ungrounded or trajectory.outcome.accuracy == 0:
            return
        for turn in trajectory.turns[1::2]:
            key = (turn.view.history, trajectory.intent)
            if key not in self._heard or trajectory.outcome.accuracy > self._heard[key][0]:
                self._heard[key] = (trajectory.outcome.accuracy, turn)

    def user_turns(self) -> list[Turn]:
        """A model-played user's turns worth learning: for each message and intent, that of the best game.

        A game went well that ended in a grounded answer of some worth without a leak. The user does not see the
        costs, so its turns hold at all of them.
        """
        return [turn for _, turn in self._heard.values() if turn.reply.ids is not None]

    def actions(self, costs: Costs) -> dict[str, tuple[float, Decision]]:
        """Of each action taken as first message, the value of its best decision at these costs, and that decision."""
        best: dict[str, tuple[float, Decision]] = {}
        share, cell = {i: 1.0 for i in self.root.games}, np.array([costs])
        for key, branch in self.root.branches.items():
            value = float(self._value(branch, share, cell)[0])
            action = _action(key)
            if action not in best or value > best[action][0]:
                best[action] = value, key
        return best

    def value(self, costs: np.ndarray) -> np.ndarray:
        """Value, shape [C], of playing the best known decision at every turn, at costs of shape [C, 2]."""
        return self._values(self.root, {i: 1.0 for i in self.root.games}, costs).max(0)

    def _values(self, node: Node, share: dict[int, float], costs: np.ndarray) -> np.ndarray:
        """Values of a node's decisions, times the intents' mass; shape [decisions, C]."""
        return np.stack([self._value(branch, share, costs) for branch in node.branches.values()])

    def _value(self, branch: Branch, share: dict[int, float], costs: np.ndarray) -> np.ndarray:
        """A decision's value times the mass of the intents that may stand here.

        An intent for which it was not played counts as the mean of those for which it was.
        """
        alpha, beta = costs.T
        total, known = np.zeros(len(costs)), 0.0
        for intent, (games, accuracy, invalid, words) in branch.final.items():
            if intent in share:
                mass = self.weights[intent] * share[intent]
                total += mass * (accuracy - invalid * alpha - words * beta) / games
                known += mass
        for node, below in _shares(branch, share):
            if below:
                mass = sum(self.weights[i] * part for i, part in below.items())
                total += self._values(node, below, costs).max(0) - mass * alpha
                known += mass
        mass = sum(self.weights[i] * part for i, part in share.items())
        return total * mass / known if known else np.full(len(costs), -np.inf)

    def choices(
        self, costs: np.ndarray, temperature: float = 0.0, rng: np.random.Generator | None = None
    ) -> list[list[Choice]]:
        """What to learn at each of the costs: a first message, then one in each branch.

        Args:
            costs: Shape [C, 2].
            temperature: Actions are drawn with odds exp(value / temperature), the value being that of an action's best
                message; in units of reward. 0: the action of highest value.
            rng: What draws them; needed where the temperature is not 0.
        """
        chosen: list[list[Choice]] = [[] for _ in costs]

        def noise(*shape: int) -> np.ndarray:
            # The highest of values with Gumbel noise is one drawn with these odds.
            return temperature * rng.gumbel(size=shape) if temperature else np.zeros(shape)

        self._choose(self.root, {i: 1.0 for i in self.root.games}, costs, np.arange(len(costs)), chosen, noise)
        return chosen

    def _choose(
        self,
        node: Node,
        share: dict[int, float],
        costs: np.ndarray,
        where: np.ndarray,
        chosen: list[list[Choice]],
        noise: Callable[..., np.ndarray],
    ) -> None:
        branches, mass = list(node.branches.values()), sum(self.weights[i] * part for i, part in share.items())
        words = np.array([branch.words for branch in branches])
        kinds = np.array([_action(key) for key in node.branches])
        values = self._values(node, share, costs[where]) / mass
        # All decisions of an action are lifted alike, so the best of them stands for it; what is invalid never is.
        actions = [kind for kind in dict.fromkeys(kinds) if kind != "invalid"]
        lift = dict(zip(actions, noise(len(actions), len(where)), strict=True))
        lifted = values + np.stack([lift.get(kind, np.zeros(len(where))) for kind in kinds])
        drawn, best = _highest(lifted, words), _highest(values, words)
        margin = values.max(0) - np.where(kinds[:, None] == kinds[best], -np.inf, values).max(0)
        for index in np.unique(drawn):
            branch, here = branches[index], np.flatnonzero(drawn == index)
            for at in here:
                chosen[where[at]].append(
                    Choice(node.history, branch.reply, mass, branches[best[at]].reply, float(margin[at]))
                )
            for child, below in _shares(branch, share):
                if below:
                    self._choose(child, below, costs, where[here], chosen, noise)


def _highest(values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Which of the values (shape [n, C]) is highest, shape [C]; ties, to within rounding, go to fewest words ([n])."""
    return np.where(values >= values.max(0) - 1e-9, -words[:, None], -np.inf).argmax(0)


def _shares(branch: Branch, share: dict[int, float]) -> Iterator[tuple[Node, dict[int, float]]]:
    """The nodes after a question, each with the part of every intent's share whose user replied so."""
    played: dict[int, int] = {}
    for node in branch.after.values():
        for intent, games in node.games.items():
            played[intent] = played.get(intent, 0) + games
    for node in branch.after.values():
        yield node, {i: share[i] * games / played[i] for i, games in node.games.items() if i in share}
