"""Games of helpers for tests: episodes by their facts, games of given messages, scripted players, and reports."""

import pytest

pytest.importorskip("bm25s")

from clarify_env.evaluation.evaluate import evaluate
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.helpers.facts import ARCHIVES, ASKER, HELPERS
from clarify_env.tasks.registry import make_task

GAME, TASK = find_game("helpers"), make_task("archives")
TOOLS = GAME.tools(TASK)
EPISODES = [TASK.episode("test", i) for i in range(40)]


def pick(**meta):
    """The first test episode whose facts are these."""
    return next(e for e in TASK.episodes("test") if all(e.meta[name] == value for name, value in meta.items()))


def play(episode, messages, prices=(0.2,), **options):
    """Plays messages by role, in order; the archives play themselves."""
    game, left = GAME.deal(TASK, episode, 0, prices, **options), list(messages)
    while game.to_move is not None and (left or game.to_move in ARCHIVES):
        role = game.to_move
        game.apply(TOOLS[role].act([game.view(role)], [0])[0] if role in ARCHIVES else Reply(left.pop(0)))
    assert not left
    return game


def players(helper, asker="trusting", task=TASK):
    return {ASKER: GAME.player(ASKER, task, asker)} | {role: GAME.player(role, task, helper) for role in HELPERS}


def measured(task, helper, asker="trusting", episodes=4, **options):
    """The report on scripted players at one price."""
    by_role = players(helper, asker, task)
    own = by_role.pop(ASKER)
    return evaluate(own, task, ((0.1,),), game="helpers", role=ASKER, agents=by_role, episodes=episodes, **options)[0]
