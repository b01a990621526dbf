"""The entry of one cost set in ``summary.json``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clarify_env.evaluation.intervals import bootstrap, share_interval
from clarify_env.evaluation.played import Played
from clarify_env.evaluation.reference import Reference, lost_by_action, optimal_decisions
from clarify_env.games.description import Description

# Dominance counts the prices at which policy reward >= reward of the best fixed strategy - this margin.
DOMINANCE_MARGIN = 0.03


def summarize(
    game: Description, played: Played, against: Reference | None, episodes: Sequence, seed: int
) -> dict[str, Any]:
    """Summarises a policy's games at one set of prices.

    Args:
        game: The game.
        played: The policy's games.
        against: Oracle and fixed strategies; ``None``: the game has no oracle, and regret is left out.
        episodes: The episodes of the games.
        seed: Seed of the bootstrap.

    Returns:
        Means over episodes and prices: the reward with its interval, every measure of the game, the share of each first
        action among all first messages, ``invalid`` apart; and with an oracle its value, regret, gap closed (``None``:
        the best fixed strategy earns as much as the oracle), fixed strategies, dominance, and optimal match: the share
        of decisions that the oracle would take too, with its interval (both ``None``: there are no decisions). See
        `optimal_decisions`.
    """
    means = {name: float(values.mean()) for name, values in played.values.items()}
    kinds = (*game.actions, "invalid")
    share = {name: float((played.first == i).mean()) for i, name in enumerate(kinds)}
    # Prefer the game's measure: it also counts games that a later message made invalid.
    share["invalid"] = means.pop("invalid", share["invalid"])
    reward = means.pop("reward")
    entry = {"reward": reward, "reward_ci": bootstrap(played.values["reward"], episodes, seed)}
    match = {} if against is None else _optimal_match(played, against, episodes, seed)
    if against is not None:
        entry |= _beside_oracle(played, against)
    return entry | means | match | {"share": share} | game.summary(episodes, played.values, played.first)


def _optimal_match(played: Played, against: Reference, episodes: Sequence, seed: int) -> dict[str, Any]:
    optimal, valid = optimal_decisions(played, against)
    return {
        "optimal_match": float(optimal.sum() / valid.sum()) if valid.any() else None,
        "optimal_match_ci": share_interval(optimal, valid, episodes, seed),
    }


def _beside_oracle(played: Played, against: Reference) -> dict[str, Any]:
    reward, oracle = played.values["reward"].mean(), against.oracle.mean()
    fixed = {name: float(values.mean()) for name, values in against.fixed.items()}
    best = max(fixed.values())
    best_at = np.max([values.mean(0) for values in against.fixed.values()], axis=0)
    return {
        "oracle": float(oracle),
        "regret": float(oracle - reward),
        "regret_action": float(lost_by_action(played, against).mean()),
        "gap_closed": float((reward - best) / (oracle - best)) if oracle - best > 1e-9 else None,  # no gap to close
        "fixed": fixed,
        "dominance": float((played.values["reward"].mean(0) >= best_at - DOMINANCE_MARGIN).mean()),
    }
