"""Closing answers of games, beside what was meant: what raters judge."""

from collections.abc import Sequence

from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup


def closings(setup: Setup, games: Sequence[Trajectory]) -> list[tuple[str | None, tuple[str, ...]]]:
    """Returns closing answer (``None``: there is none) and the aliases of the right answer of each game."""
    return [
        (setup.game.closing_answer(game), setup.task.lookup(game.episode_id).interpretations[game.hidden].answers)
        for game in games
    ]


def shown(setup: Setup, game: Trajectory) -> dict[str, str]:
    """Returns what a judge or a person is shown of a game: nothing of the method, the costs or another rater.

    Returns:
        ``question``: the query as it was meant; ``context``; ``reference``: the aliases of the right answer;
        ``answer``: the closing answer, empty if there is none.
    """
    episode = setup.task.lookup(game.episode_id)
    reading = episode.interpretations[game.hidden]
    return {
        "question": reading.text,
        "context": episode.context,
        "reference": " / ".join(reading.answers),
        "answer": setup.game.closing_answer(game) or "",
    }
