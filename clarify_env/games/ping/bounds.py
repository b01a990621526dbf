"""What scripted protocols earn on an episode: the reference of reports, and the bounds of isotoken curves."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from clarify_env.games.base import reward
from clarify_env.games.ping.players import ScriptedPlayer, protocols
from clarify_env.games.ping.rules import STOP, PingGame
from clarify_env.tasks.base import Episode
from clarify_env.tasks.private import PrivateTask


class Played(NamedTuple):
    """What a protocol reaches on an episode, averaged over its possibilities.

    Attributes:
        score: Share of possibilities in which all who must answer are right.
        turns: Turns used.
        words: Words used.
        stops: Whether the first message ends the talk.
    """

    score: float
    turns: float
    words: float
    stops: bool


def play(task: PrivateTask, episode: Episode, name: str, options: Mapping[str, Any]) -> Played:
    """Plays a scripted protocol for every possibility of an episode."""
    player, results, stops = ScriptedPlayer(name), [], False
    for hidden in range(len(episode.interpretations)):
        game = PingGame(task, episode, hidden, (0.0, 0.0), **options)
        while game.to_move is not None:
            game.apply(player.act([game.view(game.to_move)], [0])[0])
        assert game.result is not None, "a game that nobody moves in is over"
        stops = game.turns[0].action == STOP
        results.append((game.result.score, *game.result.usage.values()))
    score, turns, words = np.mean(results, axis=0).tolist()
    return Played(score, turns, words, stops)


class Protocols:
    """The protocols of an episode, priced; the best of them stands where other games have an oracle.

    It is no upper bound: a policy may be better than every protocol, or luckier.

    Args:
        played: What each protocol reaches, by name.
    """

    def __init__(self, played: Mapping[str, Played]):
        self.played = played
        self._values = np.array([(p.score, p.turns, p.words) for p in played.values()])
        self._stops = np.array([p.stops for p in played.values()])

    def _rewards(self, costs: np.ndarray) -> np.ndarray:
        """Returns the reward of each protocol, shape [protocols, C]."""
        score, turns, words = self._values.T[..., None]
        return reward(score, (turns, words), costs.T)

    def oracle(self, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the reward of the best protocol, and its first action: 0 to talk, 1 to end; shapes [C]."""
        rewards = self._rewards(costs)
        best = rewards.argmax(0)
        return rewards.max(0), self._stops[best].astype(int)

    def by_action(self, costs: np.ndarray) -> np.ndarray:
        """Returns the reward of the best protocol that begins with each action, shape [C, 2]; -inf: none does."""
        rewards = self._rewards(costs)
        of = [np.where((self._stops == stops)[:, None], rewards, -np.inf).max(0) for stops in (False, True)]
        return np.stack(of, axis=1)

    def fixed(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the reward of each protocol, shape [C]."""
        return dict(zip(self.played, self._rewards(costs), strict=True))

    def used(self, costs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns turns and words of the best protocol, shape [C]."""
        best = self._rewards(costs).argmax(0)
        return {"turns": self._values[best, 1], "words": self._values[best, 2]}


def solve(task: PrivateTask, episodes: Sequence[Episode], **options: Any) -> list[Protocols] | None:
    """Plays every protocol of the task on some episodes; ``None``: it has none, as a task of another package."""
    names = protocols(task.name)
    if not names:
        return None
    return [Protocols({name: play(task, episode, name, options) for name in names}) for episode in episodes]
