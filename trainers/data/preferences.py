"""Preference pairs of stored games, chosen by the house's pair selection (`trainers.selection.pairs`)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from clarify_env.data.rows import Styles, completion_of, origin_of, prompt_of
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from trainers.selection.pairs import References, pair


def preferences(
    setup: Setup, games: Sequence[Trajectory], role: str, styles: Styles, *, threshold: float = 0.9, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Yields a row of prompt, chosen and rejected first message for each game that has a pair.

    The games of an episode are each other's references: a first message of the better action, by its expectation over
    what is hidden at the game's costs, is preferred to one of another action. Sides are one message each, so that no
    word of others carries loss. A game without pair (no reference of the action that it needs, or equal sides) has no
    row.

    Args:
        setup: Game, task and options.
        games: The games.
        role: Role that moves first and learns.
        styles: Style of each role's prompts.
        threshold: Lowest score of a good result.
        seed: Seed of the draws of other actions.

    Raises:
        ValueError: The game has one kind of action, or the role does not move first or knows what is hidden.
    """
    if games:
        check_pairs(setup, role, games[0].turns[0].role)
    rng = np.random.default_rng(seed)
    by_episode: dict[str, list[Trajectory]] = {}
    for game in games:
        by_episode.setdefault(game.episode_id, []).append(game)
    for name, group in by_episode.items():
        references = References(setup, setup.task.lookup(name), group, role)
        openings = [game.turns[0].reply for game in group]
        ids_of = {reply.text: list(reply.ids) for reply in openings if reply.ids is not None}
        for game in group:
            others, better = references.games(game.prices, game.hidden), references.better(game.prices, "estimated")
            one = pair(setup, game, others, better, threshold, False, rng)
            if one is None or one.chosen == one.rejected:
                continue
            chosen, rejected = one.chosen[-1].text, one.rejected[-1].text
            reply = game.turns[0].reply
            yield {
                "prompt": prompt_of(setup, one.view, styles),
                "chosen": completion_of(chosen),
                "rejected": completion_of(rejected),
                **origin_of(game, role),
                "case": one.case,
                "prompt_ids": None if reply.prompt_ids is None else list(reply.prompt_ids),
                "chosen_ids": ids_of.get(chosen),
                "rejected_ids": ids_of.get(rejected),
            }


def check_pairs(setup: Setup, role: str, mover: str) -> None:
    """Refuses a role of which there are no pairs; ``mover`` moves first.

    Raises:
        ValueError: See `preferences`.
    """
    game = setup.game
    if len(game.actions) < 2:
        raise ValueError(f"to=preferences: game {game.name} has one kind of action, so there is none to prefer")
    if role not in game.blind:
        raise ValueError(f"to=preferences: {role} knows what is hidden in game {game.name}; choose another of roles")
    if mover != role:
        raise ValueError(f"to=preferences: pairs are of first messages, and {mover} moves first, not {role}")
