"""Compliance tests that a third party can call on its own task or game.

Both functions raise `AssertionError` with a sentence that names what failed, and return nothing::

    from clarify_env.testing import check_game, check_task

    check_task(MyTask())
    check_game(MyTask(), game="my_game")
"""

import contextlib
import gc
import io
import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, seed_test

from clarify_env.aec import env, raw_env
from clarify_env.costs import CostPlane, Costs
from clarify_env.games import make_game
from clarify_env.games.base import Game, Reply, Secret
from clarify_env.games.clarification.actions import Item
from clarify_env.games.clarification.oracle import Solved
from clarify_env.games.clarification.users import leaks
from clarify_env.gym import AssistantEnv
from clarify_env.scores.answers import normalize
from clarify_env.spaces import Text
from clarify_env.tasks.base import Episode, Interpretation, Task

_MOST_MOVES = 100
_TOLERANCE = 1e-9


def check_task(
    task: Task, episodes: int = 20, plane: CostPlane | None = None, make: Callable[[], Task] | None = None
) -> None:
    """Checks a task: its episodes, its scoring, its user and its oracle.

    Args:
        task: What to check.
        episodes: How many of each split to look at.
        plane: Costs at which the oracle is compared with the fixed strategies; the default plane if ``None``.
        make: Makes the same task anew (picklable). Given, its episodes are compared with those made in another process.

    Raises:
        AssertionError: The task breaks a promise; the message says which.
    """
    costs = np.array([cell for cells in (plane or CostPlane()).sets().values() for cell in cells])
    seen: dict[str, Episode] = {}
    owners: dict[Any, str] = {}
    for split, size in task.sizes.items():
        for index in range(episodes if size is None else min(episodes, size)):
            episode = task.episode(split, index)
            where = f"task {task.name}, episode {episode.id}"
            assert episode == task.episode(split, index), f"{where}: asked for twice, it differs"
            assert episode.id not in seen, f"{where}: the id stands for two episodes"
            assert _found(task, episode.id) == episode, f"{where}: lookup() of its id does not find it"
            assert _survives_json(episode.meta), f"{where}: meta changes on its way through JSON"
            owner = owners.setdefault(episode.meta.get("entity", episode.id), split)
            assert owner == split, f"{where}: its entity is also in split {owner}"
            seen[episode.id] = episode
            _check_readings(task, episode, where)
            _check_user(task, episode, where)
            _check_oracle(task, episode, costs, where)
        for index in (-1, *([] if size is None else [size])):
            with _expects(ValueError, f"task {task.name}: episode {index} of split {split} should raise ValueError"):
                task.episode(split, index)
    with _expects(ValueError, f"task {task.name}: an unknown split should raise ValueError"):
        task.episode("no such split", 0)
    if make is not None:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            elsewhere = pool.apply(_episodes_of, (make, list(seen)))
        for episode in elsewhere:
            assert episode == seen[episode.id], f"task {task.name}: episode {episode.id} differs in another process"


def _episodes_of(make: Callable[[], Task], ids: list[str]) -> list[Episode]:
    task = make()
    return [task.lookup(episode_id) for episode_id in ids]


def _found(task: Task, episode_id: str) -> Episode | None:
    try:
        return task.lookup(episode_id)
    except ValueError:
        return None


def _survives_json(meta: dict[str, Any]) -> bool:
    try:
        return json.loads(json.dumps(meta)) == meta
    except (TypeError, ValueError):
        return False


@contextlib.contextmanager
def _expects(error: type[Exception], sentence: str) -> Iterator[None]:
    try:
        yield
    except error:
        return
    raise AssertionError(sentence)


def _check_readings(task: Task, episode: Episode, where: str) -> None:
    readings = episode.interpretations
    assert readings, f"{where}: it has no readings"
    assert _is_frozen(readings), f"{where}: its readings hold something that can be changed, such as a list for a tuple"
    weights = [reading.weight for reading in readings]
    assert min(weights) > 0, f"{where}: a reading has weight {min(weights)}, so it is never meant"
    assert abs(sum(weights) - 1) < _TOLERANCE, f"{where}: the readings' weights sum to {sum(weights):g}, not 1"
    items = [Item(reading.label, "x") for reading in readings]
    for i, reading in enumerate(readings):
        assert reading.answers, f"{where}: reading {i} has no answer"
        for answer in reading.answers:
            assert normalize(answer), f"{where}: answer {answer!r} is empty after normalisation"
            assert task.score(answer, i, episode) == 1, f"{where}: gold answer {answer!r} does not score 1"
        for said in ("", "no such answer", *chain(*(other.answers for other in readings))):
            for name, value in (("score", task.score(said, i, episode)), ("f1", task.f1(said, i, episode))):
                assert 0 <= value <= 1, f"{where}: {name} of {said!r} is {value}, not in [0, 1]"
        if len(readings) > 1:
            picked = task.pick(items, i, episode)
            assert picked == [i], f"{where}: label {reading.label!r} does not single out reading {i}"
    assert task.pick([Item("", "x")] * 2, 0, episode) == [0, 1], f"{where}: from a list without labels all items fit"


def _is_frozen(readings: tuple[Interpretation, ...]) -> bool:
    try:
        return hash(readings) is not None
    except TypeError:
        return False


def _check_user(task: Task, episode: Episode, where: str) -> None:
    for question in (*task.questions(episode), "", "?", "What do you mean?", *_noise(np.random.default_rng(0), 3)):
        for intent in range(len(episode.interpretations)):
            said = task.reply(question, intent, episode)
            assert isinstance(said, str) and said, f"{where}: no reply to {question!r}"
            assert said == task.reply(question, intent, episode), f"{where}: replies to {question!r} differ"
            assert not leaks(said, question, episode, intent), f"{where}: to {question!r} the user gives away {said!r}"


def _check_oracle(task: Task, episode: Episode, costs: np.ndarray, where: str) -> None:
    solved = Solved(task, episode)
    best = solved.oracle(costs)[0]
    for name, value in solved.fixed(costs).items():
        assert (best >= value - _TOLERANCE).all(), f"{where}: the fixed strategy {name!r} earns more than the oracle"


def check_game(task: Task, game: str = "clarification", episodes: int = 5, seed: int = 0, **options: Any) -> None:
    """Checks a game on a task: its rules under arbitrary messages, what each role may see, and its environments.

    Args:
        task: What to play.
        game: Name of the game.
        episodes: How many episodes to play, of the first split.
        seed: Draws the messages.
        **options: The game's own options.

    Raises:
        AssertionError: The game breaks a promise; the message says which.
    """
    rng = np.random.default_rng(seed)
    split, size = next(iter(task.sizes.items()))
    for index in range(episodes if size is None else min(episodes, size)):
        episode = task.episode(split, index)
        for intent in range(len(episode.interpretations)):
            _play_noise(make_game(game, task, episode, intent, Costs(0.25, 0.03), **options), rng)
        _check_secrecy(raw_env(task, game=game, **options), split, index, len(episode.interpretations))
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # The checkers advise on conventions of numeric environments, and one prints.
        warnings.simplefilter("ignore")
        api_test(env(task, game=game, **options), num_cycles=50)
        seed_test(lambda: env(task, game=game, **options), num_cycles=50)
        check_env(AssistantEnv(task, game=game, **options), skip_render_check=True)


def _noise(rng: np.random.Generator, count: int) -> list[str]:
    space = Text(1000, ("", "#CLARIFY ", "#ANSWER ", "#MULTI_ANS "), seed=rng)
    return [space.sample() for _ in range(count)]


def _play_noise(game: Game, rng: np.random.Generator) -> None:
    where = f"game {game.name}, episode {game.episode.id}"
    for _ in range(_MOST_MOVES):
        role = game.to_move
        if role is None:
            break
        assert role in game.roles, f"{where}: {role!r} is to move, who has no part in it"
        assert game.outcome is None, f"{where}: it has an outcome before it is over"
        assert game.fork(game.intent).view(role) == game.view(role), f"{where}: a fork of the game sees something else"
        game.apply(Reply(_noise(rng, 1)[0]))
    else:
        raise AssertionError(f"{where}: not over after {_MOST_MOVES} moves")
    assert game.outcome is not None, f"{where}: over, but without an outcome"
    assert 0 <= game.outcome.accuracy <= 1, f"{where}: accuracy {game.outcome.accuracy} is not in [0, 1]"
    assert np.isfinite(game.outcome.reward(game.costs)), f"{where}: the reward is not finite"
    assert _survives_json(game.outcome._asdict()), f"{where}: the outcome changes on its way through JSON"
    with _expects(ValueError, f"{where}: a move after its end should raise ValueError"):
        game.apply(Reply("#ANSWER x"))


def _check_secrecy(env: raw_env, split: str, index: int, readings: int) -> None:
    """Plays the same messages for every intent: the assistant must not be able to tell which one it was."""
    seen = []
    for intent in range(readings):
        env.reset(options={"split": split, "index": index, "intent": intent, "costs": (0.25, 0.03)})
        where = f"game {env.game.name}, episode {env.game.episode.id}"
        trace = []
        for said in ("#CLARIFY hm?", "no more than this"):
            if any(env.terminations.values()):
                # Over: the outcome may tell.
                break
            trace.append(str((env.observe("assistant"), env.infos["assistant"], env.game.view("assistant"))))
            for held in (env.observe("assistant"), env.infos["assistant"], env.game.view("assistant")):
                for secret in holds(held):
                    raise AssertionError(f"{where}: the assistant is handed a {type(secret).__name__}")
            env.step(said)
        seen.append(trace)
    assert all(trace == seen[0] for trace in seen), f"{where}: the assistant sees something else for another intent"


_SECRET = (Secret, Interpretation, Episode, Task)


def reachable(root: Any) -> Iterator[Any]:
    """Yields every object that can be reached from ``root``, classes, modules and the globals of functions aside."""
    todo, seen = [root], {}
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, (type, ModuleType)):
            continue
        # Kept, so that no id is given out twice during the walk.
        seen[id(thing)] = thing
        yield thing
        if isinstance(thing, FunctionType):
            todo += [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
        else:
            todo += gc.get_referents(thing)


def holds(root: Any) -> list[Any]:
    """What is reachable from ``root`` that no assistant may have: a task, an episode, a reading, the user's secret.

    For assistants that are built with a task on purpose, as the scripted ones are, this is no fault.
    """
    return [thing for thing in reachable(root) if isinstance(thing, _SECRET)]
