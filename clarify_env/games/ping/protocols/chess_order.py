"""Chess order: players compare what moves change for good, one thing after another, until a difference decides.

The number of pieces falls; as long as it is the same, pawns stay in their files and only go forward. Nothing else of a
position says which came first. (Two numbers, the pieces and the steps of all pawns, would say as much at once: unlike
in the other tasks, rounds are no need here, but serve players who look at one file after another.)
"""

import re

from clarify_env.games.base import View
from clarify_env.games.ping.facts import END, facts_of, talking
from clarify_env.tasks.private import ALICE, BOB

_FILES = "abcdefgh"
_FEATURE = re.compile(r"([a-z])([0-9]{1,4})")


def features(board: str) -> list[str]:
    """Describes a position by words: ``n30`` (30 pieces), then for each file the steps of its pawns, as ``e3``."""
    lines = board.splitlines()
    words = [f"n{sum(letter != '.' for line in lines for letter in line)}"]
    for column, name in enumerate(_FILES):
        steps = 0
        for row, line in enumerate(lines):  # rank 8 first
            steps += (6 - row) * (line[column] == "P") + (row - 1) * (line[column] == "p")
        words.append(f"{name}{steps}")
    return words


class Comparing:
    """Plays chess order: sends the features that were not compared yet, as many as a message holds.

    Args:
        total: Whether the steps of all pawns are compared at once, as ``p20``, instead of file by file.
    """

    def __init__(self, total: bool):
        self.total = total

    def say(self, view: View) -> str:
        """Returns the player's message, or its answer."""
        facts, partner = facts_of(view), BOB if view.role == ALICE else ALICE
        own = features(facts.private)
        if self.total:
            own = [own[0], f"p{sum(int(word[1:]) for word in own[1:])}"]
        values = {word[0]: int(word[1:]) for word in own}
        first, told, compared = "", False, 0
        for sender, text, _ in view.heard:
            for word in text.split() if text != END else ():
                if word in (ALICE, BOB):
                    first, told = first or word, True
                    continue
                feature = _FEATURE.fullmatch(word)
                if feature is None or feature[1] not in values:
                    continue  # a partner may say anything
                compared += 1
                other, mine = int(feature[2]), values[feature[1]]
                if sender != view.role and not first and other != mine:
                    # Fewer pieces, or more steps, are later.
                    earlier = mine > other if word[0] == "n" else mine < other
                    first = view.role if earlier else partner
        if not talking(view):
            return first or ALICE
        if told or (not first and compared >= len(own)):
            return END
        return first or " ".join(own[compared:][: facts.limit])


def seen(view: View) -> str:
    """Returns the answer of a player who sees both positions; without a difference that decides, it is a guess."""
    facts, partner = facts_of(view), BOB if view.role == ALICE else ALICE
    (pieces, steps), (other_pieces, other_steps) = map(_totals, (facts.private, facts.other))
    if (pieces, steps) == (other_pieces, other_steps):
        return ALICE
    return view.role if (-pieces, steps) < (-other_pieces, other_steps) else partner


def silent(view: View) -> str:
    """Returns a name, as good a guess as the other."""
    return ALICE


def _totals(board: str) -> tuple[int, int]:
    pieces, *steps = (int(word[1:]) for word in features(board))
    return pieces, sum(steps)
