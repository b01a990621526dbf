"""Describer and guesser: the guesser asks for the cells that tell most pictures apart; the describer reads them."""

from clarify_env.games.base import View
from clarify_env.games.ping.facts import END, facts_of, talking
from clarify_env.tasks.ping_pictures import cell_names
from clarify_env.tasks.private import ALICE


class Asking:
    """Plays describer and guesser.

    Args:
        cells: Most cells that a message asks for; fewer if a message has no room for them.
    """

    def __init__(self, cells: int):
        self.cells = cells

    def say(self, view: View) -> str:
        """Returns the player's message, or the guesser's answer."""
        facts = facts_of(view)
        if view.role != ALICE:
            letters = facts.private.replace("\n", "")
            names = cell_names(len(facts.private.splitlines()))
            requests = [message.text for message in view.heard if message.sender == ALICE]
            cells = requests[-1].split() if requests else []
            return " ".join(letters[names.index(name)] for name in cells if name in names)
        pictures = ["".join(block.splitlines()[1:]) for block in facts.private.split("\n\n")]
        names = cell_names(round(len(pictures[0]) ** 0.5))
        left, cells = list(range(len(pictures))), []
        for sender, text, _ in view.heard:
            if sender == ALICE:
                cells = [name for name in text.split() if name in names]
                continue
            for name, letter in zip(cells, text.split(), strict=False):
                left = [i for i in left if pictures[i][names.index(name)] == letter]
        if not talking(view):
            return str(left[0] + 1 if left else 1)
        if len(left) < 2:
            return END
        return " ".join(names[cell] for cell in _cells(pictures, left, min(facts.limit, self.cells)))


def _cells(pictures: list[str], left: list[int], most: int) -> list[int]:
    """Chooses cells, one after another, each the one after which most pictures can be told apart."""
    chosen: list[int] = []
    groups = [left]
    while len(chosen) < most and any(len(group) > 1 for group in groups):
        # The expected number of pictures that are left, times their number.
        costs = {
            cell: sum(len(part) ** 2 for group in groups for part in _parts(pictures, group, cell))
            for cell in range(len(pictures[0]))
            if cell not in chosen
        }
        best = min(costs, key=lambda cell: (costs[cell], cell))
        chosen.append(best)
        groups = [part for group in groups for part in _parts(pictures, group, best)]
    return chosen


def _parts(pictures: list[str], group: list[int], cell: int) -> list[list[int]]:
    parts: dict[str, list[int]] = {}
    for i in group:
        parts.setdefault(pictures[i][cell], []).append(i)
    return list(parts.values())


def seen(view: View) -> str:
    """Returns the answer of a guesser who sees the describer's picture."""
    facts = facts_of(view)
    blocks = [block.partition("\n")[2] for block in facts.private.split("\n\n")]
    return str(blocks.index(facts.other) + 1) if view.role == ALICE else ""


def silent(view: View) -> str:
    """Returns the first number, as good a guess as any."""
    return "1"
