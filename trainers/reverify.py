"""Scores a run's games anew, at other costs or by another metric: ``python -m trainers.reverify run=RUN``.

Nothing is generated and no model is loaded: the stored messages are judged by today's rules. Without options the
command tells whether today's rules give the rewards on file.
"""

from dataclasses import dataclass
from typing import Any

from clarify_env.options import option
from clarify_env.scores.metrics import SCORES
from trainers.data.score import by_metric, markdown, mismatches, print_scores, score
from trainers.data.stored import StoredRun, open_run
from trainers.runs.command import command
from trainers.runs.run import Run
from trainers.runs.store import write_json, write_text


@dataclass(frozen=True)
class ReverifyOptions:
    """What is scored, and how (the root of ``conf/reverify.yaml``)."""

    run: str = option()
    """Run directory whose games are scored."""
    prices: list[list[float]] | None = option(None)
    """Vectors of costs, each in the order of the game's prices, as [[0.2,0.02],[0.5,0.05]]; null: those of play."""
    metric: str | None = option(None, choices=(*SCORES, None))
    """Metric of answers; null: the task's own."""


def check(options: ReverifyOptions) -> None:
    """Checks run, prices and metric, before anything is written.

    Raises:
        ValueError: See `open_run`, `trainers.data.score.by_metric` and `Description.check_prices`.
    """
    _opened(options)


def _opened(options: ReverifyOptions) -> tuple[StoredRun, StoredRun, list[Any]]:
    """Returns the run, the same run under the chosen metric, and the vectors of costs."""
    stored = rescored = open_run(options.run)
    setup = stored.experiment.setup
    if options.metric is not None:
        other = setup._replace(task=by_metric(setup.task, options.metric))
        rescored = stored._replace(experiment=stored.experiment.at(setup=other))
    try:
        vectors = [None] if options.prices is None else [setup.game.check_prices(one) for one in options.prices]
    except ValueError as error:
        raise ValueError(f"prices: {error}") from error
    if not vectors:
        raise ValueError("prices must hold at least one vector of prices")
    return stored, rescored, vectors


def reverify(options: ReverifyOptions, run: Run) -> None:
    """Scores the games, prints a table and writes it to ``reverify.md`` and, with each game, ``reverify.json``."""
    stored, rescored, vectors = _opened(options)
    games = [game for _, game in rescored.games()]
    rewards = list(stored.rewards())
    scores = score(rescored.experiment.setup, games, vectors)
    other_rewards = mismatches(games, rewards)
    lines = [
        {
            "id": game.id,
            "episode_id": game.episode_id,
            "score": game.result.score,
            "rewards": [game.result.reward(vector or game.prices) for vector in vectors],
            "reward_on_file": reward,
        }
        for game, reward in zip(games, rewards, strict=True)
    ]
    result = {"run": str(stored.folder), "metric": options.metric, **scores, "reward_differs": len(other_rewards)}
    write_json(run.dir / "reverify.json", result | {"games": lines})
    write_text(run.dir / "reverify.md", markdown(scores))
    run.report = run.dir / "reverify.md"
    run.progress.stop()
    print_scores(scores)
    print(f"{len(other_rewards):,} of {len(games):,} games have another reward than on file (at the costs of play)")


main: Any = command(reverify, check=check, learns=False, measures=False, root=True)

if __name__ == "__main__":
    main()
