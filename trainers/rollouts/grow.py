"""Grow: plays groups of games on training episodes, for every learning method (docs/design.md).

The groups depend only on the seed, and chunks of groups are written whole, so that a killed run continues after the
last chunk on disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.games.base import Agent, Trajectory
from clarify_env.games.description import Prices
from clarify_env.tasks.base import ENDLESS
from trainers.rollouts.groups import Group, play_groups
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.runs.store import ChunkWriter

# Maximum number of groups played, written and replayed together.
GROUPS = 32
# Assumed number of games per group before the first chunk, so that a small budget is not exceeded by much.
_GROUP_GAMES = 60


def grow(
    experiment: Experiment,
    rollouts: RolloutOptions,
    run: Run,
    agents: Mapping[str, Agent],
    iteration: int,
    budget: int,
    among: Sequence[int] | None = None,
) -> Iterator[tuple[Any, list[Trajectory]]]:
    """Plays groups on training episodes until the budget of games is spent, and yields the games of each group.

    Args:
        experiment: Task, game, prices and seed.
        rollouts: How the games of a group are sampled.
        run: Run whose directory holds the games.
        agents: Agent of each role.
        iteration: Number of the iteration; it seeds the groups together with the experiment's seed.
        budget: Number of games to play. Groups are played whole, so the last one may exceed the budget; the size of the
            last chunk is estimated from the mean number of games per group.
        among: Indices of the training episodes to play; ``None``: all.

    Yields:
        The episode and the games of each group.
    """
    setup, task = experiment.setup, experiment.task
    rng = np.random.default_rng([experiment.seed, iteration])
    size = experiment.training_episodes() if among is None else len(among)
    prices = experiment.plane.train()
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    log = ChunkWriter(folder / f"iteration-{iteration}.jsonl")
    advance = run.bar(f"iteration {iteration}: growing", budget, "games")
    order: np.ndarray = np.array([], dtype=int)
    stored_chunks, games_played, groups_played = log.read(setup), 0, 0
    replayed = log.chunks
    while games_played < budget:
        if len(order) < GROUPS:
            more = rng.permutation(size) if size else rng.integers(ENDLESS, size=10 * GROUPS)
            order = np.concatenate([order, more])
        if games_played:
            size_of_chunk = (budget - games_played) * groups_played // games_played
        else:
            size_of_chunk = budget // _GROUP_GAMES
        indices, order = np.split(order, [min(max(size_of_chunk, 1), GROUPS)])
        if among is not None:
            indices = np.array(among)[indices]
        groups = [
            Group(task.episode("train", int(i)), prices[rng.integers(len(prices))], int(rng.integers(2**62)))
            for i in indices
        ]
        if replayed:
            games, replayed = next(stored_chunks), replayed - 1
        else:
            games = play_groups(setup, rollouts, groups, agents, first_id=games_played)
            log.append(games)
        games_played, groups_played = games_played + len(games), groups_played + len(groups)
        advance(len(games))
        yield from _by_group(experiment, games)
    if not run.recorded("grow", iteration):
        run.record("grow", iteration, iteration, games=games_played)


def _by_group(experiment: Experiment, games: Sequence[Trajectory]) -> Iterator[tuple[Any, list[Trajectory]]]:
    groups: dict[tuple[str, Prices], list[Trajectory]] = {}
    for game in games:
        groups.setdefault((game.episode_id, game.prices), []).append(game)
    for (episode_id, _), group in groups.items():
        yield experiment.task.lookup(episode_id), group


def generated_tokens(games: Sequence[Trajectory]) -> int:
    """Returns the number of tokens sampled in some games; shared turns count once, forced tokens do not count."""
    distinct = {
        (turn.view, turn.reply.ids): len(turn.reply.ids) - turn.reply.forced
        for game in games
        for turn in game.turns
        if turn.reply.ids is not None
    }
    return sum(distinct.values())
