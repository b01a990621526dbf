"""Makes the standard streams of a command print any text, whatever their encoding, and texts that files can hold."""

import codecs
import re
import sys
import unicodedata

# Name of the error handler, for `codecs` and for ``errors=`` of files.
FALLBACK = "clarify_env.fallback"
# ASCII forms of characters that tables and messages of this project use.
_ASCII = {
    "−": "-",
    "–": "-",
    "—": "-",
    "±": "+-",
    "…": "...",
    "×": "x",
    "→": "->",
    "’": "'",
    "“": '"',
    "”": '"',
}


_SURROGATE = re.compile("[\ud800-\udfff]")


def whole_characters(text: str) -> str:
    """Replaces halves of surrogate pairs, which UTF-8 cannot hold, by U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def fallback(error: UnicodeError) -> tuple[str, int]:
    """Replaces characters that a stream cannot encode: by an ASCII form if there is one, else by a backslash escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ascii(character) for character in text), error.end


def _ascii(character: str) -> str:
    if character in _ASCII:
        return _ASCII[character]
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("ascii", "backslashreplace").decode()


def print_anything() -> None:
    """Sets the error handler of stdout and stderr to `fallback`; commands call it first.

    Without it a character outside the encoding of a terminal or pipe, as "−" in cp1252, raises UnicodeEncodeError.
    """
    codecs.register_error(FALLBACK, fallback)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream that a caller has replaced may have no encoding
            stream.reconfigure(errors=FALLBACK)
