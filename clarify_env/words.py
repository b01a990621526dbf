"""The word count that all prices use, and the removal of invisible characters."""

import unicodedata

# Unicode's Default_Ignorable_Code_Points that are not of category Cf, and the blank braille pattern: they are drawn as
# nothing, but would join two words into one.
_INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def strip_invisible(text: str) -> str:
    """Removes format, control and other invisible characters, except white space."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        for c in text
        if c.isspace() or (c not in _INVISIBLE and unicodedata.category(c) not in ("Cf", "Cc", "Cn", "Co", "Cs"))
    )


def count_words(text: str) -> int:
    """Counts words: removes invisible characters, then splits at white space and ``_``."""
    return len(strip_invisible(text).replace("_", " ").split())
