"""A game on a task with its options: what is needed to deal, view and measure games."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clarify_env.costs import Prices
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory, Turn, View
from clarify_env.games.description import Decision, Description


class Setup(NamedTuple):
    """A game on a task with its options.

    Attributes:
        game: The game's description.
        task: Where episodes come from.
        options: The game's own options.
    """

    game: Description
    task: Any
    options: Mapping[str, Any] = {}

    def deal(self, episode: Any, hidden: int = 0, prices: Prices = ()) -> Game:
        """Starts a game; see `Description.deal`."""
        return self.game.deal(self.task, episode, hidden, prices, **self.options)

    def others(self, roles: Sequence[str], agents: Mapping[str, Agent]) -> dict[str, Agent]:
        """Returns the agents of all roles but some; a role that ``agents`` does not name: its default scripted player.

        Args:
            roles: Roles that need no agent.
            agents: Agents by role.

        Raises:
            ValueError: A role has no scripted player, the game has no such role, or an agent cannot act.
        """
        game, others = self.game, dict(agents)
        known = (*game.roles, *game.tools(self.task))
        for role in (*roles, *agents):
            if role not in known:
                raise ValueError(f"game {game.name} has no role {role!r}, only {', '.join(game.roles)}")
        for role, agent in agents.items():
            if not callable(getattr(agent, "act", None)):
                raise ValueError(f"the {role} must be a player with act(views, seeds, openings), not {agent!r}")
        for role in game.roles:
            if role not in others and role not in roles:
                names = game.players.get(role)
                if not names:
                    raise ValueError(f"game {game.name} has no scripted player for {role}: name one in agents")
                others[role] = game.player(role, self.task, names[0], **self.options)
        return others

    def weights(self, episode: Any) -> tuple[float, ...]:
        """Probability of each hidden possibility of an episode."""
        return self.game.weights(episode)

    def measures(self, game: Game | Trajectory) -> dict[str, float]:
        """Measures of a finished game; see `Description.measures`."""
        episode = self.task.lookup(game.episode_id) if isinstance(game, Trajectory) else game.episode
        return self.game.measures(self.task, episode, game)

    def decision(self, episode: Any, text: str) -> Decision:
        """What a message amounts to; see `Description.decision`."""
        return self.game.decision(self.task, episode, text)

    def view_at(self, game: Trajectory, turn: Turn, prices: Prices) -> View:
        """What the mover of a turn would have seen at other prices."""
        if tuple(prices) == tuple(game.prices):
            return turn.view
        dealt = self.deal(self.task.lookup(game.episode_id), game.hidden, prices)
        return dealt.view_at(turn.role, turn.view.heard, prices)._replace(turn=turn.view.turn)

    def learning_view(self, episode: Any, role: str, heard: tuple = (), prices: Prices = ()) -> View:
        """What a role that cannot tell what is hidden sees after some messages, at some prices."""
        return self.deal(episode, 0, prices).view_at(role, heard, prices)
