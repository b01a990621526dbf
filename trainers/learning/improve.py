"""Makes the update of an iteration and saves its checkpoint, unless it is there already.

The updates themselves need torch, transformers, peft and TRL, which take seconds to import: they are imported here at
their first use, so that a command answers at once where there is nothing to learn.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from agents.example import Example
from trainers.learning.options import UpdateOptions
from trainers.runs.experiment import Experiment, Policy
from trainers.runs.run import Run
from trainers.runs.store import checkpoint_folder, save_model
from trainers.selection.pairs import Preference

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_update(policy: Policy, options: UpdateOptions, option: str = "assistant.model") -> None:
    """Tries an update step before any game is played; see `trainers.learning.trial.check_update`."""
    from trainers.learning import trial

    trial.check_update(policy, options, option)


def improve(
    experiment: Experiment,
    options: UpdateOptions,
    run: Run,
    start: Policy,
    examples: Sequence[Example],
    iteration: int,
) -> Policy:
    """Fine-tunes a policy on weighted examples; see `trainers.learning.update.update`."""

    def updated() -> "PreTrainedModel":
        from trainers.learning.update import update

        return update(
            start.model,
            examples,
            options,
            seed=experiment.seed + iteration,
            pad=start.tokenizer.pad_token_id,
            report=run.steps(f"iteration {iteration}: improving", iteration),
        )

    return checkpoint(experiment, run, start, iteration, updated)


def prefer(
    experiment: Experiment,
    options: UpdateOptions,
    run: Run,
    start: Policy,
    reference: Policy,
    preferences: Sequence[Preference],
    iteration: int,
    *,
    beta: float,
) -> Policy:
    """Fine-tunes a policy to prefer the chosen sides of pairs; see `trainers.learning.dpo.dpo`."""

    def updated() -> "PreTrainedModel":
        from trainers.learning.dpo import dpo

        return dpo(
            start.model,
            reference.model,
            preferences,
            options,
            beta=beta,
            seed=experiment.seed + iteration,
            tokenizer=reference.tokenizer,
            report=run.steps(f"round {iteration}: improving", iteration),
        )

    return checkpoint(experiment, run, reference, iteration, updated)


def checkpoint(
    experiment: Experiment, run: Run, start: Policy, iteration: int, make: "Callable[[], PreTrainedModel]"
) -> Policy:
    """Loads ``checkpoints/iteration-N``; makes it first if it is not there, with its ``adapter`` if it has one.

    Args:
        experiment: Loads the policy.
        run: Run whose directory holds the checkpoints.
        start: Policy whose tokenizer is saved with the model.
        iteration: Number of the iteration.
        make: Makes the model.
    """
    folder = checkpoint_folder(run.dir, iteration)
    if not folder.exists():
        from agents.generation import played_settings
        from trainers.learning.adapters import save_adapters
        from trainers.reporting.card import card, first_view, show

        folder.parent.mkdir(exist_ok=True)
        model, renderer, view = make(), experiment.renderer(start), first_view(experiment)
        model.generation_config = played_settings(
            model, start.tokenizer, renderer.end_ids, experiment.language_model().max_new_tokens
        )
        example = None if view is None else show(renderer, view)
        text = card(experiment, folder, run.identity["command"], example)
        save_model(model, start.tokenizer, folder, text, partial(save_adapters, model))
        del model  # before what was saved is loaded
    return experiment.load(folder)
