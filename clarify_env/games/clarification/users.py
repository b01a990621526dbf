"""The scripted user."""

import numpy as np

from clarify_env.games.base import Reply, View
from clarify_env.games.clarification.actions import Answer, Clarify, MultiAnswer, parse
from clarify_env.games.clarification.facts import UserFacts
from clarify_env.tasks.base import NONE_OF_THESE, Task


class ScriptedUser:
    """Replies to questions, and repeats the answer or the item that fits its intent. Deterministic given the seed.

    Args:
        task: The task; it replies to questions (`Task.reply`) and picks items (`Task.pick`).
    """

    name = "scripted"

    def __init__(self, task: Task):
        self.task = task

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
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
