"""The prompted baseline: a model as it is, told its costs in the prompt.

``python -m trainers.prompted assistant=hf assistant.model=PATH_OR_HUB_ID prompts=reasoning``
"""

from omegaconf import DictConfig

from trainers.evaluation.measure import measure_assistant
from trainers.runs.run import Run, command


def prompted(config: DictConfig, run: Run) -> None:
    """Evaluates the model of ``assistant.*`` with the prompts of ``prompts.*``."""
    measure_assistant(run, config, method="prompted")


main = command(prompted)

if __name__ == "__main__":
    main()
