"""Renders views of the interview as chat messages and as transcripts.

The costs stand last, after the question, so that all before them is one prefix at every cost, in play and in learning.
"""

from functools import lru_cache
from typing import Any

from clarify_env.costs import Costs, plain
from clarify_env.games.base import View
from clarify_env.games.description import Messages, indented
from clarify_env.tasks.base import NOT_UNDERSTOOD

# Recorded with every result. Rises when the wording of the user's prompts changes.
USER_VERSION = 1
STYLES = ("pocket", "natural", "brief")

RULES = {
    "pocket": "",
    "natural": """\
You find out what is behind a case. The user knows facts about it, and tells a fact only if you ask for it, one fact a \
question. Begin every message with one of two tags:
#ASK and one question about the case;
#ANSWER and the answer alone, in as few words as possible; this ends the game.
A right answer earns 1. Every question costs something, and so does every word that you write after a tag. Ask as long \
as it pays, then answer.""",
    "brief": """\
Begin with #ASK (ask the user for one fact of its case) or #ANSWER (give the answer and end the game). A right answer \
earns 1; questions and words are charged.""",
}
COSTS = {
    "pocket": "Question {alpha}, word {beta}.",
    "natural": "Each question costs {alpha}, each word {beta}.",
    "brief": "Cost of a question: {alpha}. Cost of a word: {beta}.",
}
USER_RULES = {
    "pocket": "You know: {facts}.",
    "natural": f"""\
You play the user of an assistant, who is to find out what is behind your case, and asks you questions that begin with \
#ASK. Tell the one fact that a question asks for, in one short sentence, and nothing else: no other fact, no guess at \
the answer, no advice. If you know no fact that it asks for, say: {NOT_UNDERSTOOD}
What the assistant knows: {{query}}
Facts of your case, and all that you know:
{{facts}}""",
    "brief": f"""\
You play the user. To #ASK, tell the one fact that is asked for and nothing more, or say: {NOT_UNDERSTOOD}
The assistant knows: {{query}}
Your facts: {{facts}}""",
}
_CACHE = 4096


def messages(view: View, style: str = "natural") -> Messages:
    """Renders a view as chat messages.

    Args:
        view: What the role sees.
        style: ``"pocket"`` (context, question and costs alone, for models that learned the rules in training),
            ``"natural"`` (with the rules written out) or ``"brief"`` (the same in fewer words).

    Raises:
        ValueError: There is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    role, facts = view.role, view.facts
    begin = _beginning if role == "assistant" else _user_beginning
    chat = [dict(message) for message in begin(facts, style)]
    for sender, text, _ in view.heard:
        chat.append({"role": "assistant" if sender == role else "user", "content": text})
    return chat


# Cached: constant during a game and used at each turn.
@lru_cache(maxsize=_CACHE)
def _beginning(facts: Any, style: str) -> tuple[dict[str, str], ...]:
    query, context, costs = facts[:3]
    system = "\n".join(filter(None, (RULES[style], context)))
    opening = {"role": "user", "content": f"{query}\n{costs_line(costs, style)}"}
    return ({"role": "system", "content": system}, opening) if system else (opening,)


def costs_line(costs: Costs, style: str) -> str:
    """The costs, as a prompt states them."""
    return COSTS[style].format(alpha=plain(costs.alpha, 2), beta=plain(costs.beta, 3))


@lru_cache(maxsize=_CACHE)
def _user_beginning(facts: Any, style: str) -> tuple[dict[str, str], ...]:
    listed = [f"{name}: {value}" if name else value for name, value in facts.known]
    joined = "\n".join(f"- {fact}" for fact in listed) if style == "natural" else "; ".join(listed)
    return ({"role": "system", "content": USER_RULES[style].format(query=facts.query, facts=joined)},)


def transcript(view: View) -> str:
    """Renders the view as plain text, one message per line, oldest first; later lines of a message are indented."""
    facts: Any = view.facts
    if view.role == "user":
        known = "; ".join(f"{name}: {value}" if name else value for name, value in facts.known)
        lines = [f"system: you know: {indented(known)}"]
    else:
        header = "\n".join(filter(None, (str(facts.costs), facts.context)))
        lines = [f"system: {indented(header)}"]
    lines.append(f"user: {indented(facts.query)}")
    return "\n".join([*lines, *(f"{message.sender}: {indented(message.text)}" for message in view.heard)])
