"""The scripted user of the interview: tells the fact that a question asks for, and nothing else."""

from clarify_env.games.base import Reply, View
from clarify_env.games.interview.actions import Ask, parse
from clarify_env.games.interview.facts import UserFacts
from clarify_env.tasks.base import Task


class ScriptedUser:
    """Replies to questions by `Task.reply`. Deterministic.

    Args:
        task: The task.
    """

    name = "scripted"

    def __init__(self, task: Task):
        self.task = task

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """Returns the user's message at ``view``."""
        action, facts = parse(view.heard[-1].text), view.facts
        assert isinstance(action, Ask) and isinstance(facts, UserFacts), "the user replies to questions"
        return self.task.reply(action.question, facts.case, self.task.lookup(facts.episode_id))
