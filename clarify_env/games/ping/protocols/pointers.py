"""Pointer chasing: a player says the next places of the path, and uses words that are left to tell its map."""

import re

from clarify_env.games.base import View
from clarify_env.games.ping.facts import END, facts_of, talking
from clarify_env.tasks.private import ALICE

_QUERY = re.compile(r"Start at (\w+)\. Where are you after (\d+) steps\?")


class Chasing:
    """Plays pointer chasing. The first line of a message continues the path, the second one the sender's map.

    Args:
        fill: Whether words that are left tell where the places of the own map lead, in their order.
    """

    def __init__(self, fill: bool):
        self.fill = fill

    def say(self, view: View) -> str:
        """Returns the player's message, or its answer."""
        facts = facts_of(view)
        start, steps = asked(facts.query)
        lead = leads(facts.private)
        places, path, shown = list(lead), [start], {True: 0, False: 0}
        partner: dict[str, str] = {}
        for sender, text, _ in view.heard:
            if text == END:
                break
            first, _, rest = text.partition("\n")
            path += first.split()
            told, own = rest.split(), sender == view.role
            if not own:
                partner |= dict(zip(places[shown[False] :], told, strict=False))
            shown[own] += len(told)
        known = len(path)
        while len(path) <= steps:
            odd = len(path) % 2 == 1  # Alice's steps
            following = (lead if odd == (view.role == ALICE) else partner).get(path[-1])
            if following is None:
                break
            path.append(following)
        if not talking(view):
            return path[-1]
        if known > steps:
            return END
        new = path[known:][: facts.limit]
        if not new:
            return ""  # the last message ended in the middle of the partner's places
        left = facts.limit - len(new) if self.fill else 0
        told = [lead[place] for place in places[shown[True] :][:left]]
        return "\n".join([" ".join(new), " ".join(told)]).rstrip("\n")


def asked(query: str) -> tuple[str, int]:
    """Returns the start and the number of steps that a query names."""
    found = _QUERY.search(query)
    assert found is not None, "the query of pointer chasing names start and steps"
    return found[1], int(found[2])


def leads(text: str) -> dict[str, str]:
    """Reads a map."""
    return dict(re.findall(r"(\w+) leads to (\w+)", text))


def seen(view: View) -> str:
    """Returns the answer of a player who sees both maps."""
    facts = facts_of(view)
    at, steps = asked(facts.query)
    maps = [leads(facts.private), leads(facts.other)]
    for step in range(steps):
        at = maps[(step + (view.role != ALICE)) % 2][at]
    return at


def silent(view: View) -> str:
    """Returns the start, as good a guess as any."""
    return asked(facts_of(view).query)[0]
