"""The Gymnasium environment: the assistant's side alone, with a user inside."""

from typing import Any

import gymnasium

from clarify_env.aec import Dealer, action_space, ending, info, observation, observation_space, show
from clarify_env.costs import CostPlane
from clarify_env.games.base import Agent, Reply
from clarify_env.games.clarification.prompts import transcript
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import Task

_ROLE = "assistant"


class AssistantEnv(gymnasium.Env):
    """The clarification game as the assistant plays it; registered as ``clarify_env/Assistant-v0``.

    Actions, observations, rewards and the options of `reset` are those of the assistant in `clarify_env.aec.raw_env`;
    the same game object is stepped. The user inside moves within `step`.

    Version history: v0, first version.

    Args:
        task: A task or its name.
        costs: Fixed costs, an (alpha, beta) pair, or a plane from whose training cells each reset draws (the default).
        user: Who plays the user: the scripted user if ``None``.
        game: Name of the game.
        render_mode: ``None``, ``"ansi"`` or ``"human"``.
        style: Style of the chat messages; see `clarify_env.games.clarification.prompts.messages`.
        **game_options: The game's own options, such as ``max_questions`` or ``reasoning``.
    """

    metadata = {"render_modes": ["ansi", "human"]}

    def __init__(
        self,
        task: Task | str = "almanac",
        costs: CostPlane | tuple[float, float] | None = None,
        user: Agent | None = None,
        game: str = "clarification",
        render_mode: str | None = None,
        style: str = "zero_shot",
        **game_options: Any,
    ):
        self.dealer = Dealer(task, costs, game, **game_options)
        self.user = ScriptedUser(self.dealer.task) if user is None else user
        self.render_mode, self._style = render_mode, style
        self.observation_space, self.action_space = observation_space(_ROLE), action_space(_ROLE)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Starts a game; returns observation and info."""
        super().reset(seed=seed)
        self.game = self.dealer.deal(self.np_random, options)
        return self._seen()

    def step(self, action: str | None) -> tuple[dict, float, bool, bool, dict]:
        """Plays the assistant's message and the user's reply.

        Returns:
            Observation, reward, terminated, truncated (never), info.

        Raises:
            ValueError: The game is over.
        """
        game = self.game
        game.apply(Reply(action))
        while game.to_move not in (_ROLE, None):
            seed = int(self.np_random.integers(2**31))
            game.apply(self.user.act([game.view(game.to_move)], [seed])[0])
        over = game.outcome is not None
        seen, told = self._seen()
        return seen, game.outcome.reward(game.costs) if over else 0.0, over, False, told

    def _seen(self) -> tuple[dict, dict]:
        if self.render_mode == "human":
            self.render()
        view = self.game.view(_ROLE)
        return observation(view), info(view, self._style, self.game.outcome)

    def render(self) -> str | None:
        """Returns (``"ansi"``) or prints (``"human"``) the game so far as the assistant sees it."""
        text = transcript(self.game.view(_ROLE)) + ("" if self.game.outcome is None else f"\n{ending(self.game)}")
        if self.render_mode == "human":
            show(text)
        return text if self.render_mode == "ansi" else None
