"""Scores a run's games anew, at other costs, by another metric or a rater: ``python -m trainers.reverify run=RUN``.

Nothing is generated and no model is loaded: the stored messages are judged by today's rules. Without options the
command tells whether today's rules give the rewards on file.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from clarify_env.options import option
from clarify_env.scores.metrics import SCORES
from trainers.data.score import by_metric, markdown, mismatches, print_scores, score
from trainers.data.stored import StoredRun, open_run
from trainers.evaluation.items import FOLDER, Study, items_of
from trainers.evaluation.raters import check_rater
from trainers.evaluation.rating import rate_all
from trainers.evaluation.rating_options import PERSON, RaterOptions
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


def check(options: ReverifyOptions, rater: RaterOptions) -> None:
    """Checks run, prices, metric and rater, before anything is written.

    Raises:
        ValueError: The game scores no answers by a metric, or a person is to rate; see also `open_run`, `by_metric`,
            `check_rater` and `Description.check_prices`.
    """
    stored, *_ = _opened(options)
    if rater.kind == PERSON:
        raise ValueError("rater.kind=person: people rate by trainers.rate, games that a policy chooses")
    check_rater(rater, "rater", stored.experiment.setup, stored.experiment.policy_options)


def _opened(options: ReverifyOptions) -> tuple[StoredRun, StoredRun, list[Any]]:
    """Returns the run, the same run under the chosen metric, and the vectors of costs."""
    stored = rescored = open_run(options.run)
    setup = stored.experiment.setup
    if options.metric is not None and not setup.game.scored_by_task:
        raise ValueError(f"metric: game {setup.game.name} scores games by a rule of its own, and answers by no metric")
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


def reverify(options: ReverifyOptions, rater: RaterOptions, run: Run) -> None:
    """Scores the games, prints a table and writes it to ``reverify.md`` and, with each game, ``reverify.json``.

    With a rater, each game is rated as well; its ratings are stored with the run (`trainers.data.ratings`).
    """
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
    if rater.kind is not None:
        items = items_of(stored.experiment.setup, games, stored.command)
        study = Study(stored.folder / FOLDER, stored, {stored.command: items})
        name, ratings = rate_all(study, rater, run.bar("rating", len(items), "ratings"))
        result |= {"rater": name, "rating": float(np.mean(ratings))}
        lines = [line | {"rating": rating} for line, rating in zip(lines, ratings, strict=True)]
    write_json(run.dir / "reverify.json", result | {"games": lines})
    write_text(run.dir / "reverify.md", markdown(scores))
    run.report = run.dir / "reverify.md"
    run.progress.stop()
    print_scores(scores)
    if rater.kind is not None:
        print(f"mean rating by {result['rater']}: {result['rating']:.3f}")
    print(f"{len(other_rewards):,} of {len(games):,} games have another reward than on file (at the costs of play)")


main: Any = command(reverify, check=check, learns=False, measures=False, root=True)

if __name__ == "__main__":
    main()
