"""Renders views of the game as chat messages, in words (``plain``) or for the pocket model (``pocket``)."""

from clarify_env.costs import plain
from clarify_env.games.base import View
from clarify_env.games.description import Messages
from clarify_env.games.ping.facts import END, PlayerFacts, facts_of, talking

STYLES = ("plain", "pocket")
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
    if style == "pocket":
        costs = f"{plain(round(TURNS * turn, 9), 2)} {plain(round(WORDS * word, 9), 2)}"
        return f"turns {facts.turns}, words {facts.limit}, costs {costs}\n{private}"
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
        style: ``"plain"`` (the rules in words) or ``"pocket"`` (limits, prices and private facts alone).

    Raises:
        ValueError: There is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    facts = facts_of(view)
    chat = [{"role": "system", "content": system(view.role, facts, style)}]
    if not view.heard or view.heard[0].sender == view.role:
        chat.append({"role": "user", "content": BEGIN})
    for message in view.heard:
        own = message.sender == view.role
        _add(chat, "assistant" if own else "user", message.text)
    if not talking(view):
        _add(chat, "user", ANSWER)
    elif chat[-1]["role"] == "assistant":
        _add(chat, "user", NO_ANSWER)  # the partner's message did not arrive
    return chat


def _add(chat: Messages, role: str, text: str) -> None:
    """Adds a message, joined to the one before if that is of the same role."""
    if chat[-1]["role"] == role:
        chat[-1]["content"] += f"\n{text}"
    else:
        chat.append({"role": role, "content": text})
