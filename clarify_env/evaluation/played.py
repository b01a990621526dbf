"""Plays every episode at every price vector for measurement, exactly over what is hidden."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.costs import Prices
from clarify_env.evaluation.faults import FaultCounts, ends_of
from clarify_env.games.agents import Agent, RemoteAgent
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from clarify_env.selfplay import Start, play, turn_seed

# Sampling temperature of each mode of evaluation.
MODES = {"temperature": 1.0, "greedy": 0.0}

# Scores a batch of finished games: shape [games].
Score = Callable[[Setup, Sequence[Trajectory]], np.ndarray]


class Played(NamedTuple):
    """A policy's games on E episodes at C price vectors, averaged over what is hidden by its weights.

    Attributes:
        values: The reward and each measure of the game, shape [E, C].
        first: Kind of the learning roles' first message as an index into (*actions, ``invalid``), shape [E, C].
        by_lot: Whether a tie was broken at random, so that the value is right only on average, shape [E, C].
        transcripts: A sample of games, each with the index of its prices.
        games: Number of games played.
        faults: Faults of the messages of some roles in all these games.
        stored: Games to be rated, one for each of some pairs of episode and prices.
    """

    values: dict[str, np.ndarray]
    first: np.ndarray
    by_lot: np.ndarray
    transcripts: list[tuple[Trajectory, int]]
    games: int
    faults: tuple[FaultCounts, ...] = ()
    stored: tuple[Trajectory, ...] = ()

    def rows(self, rows: Sequence[int]) -> "Played":
        """Returns the games of some episodes, without transcripts."""
        index = list(rows)
        values = {name: value[index] for name, value in self.values.items()}
        return Played(values, self.first[index], self.by_lot[index], [], self.games)

    def at(self, columns: Sequence[int]) -> "Played":
        """Returns the games at some price vectors, without transcripts."""
        index = list(columns)
        values = {name: value[:, index] for name, value in self.values.items()}
        games = self.games * len(index) // self.first.shape[1]
        return Played(values, self.first[:, index], self.by_lot[:, index], [], games)


def play_all(
    setup: Setup,
    episodes: Sequence,
    prices: Sequence[Prices],
    agents: Mapping[str, Agent],
    learns: Sequence[str],
    *,
    seed: int,
    chunk: int,
    progress: Callable[[int], None] = lambda pairs: None,
    sample: int = 0,
    scores: Mapping[str, Score] | None = None,
    judged: Sequence[str] = (),
    stored: int = 0,
) -> Played:
    """Plays every episode at every price vector, for every hidden possibility.

    If the first mover does not know what is hidden, its first message is sampled once per pair of episode and prices,
    and the game continues from it for every hidden possibility.

    Args:
        setup: Game, task and options.
        episodes: The episodes, E of them.
        prices: The price vectors, C of them.
        agents: Agent of each role.
        learns: Roles whose first message is counted by kind, and whose mean reward is measured if rewards differ by
            role.
        seed: Seed of all messages and of the sample of transcripts.
        chunk: Number of pairs of episode and prices in a batch.
        progress: Called with the number of pairs just played.
        sample: Number of games to store as transcripts.
        scores: Further scores of finished games, by name, in addition to the game's measures.
        judged: Roles whose messages are judged (`Played.faults`); an agent that can tell says which of its messages
            ended (`clarify_env.evaluation.faults.KnowsEnds`).
        stored: Number of games to store, to be rated; the pairs and what is hidden are drawn by the seed alone, so that
            policies are compared on the same.
    """
    shape, scores = (len(episodes), len(prices)), scores or {}
    pairs = [(e, c) for e in range(len(episodes)) for c in range(len(prices))]
    values: dict[str, np.ndarray] = {"reward": np.zeros(shape)}
    first, by_lot = np.zeros(shape, dtype=int), np.zeros(shape, dtype=bool)
    kinds = (*setup.game.actions, "invalid")
    rng = np.random.default_rng(seed)
    sampled_pairs = set(rng.choice(len(pairs), size=min(sample, len(pairs)), replace=False).tolist())
    storing_rng = np.random.default_rng([seed, 1])
    stored_pairs = set(storing_rng.choice(len(pairs), size=min(stored, len(pairs)), replace=False).tolist())
    stored_games: list[Trajectory] = []
    transcripts, games, faults = [], 0, tuple(FaultCounts(setup, role) for role in judged)
    for begin in range(0, len(pairs), chunk):
        group = pairs[begin : begin + chunk]
        seeds = [turn_seed(seed, begin + i) for i in range(len(group))]
        openings = _openings(setup, [(episodes[e], prices[c]) for e, c in group], agents, seeds)
        starts, owner = [], []
        for i, ((e, c), opening) in enumerate(zip(group, openings, strict=True)):
            for hidden in range(len(setup.weights(episodes[e]))):
                starts.append(Start(episodes[e], hidden, prices[c], seeds[i], opening))
                owner.append(i)
        sampled: dict[int, list[Trajectory]] = {}
        endings: dict[int, list[Trajectory]] = {}
        finished = list(play(starts, agents, task=setup.task, game=setup.game, options=setup.options, chunk=4 * chunk))
        for counts in faults:
            counts.add(finished, ends_of(agents[counts.role]))
        scored = {name: score(setup, finished) for name, score in scores.items()}
        for k, (i, game) in enumerate(zip(owner, finished, strict=True)):
            e, c = group[i]
            weight = setup.weights(episodes[e])[game.hidden]
            measures = {name: scored[name][k] for name in scores} | setup.game.measures(setup.task, episodes[e], game)
            for name, value in measures.items():
                values.setdefault(name, np.zeros(shape))[e, c] += weight * value
            values["reward"][e, c] += weight * mean_reward(game, learns)
            by_lot[e, c] |= setup.game.by_lot(setup.task, episodes[e], game)
            first[e, c] = kinds.index(first_kind(setup, game, learns))
            if begin + i in sampled_pairs:
                sampled.setdefault(i, []).append(game)
            if begin + i in stored_pairs:
                endings.setdefault(i, []).append(game)
        for i, candidates in endings.items():
            weights = setup.weights(episodes[group[i][0]])
            stored_games.append(candidates[int(storing_rng.choice(len(candidates), p=weights))])
        for i, candidates in sampled.items():
            e, c = group[i]
            transcripts.append((candidates[int(rng.choice(len(candidates), p=setup.weights(episodes[e])))], c))
        games += len(starts)
        progress(len(group))
    return Played(values, first, by_lot, transcripts, games, faults, tuple(stored_games))


def _openings(setup: Setup, pairs: Sequence[tuple], agents: Mapping[str, Agent], seeds: Sequence[int]) -> list:
    """Returns the first message of each pair; ``None`` if the first mover knows what is hidden.

    Also ``None`` for a remote agent: it answers equal requests once, and its games need not wait for each other.
    """
    dealt = [setup.deal(episode, 0, prices) for episode, prices in pairs]
    movers = {game.to_move for game in dealt}
    mover = movers.pop() if len(movers) == 1 else None
    if mover not in setup.game.blind or mover not in agents or isinstance(agents[mover], RemoteAgent):
        return [None] * len(pairs)
    return agents[mover].act([game.view(mover) for game in dealt], [turn_seed(seed, 0) for seed in seeds])


def mean_reward(game: Trajectory, learns: Sequence[str]) -> float:
    """Returns the reward of a game: the mean over the learning roles if rewards differ by role."""
    if game.result.by_role is None:
        return game.reward()
    return float(np.mean([game.reward(role) for role in learns]))


def first_kind(setup: Setup, game: Trajectory, learns: Sequence[str]) -> str:
    """Returns the kind of the first message of the roles that learn.

    Only messages of roles that learn in this game have kinds; of another role, its partners' are counted.
    """
    turns = game.moves([role for role in learns if role in setup.game.learns] or setup.game.learns or learns)
    return setup.game.kind(turns[0]) if turns else "invalid"
