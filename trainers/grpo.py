"""GRPO (arXiv 2402.03300), a policy gradient method, by TRL's trainer.

A group is an episode at drawn prices. Its games are played by the self-play engine with the current policy, and the
advantage of a game, its reward minus the group's mean, weights the tokens of the learning role. What is hidden is drawn
by weight for each game of a group: with one fixed possibility a lucky guess would be mistaken for a good policy.

The games of each step are on disk before they are learned from. A killed run repeats its updates from these games and
continues from there. The trainer's own checkpoints are pickles, so none is written.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.selfplay import Start
from clarify_env.completions import check_prompts, completion
from clarify_env.games.agents import Agent
from clarify_env.games.setup import Setup
from clarify_env.options import option
from trainers.evaluation.measure import measure, validate
from trainers.learning.improve import check_update, checkpoint
from trainers.learning.options import UpdateOptions, check_alike, check_finite
from trainers.rollouts.grow import generated_tokens
from trainers.runs.command import command
from trainers.runs.experiment import Experiment, Policy
from trainers.runs.run import Run
from trainers.runs.store import ChunkLog, ChunkWriter

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl import GRPOTrainer

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class GrpoOptions:
    """GRPO's own options (``grpo.*``)."""

    generations: int = option(8, least=2)
    """Games of a group, at one episode and costs, each for an intent drawn anew; at least 2."""
    games_a_step: int = option(80, least=2)
    """Games played before each update, by the policy as it then stands; a multiple of ``generations``."""
    beta: float = option(0.0, least=0)
    """Coefficient of the KL divergence to the model without its adapters; at least 0."""
    clip: float = option(0.2, above=0, below=1)
    """Probability ratios are clipped to 1 plus or minus this, in (0, 1); no effect while ``update.epochs`` is 1."""
    scale_rewards: str = option("group", choices=("group", "batch", "none"))
    """Advantages are divided by the deviation of rewards in their group, in the whole step (batch), or not (none)."""


def check(experiment: Experiment, options: GrpoOptions, update: UpdateOptions) -> None:
    """Checks that the options fit together, before any work.

    Raises:
        ValueError: Two options do not fit, or the learning role is not the one that moves first; the message names
            them.
    """
    experiment.first_mover("grpo")
    if update.epochs < 1 or update.epochs % 1:
        raise ValueError(f"update.epochs must be a whole number of at least 1, not {update.epochs}")
    if update.least_steps:
        raise ValueError("update.least_steps must be 0: how many steps there are follows from budget.games")
    check_alike(update, "grpo")
    if update.tokens != UpdateOptions().tokens:
        raise ValueError(
            f"update.tokens={update.tokens} has no effect on grpo: update.batch is the number of games computed at "
            "once, and a smaller one needs less memory"
        )
    if update.runs != 1:
        raise ValueError("update.runs must be 1: each step's games are played by the policy of the step before")
    for name, part in (("grpo.generations", options.generations), ("update.batch", update.batch)):
        if options.games_a_step % part:
            raise ValueError(f"grpo.games_a_step={options.games_a_step} must be a multiple of {name}={part}")
    if experiment.budget.games < options.games_a_step:
        games = experiment.budget.games
        raise ValueError(
            f"budget.games={games} does not hold one step of grpo.games_a_step={options.games_a_step} games"
        )
    if options.beta and not update.lora_rank:
        raise ValueError("grpo.beta needs update.lora_rank: the reference is the model without its adapters")


def check_padding(base: Policy) -> None:
    """Refuses a model that reads padding, since TRL pads prompts on the left, before any game is played.

    Raises:
        ValueError: The model's probabilities depend on padding.
    """
    from agents.batching import batching_of

    if not batching_of(base.model).padded:
        name = type(base.model).__name__
        raise ValueError(
            f"assistant.model: {name} reads the padding that TRL's trainer puts before prompts; choose another command "
            "than grpo"
        )


def grpo(experiment: Experiment, options: GrpoOptions, update: UpdateOptions, run: Run) -> None:
    """Plays ``budget.games`` games in batches, improves the policy on each batch, and measures."""
    base = experiment.load_policy()
    renderer = experiment.renderer(base)
    check_prompts(experiment.setup, experiment.learns[0], experiment.plane.train()[0], renderer)
    check_update(base, update)
    check_padding(base)
    validate(run, experiment, experiment.players(base, 1.0), iteration=0)
    policy = checkpoint(experiment, run, base, 1, lambda: learn(experiment, options, update, run, base))
    validate(run, experiment, experiment.players(policy, 1.0), iteration=1)
    spent = used(experiment, update, run, renderer.turn_end_ids)
    measure(run, experiment, partial(experiment.players, policy), method="grpo", budget=spent)


def learn(
    experiment: Experiment, options: GrpoOptions, update: UpdateOptions, run: Run, base: Policy
) -> "PreTrainedModel":
    """Plays and improves in turn, by TRL's trainer; returns the trained model."""
    from trainers.learning.policy_gradient import learn  # TRL takes seconds to import

    return learn(make_trainer(experiment, options, update, run, base))


def make_trainer(
    experiment: Experiment, options: GrpoOptions, update: UpdateOptions, run: Run, base: Policy
) -> "GRPOTrainer":
    """Makes TRL's trainer, whose rollouts are games of the self-play engine."""
    from trainers.learning.policy_gradient import make_trainer

    steps = experiment.budget.games // options.games_a_step
    return make_trainer(
        base,
        update,
        prompts_of_groups(experiment, steps * options.games_a_step // options.generations),
        lambda policy: rollouts(experiment, run, experiment.players(policy, 1.0)),
        earned,
        steps=steps,
        games_a_step=options.games_a_step,
        seed=experiment.seed,
        report=reporter(run),
        num_generations=options.generations,
        beta=options.beta,
        epsilon=options.clip,
        scale_rewards=options.scale_rewards,
    )


def prompts_of_groups(experiment: Experiment, groups: int) -> list[Messages]:
    """Makes one prompt per group: permutations of the training episodes, one after another.

    TRL gives prompts alone to the rollout function, so the start of a group is one more key of its message.
    """
    rng = np.random.default_rng([experiment.seed, 1])
    task, plane = experiment.task, experiment.plane.train()
    size = experiment.training_episodes() or groups
    prompts: list[Messages] = []
    while len(prompts) < groups:
        for index in rng.permutation(size)[: groups - len(prompts)].tolist():
            episode, prices = task.episode("train", index), plane[rng.integers(len(plane))]
            start = {"episode_id": episode.id, "seed": int(rng.integers(2**62)), "prices": list(prices)}
            prompts.append([{"role": "user", "content": episode.query, "start": start}])
    return prompts


def starts(setup: Setup, prompts: Sequence[Messages]) -> list[Start]:
    """Makes a start for each prompt; games of a group are neighbours and differ in what is hidden and in seed."""
    result: list[Start] = []
    for start, group in groupby(message["start"] for [message] in prompts):
        episode, seed = setup.task.lookup(start["episode_id"]), start["seed"]
        prices, weights = setup.game.check_prices(start["prices"]), setup.weights(episode)
        possibilities = np.random.default_rng(seed).choice(len(weights), size=len(list(group)), p=weights)
        result += [Start(episode, hidden, prices, seed + k) for k, hidden in enumerate(possibilities.tolist())]
    return result


def rollouts(
    experiment: Experiment, run: Run, agents: Mapping[str, Agent]
) -> "Callable[[list[Messages], GRPOTrainer], dict[str, list]]":
    """Returns TRL's rollout function; games played before a restart are read from disk."""
    (role,), setup = experiment.learns, experiment.setup
    policy: Any = agents[role]
    ends = policy.renderer.turn_end_ids
    log = ChunkWriter(_log_path(run))
    stored_chunks, replayed, games_played = log.read(setup), log.chunks, 0

    def rollout(prompts: list[Messages], trainer: "GRPOTrainer") -> dict[str, list]:
        nonlocal replayed, games_played
        if replayed:
            games, replayed = next(stored_chunks), replayed - 1
        else:
            trainer.model.eval()
            games = list(experiment.play(starts(setup, prompts), agents, chunk=len(prompts), first_id=games_played))
            trainer.model.train()
            for game in games:
                check_finite("log-probability", sum(game.moves((role,))[0].reply.logprobs or ()))
            log.append(games)
        games_played += len(games)
        completions = [completion(game, role, ends) for game in games]
        return {
            "prompt_ids": [one.prompt_ids for one in completions],
            "completion_ids": [one.ids for one in completions],
            "logprobs": [one.logprobs for one in completions],
            "env_mask": [one.own for one in completions],
            "reward": [game.reward(role) for game in games],
        }

    return rollout


def earned(reward: list[float], **_: Any) -> list[float]:
    """Returns the rewards of the rollouts: TRL's reward function."""
    return reward


def reporter(run: Run) -> Callable[[int, int, dict[str, Any]], None]:
    """Returns a function that records TRL's logs of each step, and raises FloatingPointError if one is not finite."""
    advance, last_step = None, 0
    names = ("loss", "learning_rate", "reward", "reward_std", "frac_reward_zero_std", "entropy", "kl", "grad_norm")

    def report(step: int, steps: int, logs: dict[str, Any]) -> None:
        nonlocal advance, last_step
        advance = advance or run.bar("playing and improving", steps, "steps")
        if "loss" in logs:
            advance(step - last_step)
            last_step = step
            values = {name: logs[name] for name in names if logs.get(name) is not None}
            for name, value in values.items():
                check_finite(name, value)
            run.record("grpo", 1, step, **values)

    return report


def used(experiment: Experiment, update: UpdateOptions, run: Run, ends: Collection[int]) -> dict[str, int]:
    """Returns the budget spent, computed from the games on disk."""
    games = [game for chunk in ChunkLog(_log_path(run)).read(experiment.setup) for game in chunk]
    completions = [completion(game, experiment.learns[0], ends) for game in games]
    return {
        "games": len(games),
        "generated_tokens": sum(generated_tokens([game]) for game in games),  # games share no turns
        "update_tokens": int(update.epochs) * sum(len(one.prompt_ids) + len(one.ids) for one in completions),
        "gold_labels": experiment.gold_labels(game.episode_id for game in games),
    }


def _log_path(run: Run) -> Path:
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    return folder / "iteration-1.jsonl"


main: Any = command(grpo, check=check, tries=True)

if __name__ == "__main__":
    main()
