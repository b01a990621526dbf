"""Priors in prompts (arXiv 2602.16699): how likely the model itself finds each reading of a query, calibrated.

A model's estimate of a reading is the softmax over the episode's readings of the mean log-probability per token of the
reading's label, as its answer to the question which one is meant. Isotonic regression on training episodes, whose
readings have known weights, maps estimates to probabilities.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.example import Example
from clarify_env.evaluation.episodes import split_episodes
from clarify_env.games.base import View
from clarify_env.games.description import Description, Messages
from clarify_env.scores.calibration import Isotonic, fit_isotonic
from clarify_env.tasks.base import Episode
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import read_json, write_json

if TYPE_CHECKING:
    from agents.hf import HFAgent

# Training episodes on which estimates are calibrated, and episodes scored at once.
_CALIBRATION, _CHUNK = 100, 16


def estimates(agent: HFAgent, game: Description, style: str, episodes: Sequence[Episode]) -> Iterator[dict[int, float]]:
    """Yields for each episode the model's estimate of each reading, by the reading's index; they sum to 1."""
    renderer: Any = copy.copy(agent.renderer)
    renderer.chat = _as_it_is
    for start in range(0, len(episodes), _CHUNK):
        questions = [(_in_order(episode), episode) for episode in episodes[start : start + _CHUNK]]
        rows = [
            Example(
                renderer.encode(game.prior_question(episode, order, style)),
                renderer.tokenize_reply(_label(episode, reading)),
            )
            for order, episode in questions
            for reading in order
        ]
        means = iter([float(np.mean(logprobs)) for logprobs in agent.sampler.logprobs(rows)])
        for order, _ in questions:
            scores = np.array([next(means) for _ in order])
            odds = np.exp(scores - scores.max())
            yield dict(zip(order, (odds / odds.sum()).tolist(), strict=True))


def likelihood(game: Description, episode: Episode, estimate: Mapping[int, float], calibration: Isotonic) -> str:
    """Returns the line on an episode's readings, in the order of their labels; the probabilities sum to 1.

    Args:
        game: The game, which words the line.
        episode: The episode.
        estimate: The model's estimate of each reading.
        calibration: Maps estimates to probabilities.
    """
    values = calibration(np.array(list(estimate.values())))
    total = values.sum()
    shares = values / total if total > 0 else np.full(len(values), 1 / len(values))
    return game.prior_line(episode, dict(zip(estimate, shares.tolist(), strict=True)))


def with_prior(
    experiment: Experiment, run: Run, players: Callable[[float], dict[str, Any]]
) -> Callable[[float], dict[str, Any]]:
    """Returns players whose policy reads the likelihoods of the readings in its prompts, if their style states one.

    The likelihoods of the evaluation's episodes, and the calibration, are written to ``prior.json``.

    Args:
        experiment: Task, game, players and evaluation options.
        run: Run whose directory holds the file.
        players: Makes the players at a temperature.
    """
    if not states_prior(experiment):
        return players
    role = experiment.learns[0]
    path = run.dir / "prior.json"
    if not path.exists():
        write_json(path, _estimated(experiment, run, players(1.0)[role]))
    return partial(_reading, players, role, experiment.setup.game, _style(experiment), read_json(path)["likelihoods"])


def states_prior(experiment: Experiment) -> bool:
    """Returns whether the policy's prompts state how likely the readings are."""
    return experiment.policy_options is not None and _style(experiment) in experiment.setup.game.prior_styles


def _style(experiment: Experiment) -> str:
    options, game = experiment.policy_options, experiment.setup.game
    return (options and options.style) or game.default_style


def calibration_episodes(experiment: Experiment) -> list[Episode]:
    """Returns the training episodes with several readings among the first ones.

    Raises:
        ValueError: There are none.
    """
    if "train" not in experiment.task.sizes:
        raise ValueError(f"prompts=prior is calibrated on training episodes, and task {experiment.task.name} has none")
    episodes = split_episodes(experiment.task, "train", _CALIBRATION)
    if ambiguous := [episode for episode in episodes if len(episode.interpretations) > 1]:
        return ambiguous
    raise ValueError(f"prompts=prior: no training episode of task {experiment.task.name} has several readings")


def _estimated(experiment: Experiment, run: Run, agent: HFAgent) -> dict[str, Any]:
    training = calibration_episodes(experiment)
    options, game, style = experiment.evaluation, experiment.setup.game, _style(experiment)
    episodes = split_episodes(experiment.task, options.split, options.episodes, "eval.")
    advance = run.bar("estimating likelihoods", len(training) + len(episodes), "episodes")
    pairs = []
    for episode, estimate in zip(training, estimates(agent, game, style, training), strict=True):
        pairs += [(value, episode.interpretations[reading].weight) for reading, value in estimate.items()]
        advance(1)
    calibration = fit_isotonic(*zip(*pairs, strict=True))
    lines = {}
    for episode, estimate in zip(episodes, estimates(agent, game, style, episodes), strict=True):
        lines[episode.id] = likelihood(game, episode, estimate, calibration)
        advance(1)
    return {"calibration": calibration._asdict(), "likelihoods": lines}


def _reading(
    players: Callable[[float], dict[str, Any]],
    role: str,
    game: Description,
    style: str,
    lines: Mapping[str, str],
    temperature: float,
) -> dict[str, Any]:
    """Makes the players; the policy's prompts state the lines, by episode."""
    agents = players(temperature)
    agents[role].renderer.chat = partial(_chat, game, style, lines)
    return agents


def _chat(game: Any, style: str, lines: Mapping[str, str], view: View) -> Messages:
    facts: Any = view.facts
    return game.chat(view, style, lines[facts.episode_id])


def _as_it_is(chat: Messages) -> Messages:
    return chat


def _in_order(episode: Episode) -> list[int]:
    """Returns the readings in the order of their labels: the task's order may follow their weights."""
    return sorted(range(len(episode.interpretations)), key=lambda reading: _label(episode, reading))


def _label(episode: Episode, reading: int) -> str:
    return episode.interpretations[reading].label
