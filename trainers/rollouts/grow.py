"""Grow: plays groups of games on training episodes, for every learning method (docs/design.md).

The groups depend only on the seed, and chunks of groups are written whole, so that a killed run continues after the
last chunk on disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.agents import Agent
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from clarify_env.tasks.base import ENDLESS
from trainers.rollouts.groups import Group, most_games, play_groups, sampled_tokens, was_played
from trainers.rollouts.stored import check_stored, stored_groups
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.runs.store import ChunkWriter, append_lines, read_lines

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
    used: dict[str, int] | None = None,
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
        used: Its ``games`` and ``generated_tokens`` are raised by what is played and sampled, chunk by chunk.

    Yields:
        The episode and the games of each group.

    Raises:
        ValueError: The budget cannot hold the first group.
    """
    used = {"games": 0, "generated_tokens": 0} if used is None else used
    if rollouts.games is not None:
        yield from _learned_again(experiment, rollouts.games, run, agents, iteration, budget, used)
        return
    setup, plan = experiment.setup, _Plan(experiment, iteration, among)
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    log = ChunkWriter(folder / f"iteration-{iteration}.jsonl")
    first_messages = _FirstMessages(run.dir / "first_messages" / log.path.name)
    advance = run.bar(f"iteration {iteration}: growing", budget, "games")
    stored_chunks, chunk, games_played, groups_played, fits = log.read(setup), 0, 0, 0, True
    replayed = log.chunks
    while fits and games_played < budget:
        if games_played:
            size_of_chunk = (budget - games_played) * groups_played // games_played
        else:
            size_of_chunk = budget // _GROUP_GAMES
        groups = plan.groups(min(max(size_of_chunk, 1), GROUPS))
        if replayed:
            games, replayed = next(stored_chunks), replayed - 1
            first_tokens = first_messages.read(chunk, games)
        else:
            spent: list[int] = []
            games = play_groups(
                setup,
                rollouts,
                groups,
                agents,
                first_id=games_played,
                most=budget - games_played,
                spent=spent.append,
            )
            first_tokens = first_messages.write(chunk, spent)  # before the games, so that none of them lacks it
            log.append(games)
        chunk += 1
        fits = was_played(rollouts, groups[-1], games)
        if not games_played and not games:
            raise ValueError(_too_small(setup, rollouts, groups[0], budget))
        games_played, groups_played = games_played + len(games), groups_played + len(groups)
        used["games"] += len(games)
        used["generated_tokens"] += generated_tokens(games, first_tokens)
        advance(len(games))
        yield from _by_group(experiment, games)
    advance(max(budget - games_played, 0))  # what is left cannot hold another group
    if not run.recorded("grow", iteration):
        run.record("grow", iteration, iteration, games=games_played)


def _learned_again(
    experiment: Experiment,
    folder: str,
    run: Run,
    agents: Mapping[str, Agent],
    iteration: int,
    budget: int,
    used: dict[str, int],
) -> Iterator[tuple[Any, list[Trajectory]]]:
    """Yields the groups of stored games instead (``rollouts.games``); none are played."""
    advance, count = run.bar(f"iteration {iteration}: reading games", budget, "games"), 0
    for episode, games in stored_groups(experiment, agents, folder, iteration, budget):
        count += len(games)
        used["games"] += len(games)
        used["generated_tokens"] += generated_tokens(games, _distinct_first_tokens(games))
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


class _FirstMessages:
    """A file of the tokens that were sampled for first messages, one line a chunk.

    The games do not tell: a first message is not played if it repeats a decision, equals another one, or belongs to the
    group that no longer fits the budget.

    Args:
        path: The file; created when the first chunk is written.
    """

    def __init__(self, path: Path):
        self.path, self.chunks = path, {line["chunk"]: line["tokens"] for line in read_lines(path)}

    def write(self, chunk: int, spent: Sequence[int]) -> int | None:
        """Appends and returns the tokens of a chunk; ``None``: first messages are sampled in the games."""
        tokens = sum(spent) if spent else None
        self.path.parent.mkdir(exist_ok=True)
        append_lines(self.path, [{"chunk": chunk, "tokens": tokens}])
        return tokens

    def read(self, chunk: int, games: Sequence[Trajectory]) -> int | None:
        """Returns what was written for a chunk; in a run that an earlier version began, the tokens of those played."""
        return self.chunks[chunk] if chunk in self.chunks else _distinct_first_tokens(games)


def _distinct_first_tokens(games: Sequence[Trajectory]) -> int:
    """Returns the number of tokens sampled for the first messages that some games hold, equal ones counted once."""
    turns = [game.turns[0] for game in games]
    return sum({(turn.view, turn.reply.ids): sampled_tokens(turn.reply) for turn in turns}.values())


def generated_tokens(games: Sequence[Trajectory], first_tokens: int | None = None) -> int:
    """Returns the number of tokens sampled for some games.

    A reply that games share (of one view and seed) counts once, and equal replies of different seeds count each. Forced
    tokens, and replies that were tokenized from their text, do not count.

    Args:
        games: The games.
        first_tokens: Number of tokens sampled for first messages before the games; ``None``: they were sampled in the
            games.
    """
    begin = 0 if first_tokens is None else 1
    sampled = {(turn.view, game.seed): sampled_tokens(turn.reply) for game in games for turn in game.turns[begin:]}
    return (first_tokens or 0) + sum(sampled.values())
