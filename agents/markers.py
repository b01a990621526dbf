"""What marks messages in a chat template: control tokens, words in brackets, lines, and texts that it looks for."""

import ast
import re
from collections.abc import Iterator

# A word in brackets, such as [INST], <<SYS>> or <|im_start|>.
BRACKETED = re.compile(r"[<◁\[{]+[^\s<>◁▷\[\]{}]*[^\W\d_][^\s<>◁▷\[\]{}]*[>▷\]}]+")
# Added tokens in brackets that are ordinary text.
_HTML = re.compile(
    "</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|code|pre|sub|sup|p|ul|ol|li)>"
)
# Texts that a template looks for inside messages, to leave part of one out or to switch something on.
_LOOKED_FOR = re.compile(
    r"""(?:\.(?:r?split|r?partition|replace|startswith|endswith|find)\(\s*(?P<a>"[^"]+"|'[^']+')"""
    r"""|(?P<b>"[^"]+"|'[^']+')\s+(?:not\s+)?in\b)"""
)
# Last characters of lines that are prose, not markers.
_PROSE = ".,;!?'\")"


def is_control(token: str) -> bool:
    """Returns whether an added token has the form of a control token: ``<|fim_prefix|>`` has, ``<td>`` has not."""
    return BRACKETED.fullmatch(token) is not None and _HTML.fullmatch(token) is None


def looked_for(source: str) -> Iterator[str]:
    """Yields the markers that a template looks for inside messages, such as ``</think>`` or ``/no_think``."""
    for match in _LOOKED_FOR.finditer(source):
        try:
            text = ast.literal_eval(match["a"] or match["b"]).strip()
        except (SyntaxError, ValueError):  # no literal of Python
            continue
        if text[:1] in {*"<[{/|◁"} and any(map(str.isalpha, text)):
            yield text


def is_marker(text: str) -> bool:
    """Returns whether a line of a template marks a message: ``### Instruction:`` does, ``user`` does not."""
    return any(map(str.isalpha, text)) and not text[-1].isalnum() and text[-1] not in _PROSE
