"""Decisions: classes of messages that are equivalent under the rules, whatever their wording."""

from collections.abc import Sized

from clarify_env.games.clarification.actions import Answer, Clarify, MultiAnswer, parse
from clarify_env.games.description import Decision
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import Episode, Task


def decision(task: Task, episode: Episode, text: str) -> Decision:
    """Maps a message to its decision.

    Returns:
        The kind of action, then: the normalised answer; or the set of listed (reading, answer) pairs; or, for a
        question, the user's reply under each reading, so that two wordings with the same replies are one decision.
    """
    action = parse(text)
    if isinstance(action, Answer):
        return ("answer", task.normal_form(episode)(action.text))
    if isinstance(action, MultiAnswer):
        form = task.normal_form(episode)
        return ("multi_answer", frozenset((normalize(item.label), form(item.answer)) for item in action.items))
    if isinstance(action, Clarify):
        return ("clarify", *(task.reply(action.question, i, episode) for i in range(len(episode.interpretations))))
    return ("invalid", action.text)


def action_of(taken: Decision) -> str:
    """Kind of action by which decisions are grouped; a list of one item counts as ``answer``."""
    action, *rest = taken
    single = action == "multi_answer" and isinstance(rest[0], Sized) and len(rest[0]) == 1
    return "answer" if single else str(action)
