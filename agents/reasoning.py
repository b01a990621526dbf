"""Closes the reasoning that a chat template's prompts open, for replies that hold none."""

import re
from collections.abc import Collection

# A tag in brackets, with the white space after it, at the end of a prompt: <think>, [THINK], ◁think▷.
_LAST_TAG = re.compile(r"(?P<tag>[<\[◁][^\s/<>\[\]◁▷][^\s<>\[\]◁▷]*[>\]▷])(?P<space>\s*)\Z")
_REASONING = re.compile("think|thought|reason", re.IGNORECASE)


def reply_opening(opened: str, header: str, source: str, tokens: Collection[str], section: str) -> str:
    """Returns what a prompt lacks so that the text of a reply comes next; empty: nothing.

    Args:
        opened: What the template writes after a user's message to ask for a reply.
        header: What it writes between a user's message and an assistant's text.
        source: The template's source, where the tag that closes reasoning is looked up.
        tokens: The model's added tokens, likewise.
        section: Config section of the role's options, for errors.

    Raises:
        ValueError: The prompt opens reasoning, and no tag that closes it is known.
    """
    if header.startswith(opened):  # such as an empty block of reasoning, a channel, or all of the header
        rest = header[len(opened) :]
        return rest.rstrip(" ") if rest.strip() else ""
    match = _LAST_TAG.search(opened)
    if match is None or match["tag"] in header:
        return ""
    tag, space = match["tag"], match["space"]
    closing = next((text for text in _closing(tag) if text in source or text in tokens), None)
    if closing is not None:
        return f"{space}{closing}{space * 2}"
    if not _REASONING.search(tag):
        return ""
    raise ValueError(
        f"{section}.model: its chat template opens reasoning ({tag}) that no known tag closes, and replies here hold "
        f"none; turn it off by an option of the template, such as {section}.template.enable_thinking=false, or measure "
        "with game.reasoning=free"
    )


def _closing(tag: str) -> list[str]:
    """Returns the tags that may close a tag."""
    named = [(begin, end) for begin, end in (("start", "end"), ("begin", "end"), ("START", "END"), ("BEGIN", "END"))]
    other = [tag.replace(begin, end) for begin, end in named if begin in tag]
    return [*other, f"{tag[0]}/{tag[1:]}", re.sub(r"^(\W+)", r"\1/", tag)]
