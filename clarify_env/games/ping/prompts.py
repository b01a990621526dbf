"""Renders views of the game as chat messages: in words, or for the pocket model, with or without notes.

The pocket model of the name game is too small to compare records in the minutes that it is made in. So its style states
beside each message what follows from the player's own view by the rules of elimination (``notes``): the records that
are left, and whether the last message named one of them. When to talk, how much to say and when to stop is the model's.
"""

from clarify_env.costs import plain
from clarify_env.games.base import View
from clarify_env.games.description import Messages
from clarify_env.games.ping.facts import END, PlayerFacts, facts_of, talking
from clarify_env.games.ping.protocols.names import note

STYLES = ("plain", "pocket", "pocket_table")
# The task that has notes.
_NOTES = "ping_names"
# The prices of this many turns and words are stated, so that they are numbers of few digits.
TURNS, WORDS = 10, 100
BEGIN, ANSWER, NO_ANSWER = "Begin.", "Answer.", "Wait."

_PLAIN = """\
You are {role}. {rules}
You talk in turn with your partner: {turns} messages in all, yours and your partner's together, each of at most \
{limit} {unit}; a longer one does not arrive. Write {end} alone to end the talk; then, or after the last message, \
{answers}. A right end earns 1. Each message costs {turn}, each word {word}. Earn as much as you can.
{query}
{private}"""


def system(role: str, facts: PlayerFacts, style: str) -> str:
    """Returns the system message: rules, limits, prices and what the player is told in private."""
    turn, word = facts.prices
    private = facts.private if not facts.other else f"{facts.private}\n\nYour partner is told:\n{facts.other}"
    if style != "plain":
        costs = f"{plain(round(TURNS * turn, 9), 2)} {plain(round(WORDS * word, 9), 2)}"
        header = f"turns {facts.turns}, words {facts.limit}, costs {costs}"
        return header if style == "pocket" and facts.task == _NOTES else f"{header}\n{private}"
    answers = "you are asked for the answer" if facts.answers else "your partner is asked for the answer"
    return _PLAIN.format(
        role=role.capitalize(),
        rules=facts.rules,
        turns=facts.turns,
        limit=facts.limit,
        unit=facts.unit,
        end=END,
        answers=f"{answers} (such as: {facts.example})",
        turn=plain(turn, 3),
        word=plain(word, 4),
        query=facts.query,
        private=private,
    )


def messages(view: View, style: str = "plain") -> Messages:
    """Renders a view as chat messages; consecutive ones of the partner and the game are joined.

    Args:
        view: What the player sees.
        style: ``"plain"`` (the rules in words), ``"pocket"`` (limits and prices, and notes in place of the table in the
            name game) or ``"pocket_table"`` (limits, prices and private facts alone).

    Raises:
        ValueError: There is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    facts = facts_of(view)
    chat = [{"role": "system", "content": system(view.role, facts, style)}]
    if not view.heard or view.heard[0].sender == view.role:
        chat.append({"role": "user", "content": BEGIN})
    notes = style == "pocket" and facts.task == _NOTES
    for number, message in enumerate(view.heard):
        own = message.sender == view.role
        if own and notes:
            _add(chat, "user", note(View(view.role, view.heard[:number], facts, number)))
        _add(chat, "assistant" if own else "user", message.text)
    if not talking(view):
        _add(chat, "user", ANSWER)
    elif chat[-1]["role"] == "assistant":
        _add(chat, "user", NO_ANSWER)  # the partner's message did not arrive
    if notes:
        _add(chat, "user", note(view))
    return chat


def _add(chat: Messages, role: str, text: str) -> None:
    """Adds a message, joined to the one before if that is of the same role."""
    if chat[-1]["role"] == role:
        chat[-1]["content"] += f"\n{text}"
    else:
        chat.append({"role": role, "content": text})
