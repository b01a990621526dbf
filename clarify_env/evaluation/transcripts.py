"""Transcripts of sampled games for the report."""

from typing import Any

from clarify_env.evaluation.played import first_kind, mean_reward
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup


def transcript(setup: Setup, game: Trajectory, learns: tuple[str, ...], against: float | None) -> dict[str, Any]:
    """Returns one line of ``transcripts.jsonl``.

    Args:
        setup: Game, task and options.
        game: The game.
        learns: Roles whose first message gives the action, and whose mean reward is shown.
        against: Value of the oracle at the game's episode and prices; ``None``: the game has no oracle.
    """
    episode = setup.task.lookup(game.episode_id)
    return {
        "episode_id": game.episode_id,
        **setup.game.shown(episode, game.hidden),
        "costs": list(game.prices),
        "turns": [[turn.role, turn.reply.text] for turn in game.turns],
        "reward": mean_reward(game, learns),
        "oracle": against,
        "action": first_kind(setup, game, learns),
        **setup.measures(game),
    }
