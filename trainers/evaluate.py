"""Evaluates any checkpoint, or a scripted assistant, on any costs.

``python -m trainers.evaluate assistant.model=runs/NAME/checkpoints/iteration-2 costs.alpha=[0.2,0.8]``
"""

from trainers.evaluation.measure import measure_policy
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run


def evaluate(experiment: Experiment, run: Run) -> None:
    """Measures the players without learning; writes summary and report."""
    measure_policy(run, experiment, method="evaluate")


main = command(evaluate, learns=False)

if __name__ == "__main__":
    main()
