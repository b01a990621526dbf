"""Oracle SFT: imitates the oracle player, which knows all facts but not what is hidden.

It is the upper limit of likelihood methods, since it learns from the best messages.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.example import Example
from agents.selfplay import Start
from clarify_env.games.base import Trajectory
from trainers.evaluation.measure import measure, validate
from trainers.learning.improve import check_update, improve
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run

if TYPE_CHECKING:
    from agents.render import Renderer

# Name of the scripted player that is imitated.
ORACLE = "oracle"


def imitate(experiment: Experiment, update: UpdateOptions, run: Run) -> None:
    """Plays ``budget.games`` games of the oracle player, fine-tunes on its messages, and measures."""
    base = experiment.load_policy()
    check_update(base, update)
    validate(run, experiment, experiment.players(base, 1.0), iteration=0)
    renderer = experiment.renderer(base)
    games = list(oracle_games(experiment, run))
    examples = [example for game in games for example in imitated(renderer, game, experiment.learns)]
    policy = improve(experiment, update, run, base, examples, 1)
    validate(run, experiment, experiment.players(policy, 1.0), iteration=1)
    used = {
        "games": len(games),
        "generated_tokens": 0,
        "gold_labels": experiment.gold_labels(game.episode_id for game in games),
        "update_tokens": update_tokens(examples, update),
    }
    measure(run, experiment, partial(experiment.players, policy), method="imitate", budget=used)


def check(experiment: Experiment) -> None:
    """Refuses a game that has no oracle player or no scripted partners for it, before any is played.

    Raises:
        ValueError: A role has none.
    """
    game = experiment.setup.game
    for role in game.roles:
        if role in experiment.learns and ORACLE not in game.players.get(role, ()):
            raise ValueError(f"imitate: game {game.name} has no oracle player for {role}; choose another method")
        if not game.players.get(role):
            raise ValueError(f"imitate: game {game.name} has no scripted player for {role}; choose another method")


def oracle_games(experiment: Experiment, run: Run) -> Iterator[Trajectory]:
    """Plays the oracle with scripted partners on training episodes and prices; what is hidden is drawn by weight."""
    setup, budget = experiment.setup, experiment.budget.games
    rng = np.random.default_rng([experiment.seed, 1])
    prices = experiment.plane.train()
    players = {}
    for role in setup.game.roles:
        name = ORACLE if role in experiment.learns else setup.game.players[role][0]
        players[role] = setup.game.player(role, setup.task, name, **setup.options)
    starts: list[Start] = []
    for index in experiment.training_indices(budget, rng):
        episode = setup.task.episode("train", index)
        weights = setup.weights(episode)
        hidden = int(rng.choice(len(weights), p=weights))
        starts.append(Start(episode, hidden, prices[rng.integers(len(prices))], int(rng.integers(2**62))))
    advance = run.bar("the oracle plays", len(starts), "games")
    for game in experiment.play(starts, players, chunk=experiment.selfplay.chunk):
        advance(1)
        yield game


def imitated(renderer: "Renderer", game: Trajectory, roles: tuple[str, ...]) -> list[Example]:
    """Converts the messages of some roles into examples."""
    return [
        Example(renderer.encode(turn.view), renderer.tokenize_reply(turn.reply.text or ""))
        for turn in game.moves(roles)
    ]


main: Any = command(imitate, check=check, served=True)

if __name__ == "__main__":
    main()
