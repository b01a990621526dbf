"""Renders views of the game as chat messages: in words, or for the pocket model."""

from clarify_env.costs import plain
from clarify_env.games.base import View
from clarify_env.games.description import Messages
from clarify_env.games.helpers.actions import KNOW, SEARCH, THINK
from clarify_env.games.helpers.facts import ASKER, AskerFacts, HelperFacts, ToolFacts

STYLES = ("plain", "pocket")

# Ours: the text of the paper's prompts is not public.
_ASKER = """\
You have a question, and two helpers who read what you write but do not see the question. Each may remember the \
answer, or search an archive of its own; a search costs all of you. First write to your helpers. They reply, and you \
then give the final answer: the answer alone, in as few words as possible. All of you earn by how well it \
matches.{archives}
Question: {query}"""
_ALONE = """\
Answer the question from memory: the answer alone, in as few words as possible.
Question: {query}"""
_HELPER = """\
You help somebody to answer a question. Answer from memory; or first search an archive about {archive}, once, which \
costs {price}: write {search} and the words to search for, and you are shown what it finds. All of you earn by how \
well the final answer matches, less the cost of all searches.
{form}"""
_FORMS = {
    "closed": f'To answer, write "{KNOW}" and the answer in as few words as possible if you are sure of it, '
    f'"{THINK}" and the answer if you are not.',
    "free": "To answer, write one short sentence with the answer, and say how sure of it you are.",
}


def system(facts: AskerFacts | HelperFacts, style: str) -> str:
    """Returns the system message."""
    if isinstance(facts, HelperFacts):
        price = plain(facts.prices[0], 2)
        if style == "pocket":
            own_words = ", own words" if facts.wording == "free" else ""
            return f"helper{own_words}, {facts.archive}, search {price}"
        return _HELPER.format(archive=facts.archive, price=price, search=SEARCH, form=_FORMS[facts.wording])
    known = "; ".join(f"helper_{i} has an archive about {about}" for i, about in enumerate(facts.archives))
    if style == "pocket":
        return "alone" if facts.alone else f"asker, {known}" if known else "asker"
    if facts.alone:
        return _ALONE.format(query=facts.query)
    return _ASKER.format(archives=f" {known}." if known else "", query=facts.query)


def messages(view: View, style: str = "plain") -> Messages:
    """Renders a view as chat messages.

    Args:
        view: What the role sees.
        style: ``"plain"`` (the rules in words) or ``"pocket"`` (role, archive and price alone; what others write begins
            with a space, so that a word is the same token wherever it stands).

    Raises:
        ValueError: There is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    facts = view.facts
    if isinstance(facts, ToolFacts):
        raise ValueError(f"{view.role} is a tool, which has no prompt")
    assert isinstance(facts, AskerFacts | HelperFacts), f"{view.role} has no facts of this game"
    chat = [{"role": "system", "content": system(facts, style)}]
    space = " " if style == "pocket" else ""
    if facts.query and (style == "pocket" or isinstance(facts, HelperFacts)):
        _add(chat, "user", space + facts.query)
    elif isinstance(facts, AskerFacts):
        _add(chat, "user", "Your answer?" if facts.alone else "Write to your helpers.")
    for message in view.heard:
        if message.sender == view.role:
            _add(chat, "assistant", message.text)
        elif isinstance(facts, AskerFacts):
            _add(chat, "user", f"{message.sender}: {' '.join(message.text.split())}")
        else:
            _add(chat, "user", space + message.text.lstrip() if space else message.text)
    if view.role == ASKER and chat[-1]["role"] == "user" and view.heard and style == "plain":
        _add(chat, "user", "Your answer?")
    return chat


def _add(chat: Messages, role: str, text: str) -> None:
    """Adds a message, joined to the one before if that is of the same role."""
    if chat[-1]["role"] == role:
        chat[-1]["content"] += f"\n{text}"
    else:
        chat.append({"role": role, "content": text})
