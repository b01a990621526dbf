"""Finds and redacts what a user's reply tells of its case beyond what it was asked.

The words that give a case away are found as in the clarification game, whose readings are here the cases
(`clarify_env.games.clarification.disclosure`). A case that is the only one of its episode has no other to be told
from: there a reply tells a fact if it holds most of the fact's own words.
"""

from collections.abc import Sequence

from clarify_env.games.clarification import disclosure
from clarify_env.games.clarification.disclosure import REDACTED
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import Episode, Task
from clarify_env.tasks.facts import content_words

# A reply tells a fact if it holds at least this share of the content words that the fact alone has.
_TOLD = 0.5


def disclosed(text: str, questions: Sequence[str], task: Task, episode: Episode, case: int) -> tuple[str, ...]:
    """Returns what a user's reply tells unasked, as normalised words or facts; empty: nothing.

    Args:
        text: The reply.
        questions: The questions so far, oldest first; the last one is replied to.
        task: The task.
        episode: The episode.
        case: Index of the case dealt.
    """
    if len(episode.interpretations) > 1:
        return disclosure.disclosed(text, questions, task, episode, case)
    return tuple(normalize(fact) for fact in facts_told(text, questions, task, episode, case))


def facts_told(text: str, questions: Sequence[str], task: Task, episode: Episode, case: int) -> list[str]:
    """Returns the facts that a reply tells although no question asked for them."""
    facts = [value for _, value in episode.interpretations[case].attributes]
    replies = [task.reply(question, case, episode) for question in questions]
    known = content_words(" ".join([episode.query, *questions, *replies]))
    words = set(content_words(text))
    disclosed_facts = []
    for fact in facts:
        own = set(content_words(fact)) - set(known)
        if own and len(own & words) >= _TOLD * len(own):
            disclosed_facts.append(fact)
    return disclosed_facts


def redact(text: str, questions: Sequence[str], task: Task, episode: Episode, case: int) -> str:
    """Replaces what a user's reply discloses by ``[redacted]``."""
    if len(episode.interpretations) > 1:
        return disclosure.redact(text, questions, task, episode, case)
    return REDACTED if disclosed(text, questions, task, episode, case) else text
