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


def visible(text: str | None) -> str:
    """Returns what arrives of a message: no invisible characters, and no white space around it."""
    return strip_invisible(text).strip() if isinstance(text, str) else ""


def words_of(text: str) -> int:
    """Counts the words of a message: the largest of three counts, so that nothing is said for nothing.

    The counts are the one word count, the runs of letters and digits (of more than `LONGEST` characters: several), and
    the length of the message over that of the longest word and a space. So joining words by commas or hyphens saves
    none, and neither do signs, accents or white space without end.
    """
    shown = visible(text)
    runs = sum(-(-len(part) // LONGEST) for part in _PARTS.findall(shown))
    by_length = -(-(len(shown) + 1) // (LONGEST + 1)) if shown else 0
    return max(count_words(shown), runs, by_length)
