"""Jobs of an evaluation, one per set of prices and mode, played in parallel if that is faster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clarify_env.costs import Prices
from clarify_env.evaluation.played import Played, Score, play_all
from clarify_env.games.agents import Agent, RemoteAgent
from clarify_env.selfplay import Batched
from trainers.evaluation.scores import Similarity, gold_logprobs
from trainers.runs.experiment import Experiment

if TYPE_CHECKING:
    from trainers.runs.processes import Report

# Makes the players at a sampling temperature of the policy.
Players = Callable[[float], dict[str, Agent]]


class Job(NamedTuple):
    """One set of prices in one mode.

    Attributes:
        name: Name of the set of prices, or ``"grid"``.
        mode: Name of the mode; see `clarify_env.evaluation.played.MODES`.
        temperature: Sampling temperature of the policy.
        prices: The prices.
        seed: Seed of everything drawn in the job.
        sample: Number of games to store as transcripts.
        stored: Number of games to store to be rated.
    """

    name: str
    mode: str
    temperature: float
    prices: tuple[Prices, ...]
    seed: int
    sample: int
    stored: int = 0


def play_jobs(
    experiment: Experiment,
    episodes: Sequence,
    jobs: Sequence[Job],
    players: Players,
    progress: Callable[[int], None],
) -> list[Played]:
    """Plays every job on every episode; the games of a job do not depend on how many jobs run in parallel.

    A small model on a CPU does not use a second core well, so its jobs run in parallel, one process for each of torch's
    threads. Experiment and agents must be picklable for this.

    Args:
        experiment: Task, game and evaluation options.
        episodes: The episodes.
        jobs: The jobs.
        players: Makes the players.
        progress: Called with the number of (episode, prices) pairs just played.

    Returns:
        The games of each job, in order.

    Raises:
        ValueError: The experiment cannot be pickled.
    """
    agents = {temperature: players(temperature) for temperature in {job.temperature for job in jobs}}
    shares = _shares(jobs, _at_once(agents.values()))
    completed = [0] * len(shares)

    def report(share: int, pairs: int, total: int, logs: dict) -> None:
        progress(pairs - completed[share])
        completed[share] = pairs

    if len(shares) == 1:
        return _play(experiment, episodes, agents, jobs, partial(report, 0))
    from trainers.runs.processes import run_processes  # imports torch

    check_players(experiment, agents.values())
    # Pickle everything together, so that objects that agents share (model, task) are sent once.
    common = pickle.dumps((experiment, episodes, agents))
    work = [(common, [jobs[i] for i in share]) for share in shares]
    results = run_processes(_play_apart, work, report, len(shares))
    by_job = {
        i: played
        for share, played_jobs in zip(shares, results, strict=True)
        for i, played in zip(share, played_jobs, strict=True)
    }
    return [by_job[i] for i in range(len(jobs))]


def check_players(experiment: Experiment, players: Iterable[Mapping[str, Agent]]) -> None:
    """Checks that an experiment and its players can be handed to other processes, if those are to play.

    Args:
        experiment: Task and game.
        players: Players of some jobs.

    Raises:
        ValueError: They cannot; the message names the task, the game or the role.
    """
    players = list(players)
    if _at_once(players) > 1:
        from trainers.runs.processes import check_transfer  # imports torch

        roles = {role: agent for agents in players for role, agent in agents.items()}
        check_transfer({f"task {experiment.task.name}": experiment.task, "the experiment": experiment} | roles)


def _at_once(players: Iterable[Mapping[str, Agent]]) -> int:
    playing = [agent for agents in players for agent in agents.values()]
    if any(isinstance(agent, RemoteAgent) for agent in playing):
        return 1  # one process keeps the limits of a server and stores its replies
    if not any(isinstance(agent, Batched) for agent in playing):
        return 1  # and torch, which takes seconds to import, is not needed
    import torch

    from agents.hf import SMALL, HFAgent

    models = [agent.sampler.model for agent in playing if isinstance(agent, HFAgent)]
    # A larger model uses all cores in one process, and several copies would need too much memory.
    small = [model for model in models if model.device.type == "cpu" and model.num_parameters() <= SMALL]
    return torch.get_num_threads() if models and len(small) == len(models) else 1


def _shares(jobs: Sequence[Job], number: int) -> list[list[int]]:
    """Distributes jobs to processes, the largest first, so that the work is about equal; returns indices of jobs."""
    shares: list[list[int]] = [[] for _ in range(min(number, len(jobs)))]
    for i in sorted(range(len(jobs)), key=lambda i: -len(jobs[i].prices)):
        min(shares, key=lambda share: sum(len(jobs[k].prices) for k in share)).append(i)
    return shares


def _play(
    experiment: Experiment,
    episodes: Sequence,
    agents: Mapping[float, Mapping[str, Agent]],
    jobs: Sequence[Job],
    report: Report,
) -> list[Played]:
    evaluation, learns = experiment.evaluation, experiment.learns
    base_scores: dict[str, Score] = {}
    if evaluation.similarity is not None:
        base_scores["similarity"] = Similarity(evaluation.similarity)
    pairs, total = 0, len(episodes) * sum(len(job.prices) for job in jobs)

    def progress(more: int) -> None:
        nonlocal pairs
        pairs += more
        report(pairs, total, {})

    def scores(agents: Mapping[str, Agent]) -> dict[str, Score]:
        if not evaluation.gold_logprob:
            return base_scores
        agent = agents[learns[0]]
        answerer: Any = getattr(agent, "answerer", agent)
        return base_scores | {"gold_logprob": partial(gold_logprobs, answerer.renderer, answerer.sampler, learns)}

    return [
        play_all(
            experiment.setup,
            episodes,
            job.prices,
            agents[job.temperature],
            learns,
            seed=job.seed,
            sample=job.sample,
            chunk=experiment.selfplay.chunk,
            progress=progress,
            scores=scores(agents[job.temperature]),
            judged=experiment.judged,
            stored=job.stored,
        )
        for job in jobs
    ]


def _play_apart(common: bytes, jobs: Sequence[Job], report: Report) -> list[Played]:
    """Runs `_play` in a process of its own, with experiment, episodes and agents pickled."""
    experiment, episodes, agents = pickle.loads(common)
    return _play(experiment, episodes, agents, jobs, report)
