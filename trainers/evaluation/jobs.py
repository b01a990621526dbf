"""An evaluation's parts, each a cost set or the steering grid in one mode, played side by side where that is faster."""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf

from agents.hf import SMALL, HFAgent
from clarify_env.costs import Costs
from clarify_env.games.base import Agent
from clarify_env.tasks.base import Episode, Task
from trainers.evaluation.metrics import Played, Score, play_cells
from trainers.evaluation.scores import Similarity, gold_logprobs
from trainers.runs.processes import Report, together
from trainers.runs.run import game_maker

# Makes the players at a sampling temperature of the assistant.
Players = Callable[[float], dict[str, Agent]]


class Part(NamedTuple):
    """What is played in one go.

    Attributes:
        name: Of the cost set, or ``"grid"``.
        mode: Name of the temperature.
        temperature: Of the assistant.
        cells: The costs.
        seed: All that is drawn depends on it.
        sample: Number of games to keep as transcripts.
    """

    name: str
    mode: str
    temperature: float
    cells: tuple[Costs, ...]
    seed: int
    sample: int


def play_parts(
    config: DictConfig,
    task: Task,
    episodes: Sequence[Episode],
    parts: Sequence[Part],
    players: Players,
    progress: Callable[[int], None],
) -> list[Played]:
    """Plays every part on every question; each part's games are the same however many are played at once.

    A small model on a CPU leaves most of a second core idle, so there parts go side by side, a process for each of
    torch's threads. Task and agents must be picklable for that.

    Args:
        config: ``selfplay.*`` and the scores of ``eval.*`` are read.
        task: Scores.
        episodes: The questions.
        parts: What to play.
        players: Who plays.
        progress: Called with the number of pairs of question and costs just played.

    Returns:
        What each part's games came to, in their order.
    """
    agents = {temperature: players(temperature) for temperature in {part.temperature for part in parts}}
    options = {name: OmegaConf.to_container(config[name], resolve=True) for name in ("selfplay", "eval")}
    shares = _shares(parts, _at_once(agents.values()))
    done = [0] * len(shares)

    def report(share: int, pairs: int, of: int, logs: dict[str, Any]) -> None:
        progress(pairs - done[share])
        done[share] = pairs

    if len(shares) == 1:
        return _play(options, task, episodes, agents, parts, partial(report, 0))
    # All in one piece, so that what agents share (a model, the task) is sent and held once.
    try:
        common = pickle.dumps((task, episodes, agents))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"task {task.name} cannot be handed to another process ({error}); with OMP_NUM_THREADS=1 one "
            "process plays everything"
        ) from error
    jobs = [(options, common, [parts[i] for i in share]) for share in shares]
    found = together(_play_apart, jobs, report, len(shares))
    by_part = {
        i: played
        for share, results in zip(shares, found, strict=True)
        for i, played in zip(share, results, strict=True)
    }
    return [by_part[i] for i in range(len(parts))]


def _at_once(players: Iterable[dict[str, Agent]]) -> int:
    models = [agent.model for agents in players for agent in agents.values() if isinstance(agent, HFAgent)]
    # A larger model makes good use of all cores by itself, and is better not held several times in memory.
    small = [model for model in models if model.device.type == "cpu" and model.num_parameters() <= SMALL]
    return torch.get_num_threads() if models and len(small) == len(models) else 1


def _shares(parts: Sequence[Part], number: int) -> list[list[int]]:
    """Parts shared out to about equal work, the largest first: indices into ``parts``."""
    shares: list[list[int]] = [[] for _ in range(min(number, len(parts)))]
    for i in sorted(range(len(parts)), key=lambda i: -len(parts[i].cells)):
        min(shares, key=lambda share: sum(len(parts[k].cells) for k in share)).append(i)
    return shares


def _play(
    options: dict[str, Any],
    task: Task,
    episodes: Sequence[Episode],
    agents: Mapping[float, dict[str, Agent]],
    parts: Sequence[Part],
    report: Report,
) -> list[Played]:
    make_game = game_maker(OmegaConf.create(options))
    similarity = options["eval"]["similarity"]
    always: dict[str, Score] = {"similarity": Similarity(similarity)} if similarity is not None else {}
    pairs, total = 0, len(episodes) * sum(len(part.cells) for part in parts)

    def progress(more: int) -> None:
        nonlocal pairs
        pairs += more
        report(pairs, total, {})

    def scores(assistant: Agent) -> dict[str, Score]:
        if not options["eval"]["gold_logprob"]:
            return always
        return always | {"gold_logprob": partial(gold_logprobs, getattr(assistant, "answerer", assistant))}

    return [
        play_cells(
            task,
            episodes,
            p.cells,
            agents[p.temperature],
            make_game,
            seed=p.seed,
            sample=p.sample,
            chunk=options["selfplay"]["chunk"],
            progress=progress,
            scores=scores(agents[p.temperature]["assistant"]),
        )
        for p in parts
    ]


def _play_apart(options: dict[str, Any], common: bytes, parts: Sequence[Part], report: Report) -> list[Played]:
    """`_play` in a process of its own, to which tasks, questions and agents travel as bytes."""
    task, episodes, agents = pickle.loads(common)
    return _play(options, task, episodes, agents, parts, report)
