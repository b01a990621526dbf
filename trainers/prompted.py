"""The prompted baseline: a model without training, with the costs in its prompt.

``python -m trainers.prompted assistant=hf assistant.model=PATH_OR_HUB_ID prompts=reasoning``
"""

from functools import partial

from trainers.evaluation.measure import NO_BUDGET, measure
from trainers.evaluation.prior import calibration_episodes, states_prior, with_prior
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run


def prompted(experiment: Experiment, run: Run) -> None:
    """Measures the model of ``assistant.*`` with the prompts of ``prompts.*``."""
    policy = None if experiment.policy_options is None else experiment.load_policy()
    players = with_prior(experiment, run, partial(experiment.players, policy))
    training = calibration_episodes(experiment) if states_prior(experiment) else []
    used = NO_BUDGET | {"gold_labels": experiment.gold_labels(episode.id for episode in training)}
    measure(run, experiment, players, method="prompted", budget=used)


def check(experiment: Experiment) -> None:
    """Checks that a prior can be calibrated, if prompts state one.

    Raises:
        ValueError: The task has no training episodes with several readings.
    """
    if states_prior(experiment):
        calibration_episodes(experiment)


main = command(prompted, check=check, learns=False, tries=True)

if __name__ == "__main__":
    main()
