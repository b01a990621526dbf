"""The PettingZoo environment: any game, one agent a role."""

import warnings
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from gymnasium.utils import seeding
from pettingzoo import AECEnv
from pettingzoo.utils import OrderEnforcingWrapper

from clarify_env.costs import CostPlane, Costs, check_costs
from clarify_env.games import game_class, make_game
from clarify_env.games.base import Game, Outcome, Reply, View
from clarify_env.games.clarification.actions import TAGS
from clarify_env.games.clarification.prompts import messages, transcript
from clarify_env.spaces import Text
from clarify_env.tasks.base import Episode, Task, make_task

# Characters of a message, and of a transcript of such messages; longer ones are played like any other.
MESSAGE_LENGTH, TRANSCRIPT_LENGTH = 2**16, 2**24
_MOST_TURNS = 1000
_ENDLESS = 2**31
_OPTIONS = ("split", "index", "intent", "costs")


def env(*args: Any, **options: Any) -> OrderEnforcingWrapper:
    """`raw_env` behind PettingZoo's order checks; the same arguments.

    There is no bounds wrapper: over-long text and ``None`` are the game's to judge, not errors.
    """
    return _Ordered(raw_env(*args, **options))


class _Ordered(OrderEnforcingWrapper):
    """PettingZoo's order checks; but the environment's own `last`, which makes the infos of one agent only."""

    def last(self, observe: bool = True) -> tuple[dict[str, Any] | None, float, bool, bool, dict[str, Any]]:
        return self.env.last(observe) if self._has_reset else super().last(observe)

    def __str__(self) -> str:
        return str(self.env)


class Dealer:
    """Starts games: draws what `reset` was not given.

    Args:
        task: A task or its name.
        costs: Fixed costs, an (alpha, beta) pair, or a plane from whose training cells to draw.
        game: Name of the game.
        **options: The game's own options.
    """

    def __init__(self, task: Task | str, costs: CostPlane | tuple[float, float] | None, game: str, **options: Any):
        self.task = make_task(task) if isinstance(task, str) else task
        costs = CostPlane() if costs is None else costs
        self._cells = costs.train() if isinstance(costs, CostPlane) else (_pair(costs),)
        self._game, self._options = game, options

    def deal(self, rng: np.random.Generator, options: dict[str, Any] | None) -> Game:
        """Starts a game.

        Args:
            rng: Draws the episode, the intent by the readings' weights, and the costs.
            options: Any of ``split`` (default ``"train"``), ``index``, ``intent`` and ``costs``, set instead of drawn.

        Raises:
            ValueError: An option's value is not possible.
        """
        options = options or {}
        for name in options:
            if name not in _OPTIONS:
                # Not an error: PettingZoo's own compliance test resets with an option of its invention.
                warnings.warn(f"reset option {name!r} is ignored; known: {', '.join(_OPTIONS)}", stacklevel=3)
        episode = self._episode(rng, options.get("split", "train"), options.get("index"))
        intent = _intent(rng, episode, options.get("intent"))
        costs = options.get("costs")
        # `integers` takes three times as long, and a tenth of a reset.
        cell = self._cells[int(rng.random() * len(self._cells))] if costs is None else _pair(costs)
        return make_game(self._game, self.task, episode, intent, cell, **self._options)

    def _episode(self, rng: np.random.Generator, split: str, index: int | None) -> Episode:
        if index is None and split in self.task.sizes:
            index = int(rng.integers(self.task.sizes[split] or _ENDLESS))
        elif index is not None and not isinstance(index, (int, np.integer)):
            raise ValueError(f"reset option index must be a whole number, not {index!r}")
        return self.task.episode(split, index)


def _intent(rng: np.random.Generator, episode: Episode, intent: int | None) -> int:
    readings = episode.interpretations
    n = len(readings)
    if intent is None:
        left = rng.random()
        for i, reading in enumerate(readings):
            left -= reading.weight
            if left < 0:
                return i
        return n - 1
    if not (isinstance(intent, (int, np.integer)) and 0 <= intent < n):
        raise ValueError(f"reset option intent must be a reading of {episode.id}, 0 to {n - 1}, not {intent!r}")
    return int(intent)


def _pair(costs: tuple[float, float]) -> Costs:
    if not (isinstance(costs, (tuple, list)) and len(costs) == 2):
        raise ValueError(f"costs must be a pair (alpha, beta) or, when an env is made, a CostPlane, not {costs!r}")
    return check_costs(Costs(*costs))


def observation_space(role: str) -> Dict:
    """The space of `observation` for a role."""
    parts: dict[str, Space] = {"transcript": Text(TRANSCRIPT_LENGTH), "turn": Discrete(_MOST_TURNS)}
    if role == "assistant":
        parts["costs"] = Box(0, np.inf, shape=(2,), dtype=np.float64)
    return Dict(parts)


def action_space(role: str) -> Text:
    """The space of a role's messages. Samples of the assistant's open with a tag, mostly."""
    return Text(MESSAGE_LENGTH, ("", *(f"{tag} " for tag in TAGS)) if role == "assistant" else ("",))


def observation(view: View) -> dict[str, Any]:
    """What a role observes: its transcript, the turn, and, as assistant, the costs (alpha, beta)."""
    seen = {"transcript": transcript(view), "turn": view.turn}
    if view.costs is not None:
        seen["costs"] = np.fromiter(view.costs, np.float64, 2)
    return seen


def info(view: View, style: str, outcome: Outcome | None) -> dict[str, Any]:
    """A role's chat messages and, once the game is over, the components of the outcome."""
    chat = {"messages": messages(view, style)}
    return chat if outcome is None else chat | {"outcome": outcome._asdict()}


def spectator(game: Game) -> str:
    """The whole of a game as text, for who may know everything."""
    lines = [f"({game.episode.interpretations[game.intent].text})", transcript(game.view("assistant"))]
    return "\n".join(lines + ([] if game.outcome is None else [ending(game)]))


def ending(game: Game) -> str:
    """One line on how a game ended."""
    parts = ", ".join(f"{name} {value:g}" for name, value in game.outcome._asdict().items())
    return f"reward {game.outcome.reward(game.costs):.3f}: {parts}"


def show(text: str) -> None:
    """Prints a text; what is no character (half a surrogate pair) is escaped."""
    print(text.encode("utf-8", "backslashreplace").decode())


class raw_env(AECEnv):  # noqa: N801 (PettingZoo's name for it)
    """A game between a user with a hidden intent and an assistant who may ask, list or guess.

    **Agents.** ``"assistant"`` (moves first) and ``"user"``.

    **Actions.** Text. The assistant's opens with ``#CLARIFY``, ``#ANSWER`` or ``#MULTI_ANS`` (`actions` of the game);
    any other message, ``None`` included, is invalid and ends the game. With ``reasoning="free"`` or ``"charged"`` other
    text may stand before the line of the tag; the user never sees it. The user's messages are free.

    **Observations.** A dict: ``"transcript"``, the role's view as text; ``"turn"``, the number of messages so far; and,
    as assistant, ``"costs"``, alpha and beta. ``infos[agent]["messages"]`` is the same as chat messages. Nothing the
    assistant gets holds the intent or a gold answer.

    **Rewards.** At the end both receive ``accuracy - alpha * questions - beta * words`` of the last message; its
    components are in ``infos[agent]["outcome"]``.

    **Reset.** ``reset(seed, options)``; options ``split`` (default ``"train"``), ``index``, ``intent`` and ``costs``
    set what is otherwise drawn. Without a seed the environment's own generator goes on.

    Version history: v0, first version.

    Args:
        task: A task or its name.
        costs: Fixed costs, an (alpha, beta) pair, or a plane from whose training cells each reset draws (the default).
        game: Name of the game.
        render_mode: ``None``, ``"ansi"`` or ``"human"``.
        style: Style of the chat messages; see `clarify_env.games.clarification.prompts.messages`.
        **game_options: The game's own options, such as ``max_questions`` or ``reasoning``.
    """

    metadata = {"name": "clarify_env_v0", "render_modes": ["ansi", "human"], "is_parallelizable": False}

    def __init__(
        self,
        task: Task | str,
        costs: CostPlane | tuple[float, float] | None = None,
        game: str = "clarification",
        render_mode: str | None = None,
        style: str = "zero_shot",
        **game_options: Any,
    ):
        super().__init__()
        self.dealer = Dealer(task, costs, game, **game_options)
        self.render_mode, self._style = render_mode, style
        self._rng: np.random.Generator | None = None
        self.possible_agents = list(game_class(game).roles)
        self.observation_spaces = {role: observation_space(role) for role in self.possible_agents}
        self.action_spaces = {role: action_space(role) for role in self.possible_agents}

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
            self._rng, _ = seeding.np_random(seed)
        self.game = self.dealer.deal(self._rng, options)
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._infos: dict[str, dict[str, Any]] = {}
        self.agent_selection = self.game.to_move
        if self.render_mode == "human":
            self.render()

    @property
    def infos(self) -> dict[str, dict[str, Any]]:
        """What `info` says for each agent, made when first asked for after a step."""
        for agent in self.agents:
            if agent not in self._infos:
                self._infos[agent] = info(self.game.view(agent), self._style, self.game.outcome)
        return self._infos

    def last(self, observe: bool = True) -> tuple[dict[str, Any] | None, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated and info of the agent whose turn it is."""
        agent = self.agent_selection
        view = self.game.view(agent)
        told = self._infos.get(agent)
        if told is None:  # unlike PettingZoo's own, this leaves the infos of the others unmade
            told = self._infos[agent] = info(view, self._style, self.game.outcome)
        return (
            observation(view) if observe else None,
            self._cumulative_rewards[agent],
            self.terminations[agent],
            self.truncations[agent],
            told,
        )

    def observe(self, agent: str) -> dict[str, Any]:
        """What an agent can see now."""
        return observation(self.game.view(agent))

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
        game.apply(Reply(action))
        self._infos = {}
        if game.outcome is None:
            self.agent_selection = game.to_move
        else:
            self.rewards = dict.fromkeys(self.agents, game.outcome.reward(game.costs))
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
        gone = self.agents.pop(0)
        for kept in (self._cumulative_rewards, self.terminations, self.truncations, self._infos):
            kept.pop(gone, None)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self.agent_selection = self.agents[0] if self.agents else gone

    def render(self) -> str | None:
        """Returns (``"ansi"``) or prints (``"human"``) the whole game so far, the intent included."""
        if self.render_mode == "ansi":
            return spectator(self.game)
        if self.render_mode == "human":
            show(spectator(self.game))
        return None

    def close(self) -> None:
        """Does nothing: there is nothing to close."""
