"""Judges the user's messages: does it tell what it was asked, all of it and no more, and close as it should?

The yardstick is the scripted user (`Task.reply`, `Task.pick`), which has none of these faults.
"""

import re
from collections.abc import Sequence

from clarify_env.games.base import Game, Trajectory
from clarify_env.games.clarification.actions import Action, Clarify, MultiAnswer
from clarify_env.games.clarification.disclosure import FRAME, disclosed, telling_words
from clarify_env.games.clarification.rules import answers
from clarify_env.games.conduct import UNENDED, FaultKind, Judged
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD, REFUSAL, Episode, Task, description

REPLY, CLOSING = "reply", "closing"
FAULTS = (
    FaultKind("leak", REPLY, "tells more of its meaning than it was asked"),
    FaultKind("ungrounded", CLOSING, "closes with an answer that the assistant did not give"),
    FaultKind("wrong_reading", "", "names or picks another reading than the one it means"),
    FaultKind("no_answer", "", "does not tell what it was asked, or takes none of the answers although one fits"),
    FaultKind("speaks_for_assistant", "", "writes a tag or a speaker's name, as if it were the assistant's turn"),
    FaultKind(UNENDED, "", "does not end before the limit on its length"),
)
_SPEAKS = re.compile(r"#(?:CLARIFY|ANSWER|MULTI_ANS)\b|^\W*(?:assistant|user|system|ai|human)\s*:", re.I | re.M)
_DENIES = frozenset("no not none neither nor nothing never isnt dont".split())
_AFFIRMS = frozenset("yes yeah yep correct right exactly".split())


def judge(task: Task, episode: Episode, game: Game | Trajectory) -> list[Judged]:
    """Judges every message of the user in a game."""
    judged, questions = [], []
    for index, turn in enumerate(game.turns):
        if turn.role != "user":
            if isinstance(turn.action, Clarify):
                questions.append(turn.action.question)
            continue
        action, text = game.turns[index - 1].action, turn.reply.text or ""
        if isinstance(action, Clarify):
            kind, faults = REPLY, reply_faults(task, episode, game.hidden, questions, text)
            # A question that asks for nothing is replied to by saying so.
            unclear = task.reply(questions[-1], game.hidden, episode) == NOT_UNDERSTOOD
            exemplary = not faults and (not unclear or "understand" in normalize(text).split())
        else:
            kind, faults = CLOSING, closing_faults(task, episode, game.hidden, action, text)
            exemplary = not faults
        judged.append(Judged(index, kind, tuple(faults), exemplary))
    return judged


def reply_faults(task: Task, episode: Episode, intent: int, questions: Sequence[str], text: str) -> list[str]:
    """Returns the faults of a reply to the last of some questions."""
    faults = ["leak"] if disclosed(text, questions, task, episode, intent) else []
    if fault := _answer_fault(task, episode, intent, questions[-1], set(normalize(text).split())):
        faults.append(fault)
    return faults + (["speaks_for_assistant"] if _SPEAKS.search(text) else [])


def _answer_fault(task: Task, episode: Episode, intent: int, question: str, words: set[str]) -> str | None:
    """Returns how a reply, as its set of words, fails to tell what a question asks; ``None``: it does not."""
    telling = telling_words(tuple(map(description, episode.interpretations)), episode.query)
    own, others = telling[intent], frozenset().union(*telling) - telling[intent]
    denies, names_others = bool(words & _DENIES), bool(words & others)
    if names_others and not words & own and not denies:
        return "wrong_reading"
    expected, offered = task.reply(question, intent, episode), set(normalize(question).split())
    if expected == NOT_UNDERSTOOD:
        return None
    if expected == NONE_OF_THESE:
        return None if denies else "wrong_reading" if words & _AFFIRMS else "no_answer"
    answered = bool(words & (set(normalize(expected).split()) - FRAME)) and (denies or not names_others)
    confirmed = bool(words & _AFFIRMS and offered & own) and not offered & others
    return None if answered or confirmed else "no_answer"


def closing_faults(task: Task, episode: Episode, intent: int, action: Action | None, text: str) -> list[str]:
    """Returns the faults of a closing answer, after an answer or a list."""
    form = task.normal_form(episode)
    answer, offered = form(text), [form(offer) for offer in answers(action)]
    fitting = offered
    if isinstance(action, MultiAnswer):
        fitting = [offered[index] for index in task.pick(action.items, intent, episode)]
    if answer == REFUSAL:
        return ["no_answer"] if fitting else []
    if answer in offered:
        return [] if answer in fitting else ["wrong_reading"]
    return ["ungrounded"] + (["speaks_for_assistant"] if _SPEAKS.search(text) else [])
