"""How a view becomes chat: the only place where that happens."""

from functools import lru_cache

from clarify_env.costs import Costs, plain
from clarify_env.games.base import Secret, View
from clarify_env.games.clarification.worked_games import worked_games
from clarify_env.tasks.base import NONE_OF_THESE

Messages = list[dict[str, str]]

# Questions and words priced together in the style "pocket". A small model reads the first digit of a number well, the
# rest poorly, and makes nothing of a first digit it has not met. By two questions and 24 words the default costs of
# training are 0.32 to 1.24 and 0.528 to 1.248, and those 1.2 to 1.6 times the largest begin with the same digit 1, as
# do many trained values an axis. What follows was measured on version 2 of the almanac, with fewer values an axis.
# By 20 words only the three largest began so (1.00 to 1.04): beyond them the policy listed where the oracle asks, and
# earned 90 to 92 % of the oracle instead of 94 to 95.
# Written in thousandths, without the point (528 to 1248), the policy of a base built for that earned 95 and 97 % of the
# oracle between and 79 and 82 beyond both, instead of 98 and 85 (seeds 0 and 1), though no number beyond is longer than
# the longest trained.
# Written as what right answers pay for ("a right answer pays 1.61 questions, nine pay 173 words") the policy decided
# beyond both as at the dearest trained costs (validation, greedy: 90 % of the oracle instead of 88), but told words
# apart worse (range ratio 0.59) and earned 84 % on test questions; its base had a seventh less pretraining.
QUESTIONS, WORDS = 2, 24

_ASSISTANT_RULES = """\
You answer questions that may be ambiguous. {begin} with one of three tags:
#CLARIFY and one question, to ask the user which reading is meant;
#ANSWER and one short answer, to answer the likeliest reading;
#MULTI_ANS and one line a reading, "label: answer", to answer several readings.
Right answers earn 1. Your costs: {costs}. Words are those of your last message{reasoning}. Earn as much as you can."""

# How a message begins, and which words cost besides, by the game's rule on text before the tag.
_BEGIN = "You may reason first, unseen by the user; then begin your message, on a new line,"
_REASONING = {
    "none": ("Begin every message", ""),
    "free": (_BEGIN, "; reasoning is free"),
    "charged": (_BEGIN, ", and of all your reasoning"),
}

_THINK = " Before you choose, think step by step about how many readings there are and how likely each is."

_FEW_SHOT = """

Games that others played, at other costs:

{games}

Now it is your turn. Your costs: {costs}."""

_USER_RULES = """\
You are a user who asked: {query}
What you mean: {meant}
Reply to the assistant. To a question, answer just what was asked, in a few words, and reveal nothing else; if it is \
not clear what was asked, say that you do not understand. To an answer, or a list of answers, repeat the one answer \
that fits what you mean, and nothing else; if none fits, say "{none}"."""

# Texts kept: each game has other costs, and the default plane has 2,704 training cells.
_CELLS = 4096

STYLES = ("pocket", "zero_shot", "few_shot", "reasoning")


def messages(view: View, style: str = "zero_shot") -> Messages:
    """Renders a view as chat messages.

    Args:
        view: What the role sees.
        style: ``"pocket"`` (costs or intent alone, for models that learned the rules in training), ``"zero_shot"``
            (with the rules written out), ``"few_shot"`` (with worked games as well) or ``"reasoning"`` (asks to think
            before the tag, which the game must allow).

    Returns:
        Messages with roles ``system``, ``user`` and ``assistant``, the last being the side that ``view`` belongs to.

    Raises:
        ValueError: There is no such style, or the game does not allow what it asks for.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    own = view.role
    if own == "assistant":
        system = _assistant_system(view.costs, view.context, style, view.reasoning)
        chat = [{"role": "system", "content": system}, {"role": "user", "content": view.query}]
    else:
        chat = [{"role": "system", "content": _user_system(view.query, view.secret, style)}]
    for role, text in view.history:
        chat.append({"role": "assistant" if role == own else "user", "content": text})
    return chat


# The same all through a game, and asked for at each of its turns.
@lru_cache(maxsize=_CELLS)
def _assistant_system(costs: Costs, context: str, style: str, reasoning: str) -> str:
    context = f"\n{context}" if context else ""
    if style == "pocket":
        # Rounded: what floating point adds is no part of a price.
        questions, words = plain(round(QUESTIONS * costs.alpha, 12), 2), plain(round(WORDS * costs.beta, 12), 2)
        return f"{QUESTIONS} questions cost {questions}, {WORDS} words {words}.{context}"
    begin, price = _REASONING[reasoning]
    rules = _ASSISTANT_RULES.format(begin=begin, costs=costs, reasoning=price)
    if style == "few_shot":
        rules += _FEW_SHOT.format(games=worked_games(), costs=costs)
    elif style == "reasoning":
        if reasoning == "none":
            raise ValueError(
                "prompts.style=reasoning asks for text before the tag, which the game's option "
                "reasoning=none makes invalid; set selfplay.reasoning to free or charged"
            )
        rules += _THINK
    return rules + context


@lru_cache(maxsize=_CELLS)
def _user_system(query: str, secret: Secret, style: str) -> str:
    if secret.attributes:
        meant = ", ".join(f"{name} {value}" for name, value in secret.attributes)
    else:
        meant = f"{secret.label}: {secret.text}"
    if style == "pocket":
        return f"You mean: {meant}."
    return _USER_RULES.format(query=query, meant=meant, none=NONE_OF_THESE)


def transcript(view: View) -> str:
    """The view as plain text, a message a line, oldest first.

    Lines after the first of a message are indented, so that no message can pass itself off as another's.
    """
    shown = _before_query(view.costs, view.context, view.secret) + _indented(view.query)
    for role, text in view.history:
        shown = f"{shown}\n{role}: {text if text.isprintable() else _indented(text)}"
    return shown


@lru_cache(maxsize=_CELLS)
def _before_query(costs: Costs | None, context: str, secret: Secret | None) -> str:
    header = f"you mean: {secret.text}" if secret else "\n".join(str(part) for part in (costs, context) if part)
    return f"system: {_indented(header)}\nuser: " if header else "user: "


def _indented(text: str) -> str:
    return text if text.isprintable() else "\n  ".join(text.splitlines())
