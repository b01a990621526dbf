"""The Gymnasium environment: one role of a game, with agents for all others inside."""

from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded

from clarify_env.aec import (
    action_space,
    check_render_mode,
    ending,
    info,
    observation,
    observation_space,
    outcome_of,
    show,
)
from clarify_env.costs import Plane
from clarify_env.dealing import Dealer
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Reply
from clarify_env.games.description import Description
from clarify_env.games.setup import Setup
from clarify_env.options import whole_number
from clarify_env.tasks.base import Task

# Games that the other roles may end before the role moves, until `reset` gives up.
MOST_DEALS = 1000


class RoleEnv(gymnasium.Env):
    """A game as one role plays it; registered as ``clarify_env/Role-v0``.

    Actions, observations, rewards and the options of `reset` are those of the role in `clarify_env.aec.raw_env`; the
    same game object is stepped. All other roles, and tools, move within `reset` and `step`. A game that the others
    end before the role has moved is dealt anew. If one of them cannot reply (`clarify_env.games.agents.PlayerError`),
    the game does not go on: `reset` starts another.

    Version history: v0, first version.

    Args:
        task: A task, its name, or where its class is, as in `make_task`.
        role: The role to play.
        costs: Fixed prices, such as an (alpha, beta) pair, or a plane from whose training prices each reset draws;
            ``None``: the game's default plane.
        agents: Who plays the other roles; a role that is not named is played by the game's default scripted player.
        game: A game or its name.
        render_mode: ``None``, ``"ansi"`` or ``"human"``.
        style: Style of the chat messages, one of `Description.styles`; ``None``: the game's default.
        task_options: Options of a task given by name.
        **game_options: The game's own options, such as ``max_questions`` or ``reasoning``.

    Raises:
        ValueError: There is no such task, game, role or option, a value is wrong, or nobody plays one of the others.
    """

    metadata = {"render_modes": ["ansi", "human"]}
    game: Game

    def __init__(
        self,
        task: Task | str,
        role: str,
        costs: Plane | tuple[float, ...] | None = None,
        agents: Mapping[str, Agent] | None = None,
        game: str | Description = "clarification",
        render_mode: str | None = None,
        style: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        **game_options: Any,
    ):
        self.dealer = Dealer(task, costs, game, task_options, **game_options)
        self.description = self.dealer.game
        self.role = role
        setup = Setup(self.description, self.dealer.task, game_options)
        self.agents = dict(self.description.tools(self.dealer.task)) | setup.others((role,), agents or {})
        self.render_mode, self._style = check_render_mode(render_mode), self.description.check_style(style)
        self.observation_space = observation_space(self.description, role)
        self.action_space = action_space(self.description, role)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Starts a game; returns observation and info."""
        vars(self).pop("game", None)  # a reset that fails leaves no game
        super().reset(seed=None if seed is None else whole_number("seed", seed, least=0))
        for _ in range(MOST_DEALS):
            game = self.dealer.deal(self.np_random, options)
            self._others_move(game)
            if game.to_move == self.role:
                self.game = game
                return self._seen()
        raise ValueError(f"the other roles ended {MOST_DEALS} games before {self.role} was to move")

    def step(self, action: str | None) -> tuple[dict, float, bool, bool, dict]:
        """Plays a message and the moves of all others until this role is to move again.

        Returns:
            Observation, reward, terminated, truncated (never), info.

        Raises:
            ValueError: The game is over, or another role could not reply.
            ResetNeeded: No game has been started.
        """
        game = self._started()
        if game.to_move not in (self.role, None):
            raise ValueError(f"the {game.to_move} has not replied: call reset")
        game.apply(Reply(action))
        self._others_move(game)
        seen, told = self._seen()
        over = game.result is not None
        reward = game.result.reward(game.prices, self.role) if game.result is not None else 0.0
        return seen, reward, over, False, told

    def _started(self) -> Game:
        if not hasattr(self, "game"):
            raise ResetNeeded("no game has been started: call reset first")
        return self.game

    def _others_move(self, game: Game) -> None:
        while game.to_move not in (self.role, None):
            seed = int(self.np_random.integers(2**31))
            game.apply(self.agents[game.to_move].act([game.view(game.to_move)], [seed])[0])

    def _seen(self) -> tuple[dict, dict]:
        if self.render_mode == "human":
            self.render()
        view = self.game.view(self.role)
        return observation(self.description, self.game, view), info(
            self.description, self.game, view, self._style, outcome_of(self.description, self.game)
        )

    def render(self) -> str | None:
        """Returns (``"ansi"``) or prints (``"human"``) the game so far as the role sees it."""
        game = self._started()
        text = self.description.transcript(game.view(self.role))
        if game.result is not None:
            text = f"{text}\n{ending(self.description, game)}"
        if self.render_mode == "human":
            show(text)
        return text if self.render_mode == "ansi" else None


class AssistantEnv(RoleEnv):
    """The clarification game as the assistant plays it; registered as ``clarify_env/Assistant-v0``.

    Version history: v0, first version.

    Args:
        task: A task, its name, or where its class is, as in `make_task`.
        costs: Fixed costs, an (alpha, beta) pair, or a plane from whose training costs each reset draws (the default).
        user: Who plays the user: the scripted user if ``None``.
        render_mode: ``None``, ``"ansi"`` or ``"human"``.
        style: Style of the chat messages; ``None``: ``zero_shot``.
        task_options: Options of a task given by name.
        **game_options: See `RoleEnv`.
    """

    def __init__(
        self,
        task: Task | str = "almanac",
        costs: Plane | tuple[float, ...] | None = None,
        user: Agent | None = None,
        game: str | Description = "clarification",
        render_mode: str | None = None,
        style: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        **game_options: Any,
    ):
        agents = None if user is None else {"user": user}
        super().__init__(task, "assistant", costs, agents, game, render_mode, style, task_options, **game_options)
