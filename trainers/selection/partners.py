"""Selection of turns of partners that the policy played."""

from collections.abc import Sequence

from clarify_env.games.base import Trajectory, Turn, View


def partner_turns(games: Sequence[Trajectory], roles: Sequence[str]) -> list[Turn]:
    """Selects, for each view of some roles, the turn from the game of highest score.

    Only games with a score above 0 and without flags count. Partners do not see the prices, so a turn is an example at
    any prices.

    Args:
        games: Games of one episode.
        roles: Roles that the policy plays without learning them.
    """
    best: dict[View, tuple[float, Turn]] = {}
    for game in games:
        if game.result.score <= 0 or any(game.result.flags.values()):
            continue
        for turn in game.moves(roles):
            if turn.view not in best or game.result.score > best[turn.view][0]:
                best[turn.view] = (game.result.score, turn)
    return [turn for _, turn in best.values() if turn.reply.ids is not None]
