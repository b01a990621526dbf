"""The budget of a player, divided evenly over its turns, and the count of what a message uses of it."""

import re

from clarify_env.words import count_words, strip_invisible

UNITS = ("words", "tokens")
# A word of more characters counts as several.
LONGEST = 16
_PARTS = re.compile(r"[^\W_]+")


def message_limit(budget: int, turns: int) -> int:
    """Returns the most words, or tokens, of one message: the player's budget over its turns, rounded down.

    Alice and Bob take turns, so of an even number of turns each has half.
    """
    return budget // (turns // 2)


def words_of(text: str) -> int:
    """Counts the words of a message, by the one word count and by its runs of letters and digits, whichever is more.

    So joining words by commas or hyphens saves none, and a run of more than `LONGEST` characters counts as several.
    """
    parts = _PARTS.findall(strip_invisible(text))
    return max(count_words(text), sum(-(-len(part) // LONGEST) for part in parts))
