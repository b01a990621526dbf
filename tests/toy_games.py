"""Games and trees on the toy task, in which the assistant plays by a table of replies."""

import itertools

from toys import ASHFORD, Toy

from agents.selfplay import Start, play
from clarify_env.costs import Costs
from clarify_env.games import find_game
from clarify_env.games.base import Reply
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.setup import Setup
from trainers.selection.tree import Tree

TASK, COSTS = Toy(), Costs(0.25, 0.03)
SETUP = Setup(find_game("clarification"), TASK)
TWO = "#MULTI_ANS film: Brandt; opera: Jon Vale"
LIST = "#MULTI_ANS film: Brandt; opera: Jon Vale; bridge: Bank of Lund"


class Says:
    """Plays one message first, then by what it hears."""

    name = "says"

    def __init__(self, first, then):
        self.first, self.then = first, then

    def act(self, views, seeds, openings=None):
        texts = [self.then.get(view.heard[-1].text, "#ANSWER") if view.heard else self.first for view in views]
        return [Reply(text, (1,), tuple(text.split())) for text in texts]


def games(first, then=None, costs=COSTS, intents=(0, 1, 2), user=None):
    starts = [Start(ASHFORD, intent, costs, 5) for intent in intents]
    agents = {"assistant": Says(first, then or {}), "user": user or ScriptedUser(TASK)}
    return list(play(starts, agents, task=TASK))


def tree(*played):
    grown = Tree(SETUP, ASHFORD, "assistant")
    for game in itertools.chain(*played):
        grown.add(game)
    return grown


GOOD = {
    "The film one.": "#ANSWER Brandt",
    "The opera one.": "#ANSWER Jon Vale",
    "The bridge one.": "#ANSWER Bank of Lund",
}
ERA = {"The modern one.": "#ANSWER Brandt", "The Tudor one.": "#ANSWER Bank of Lund"}
PLAYED = [
    ("#ANSWER Brandt", None),
    ("#ANSWER Jon Vale", None),
    (LIST, None),
    ("#CLARIFY Which kind?", GOOD),
    ("#CLARIFY Which era?", ERA),
    (TWO, None),
    ("no tag", None),
]


class Mumbler:
    """A user whose replies differ from game to game, and who may misspeak."""

    name = "mumbler"

    def __init__(self, lines):
        self.lines = lines

    def act(self, views, seeds, openings=None):
        return [Reply(self.lines(view), (7,), (8, 9), (0.0, 0.0)) for view in views]
