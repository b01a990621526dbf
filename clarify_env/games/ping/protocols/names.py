"""The name game by probing: a player says the first fields of a record; the partner extends them, or probes itself.

Alice probes her table from the top, Bob his, which is in the opposite order, so that they meet. A probe that the
partner does not extend has no match there. A record whose fields have all been said, and which the hearer holds, is the
one.
"""

from functools import lru_cache
from typing import NamedTuple

from clarify_env.games.base import View
from clarify_env.games.ping.facts import END, facts_of, talking
from clarify_env.tasks.ping_names import VALUES, Record, agreeing, rows

MOST_FIELDS = len(VALUES)
_FIELD = {value: field for field, values in enumerate(VALUES) for value in values}


class Talk(NamedTuple):
    """What a player can conclude from the talk so far.

    Attributes:
        left: Own records that may be the shared one, in the order of the table.
        found: The shared record, if it is known.
        sure: Whether the partner knows it too once the talk ends now.
        prefix: Fields that the partner's last message has said of one record.
        pending: Own records that the last own message said and the partner has not reacted to.
    """

    left: list[Record]
    found: Record | None
    sure: bool
    prefix: Record
    pending: list[Record]


def read_talk(view: View) -> Talk:
    """Reads a player's view of the name game."""
    own = rows(facts_of(view).private)
    left, found, sure = list(own), None, False
    prefix: Record = ()
    pending: list[Record] = []  # prefixes that the player has said last
    for sender, text, _ in view.heard:
        if text == END:
            complete = len(pending) == 1 and pending[0] in own
            if sender != view.role and complete and found is None:
                found, sure = pending[0], True
            break
        before, prefix, prefixes = prefix, (), _lines(text)
        if len(prefixes) == 1 and prefixes[0] and before and _FIELD.get(prefixes[0][0]) == len(before):
            prefixes = [(*before, *prefixes[0])]
        if len(prefixes) == 1:
            prefix = prefixes[0]
        if sender == view.role:
            pending = prefixes
            continue
        # The partner reacts: records of prefixes that it neither extends nor repeats are not shared.
        for start in pending:
            if not any(line[: len(start)] == start for line in prefixes):
                left = [record for record in left if record[: len(start)] != start]
        pending = []
        for line in prefixes:
            if line in own:
                found, sure = line, len(prefixes) == 1
            else:  # a record of the partner's alone: a near miss of it is not shared either
                left = [
                    record for record in left if len(line) < len(record) or agreeing(record, line) < len(record) - 1
                ]
    return Talk(left, found, sure, prefix, [record for record in own if record in pending])


def _lines(text: str) -> list[Record]:
    return [tuple(line.split()) for line in text.splitlines() if line.strip()]


class Probing:
    """Plays the name game by probing.

    Args:
        fields: Fields of a probe; fewer if a message has no room for them.
    """

    def __init__(self, fields: int):
        self.fields = fields

    def say(self, view: View) -> str:
        """Returns the player's message, or its answer."""
        talk = read_talk(view)
        if not talking(view):
            return " ".join(guess(view, talk))
        if talk.found is not None:
            return END if talk.sure else " ".join(talk.found)
        if not talk.left:
            return END
        limit, size = facts_of(view).limit, len(talk.left[0])
        prefix = talk.prefix if view.heard and view.heard[-1].sender != view.role else ()
        fitting = [record for record in talk.left if record[: len(prefix)] == prefix]
        if 0 < len(prefix) < size and fitting:
            return " ".join(fitting[0][len(prefix) :][:limit])
        fields = min(self.fields, limit, size)
        # Of several probes of some fields alone, the partner could not say which one it extends.
        several = fields == size or facts_of(view).turns == 2
        return "\n".join(" ".join(record[:fields]) for record in talk.left[: limit // fields if several else 1])


def note(view: View) -> str:
    """Returns what follows from a view of the name game, for a model that does not compare records itself.

    ``found`` says that the last message named a record of the player's, or that the partner ended the talk after the
    player named one; ``tell`` that the partner does not know it yet; ``next`` what can be said next, the records that
    are ruled out left aside; ``left`` the likeliest record once the talk is over.
    """
    return _note(view._replace(facts=facts_of(view)._replace(prices=())))


# Cached without the prices: a played game is shown at many.
@lru_cache(maxsize=100_000)
def _note(view: View) -> str:
    talk = read_talk(view)
    if not talking(view):
        return f"{'found' if talk.found else 'left'} {' '.join(guess(view, talk))}"
    if talk.found is not None:
        return "found" if talk.sure else f"tell {' '.join(talk.found)}"
    following = Probing(MOST_FIELDS).say(view)
    return "none" if following == END else f"next {following}"


def seen(view: View) -> str:
    """Returns the answer of a player who sees both tables."""
    facts = facts_of(view)
    return " ".join(next(record for record in rows(facts.private) if record in rows(facts.other)))


def middle(view: View) -> str:
    """Returns the record in the middle of a table, where two players who cannot talk meet most often."""
    own = rows(facts_of(view).private)
    return " ".join(own[len(own) // 2])


def guess(view: View, talk: Talk) -> Record:
    """Returns the record that is found, or else the likeliest one: one that was said and not rejected, if any."""
    if talk.found is not None:
        return talk.found
    own = rows(facts_of(view).private)
    fitting = [record for record in talk.left if talk.prefix and record[: len(talk.prefix)] == talk.prefix]
    return (talk.pending or fitting or talk.left or own)[0]
