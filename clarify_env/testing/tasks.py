"""The compliance test of a task."""

import multiprocessing
import pickle
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.disclosure import leaks
from clarify_env.games.clarification.oracle import Solved
from clarify_env.scores.answers import normalize
from clarify_env.spaces import Text
from clarify_env.tasks.base import Episode, Interpretation, Item, Task
from clarify_env.tasks.faults import episode_fault
from clarify_env.testing.expect import expects, raises_nothing, survives_json
from clarify_env.testing.fresh import in_fresh_process, inside

_TOLERANCE = 1e-9
# Number of episodes, about, that a task deals and scores in another process.
_HANDED_OVER = 6


def check_task(
    task: Task, episodes: int = 20, plane: CostPlane | None = None, make: Callable[[], Task] | None = None
) -> str:
    """Checks a task: its episodes, its scoring, its user, its oracle, and that another process can be handed it.

    Args:
        task: The task to check.
        episodes: Number of episodes of each split to check.
        plane: Costs at which the oracle is compared with the fixed strategies; ``None``: the default plane.
        make: Creates the same task again (picklable). If given, its episodes in another process are compared as well.

    Returns:
        One sentence on what was checked; it begins with ``ok``.

    Raises:
        AssertionError: A check failed; the message says which.
    """
    costs = np.array([pair for pairs in (plane or CostPlane()).sets().values() for pair in pairs])
    by_id: dict[str, Episode] = {}
    split_of: dict[Any, str] = {}
    for split, size in task.sizes.items():
        for index in range(episodes if size is None else min(episodes, size)):
            with raises_nothing(f"task {task.name}: episode {index} of split {split}"):
                episode = task.episode(split, index)
                fault = episode_fault(episode)
                assert fault is None, f"task {task.name}, episode {index} of split {split}: {fault}"
                where = f"task {task.name}, episode {episode.id}"
                assert episode == task.episode(split, index), f"{where}: asked for twice, it differs"
                assert episode.id not in by_id, f"{where}: the id stands for two episodes"
                assert _lookup(task, episode.id) == episode, f"{where}: lookup() of its id does not find it"
                assert survives_json(episode.meta), f"{where}: meta changes on its way through JSON"
                first_split = split_of.setdefault(episode.meta.get("entity", episode.id), split)
                assert first_split == split, f"{where}: its entity is also in split {first_split}"
                by_id[episode.id] = episode
                _check_readings(task, episode, where)
                _check_user(task, episode, where)
                _check_oracle(task, episode, costs, where)
        for index in (-1, *([] if size is None else [size])):
            with expects(ValueError, f"task {task.name}: episode {index} of split {split} should raise ValueError"):
                task.episode(split, index)
    with expects(ValueError, f"task {task.name}: an unknown split should raise ValueError"):
        task.episode("no such split", 0)
    if make is not None:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rebuilt = pool.apply(_episodes_of, (make, list(by_id)))
        for episode in rebuilt:
            assert episode == by_id[episode.id], f"task {task.name}: episode {episode.id} differs in another process"
    if not inside():
        _check_pickling(task, list(by_id.values()))
    counts = Counter(episode_id.rpartition("/")[0] for episode_id in by_id)
    checked = ", ".join(f"{counts[split]} of {split}" for split in task.sizes)
    elsewhere = ", the same in another process" if make is not None else ""
    return f"ok: every check of task {task.name} passed on {len(by_id)} episodes ({checked}){elsewhere}"


def _check_pickling(task: Task, episodes: list[Episode]) -> None:
    """Hands the task to a new process, as a run with several processes does."""
    where = f"task {task.name}: another process that is handed it"
    some = episodes[:: max(1, len(episodes) // _HANDED_OVER)]
    expected = _played(task, [episode.id for episode in some])
    try:
        if type(task).__module__ == "__main__":  # a script, which other processes import under another name
            there = _played(pickle.loads(pickle.dumps(task)), [episode.id for episode in some])
        else:
            there = in_fresh_process(_played, task, [episode.id for episode in some])
    except Exception as error:  # whatever the methods of a task raise
        reason = " ".join(str(error).split()) or type(error).__name__
        advice = "it must hold no locks, open files or lambdas"
        raise AssertionError(f"{where} cannot use it ({advice}): {reason}") from error
    for episode, here, other in zip(some, expected, there, strict=True):
        assert here == other, f"{where} deals or scores episode {episode.id} differently"


def _played(task: Task, ids: list[str]) -> list[tuple[Episode, list[float]]]:
    episodes = [task.lookup(episode_id) for episode_id in ids]
    return [
        (episode, [task.score(reading.answers[0], i, episode) for i, reading in enumerate(episode.interpretations)])
        for episode in episodes
    ]


def _episodes_of(make: Callable[[], Task], ids: list[str]) -> list[Episode]:
    task = make()
    return [task.lookup(episode_id) for episode_id in ids]


def _lookup(task: Task, episode_id: str) -> Episode | None:
    try:
        return task.lookup(episode_id)
    except ValueError:
        return None


def _check_readings(task: Task, episode: Episode, where: str) -> None:
    readings = episode.interpretations
    assert _is_frozen(readings), f"{where}: its readings hold something that can be changed, such as a list for a tuple"
    items = [Item(reading.label, "x") for reading in readings]
    for i, reading in enumerate(readings):
        for answer in reading.answers:
            assert normalize(answer), f"{where}: answer {answer!r} is empty after normalisation"
            assert task.score(answer, i, episode) == 1, f"{where}: gold answer {answer!r} does not score 1"
        for text in ("", "no such answer", *chain(*(other.answers for other in readings))):
            for name, value in (("score", task.score(text, i, episode)), ("f1", task.f1(text, i, episode))):
                assert 0 <= value <= 1, f"{where}: {name} of {text!r} is {value}, not in [0, 1]"
        if len(readings) > 1:
            indices = task.pick(items, i, episode)
            assert indices == [i], f"{where}: label {reading.label!r} does not single out reading {i}"
    assert task.pick([Item("", "x")] * 2, 0, episode) == [0, 1], f"{where}: from a list without labels all items fit"


def _is_frozen(readings: tuple[Interpretation, ...]) -> bool:
    try:
        return hash(readings) is not None
    except TypeError:
        return False


def _check_user(task: Task, episode: Episode, where: str) -> None:
    for question in (*task.questions(episode), "", "?", "What do you mean?", *_noise(np.random.default_rng(0), 3)):
        for intent in range(len(episode.interpretations)):
            text = task.reply(question, intent, episode)
            assert isinstance(text, str) and text, f"{where}: no reply to {question!r}"
            assert text == task.reply(question, intent, episode), f"{where}: replies to {question!r} differ"
            assert not leaks(text, [question], task, episode, intent), (
                f"{where}: to {question!r} the user gives away {text!r}"
            )


def _check_oracle(task: Task, episode: Episode, costs: np.ndarray, where: str) -> None:
    solved = Solved(task, episode)
    best = solved.oracle(costs)[0]
    for name, value in solved.fixed(costs).items():
        assert (best >= value - _TOLERANCE).all(), f"{where}: the fixed strategy {name!r} earns more than the oracle"


def _noise(rng: np.random.Generator, count: int) -> list[str]:
    space = Text(1000, ("", "#CLARIFY ", "#ANSWER ", "#MULTI_ANS "), seed=rng)
    return [space.sample() for _ in range(count)]
