"""Whole games as JSON records: written for other programs, and read from them by replaying their messages."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clarify_env.games.base import Game, Reply, Trajectory
from clarify_env.games.setup import Setup
from clarify_env.selfplay import trajectory

# Keys of a record and of a message, beside the game's own name of what is hidden.
_KEYS = ("game", "task", "split", "episode_id", "costs", "seed", "agents", "messages", "reward", "rewards")
TOKENS = ("prompt_ids", "ids", "logprobs", "forced")
# Largest difference of two equal rewards.
SAME = 1e-9
_EPISODE = re.compile(r".+/[0-9]{1,18}", re.DOTALL)
# Largest seed, and largest token id.
_MOST_SEED, _MOST_ID = 2**63 - 1, 2**31 - 1


def game_record(setup: Setup, game: Trajectory) -> dict[str, Any]:
    """Returns a game as a JSON record, which `read_games` reads.

    Args:
        setup: Game, task and options.
        game: The game.
    """
    record = {
        "game": game.game,
        "task": game.task,
        "split": game.split,
        "episode_id": game.episode_id,
        setup.game.hidden_name: game.hidden,
        "costs": [float(price) for price in game.prices],
        "seed": game.seed,
        "agents": dict(game.agents),
        "reward": game.reward(),
        "messages": [_message(turn.role, turn.reply) for turn in game.turns],
    }
    if game.result.by_role is not None:
        record["rewards"] = {role: game.reward(role) for role in setup.game.roles}
    return record


def _message(role: str, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": role, "content": reply.text}
    if reply.ids is not None:
        message |= {name: getattr(reply, name) for name in TOKENS}
    return message


def read_games(path: Path, setup: Setup) -> Iterator[tuple[Trajectory, bool]]:
    """Yields the games of a JSON-lines file, replayed by the rules; tools are not run again.

    Each line holds ``episode_id``, ``costs`` (a list in the order of the game's prices, or a mapping by their names),
    ``messages`` (``role`` and ``content``, tools' results included) and, where an episode has several possibilities,
    which one was dealt, under the game's name for it (``intent`` in the clarification game). Optional: ``game``,
    ``task``, ``split``, ``seed``, ``agents`` (the name of each role's player), ``reward``, ``rewards``, and the token
    ids of a message (``prompt_ids``, ``ids``, ``logprobs``, ``forced``).

    Args:
        path: The file; empty lines are skipped.
        setup: Game, task and options.

    Yields:
        A game, and whether its reward is the one on file (true where the file states none).

    Raises:
        ValueError: A line does not fit; the message names file and line.
    """
    count = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                yield _replayed(_record(line), setup, count)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            count += 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {_short(next(name for name in names if names.count(name) > 1))} stands twice")
    return record


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise ValueError("not a game: it is nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError(f"a game is a JSON object, not {_short(record)}")
    return record


def _replayed(record: dict[str, Any], setup: Setup, number: int) -> tuple[Trajectory, bool]:
    description = setup.game
    _check_keys(record, (*_KEYS, description.hidden_name))
    for key, name in (("game", description.name), ("task", setup.task.name)):
        if record.get(key, name) != name:
            raise ValueError(f"{key} is {_short(record[key])}, but this run's is {name}")
    name = description.hidden_name
    hidden = {name: record[name]} if name in record else {}
    game = replayed(setup, record.get("episode_id"), hidden, _costs(record, setup), record.get("messages"))
    if record.get("split", game.episode.id.rpartition("/")[0]) != game.episode.id.rpartition("/")[0]:
        raise ValueError(f"split is {_short(record['split'])}, but the episode is {game.episode.id}")
    players = dict.fromkeys(description.roles, "elsewhere") | check_agents(record.get("agents", {}), setup)
    played = trajectory(number, check_seed(record.get("seed", 0)), game, players)
    return played, _agrees(record, played)


def replayed(setup: Setup, episode_id: Any, hidden: Mapping[str, Any], prices: Any, messages: Any) -> Game:
    """Plays a game again from its messages, whatever they are; tools are not run again.

    Args:
        setup: Game, task and options.
        episode_id: The episode.
        hidden: What was dealt, by its name on file; empty if it is not stated.
        prices: The prices.
        messages: Each has ``role`` and ``content``, and may have token ids (`read_games`).

    Raises:
        ValueError: They are not those of a whole game; the message names what does not fit.
    """
    if not isinstance(episode_id, str) or _EPISODE.fullmatch(episode_id) is None:
        raise ValueError(f"episode_id must be SPLIT/NUMBER, as train/0, not {_short(episode_id)}")
    episode = setup.task.lookup(episode_id)
    game = setup.deal(episode, _hidden(hidden, setup, episode), setup.game.check_prices(prices))
    if not isinstance(messages, list) or not messages:
        raise ValueError(f"messages must be a list of role and content, not {_short(messages)}")
    known = (*setup.game.roles, *setup.game.tools(setup.task))
    for index, message in enumerate(messages, 1):
        _apply(game, message, f"message {index}", known)
    if game.result is None:
        raise ValueError(f"its messages do not end the game: {game.to_move} is to move")
    return game


def _check_keys(mapping: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in mapping:
        if key not in known:
            raise ValueError(f"there is no key {_short(key)}; known: {', '.join(known)}")


def _hidden(stated: Mapping[str, Any], setup: Setup, episode: Any) -> int:
    count = len(setup.weights(episode))
    if not stated and count == 1:
        return 0
    ((name, hidden),) = stated.items() or {setup.game.hidden_name: None}.items()
    if type(hidden) is not int or not 0 <= hidden < count:
        value = f"is {_short(hidden)}" if stated else "is missing"
        raise ValueError(f"{name} {value}: it is the number of one of {count} possibilities, from 0")
    return hidden


def _costs(record: Mapping[str, Any], setup: Setup) -> Any:
    names, costs = setup.game.usage, record.get("costs", [])
    if not isinstance(costs, dict):
        return costs
    _check_keys(costs, names)
    if missing := [name for name in names if name not in costs]:
        raise ValueError(f"costs: the price of {missing[0]} is missing")
    return [costs[name] for name in names]


def _apply(game: Game, message: Any, name: str, known: Sequence[str]) -> None:
    if not isinstance(message, dict):
        raise ValueError(f"{name} must be an object with role and content, not {_short(message)}")
    _check_keys(message, ("role", "content", *TOKENS))
    role, content = message.get("role"), message.get("content")
    if role not in known:
        raise ValueError(f"{name}: role must be one of {', '.join(known)}, not {_short(role)}")
    if "content" not in message or not (content is None or _is_text(content)):
        raise ValueError(f"{name}: content must be a text, not {_short(content)}")
    if game.to_move is None:
        raise ValueError(f"{name}, of {role}, comes after the end of the game")
    if role != game.to_move:
        raise ValueError(f"{name} is of {role}, but by the rules {game.to_move} is to move")
    game.apply(_reply(message, content, name))


def _reply(message: Mapping[str, Any], content: str | None, name: str) -> Reply:
    prompt_ids, ids, logprobs = (message.get(key) for key in ("prompt_ids", "ids", "logprobs"))
    forced = message.get("forced", 0)
    for key, values in (("prompt_ids", prompt_ids), ("ids", ids)):
        if values is not None and not (
            isinstance(values, list | tuple) and all(type(i) is int and 0 <= i <= _MOST_ID for i in values)
        ):
            raise ValueError(f"{name}: {key} must be a list of token ids, not {_short(values)}")
    if (prompt_ids is None) != (ids is None):
        raise ValueError(f"{name}: prompt_ids and ids belong together, and one of them is missing")
    if logprobs is not None and not (
        isinstance(logprobs, list | tuple) and len(logprobs) == len(ids or ()) and all(map(is_number, logprobs))
    ):
        raise ValueError(f"{name}: logprobs must hold one number per id, not {_short(logprobs)}")
    if type(forced) is not int or not 0 <= forced <= len(ids or ()):
        raise ValueError(f"{name}: forced must be a number of ids, not {_short(forced)}")
    return Reply(content, _tuple(prompt_ids), _tuple(ids), _tuple(logprobs), forced)


def _tuple(values: list[Any] | tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)


def _is_text(value: Any) -> bool:
    """Returns whether a value is a text that files can hold: halves of surrogate pairs are no characters."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Returns whether a value is a finite number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def check_seed(seed: Any) -> int:
    """Returns the seed of a game.

    Raises:
        ValueError: It is none.
    """
    if type(seed) is not int or not 0 <= seed <= _MOST_SEED:
        raise ValueError(f"seed must be a whole number in [0, 2^63 - 1], not {_short(seed)}")
    return seed


def check_agents(agents: Any, setup: Setup) -> dict[str, str]:
    """Returns the names of players by role.

    Raises:
        ValueError: They are none.
    """
    if not isinstance(agents, dict) or not all(map(_is_text, agents.values())):
        raise ValueError(f"agents must be a mapping of roles to the names of their players, not {_short(agents)}")
    _check_keys(agents, setup.game.roles)
    return agents


def _agrees(record: Mapping[str, Any], game: Trajectory) -> bool:
    stated = [(None, record["reward"])] if "reward" in record else []
    rewards = record.get("rewards", {})
    if not isinstance(rewards, dict):
        raise ValueError(f"rewards must be a mapping of roles to numbers, not {_short(rewards)}")
    _check_keys(rewards, tuple(game.agents))
    stated += list(rewards.items())
    for _, reward in stated:
        if not is_number(reward):
            raise ValueError(f"reward must be a number, not {_short(reward)}")
    return all(abs(game.reward(role) - reward) <= SAME for role, reward in stated)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
