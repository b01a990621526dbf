"""Finds and redacts what a user's reply tells of its meaning beyond what it was asked."""

import re
from collections.abc import Sequence
from functools import lru_cache

from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD, Episode, Task, description

REDACTED = "[redacted]"
# Words of the scripted user's sentences ("The film one.", "None of these."), which tell no reading from another.
FRAME = frozenset(normalize(f"the one {NONE_OF_THESE} {NOT_UNDERSTOOD}").split())


def leaks(text: str, questions: Sequence[str], task: Task, episode: Episode, intent: int) -> bool:
    """Whether a user's reply tells more of its meaning than the questions asked; see `disclosed`."""
    return bool(disclosed(text, questions, task, episode, intent))


def disclosed(text: str, questions: Sequence[str], task: Task, episode: Episode, intent: int) -> tuple[str, ...]:
    """Returns what a user's reply tells of its meaning unasked, as normalised word sequences.

    That is an answer, an alias or the text of the intended reading, unless query or questions contain it; and each
    word of its attributes or label that tells it from other readings, unless query or questions contain it, a question
    names its attribute, or the scripted user would have said it. So the scripted user discloses nothing.

    Texts are compared as normalised word sequences: "Brandts" does not disclose "Brandt".

    Args:
        text: The reply.
        questions: The questions so far, oldest first; the last one is replied to.
        task: The task.
        episode: The episode.
        intent: Index of the intended reading.
    """
    reading, reply = episode.interpretations[intent], f" {normalize(text)} "
    sequences = [words for words in _sequences(tuple(reading.answers), reading.text) if f" {words} " in reply]
    telling = telling_words(tuple(map(description, episode.interpretations)), episode.query)[intent]
    unasked = telling.intersection(reply.split())
    if not sequences and not unasked:
        return ()
    asked = f" {normalize(' '.join([episode.query, *questions]))} "
    secrets = [words for words in sequences if f" {words} " not in asked]
    # What was asked is looked for where it is found fastest first: every reply of a game passes here.
    unasked -= set(asked.split())
    if unasked:
        own, inner = task.own(episode)
        values = dict(reading.attributes)
        named = [values.get(name, "") for question in questions for name in own.attributes_named(question)]
        unasked -= set(normalize(" ".join(named)).split())
        if unasked:
            replies = [own.reply(question, intent, inner) for question in questions]
            unasked -= set(normalize(" ".join(replies)).split())
    return (*secrets, *sorted(unasked))


@lru_cache(maxsize=16384)
def _sequences(answers: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The word sequences that give a reading away, normalised."""
    return tuple(filter(None, map(normalize, (*answers, text))))


@lru_cache(maxsize=4096)
def telling_words(readings: tuple[str, ...], query: str) -> tuple[frozenset[str], ...]:
    """Words, normalised, that tell each reading from others: of its attributes or label, not of all, nor of the query.

    Args:
        readings: Description of each reading of an episode.
        query: Its query.
    """
    words = [frozenset(normalize(reading).split()) for reading in readings]
    common = frozenset.intersection(*words) | FRAME | frozenset(normalize(query).split())
    return tuple(of_reading - common for of_reading in words)


def redact(text: str, questions: Sequence[str], task: Task, episode: Episode, intent: int) -> str:
    """Replaces what a user's reply discloses by ``[redacted]``; the whole reply if it cannot be located."""
    secrets = set(disclosed(text, questions, task, episode, intent))
    if not secrets:
        return text
    reading, redacted = episode.interpretations[intent], text
    spellings = {*reading.answers, reading.text, *re.findall(r"\w+", description(reading))}
    for spelling in sorted(spellings, key=lambda spelling: (-len(spelling), spelling)):
        if normalize(spelling) in secrets:
            pattern = r"\s+".join(map(re.escape, spelling.split()))
            redacted = re.sub(rf"(?<!\w){pattern}(?!\w)", REDACTED, redacted, flags=re.IGNORECASE)
    return REDACTED if leaks(redacted, questions, task, episode, intent) else redacted
