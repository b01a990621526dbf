"""The PettingZoo environment: any game, one agent a role."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from gymnasium.utils import seeding
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import OrderEnforcingWrapper
from pettingzoo.utils.conversions import aec_to_parallel

from clarify_env.costs import Plane
from clarify_env.dealing import Dealer
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Reply, View, assemble
from clarify_env.games.description import Description
from clarify_env.options import whole_number
from clarify_env.spaces import Text
from clarify_env.tasks.base import Task

# Characters of a message, and of a transcript of such messages; longer ones are played like any other.
MESSAGE_LENGTH, TRANSCRIPT_LENGTH = 2**16, 2**24
_MOST_TURNS = 1000
_RENDER_MODES = ("ansi", "human")


def env(*args: Any, **options: Any) -> OrderEnforcingWrapper:
    """`raw_env` behind PettingZoo's order checks; the same arguments.

    There is no bounds wrapper: over-long text and ``None`` are the game's to judge, not errors.
    """
    return _Ordered(raw_env(*args, **options))


def parallel_env(*args: Any, **options: Any) -> ParallelEnv:
    """`env` as a parallel environment, in which all roles move in each step; the same arguments.

    Raises:
        ValueError: The roles of the game take turns (`Description.simultaneous`); or as in `raw_env`.
    """
    turn_env = env(*args, **options)
    game = turn_env.unwrapped.description
    if not game.simultaneous:
        raise ValueError(
            f"game {game.name} has no parallel form, since its roles take turns; PettingZoo's "
            "turn_based_aec_to_parallel takes clarify_env.env as it is"
        )
    return aec_to_parallel(turn_env)


class _Ordered(OrderEnforcingWrapper):
    """PettingZoo's order checks; but the environment's own `last`, which makes the infos of one agent only."""

    def last(self, observe: bool = True) -> tuple[dict[str, Any] | None, float, bool, bool, dict[str, Any]]:
        return self.env.last(observe) if self._has_reset else super().last(observe)

    def __str__(self) -> str:
        return str(self.env)


def observation_space(game: Description, role: str) -> Dict:
    """The space of `observation` for a role."""
    parts: dict[str, Space] = {"transcript": Text(TRANSCRIPT_LENGTH), "turn": Discrete(_MOST_TURNS)}
    if role in game.priced:
        parts["costs"] = Box(0, np.inf, shape=(len(game.usage),), dtype=np.float64)
    return Dict(parts)


def action_space(game: Description, role: str) -> Text:
    """The space of a role's messages. Samples mostly begin with an opening of the game, where the role has any."""
    return Text(MESSAGE_LENGTH, ("", *(f"{opening} " for opening in game.openings.get(role, {}).values())))


def observation(description: Description, game: Game, view: View) -> dict[str, Any]:
    """What a role observes: its transcript, the turn, and the prices where it may know them."""
    if view.role not in description.priced:
        return {"transcript": description.transcript(view), "turn": view.turn}
    costs = np.fromiter(game.prices, np.float64, len(game.prices))
    return {"transcript": description.transcript(view), "turn": view.turn, "costs": costs}


def info(
    description: Description, game: Game, view: View, style: str, outcome: dict[str, Any] | None
) -> dict[str, Any]:
    """The id of the episode, a role's chat messages and, once the game is over, the measures of the game."""
    if outcome is None:
        return {"episode_id": game.episode.id, "messages": description.chat(view, style)}
    return {"episode_id": game.episode.id, "messages": description.chat(view, style), "outcome": dict(outcome)}


def outcome_of(description: Description, game: Game) -> dict[str, Any] | None:
    """The measures of a game; ``None`` until it is over."""
    return None if game.result is None else description.measures(game.task, game.episode, game)


def spectator(description: Description, game: Game) -> str:
    """The whole of a game as text, for who may know everything."""
    text = description.spectator(game)
    return text if game.result is None else f"{text}\n{ending(description, game)}"


def ending(description: Description, game: Game) -> str:
    """One line on how a game ended."""
    measures = description.measures(game.task, game.episode, game)
    parts = ", ".join(f"{name} {value:g}" for name, value in measures.items())
    assert game.result is not None, "an ending is that of a finished game"
    return f"reward {game.result.reward(game.prices):z.3f}: {parts}"


def play_tools(tools: Mapping[str, Agent], game: Game, rng: np.random.Generator) -> None:
    """Plays the moves of tools until a role is to move or the game is over."""
    while (tool := game.to_move) is not None and tool in tools:
        seed = int(rng.integers(2**31))
        game.apply(tools[tool].act([game.view(tool)], [seed])[0])


def check_render_mode(mode: str | None) -> str | None:
    """Returns the render mode of an environment.

    Raises:
        ValueError: There is no such mode.
    """
    if mode not in (None, *_RENDER_MODES):
        raise ValueError(f"render_mode must be null or one of {', '.join(_RENDER_MODES)}, not {mode!r}")
    return mode


def show(text: str) -> None:
    """Prints a text; what is no character (half a surrogate pair) is escaped."""
    print(text.encode("utf-8", "backslashreplace").decode())


class raw_env(AECEnv):  # noqa: N801 (PettingZoo's name for it)
    """A game as an AEC environment; by default the clarification game, which the rest of this page describes.

    **Agents.** The game's roles: ``"assistant"`` (moves first) and ``"user"``. Tools move inside `step`.

    **Actions.** Text. The assistant's opens with ``#CLARIFY``, ``#ANSWER`` or ``#MULTI_ANS`` (`actions` of the game);
    any other message, ``None`` included, is invalid and ends the game. With ``reasoning="free"`` or ``"charged"`` other
    text may stand before the line of the tag; the user never sees it. The user's messages are free.

    **Observations.** A dict: ``"transcript"``, the role's view as text; ``"turn"``, the number of messages so far; and,
    as assistant, ``"costs"``, alpha and beta. ``infos[agent]["messages"]`` is the same as chat messages, and
    ``infos[agent]["episode_id"]`` names the episode. Nothing the assistant gets holds the intent or a gold answer.

    **Rewards.** At the end both receive ``accuracy - alpha * questions - beta * words`` of the last message; its
    components are in ``infos[agent]["outcome"]``. In games whose rewards differ by role each agent receives its own.

    **Reset.** ``reset(seed, options)``; options ``split`` (default ``"train"``), ``index``, ``intent`` and ``costs``
    set what is otherwise drawn. Without a seed the environment's own generator goes on.

    Version history: v0, first version.

    Args:
        task: A task, its name, or where its class is, as in `make_task`.
        costs: Fixed prices, such as an (alpha, beta) pair, or a plane from whose training prices each reset draws;
            ``None``: the game's default plane.
        game: A game or its name.
        render_mode: ``None``, ``"ansi"`` or ``"human"``.
        style: Style of the chat messages, one of `Description.styles`; ``None``: the game's default.
        task_options: Options of a task given by name.
        **game_options: The game's own options, such as ``max_questions`` or ``reasoning``.

    Raises:
        ValueError: There is no such task, game or option, or a value is wrong.
    """

    agent_selection: str
    metadata = {"name": "clarify_env_v0", "render_modes": ["ansi", "human"], "is_parallelizable": False}

    def __init__(
        self,
        task: Task | str,
        costs: Plane | tuple[float, ...] | None = None,
        game: str | Description = "clarification",
        render_mode: str | None = None,
        style: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        **game_options: Any,
    ):
        super().__init__()
        self.dealer = Dealer(task, costs, game, task_options, **game_options)
        self.description = self.dealer.game
        self.metadata = self.metadata | {"is_parallelizable": self.description.simultaneous}
        self.render_mode, self._style = check_render_mode(render_mode), self.description.check_style(style)
        self._tools = self.description.tools(self.dealer.task)
        self._rng: np.random.Generator | None = None
        self.possible_agents = list(self.description.roles)
        self.observation_spaces = {role: observation_space(self.description, role) for role in self.possible_agents}
        self.action_spaces = {role: action_space(self.description, role) for role in self.possible_agents}

    def observation_space(self, agent: str) -> Dict:
        """The space of an agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Text:
        """The space of an agent's messages."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Starts a game.

        Args:
            seed: Starts the environment's generator anew; without one it goes on.
            options: See the class.

        Raises:
            ValueError: An option's value is not possible.
        """
        if seed is not None or self._rng is None:
            self._rng, _ = seeding.np_random(None if seed is None else whole_number("seed", seed, least=0))
        self.game = self.dealer.deal(self._rng, options)
        if self._tools:
            play_tools(self._tools, self.game, self._rng)
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._infos: dict[str, dict[str, Any]] = {}
        self._outcome: dict[str, Any] | None = None
        assert self.game.to_move is not None, "a game is not over when it is dealt"
        self.agent_selection = self.game.to_move
        if self.render_mode == "human":
            self.render()

    @property
    def infos(self) -> dict[str, dict[str, Any]]:
        """What `info` says for each agent, made when first asked for after a step."""
        for agent in self.agents:
            if agent not in self._infos:
                self._infos[agent] = info(
                    self.description, self.game, self.game.view(agent), self._style, self._outcome
                )
        return self._infos

    def last(self, observe: bool = True) -> tuple[dict[str, Any] | None, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated and info of the agent whose turn it is."""
        agent, game, description = self.agent_selection, self.game, self.description
        view = game.view(agent)
        role_info = self._infos.get(agent)
        if role_info is None:  # unlike PettingZoo's own, this leaves the infos of the others unmade
            role_info = self._infos[agent] = info(description, game, view, self._style, self._outcome)
        observed = observation(description, game, view) if observe else None
        return observed, self._cumulative_rewards[agent], self.terminations[agent], self.truncations[agent], role_info

    def observe(self, agent: str) -> dict[str, Any]:
        """What an agent can see now."""
        return observation(self.description, self.game, self.game.view(agent))

    def step(self, action: str | None) -> None:
        """Plays a message for the agent whose turn it is.

        Raises:
            ValueError: The game is over and the action not ``None``, or every agent has left.
        """
        game = self.game
        if game.to_move is None:
            self._leave(action)
            return
        self._cumulative_rewards[self.agent_selection] = 0.0
        game.apply(assemble(Reply, (action, None, None, None, 0)))
        self._infos = {}
        if self._tools:
            assert self._rng is not None, "reset makes the generator"
            play_tools(self._tools, game, self._rng)
        if game.result is None:
            assert game.to_move is not None, "a game without a result goes on"
            self.agent_selection = game.to_move
        else:
            result = game.result
            self._outcome = self.description.measures(game.task, game.episode, game)
            if result.by_role is None:
                self.rewards = dict.fromkeys(self.agents, result.reward(game.prices))
            else:
                self.rewards = {agent: result.reward(game.prices, agent) for agent in self.agents}
            self.terminations = dict.fromkeys(self.agents, True)
            self._accumulate_rewards()
            self.agent_selection = self.agents[0]
        if self.render_mode == "human":
            self.render()

    def _leave(self, action: str | None) -> None:
        # PettingZoo's `_was_dead_step` allows for agents who play on, makes the infos of all, and takes three times as
        # long; here all are dead at once.
        if action is not None:
            raise ValueError("when an agent is dead, the only valid action is None")
        if not self.agents:
            raise ValueError("the game is over and every agent has left it; call reset")
        agents = self.agents
        gone = agents.pop(0)
        del self._cumulative_rewards[gone], self.terminations[gone], self.truncations[gone]
        self._infos.pop(gone, None)
        self.rewards = dict.fromkeys(agents, 0.0)
        self.agent_selection = agents[0] if agents else gone

    def render(self) -> str | None:
        """Returns (``"ansi"``) or prints (``"human"``) the whole game so far, the intent included."""
        if self.render_mode == "ansi":
            return spectator(self.description, self.game)
        if self.render_mode == "human":
            show(spectator(self.description, self.game))
        return None

    def close(self) -> None:
        """Does nothing: there is nothing to close."""
