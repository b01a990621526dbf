"""The prompted baseline: a model without training, with the costs in its prompt.

``python -m trainers.prompted assistant=hf assistant.model=PATH_OR_HUB_ID prompts=reasoning``
"""

from trainers.evaluation.measure import measure_policy
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run


def prompted(experiment: Experiment, run: Run) -> None:
    """Measures the model of ``assistant.*`` with the prompts of ``prompts.*``."""
    measure_policy(run, experiment, method="prompted")


main = command(prompted, learns=False)

if __name__ == "__main__":
    main()
