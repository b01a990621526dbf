"""Evaluates any checkpoint, or a scripted assistant, on any costs.

``python -m trainers.evaluate assistant.model=runs/NAME/checkpoints/iteration-2 costs.alpha=[0.2,0.8]``
"""

from omegaconf import DictConfig

from trainers.evaluation.measure import measure_assistant
from trainers.runs.run import Run, command


def evaluate(config: DictConfig, run: Run) -> None:
    """Plays the evaluation of ``eval.*`` with the assistant of ``assistant.*``; writes summary and report."""
    measure_assistant(run, config, method="evaluate")


main = command(evaluate)

if __name__ == "__main__":
    main()
