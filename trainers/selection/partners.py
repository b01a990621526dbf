"""Selection of turns by their sender's own criterion: of partners that the policy plays, and of judged roles.

A user that is selected by the game's reward learns to leak, since leaks earn rewards. So turns of a role whose messages
the game judges (`Description.faults`) are selected by their conduct, whatever the game earned.
"""

from collections.abc import Collection, Sequence

from clarify_env.games.base import Trajectory, Turn, View
from clarify_env.games.setup import Setup


def exemplary_turns(
    setup: Setup, games: Sequence[Trajectory], roles: Sequence[str], ends: Collection[int]
) -> list[Turn]:
    """Returns the turns of judged roles that do all they were asked and no more (`Judged.exemplary`), and that end.

    Args:
        setup: Game, task and options.
        games: Games of one episode.
        roles: Roles of `Description.faults`.
        ends: Token ids that end a message; a turn without ids, of no language model, is left out.
    """
    turns = []
    for game in games if roles else ():
        episode = setup.task.lookup(game.episode_id)
        for role in roles:
            judged = setup.game.judge(setup.task, episode, game, role)
            turns += [game.turns[message.turn] for message in judged if message.exemplary]
    return [turn for turn in turns if turn.reply.ids and turn.reply.ids[-1] in ends]


def partner_turns(setup: Setup, games: Sequence[Trajectory], roles: Sequence[str], ends: Collection[int]) -> list[Turn]:
    """Selects one turn for each view of some roles.

    Of a judged role: the exemplary turn of fewest words. Of any other: the turn from the game of highest score, among
    games with a score above 0 and without flags. Partners do not see the prices, so a turn is an example at any prices.

    Args:
        setup: Game, task and options.
        games: Games of one episode.
        roles: Roles that the policy plays and that are not selected by reward.
        ends: Token ids that end a message.
    """
    judged = [role for role in roles if role in setup.game.faults]
    shortest: dict[View, tuple[int, Turn]] = {}
    for turn in exemplary_turns(setup, games, judged, ends):
        words = setup.game.words(turn.reply.text or "")
        if turn.view not in shortest or words < shortest[turn.view][0]:
            shortest[turn.view] = (words, turn)
    others = [role for role in roles if role not in judged]
    best: dict[View, tuple[float, Turn]] = {}
    for game in games:
        if game.result.score <= 0 or any(game.result.flags.values()):
            continue
        for turn in game.moves(others):
            if turn.view not in best or game.result.score > best[turn.view][0]:
                best[turn.view] = (game.result.score, turn)
    turns = [turn for _, turn in (*shortest.values(), *best.values())]
    return [turn for turn in turns if turn.reply.ids is not None]
