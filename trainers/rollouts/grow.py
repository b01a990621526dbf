"""Grow: plays groups of games on training episodes, for every learning method (docs/design.md).

The groups depend only on the seed, and chunks of groups are written whole, so that a killed run continues after the
last chunk on disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.agents import Agent
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from clarify_env.tasks.base import ENDLESS
from trainers.rollouts.groups import Group, most_games, play_groups, was_played
from trainers.rollouts.stored import check_stored, stored_groups
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.runs.store import ChunkWriter

# Maximum number of groups played, written and replayed together.
GROUPS = 32
# Iterations whose first group `check_budget` looks at.
_CHECKED = 10
# Assumed number of games per group before the first chunk, so that few groups are sampled in vain.
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
    """Plays groups on training episodes while they fit the budget of games, and yields the games of each group.

    Args:
        experiment: Task, game, prices and seed.
        rollouts: How the games of a group are sampled.
        run: Run whose directory holds the games.
        agents: Agent of each role.
        iteration: Number of the iteration; it seeds the groups together with the experiment's seed.
        budget: Maximum number of games. Groups are played whole: the first one that does not fit, whose number of games
            is known from its first messages, ends the growing.
        among: Indices of the training episodes to play; ``None``: all.

    Yields:
        The episode and the games of each group.

    Raises:
        ValueError: The budget cannot hold the first group.
    """
    if rollouts.games is not None:
        yield from _learned_again(experiment, rollouts.games, run, agents, iteration, budget)
        return
    setup, plan = experiment.setup, _Plan(experiment, iteration, among)
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    log = ChunkWriter(folder / f"iteration-{iteration}.jsonl")
    advance = run.bar(f"iteration {iteration}: growing", budget, "games")
    stored_chunks, games_played, groups_played, fits = log.read(setup), 0, 0, True
    replayed = log.chunks
    while fits and games_played < budget:
        if games_played:
            size_of_chunk = (budget - games_played) * groups_played // games_played
        else:
            size_of_chunk = budget // _GROUP_GAMES
        groups = plan.groups(min(max(size_of_chunk, 1), GROUPS))
        if replayed:
            games, replayed = next(stored_chunks), replayed - 1
        else:
            games = play_groups(setup, rollouts, groups, agents, first_id=games_played, most=budget - games_played)
            log.append(games)
        fits = was_played(rollouts, groups[-1], games)
        if not games_played and not games:
            raise ValueError(_too_small(setup, rollouts, groups[0], budget))
        games_played, groups_played = games_played + len(games), groups_played + len(groups)
        advance(len(games))
        yield from _by_group(experiment, games)
    advance(max(budget - games_played, 0))  # what is left cannot hold another group
    if not run.recorded("grow", iteration):
        run.record("grow", iteration, iteration, games=games_played)


def _learned_again(
    experiment: Experiment, folder: str, run: Run, agents: Mapping[str, Agent], iteration: int, budget: int
) -> Iterator[tuple[Any, list[Trajectory]]]:
    """Yields the groups of stored games instead (``rollouts.games``); none are played."""
    advance, count = run.bar(f"iteration {iteration}: reading games", budget, "games"), 0
    for episode, games in stored_groups(experiment, agents, folder, iteration, budget):
        count += len(games)
        advance(len(games))
        yield episode, games
    advance(budget - count)
    if not run.recorded("grow", iteration):
        run.record("grow", iteration, iteration, games=count)


class _Plan:
    """The groups of an iteration, in order: permutations of the training episodes, at drawn prices.

    Args:
        experiment: Task, prices and seed.
        iteration: Number of the iteration.
        among: Indices of the training episodes; ``None``: all.
    """

    def __init__(self, experiment: Experiment, iteration: int, among: Sequence[int] | None = None):
        self.task, self.prices = experiment.task, experiment.plane.train()
        self.rng = np.random.default_rng([experiment.seed, iteration])
        self.size = experiment.training_episodes() if among is None else len(among)
        self.among = None if among is None else np.array(among)
        self.order: np.ndarray = np.array([], dtype=int)

    def groups(self, count: int) -> list[Group]:
        """Returns the next groups, at most `GROUPS`."""
        rng = self.rng
        if len(self.order) < GROUPS:
            more = rng.permutation(self.size) if self.size else rng.integers(ENDLESS, size=10 * GROUPS)
            self.order = np.concatenate([self.order, more])
        indices, self.order = np.split(self.order, [count])
        if self.among is not None:
            indices = self.among[indices]
        return [
            Group(
                self.task.episode("train", int(i)),
                self.prices[rng.integers(len(self.prices))],
                int(rng.integers(2**62)),
            )
            for i in indices
        ]


def check_budget(
    experiment: Experiment, rollouts: RolloutOptions, iterations: int, budget: int, shared_by: str = ""
) -> None:
    """Checks that the budget of every iteration is sure to hold its first group, before any game is played.

    Args:
        experiment: Task, game, prices and seed.
        rollouts: How the games of a group are sampled.
        iterations: Number of iterations.
        budget: Games of each iteration.
        shared_by: The option that says how many iterations share ``budget.games``, if one does.

    Raises:
        ValueError: It is not, the message says what a group needs; or ``rollouts.games`` holds no such games.
    """
    experiment.training_episodes()
    if rollouts.games is not None:
        check_stored(experiment, rollouts.games)
        return
    if rollouts.free + rollouts.forced * len(rollouts.actions) == 0:
        raise ValueError("rollouts: free and forced are 0, so that a group has no first message")
    for iteration in range(1, min(iterations, _CHECKED) + 1):
        (group,) = _Plan(experiment, iteration).groups(1)
        if most_games(experiment.setup, rollouts, group) > budget:
            raise ValueError(_too_small(experiment.setup, rollouts, group, budget, shared_by if iterations > 1 else ""))


def _too_small(setup: Setup, rollouts: RolloutOptions, group: Group, budget: int, shared_by: str = "") -> str:
    """Returns the sentence that says that a group does not fit a budget."""
    needed, possibilities = most_games(setup, rollouts, group), len(setup.weights(group.episode))
    messages = needed if rollouts.each_role else rollouts.free + rollouts.forced * len(rollouts.actions)
    each = f", each for {possibilities} possibilities" if rollouts.marginal and possibilities > 1 else ""
    return (
        f"budget.games: {budget} games an iteration do not hold one group of rollouts.*, which needs up to {needed} "
        f"({messages} first messages{each}); raise budget.games, or lower "
        f"{shared_by + ', ' if shared_by else ''}rollouts.free, rollouts.forced or rollouts.follow_ups"
    )


def _by_group(experiment: Experiment, games: Sequence[Trajectory]) -> Iterator[tuple[Any, list[Trajectory]]]:
    groups: dict[tuple[str, Prices], list[Trajectory]] = {}
    for game in games:
        groups.setdefault((game.episode_id, game.prices), []).append(game)
    for (episode_id, _), group in groups.items():
        yield experiment.task.lookup(episode_id), group


def generated_tokens(games: Sequence[Trajectory]) -> int:
    """Returns the number of tokens sampled in some games.

    Shared turns count once; forced tokens, and replies that were tokenized from their text, do not count.
    """
    distinct = {
        (turn.view, turn.reply.ids): len(turn.reply.ids) - turn.reply.forced
        for game in games
        for turn in game.turns
        if turn.reply.ids is not None and not (turn.reply.forced and turn.reply.logprobs is None)
    }
    return sum(distinct.values())
