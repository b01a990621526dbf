"""The scripted user, and the detector of leaks in users' replies."""

import re
from functools import lru_cache

import numpy as np

from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import Answer, Clarify, MultiAnswer, parse
from clarify_env.games.clarification.facts import UserFacts
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NONE_OF_THESE, Episode, Task


class ScriptedUser:
    """Replies to questions, and repeats the answer or the item that fits its intent. Deterministic given the seed.

    Args:
        task: The task; it replies to questions (`Task.reply`) and picks items (`Task.pick`).
    """

    name = "scripted"

    def __init__(self, task: Task):
        self.task = task

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.base.Agent`."""
        return [Reply(self.say(view, seed)) for view, seed in zip(views, seeds, strict=True)]

    def say(self, view: View, seed: int) -> str:
        """Returns the user's message at ``view``."""
        action = parse(view.heard[-1].text)
        if isinstance(action, Answer):
            return action.text
        facts = view.facts
        assert isinstance(facts, UserFacts), "the user plays the user's role"
        episode, intent = self.task.lookup(facts.episode_id), facts.secret.intent
        if isinstance(action, Clarify):
            return self.task.reply(action.question, intent, episode)
        assert isinstance(action, MultiAnswer), "an invalid message ends the game before the user moves"
        indices = self.task.pick(action.items, intent, episode)
        if not indices:
            return NONE_OF_THESE
        return action.items[indices[0] if len(indices) == 1 else indices[_draw(seed, len(indices))]].answer


def _draw(seed: int, n: int) -> int:
    return int(np.random.default_rng(seed).integers(n))


def leaks(text: str, question: str, episode: Episode, intent: int) -> bool:
    """Whether a user's reply contains an answer or the text of its reading which question and query do not contain.

    Texts are compared as normalised word sequences, so "Brandts" does not leak "Brandt".
    """
    reading, reply = episode.interpretations[intent], f" {normalize(text)} "
    secrets = [words for words in _secrets(tuple(reading.answers), reading.text) if words in reply]
    if not secrets:
        return False
    allowed = f" {normalize(question)} {normalize(episode.query)} "
    return any(words not in allowed for words in secrets)


@lru_cache(maxsize=16384)
def _secrets(answers: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The word sequences that give a reading away, normalised, with a space at both ends."""
    return tuple(f" {words} " for words in map(normalize, (*answers, text)) if words)


def redact(text: str, episode: Episode, intent: int) -> str:
    """Replaces leaks in a user's reply by ``[redacted]``; the whole reply if a leak cannot be located in it."""
    reading = episode.interpretations[intent]
    redacted = text
    for secret in sorted((*reading.answers, reading.text), key=len, reverse=True):
        pattern = r"\s+".join(map(re.escape, secret.split()))
        redacted = re.sub(rf"(?<!\w){pattern}(?!\w)", "[redacted]", redacted, flags=re.IGNORECASE)
    return "[redacted]" if leaks(redacted, "", episode, intent) else redacted
