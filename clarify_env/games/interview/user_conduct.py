"""Judges the user's messages: does it tell the fact that was asked for, and nothing else?

The yardstick is the scripted user (`Task.reply`), which has none of these faults.
"""

import re
from collections.abc import Sequence

from clarify_env.games.base import Game, Trajectory
from clarify_env.games.conduct import UNENDED, FaultKind, Judged
from clarify_env.games.interview.actions import Ask
from clarify_env.games.interview.disclosure import disclosed
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NOT_UNDERSTOOD, Episode, Task
from clarify_env.tasks.facts import content_words

REPLY = "reply"
FAULTS = (
    FaultKind("leak", REPLY, "tells a fact that it was not asked for"),
    FaultKind("wrong_fact", REPLY, "tells of its case what is true of another case alone"),
    FaultKind("no_answer", REPLY, "does not tell the fact that it was asked for"),
    FaultKind("speaks_for_assistant", REPLY, "writes a tag or a speaker's name, as if it were the assistant's turn"),
    FaultKind(UNENDED, "", "does not end before the limit on its length"),
)
_SPEAKS = re.compile(r"#(?:ASK|ANSWER)\b|^\W*(?:assistant|user|system|ai|human)\s*:", re.I | re.M)
# A reply tells a fact if it holds at least this share of the fact's content words that the question does not have.
_TOLD = 0.5


def judge(task: Task, episode: Episode, game: Game | Trajectory) -> list[Judged]:
    """Judges every message of the user in a game."""
    judged: list[Judged] = []
    questions: list[str] = []
    for index, turn in enumerate(game.turns):
        if turn.role != "user":
            if isinstance(turn.action, Ask):
                questions.append(turn.action.question)
            continue
        text = turn.reply.text or ""
        faults = reply_faults(task, episode, game.hidden, questions, text)
        # A question that asks for no fact is replied to by saying so.
        unclear = task.reply(questions[-1], game.hidden, episode) == NOT_UNDERSTOOD
        exemplary = not faults and (not unclear or "understand" in normalize(text).split())
        judged.append(Judged(index, REPLY, tuple(faults), exemplary))
    return judged


def reply_faults(task: Task, episode: Episode, case: int, questions: Sequence[str], text: str) -> list[str]:
    """Returns the faults of a reply to the last of some questions."""
    faults = ["leak"] if disclosed(text, questions, task, episode, case) else []
    expected = task.reply(questions[-1], case, episode)
    if expected != NOT_UNDERSTOOD:
        words = set(content_words(text))
        own = set(content_words(expected)) - set(content_words(questions[-1]))
        others = _elsewhere(task, episode, case, questions[-1], set(content_words(expected)))
        if others & words and not own & words:
            faults.append("wrong_fact")
        elif len(own & words) < _TOLD * len(own):
            faults.append("no_answer")
    return faults + (["speaks_for_assistant"] if _SPEAKS.search(text) else [])


def _elsewhere(task: Task, episode: Episode, case: int, question: str, expected: set[str]) -> set[str]:
    """Words of the replies to a question in other cases, without those of the reply in this one."""
    replies = {task.reply(question, i, episode) for i in range(len(episode.interpretations)) if i != case}
    return {word for reply in replies for word in content_words(reply)} - expected
