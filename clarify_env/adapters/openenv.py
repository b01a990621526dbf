"""OpenEnv: a server and a client of one role of a game, with agents for all other roles inside the server.

Run with openenv 0.10.0 (extra ``[openenv]``). `make_app` makes the server's application, ``python -m
clarify_env.adapters.openenv --task almanac --role assistant`` serves it on loopback, `GameClient` plays there.
"""

import argparse
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

from clarify_env import __version__
from clarify_env.arguments import value
from clarify_env.dealing import ENDLESS
from clarify_env.extras import extra
from clarify_env.games import find_game
from clarify_env.games.agents import Agent
from clarify_env.games.base import Reply, View
from clarify_env.gym import RoleEnv
from clarify_env.options import whole_number
from clarify_env.streams import whole_characters
from clarify_env.tasks.base import Task
from clarify_env.tasks.registry import as_task

with extra("clarify_env.adapters.openenv", "openenv"):
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server import Action, Environment, Observation, State, create_app
    from openenv.core.env_server.types import EnvironmentMetadata
    from pydantic import BeforeValidator, Field

if TYPE_CHECKING:
    from fastapi import FastAPI

# Entries of `GameEnvironment.list_tasks`; the interface allows a preview of large splits.
_PREVIEW = 1000
# Most episodes that `GameEnvironment.get_task_range` lists at once: data sets whole, no endless split.
_MOST_LISTED = 100_000
_SPLITS = ("train", "validation", "test")


def _as_utf8(text: Any) -> Any:
    return whole_characters(text) if isinstance(text, str) else text


class MessageAction(Action):
    """A message of the role. ``message`` is the one required field."""

    message: Annotated[str, BeforeValidator(_as_utf8)] = Field(description="Text of the message")


class GameObservation(Observation):
    """What the role observes; ``reward`` is 0 until the game is over, and ``None`` after `reset`."""

    messages: list[dict[str, str]] = Field(default_factory=list, description="View of the role as chat messages")
    transcript: str = Field(default="", description="View of the role as plain text")
    turn: int = Field(default=0, description="Number of messages so far")
    costs: list[float] | None = Field(
        default=None, description="Prices, in the order of the game's usage; null where the role may not know them"
    )
    episode: str = Field(default="", description="Id of the episode that was dealt, SPLIT/INDEX")
    outcome: dict[str, float] | None = Field(
        default=None, description="Reward and the measures it is made of; null until the game is over"
    )


class GameState(State):
    """State of a session. It holds nothing hidden from the role."""

    task: str = Field(default="", description="Name of the task")
    game: str = Field(default="", description="Name of the game")
    role: str = Field(default="", description="Role that the client plays")
    episode: str = Field(default="", description="Id of the episode that was dealt, SPLIT/INDEX")
    over: bool = Field(default=False, description="Whether the game is over")


class GameEnvironment(Environment[MessageAction, GameObservation, GameState]):
    """A game as one role plays it, behind OpenEnv's interface; `clarify_env.gym.RoleEnv` steps the game.

    Args:
        task: A task, its name, or where its class is, as in `make_task`.
        role: The role that the client plays.
        **settings: Further arguments of `clarify_env.gym.RoleEnv`.

    Raises:
        ValueError: There is no such task, game, role or option, a value is wrong, or nobody plays one of the others.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, task: Task | str, role: str, **settings: Any):
        super().__init__()
        self._env = RoleEnv(task, role, **settings)
        self._task = self._env.dealer.task
        self._state = GameState(task=self._task.name, game=self._env.description.name, role=role)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> GameObservation:
        """Starts a game.

        Args:
            seed: Seed of the draws and of the other roles, at least 0; ``None``: the session's generator goes on.
            episode_id: Name of this game in the state; ``None``: a new UUID. It does not choose an episode.
            **options: Any of ``split``, ``index``, ``costs`` and what the game calls the hidden possibility
                (``intent``), set instead of drawn; ``None`` is drawn.

        Raises:
            ValueError: There is no such option, or its value is not possible.
        """
        if unknown := sorted(options.keys() - set(self._env.dealer.known)):
            raise ValueError(f"reset has no option {', '.join(unknown)}; known: {', '.join(self._env.dealer.known)}")
        deal = {name: option for name, option in options.items() if option is not None}
        view, info = self._env.reset(seed=seed, options=deal)
        self._state = self._state.model_copy(
            update={
                "episode_id": episode_id or str(uuid.uuid4()),
                "step_count": 0,
                "episode": info["episode_id"],
                "over": False,
            }
        )
        return self._observation(view, info, None)

    def step(self, action: MessageAction, timeout_s: float | None = None, **kwargs: Any) -> GameObservation:
        """Plays a message, and the moves of all others until the role is to move again.

        Raises:
            ValueError: The game is over.
            ResetNeeded: No game has been started.
        """
        view, reward, over, _, info = self._env.step(action.message)
        self._state.step_count += 1
        self._state.over = over
        return self._observation(view, info, reward)

    def _observation(self, view: dict, info: dict, reward: float | None) -> GameObservation:
        outcome = info.get("outcome")
        if outcome is not None:
            assert reward is not None, "a game is not over when it is dealt"
            outcome = {"reward": reward} | {name: float(amount) for name, amount in outcome.items()}
        return GameObservation(
            messages=info["messages"],
            transcript=view["transcript"],
            turn=view["turn"],
            costs=view["costs"].tolist() if "costs" in view else None,
            episode=info["episode_id"],
            outcome=outcome,
            reward=reward,
            done=outcome is not None,
        )

    @property
    def state(self) -> GameState:
        """State of the session."""
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        """Names the game, the task and the role."""
        state = self._state
        return EnvironmentMetadata(
            name=f"clarify_env/{state.game}",
            description=f"The game {state.game} on the task {state.task}, as its {state.role} plays it",
            version=__version__,
        )

    def list_splits(self) -> list[dict[str, str]]:
        """Splits of the task; their episodes are deal by ``reset(split=, index=)``."""
        return [{"name": name, "type": name if name in _SPLITS else "validation"} for name in self._task.sizes]

    def num_tasks(self, split: str) -> int:
        """Number of episodes of a split; 2^31 for an endless one."""
        if split not in self._task.sizes:
            raise IndexError(f"task {self._task.name} has no split {split!r}")
        size = self._task.sizes[split]
        return ENDLESS if size is None else size

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """One episode: its id, split and index, nothing hidden."""
        if not 0 <= index < self.num_tasks(split):
            raise IndexError(f"split {split} has no episode {index}")
        return {"id": f"{split}/{index}", "split": split, "index": index}

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Episodes of a slice of a split, at most 100,000.

        Raises:
            IndexError: There is no such split, the slice has no end in an endless one, or it holds too many episodes.
        """
        indices = range(self.num_tasks(split))[start:stop]
        if stop is None and self._task.sizes[split] is None:
            raise IndexError(f"split {split} of task {self._task.name} is endless: a range of it needs a stop")
        if len(indices) > _MOST_LISTED:
            raise IndexError(f"a range lists at most {_MOST_LISTED:,} episodes at once, not {len(indices):,}")
        return [self.get_task(split, index) for index in indices]

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """Episodes of a split, at most the first 1,000."""
        return self.get_task_range(split, 0, _PREVIEW)


class GameClient(EnvClient[MessageAction, GameObservation, GameState]):
    """Plays a role on a server: ``step`` takes a text or a `MessageAction`.

    Awaited in asynchronous code; ``.sync()`` is the same for synchronous code. Each client is a session of its own.
    """

    def _step_payload(self, action: MessageAction | str) -> dict[str, Any]:
        return {"message": action if isinstance(action, str) else action.message}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[GameObservation]:
        end = {"reward": payload.get("reward"), "done": payload.get("done", False)}
        return StepResult(observation=GameObservation(**payload["observation"], **end), **end)

    def _parse_state(self, payload: dict[str, Any]) -> GameState:
        return GameState(**payload)


class _Shared:
    """An agent that plays in many sessions, one call at a time: sessions run in threads of their own."""

    def __init__(self, agent: Agent):
        self.name, self._agent, self._lock = agent.name, agent, Lock()

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        with self._lock:
            return self._agent.act(views, seeds, openings)


def make_app(
    task: Task | str,
    role: str,
    *,
    agents: Mapping[str, Agent] | None = None,
    task_options: Mapping[str, Any] | None = None,
    sessions: int = 64,
    **settings: Any,
) -> "FastAPI":
    """Makes the application of a server.

    Args:
        task: A task, its name, or where its class is.
        role: The role that clients play.
        agents: Who plays the other roles; shared by all sessions, one call at a time.
        task_options: Options of a task given by name.
        sessions: Most sessions at a time; each is a game of its own.
        **settings: Further arguments of `GameEnvironment`.

    Raises:
        ValueError: As in `GameEnvironment`, before anything is served.
    """
    sessions = whole_number("sessions", sessions, least=1)
    players = {name: _Shared(agent) for name, agent in (agents or {}).items()}
    make = partial(GameEnvironment, as_task(task, task_options), role, agents=players, **settings)
    make()
    return create_app(
        make,
        MessageAction,
        GameObservation,
        env_name="clarify_env",
        max_concurrent_envs=sessions,
        state_cls=GameState,
    )


def main(arguments: Sequence[str]) -> int:
    """Serves a role of a game until it is interrupted.

    Returns:
        The exit code: 2 if an argument is wrong, after one sentence on stderr.
    """
    parser = argparse.ArgumentParser(
        prog="python -m clarify_env.adapters.openenv", description="Serves one role of a game to OpenEnv clients."
    )
    parser.add_argument("--task", required=True, help="a task's name, module:Class or FILE.py:Class")
    parser.add_argument("--role", required=True, help="role that clients play")
    parser.add_argument("--game", default="clarification", help="a game's name (clarification)")
    parser.add_argument("--costs", type=float, nargs="+", help="fixed prices; default: drawn from the game's plane")
    parser.add_argument("--style", help="style of the chat messages; default: the game's")
    parser.add_argument("--task-option", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    parser.add_argument("--game-option", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    parser.add_argument("--sessions", type=int, default=64, help="most sessions at a time (64)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000)")
    options = parser.parse_args(arguments)
    try:
        if not 0 <= options.port < 2**16:
            raise ValueError(f"--port must be a port, in [0, 65535], not {options.port}")
        known = [option.name for option in fields(find_game(options.game).options)]
        game_options = _options("--game-option", options.game_option, known)
        app = make_app(
            options.task,
            options.role,
            costs=None if options.costs is None else tuple(options.costs),
            game=options.game,
            style=options.style,
            task_options=_options("--task-option", options.task_option),
            sessions=options.sessions,
            **game_options,
        )
    except ValueError as error:
        print(f"clarify_env.adapters.openenv: {error}", file=sys.stderr)
        return 2
    import uvicorn

    uvicorn.run(app, host=options.host, port=options.port)
    return 0


def _options(flag: str, pairs: Sequence[str], known: Sequence[str] | None = None) -> dict[str, Any]:
    options = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ValueError(f"{flag} must be NAME=VALUE, not {pair!r}")
        if known is not None and name not in known:
            raise ValueError(f"{flag}: the game has no option {name}, only {', '.join(known)}")
        options[name] = value(text)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
