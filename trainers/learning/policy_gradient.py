"""GRPO (arXiv 2402.03300) by TRL's trainer, on games that are played elsewhere."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from trainers.learning.devices import OneDevice, device_options
from trainers.learning.options import UpdateOptions
from trainers.learning.trainer import Progress
from trainers.learning.update import copy_to_train, optimizers, trainable, training_options, whole
from trainers.runs.experiment import Policy
from trainers.runs.processes import Report


@contextmanager
def without_warnings() -> Iterator[None]:
    """Suppresses warnings between TRL and transformers, and that TRL's ``rollout_func`` is experimental."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing`", FutureWarning)
        # `rollout_func` may change, so the minor version of TRL is pinned.
        warnings.filterwarnings("ignore", "You are using 'rollout_func'", UserWarning)
        yield


class GRPOArguments(OneDevice, GRPOConfig):
    """Arguments of TRL's trainer on one device."""


class QuietGRPOTrainer(GRPOTrainer):
    """TRL's trainer without telemetry."""

    def _send_telemetry(self) -> None:
        pass


@without_warnings()
def make_trainer(
    base: Policy,
    config: UpdateOptions,
    prompts: Sequence[Any],
    rollout: Callable[[Policy], Callable[..., dict[str, list]]],
    reward: Callable[..., list[float]],
    *,
    steps: int,
    games_a_step: int,
    seed: int,
    report: Report,
    **settings: Any,
) -> QuietGRPOTrainer:
    """Makes TRL's trainer for a copy of a model, since TRL patches its model.

    Args:
        base: Model and tokenizer; not changed.
        config: Options of the update; `epochs` is the number of gradient steps on the games of a step.
        prompts: One prompt per group of games, in the order of play.
        rollout: Makes TRL's rollout function for the policy that is trained.
        reward: TRL's reward function.
        steps: Number of batches of games.
        games_a_step: Games of a batch.
        seed: Seed of adapters.
        report: Called with step, number of steps and logs.
        **settings: Further arguments of TRL's ``GRPOConfig``.
    """
    torch.manual_seed(seed)  # initial weights of adapters are random
    model = trainable(copy_to_train(base.model, config), config)
    iterations = int(config.epochs)
    arguments = GRPOArguments(
        **training_options(config, steps * iterations, seed) | {"logging_steps": 1},
        **device_options(base.model.device),
        per_device_train_batch_size=config.batch,
        gradient_accumulation_steps=games_a_step // config.batch,
        num_iterations=iterations,
        shuffle_dataset=False,  # the order is ours
        bf16=False,  # train in the precision of play
        gradient_checkpointing=False,
        **settings,
    )
    trainer = QuietGRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=base.tokenizer,
        rollout_func=rollout(Policy(model, base.tokenizer)),
        callbacks=[Progress(report)],
        optimizers=optimizers(model, config),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


@without_warnings()
def learn(trainer: GRPOTrainer) -> PreTrainedModel:
    """Trains the model.

    Returns:
        The trained model, adapters merged. Its forward is still patched by TRL: save and reload it.
    """
    trainer.train()
    return whole(trainer.model)
