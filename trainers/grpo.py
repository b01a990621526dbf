"""GRPO (arXiv 2402.03300) by TRL's trainer: the policy gradient that people would otherwise reach for.

A group is a question at drawn costs. Its games are played by our own engine with the policy as it stands, and what a
game earned above its group's mean says how much likelier the assistant's tokens in it are made. The intent is drawn
anew for each game of a group, by the readings' weights: with a fixed one a lucky guess would pass for a good policy.

The games of each step are on disk before they are learned from. A killed run makes its updates again, from those games
as far as they go, and plays on from there: the trainer's own checkpoints are pickles, and none is written.
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from agents.hf import HFAgent, load
from agents.selfplay import Start, play
from clarify_env.costs import Costs
from clarify_env.games.base import Agent, Reply, Trajectory
from clarify_env.tasks.base import Task
from trainers.evaluation.measure import measure, task_to_measure, validate
from trainers.learning.update import Progress, check_finite, optimizers, trainable, training_options, update_config
from trainers.rollouts.sample import generated_tokens, players, training_questions
from trainers.runs import run as running
from trainers.runs.run import Run, command
from trainers.runs.store import ChunkLog, save_model

Messages = list[dict[str, Any]]


def grpo(config: DictConfig, run: Run) -> None:
    """Plays ``budget.games`` games, a batch with each policy on the way, improves it on each batch, and measures."""
    running.seed_everything(config.seed)
    check_options(config)
    task = task_to_measure(config)
    base, tokenizer = running.load_model(config)
    validate(run, config, task, players(config, task, base, tokenizer, 1.0), iteration=0)
    folder = run.dir / "checkpoints" / "iteration-1"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        save_model(learn(make_trainer(config, run, task, base, tokenizer)), tokenizer, folder)
    model = load(folder, device=config.assistant.device)[0]
    validate(run, config, task, players(config, task, model, tokenizer, 1.0), iteration=1)
    measure(
        run,
        config,
        task,
        lambda t: players(config, task, model, tokenizer, t),
        method="grpo",
        budget=used(config, run, task, _end(base, tokenizer)),
    )


_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "generations": (lambda n: isinstance(n, int) and n >= 2, "a whole number of at least 2"),
    "games_a_step": (lambda n: isinstance(n, int) and n >= 2, "a whole number of at least 2"),
    "beta": (lambda x: isinstance(x, int | float) and 0 <= x < math.inf, "a number of at least 0"),
    "clip": (lambda x: isinstance(x, int | float) and 0 < x < 1, "a number between 0 and 1"),
    "scale_rewards": (lambda word: word in ("group", "batch", "none"), "group, batch or none"),
}


def check_options(config: DictConfig) -> None:
    """Refuses what cannot be trained with, before any work.

    Raises:
        ValueError: An option's value makes no sense; the message names it.
    """
    options, update = config.grpo, update_config(config["update"])
    for name, (sensible, what) in _OPTIONS.items():
        if not sensible(options[name]):
            raise ValueError(f"grpo.{name} must be {what}, not {options[name]!r}")
    if update.epochs < 1 or update.epochs % 1:
        raise ValueError(f"update.epochs must be a whole number of at least 1, not {update.epochs}")
    if update.least_steps:
        raise ValueError("update.least_steps must be 0: how many steps there are follows from budget.games")
    if update.runs != 1:
        raise ValueError("update.runs must be 1: each step's games are played by the policy of the step before")
    for name, part in (("grpo.generations", options.generations), ("update.batch", update.batch)):
        if part < 1 or options.games_a_step % part:
            raise ValueError(f"grpo.games_a_step={options.games_a_step} must be a multiple of {name}={part}")
    if options.beta and not update.lora_rank:
        raise ValueError("grpo.beta needs update.lora_rank: the reference is the model without its adapters")


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keeps back what TRL and transformers warn each other of, and that what we use of TRL is new to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing`", FutureWarning)
        # The minor version of TRL is pinned for it.
        warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
        yield


class QuietGRPOTrainer(GRPOTrainer):
    """TRL's trainer, which tells nobody that it was used."""

    def _send_telemetry(self) -> None:
        pass


@without_warnings()
def make_trainer(
    config: DictConfig, run: Run, task: Task, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> QuietGRPOTrainer:
    """TRL's trainer of a copy of the model: it patches the model that it is given."""
    options, update = config.grpo, update_config(config["update"])
    torch.manual_seed(config.seed)  # the adapters' first weights are drawn
    model = trainable(copy.deepcopy(base), update)
    steps, iterations = math.ceil(config.budget.games / options.games_a_step), int(update.epochs)
    groups = questions(config, task, steps * options.games_a_step // options.generations)
    arguments = GRPOConfig(
        **training_options(update, steps * iterations, config.seed) | {"logging_steps": 1},
        per_device_train_batch_size=update.batch,
        gradient_accumulation_steps=options.games_a_step // update.batch,
        num_generations=options.generations,
        num_iterations=iterations,
        beta=options.beta,
        epsilon=options.clip,
        scale_rewards=options.scale_rewards,
        shuffle_dataset=False,  # the order is ours
        bf16=False,  # learned in the precision in which it is played
        gradient_checkpointing=False,
    )
    trainer = QuietGRPOTrainer(
        model=model,
        reward_funcs=earned,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in groups]),
        processing_class=tokenizer,
        rollout_func=rollouts(config, run, task, players(config, task, model, tokenizer, 1.0)),
        callbacks=[Progress(reporter(run))],
        optimizers=optimizers(model, update),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@without_warnings()
def learn(trainer: GRPOTrainer) -> PreTrainedModel:
    """Trains to the end.

    Returns:
        The trained model, adapters merged. Its forward is patched still: save it and load it anew.
    """
    trainer.train()
    model = trainer.model
    return model if isinstance(model, PreTrainedModel) else model.merge_and_unload()


def questions(config: DictConfig, task: Task, groups: int) -> list[Messages]:
    """A prompt a group: training questions in random order, each all through before any comes again.

    The function that plays sees nothing but prompts: what a group starts from travels as one more key of the message.
    """
    rng = np.random.default_rng([config.seed, 1])
    cells = running.make_plane(config).train()
    size, prompts = training_questions(config, task) or groups, []
    while len(prompts) < groups:
        for index in rng.permutation(size)[: groups - len(prompts)].tolist():
            episode, costs = task.episode("train", index), cells[rng.integers(len(cells))]
            start = {"episode_id": episode.id, "seed": int(rng.integers(2**62))} | costs._asdict()
            prompts.append([{"role": "user", "content": episode.query, "start": start}])
    return prompts


def starts(task: Task, prompts: Sequence[Messages]) -> list[Start]:
    """A start for each prompt: the games of a group stand together and differ in intent and seed."""
    result = []
    for start, group in groupby(message["start"] for [message] in prompts):
        episode, seed = task.lookup(start["episode_id"]), start["seed"]
        costs = Costs(start["alpha"], start["beta"])
        weights = [reading.weight for reading in episode.interpretations]
        intents = np.random.default_rng(seed).choice(len(weights), size=len(list(group)), p=weights)
        result += [Start(episode, intent, costs, seed + k) for k, intent in enumerate(intents.tolist())]
    return result


def rollouts(
    config: DictConfig, run: Run, task: Task, agents: Mapping[str, Agent]
) -> Callable[[list[Messages], GRPOTrainer], dict[str, list]]:
    """The function by which TRL comes by games: a step's are read from disk where an earlier sitting played them."""
    make_game, end = running.game_maker(config), agents["assistant"].tokenize_reply("")[-1]
    log = _log(run)
    stored, replayed, played = log.read(task, make_game), log.chunks, 0

    def rollout(prompts: list[Messages], trainer: GRPOTrainer) -> dict[str, list]:
        nonlocal replayed, played
        if replayed:
            games, replayed = next(stored), replayed - 1
        else:
            trainer.model.eval()
            games = list(
                play(starts(task, prompts), agents, task=task, chunk=len(prompts), make_game=make_game, first_id=played)
            )
            trainer.model.train()
            for game in games:
                check_finite("log-probability", sum(game.turns[0].reply.logprobs))
            log.append(games)
        played += len(games)
        made = [completion(game, end) for game in games]
        return {
            "prompt_ids": [one.prompt_ids for one in made],
            "completion_ids": [one.ids for one in made],
            "logprobs": [one.logprobs for one in made],
            "env_mask": [one.spoken for one in made],
            "reward": [game.outcome.reward(game.costs) for game in games],
        }

    return rollout


def earned(reward: list[float], **_: Any) -> list[float]:
    """TRL's reward function: what the games earned, which the rollouts say."""
    return reward


class Completion(NamedTuple):
    """A game as one prompt and one completion, the user's words standing between the assistant's.

    Attributes:
        prompt_ids: Token ids of the first prompt.
        ids: Token ids of all that follows, to the end of the assistant's last message.
        spoken: For each id, 1 where the assistant made it and 0 where the template or the user did.
        logprobs: For each id, its log-probability (nats) when it was drawn; 0 where it was not.
    """

    prompt_ids: list[int]
    ids: list[int]
    spoken: list[int]
    logprobs: list[float]


def completion(game: Trajectory, end: int) -> Completion:
    """What a game was, as tokens.

    Args:
        game: Its assistant is a language model.
        end: The token that ends an assistant's message.

    Raises:
        ValueError: The chat template writes what was said before anew, so that no completion can continue it.
    """
    said = [turn.reply for turn in game.turns if turn.role == "assistant"]
    ids, spoken, logprobs = list(said[0].ids), [1] * len(said[0].ids), list(said[0].logprobs)
    for before, reply in pairwise(said):
        between = _between(before, reply, end)
        ids += [*between, *reply.ids]
        spoken += [0] * len(between) + [1] * len(reply.ids)
        logprobs += [0.0] * len(between) + list(reply.logprobs)
    return Completion(list(said[0].prompt_ids), ids, spoken, logprobs)


def _between(before: Reply, reply: Reply, end: int) -> tuple[int, ...]:
    past, prompt = before.prompt_ids, reply.prompt_ids
    after = prompt[len(past) :]
    if prompt[: len(past)] != past or end not in after:
        raise ValueError(
            "grpo: the chat template of assistant.model writes earlier messages anew in later prompts, "
            "so a game's tokens cannot be one completion"
        )
    # The template's tokens of a message need not be those that were drawn (another split of the same text), but both
    # end where the message's turn does: no message can hold that token. One cut short was ended by the template.
    return after[after.index(end) + (before.ids[-1] == end) :]


def reporter(run: Run) -> Callable[[int, int, dict[str, Any]], None]:
    """Shows the steps and records what TRL says of each; ends the run when the loss is no longer a number."""
    advance, seen = None, 0
    kept = ("loss", "learning_rate", "reward", "reward_std", "frac_reward_zero_std", "entropy", "kl", "grad_norm")

    def report(step: int, steps: int, logs: dict[str, Any]) -> None:
        nonlocal advance, seen
        advance = advance or run.bar("playing and improving", steps, "steps")
        if "loss" in logs:
            advance(step - seen)
            seen = step
            values = {name: logs[name] for name in kept if logs.get(name) is not None}
            for name, value in values.items():
                check_finite(name, value)
            run.record("grpo", 1, step, **values)

    return report


def used(config: DictConfig, run: Run, task: Task, end: int) -> dict[str, int]:
    """What was played and learned from, by what is on disk."""
    games = [game for chunk in _log(run).read(task, running.game_maker(config)) for game in chunk]
    labels = {game.episode_id: len(task.lookup(game.episode_id).interpretations) for game in games}
    made = [completion(game, end) for game in games]
    return {
        "games": len(games),
        "generated_tokens": sum(generated_tokens([game]) for game in games),  # each game was drawn for itself
        "update_tokens": int(config["update"].epochs) * sum(len(one.prompt_ids) + len(one.ids) for one in made),
        "gold_labels": sum(labels.values()),
    }


def _log(run: Run) -> ChunkLog:
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    return ChunkLog(folder / "iteration-1.jsonl")


def _end(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    return HFAgent(model, tokenizer).tokenize_reply("")[-1]


main = command(grpo)

if __name__ == "__main__":
    main()
