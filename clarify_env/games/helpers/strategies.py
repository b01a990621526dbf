"""Scripted players: helpers that search always, never, where unsure, or by the best joint plan; and an asker.

They hold the task and look up the episode by its id; they read passages perfectly (`PassageTask.read`), and remember
what the task says that memory holds. A message that holds no answer is taken for one that does not help.
"""

from collections import defaultdict

from clarify_env.games.base import Reply, View
from clarify_env.games.helpers.actions import KNOW, SEARCH, THINK, Assert, Hedge, answer_of, parse
from clarify_env.games.helpers.facts import ARCHIVES, HELPERS, AskerFacts, HelperFacts
from clarify_env.games.helpers.plans import solve
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import Episode
from clarify_env.tasks.passages import PassageTask

# What a helper says that remembers nothing.
UNKNOWN = "unknown"
# The default first. Every role has those of the helpers, so that one name is a policy in all three.
HELPER_STRATEGIES = ("careful", "oracle", "memory", "search", "assert", "hedge")
ASKER_STRATEGIES = ("trusting", *HELPER_STRATEGIES)


class ScriptedHelper:
    """A helper.

    Args:
        task: The task whose episodes it plays.
        name: ``"careful"`` (searches where memory is not sure), ``"oracle"`` (the best joint plan), ``"memory"``
            (never searches), ``"search"`` (always does); these assert what they are sure of or have read, and hedge
            the rest. ``"assert"`` and ``"hedge"`` never search, and always do one of the two.
    """

    def __init__(self, task: PassageTask, name: str):
        if name not in HELPER_STRATEGIES:
            raise ValueError(f"a helper's strategy must be one of {', '.join(HELPER_STRATEGIES)}, not {name!r}")
        self.task, self.name = task, name

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """Returns the helper's message at ``view``."""
        facts = view.facts
        assert isinstance(facts, HelperFacts), f"{view.role} has no facts of a helper"
        episode = self.task.lookup(facts.episode_id)
        memory, sure = self.task.memory(episode) or (UNKNOWN, False)
        passages = [message.text for message in view.heard if message.sender in ARCHIVES]
        if not passages and self._searches(view, facts, episode, sure):
            request = facts.query or view.heard[-1].text
            return f"{SEARCH} {request.strip() or episode.query}"
        read = self.task.read(episode, passages[-1]) if passages else None
        if read is not None:
            return f"{KNOW} {read}"
        sure = {"assert": True, "hedge": False}.get(self.name, sure)
        return f"{KNOW if sure else THINK} {memory}"

    def _searches(self, view: View, facts: HelperFacts, episode: Episode, sure: bool) -> bool:
        if self.name == "oracle":
            alone = view.role if facts.query else "none"
            solved = solve(self.task, [episode], facts.calls, facts.results, alone)
            return solved is not None and solved[0].best(facts.prices[0])[0] == f"call_{HELPERS.index(view.role)}"
        return facts.calls > 0 and (self.name == "search" or (self.name == "careful" and not sure))


class ScriptedAsker:
    """An asker, which writes the question to the helpers.

    Args:
        task: The task whose episodes it plays.
        name: ``"memory"`` answers from memory, and ``"oracle"`` where memory is sure. All others take the answer that
            most helpers assert, else the one that most only think; of equal ones the first it heard.
    """

    def __init__(self, task: PassageTask, name: str):
        if name not in ASKER_STRATEGIES:
            raise ValueError(f"the asker's strategy must be one of {', '.join(ASKER_STRATEGIES)}, not {name!r}")
        self.task, self.name = task, name

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        return [Reply(self.say(view)) for view in views]

    def say(self, view: View) -> str:
        """Returns the asker's message at ``view``."""
        facts = view.facts
        assert isinstance(facts, AskerFacts), f"{view.role} has no facts of the asker"
        if not view.heard and not facts.alone:
            return facts.query
        memory, sure = self.task.memory(self.task.lookup(facts.episode_id)) or (UNKNOWN, False)
        if facts.alone or self.name == "memory" or (self.name == "oracle" and sure):
            return memory
        return weighed([message.text for message in view.heard if message.sender != view.role]) or memory


def weighed(replies: list[str]) -> str:
    """Returns the answer with most assertions, then most hedges, of those of the replies; empty if they hold none."""
    votes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    texts: dict[str, str] = {}
    for action in (parse(text, "free") for text in replies):
        if answer := answer_of(action):
            key = normalize(answer)
            texts.setdefault(key, answer)
            votes[key][0] += isinstance(action, Assert)
            votes[key][1] += isinstance(action, Hedge)
    return texts[max(votes, key=lambda key: votes[key])] if votes else ""
