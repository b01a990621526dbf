"""The scripted user, and the detector of users who give the game away."""

import re

import numpy as np

from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import Answer, Clarify, MultiAnswer, parse
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import NONE_OF_THESE, Episode, Task


class ScriptedUser:
    """Answers what was asked, takes the item that fits, and makes nothing up. Deterministic given the seed.

    Args:
        task: Understands questions (`Task.reply`) and labels (`Task.pick`).
    """

    name = "scripted"

    def __init__(self, task: Task):
        self.task = task

    def act(self, views: list[View], seeds: list[int], prefixes: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.base.Agent`."""
        return [Reply(self.say(view, seed)) for view, seed in zip(views, seeds, strict=True)]

    def say(self, view: View, seed: int) -> str:
        """The user's message at ``view``."""
        action = parse(view.history[-1][1])
        if isinstance(action, Answer):
            return action.text
        episode, intent = self.task.lookup(view.episode_id), view.secret.intent
        if isinstance(action, Clarify):
            return self.task.reply(action.question, intent, episode)
        assert isinstance(action, MultiAnswer), "an invalid message ends the game before the user moves"
        fits = self.task.pick(action.items, intent, episode)
        if not fits:
            return NONE_OF_THESE
        return action.items[fits[0] if len(fits) == 1 else fits[_draw(seed, len(fits))]].answer


def _draw(seed: int, n: int) -> int:
    return int(np.random.default_rng(seed).integers(n))


def leaks(text: str, question: str, episode: Episode, intent: int) -> bool:
    """Whether a user's reply to ``question`` surfaces an answer or the text of its reading that the question did not.

    Compared as normalised word sequences, so that "Brandts" does not leak "Brandt".
    """
    reading, said = episode.interpretations[intent], f" {normalize(text)} "
    told = [words for words in map(normalize, (*reading.answers, reading.text)) if words and f" {words} " in said]
    if not told:
        return False
    asked = f" {normalize(question)} {normalize(episode.query)} "
    return any(f" {words} " not in asked for words in told)


def redact(text: str, episode: Episode, intent: int) -> str:
    """Replaces in a user's reply what `leaks` looks for by ``[redacted]``; all of it where spelling hides the place."""
    reading = episode.interpretations[intent]
    shown = text
    for secret in sorted((*reading.answers, reading.text), key=len, reverse=True):
        spelled = r"\s+".join(map(re.escape, secret.split()))
        shown = re.sub(rf"(?<!\w){spelled}(?!\w)", "[redacted]", shown, flags=re.IGNORECASE)
    return "[redacted]" if leaks(shown, "", episode, intent) else shown
