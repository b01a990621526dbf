"""Evaluates any checkpoint, or a scripted assistant, on any costs; or on a suite that is the same for everyone.

``python -m trainers.evaluate assistant.model=runs/NAME/checkpoints/iteration-2 costs.alpha=[0.2,0.8]``
``python -m trainers.evaluate suite=standard assistant=hf assistant.model=PATH_OR_HUB_ID`` (docs/suite.md)
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from trainers.evaluation.measure import measure_policy
from trainers.runs.command import INTERRUPTED, command
from trainers.runs.experiment import Experiment
from trainers.runs.paths import plain_at_home
from trainers.runs.run import Run

SUITE, RUN_DIR = "suite=", "run_dir="


def evaluate(experiment: Experiment, run: Run) -> None:
    """Measures the players without learning; writes summary and report."""
    measure_policy(run, experiment, method="evaluate")


def of_suite(words: Sequence[str]) -> int:
    """Runs the suite of a command line and prints its table; returns the exit status."""
    from trainers.evaluation.suite import check_models, players, read_suite, run_suite
    from trainers.reporting.leaderboard import draw, show

    suites, folders = ([w.removeprefix(start) for w in words if w.startswith(start)] for start in (SUITE, RUN_DIR))
    try:
        if len(suites) > 1 or "" in folders:
            raise ValueError("give one suite, and the directory of its run, as suite=NAME run_dir=FOLDER")
        suite = read_suite(name := suites[0])
        of_players = players([word for word in words if not word.startswith((SUITE, RUN_DIR))])
        check_models(suite, of_players)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    digest = hashlib.sha256("\n".join(sorted(of_players)).encode()).hexdigest()[:8]
    folder = Path(plain_at_home(folders[-1]) if folders else f"runs/suite-{name}-{digest}")
    try:
        result = run_suite(suite, of_players, folder)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    draw(result, folder / "suite.png")
    show(result)
    print(f"{folder / 'suite.json'}, {folder / 'suite.png'}")
    return 0


_single = command(evaluate, learns=False)


def main() -> None:
    """Runs an evaluation, or the parts of a suite."""
    if any(word.startswith(SUITE) for word in sys.argv[1:]):
        sys.exit(of_suite(sys.argv[1:]))
    _single()


if __name__ == "__main__":
    main()
