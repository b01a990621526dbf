"""Renders views of the clarification game as chat messages and as transcripts."""

from functools import lru_cache
from typing import Any, NamedTuple

from clarify_env.costs import Costs, plain
from clarify_env.games.base import View
from clarify_env.games.clarification.user_prompts import user_system
from clarify_env.games.clarification.worked_games import worked_games
from clarify_env.games.description import Messages, indented

# The style "pocket" states the price of this many questions and words, so that costs beyond the trained ones begin with
# a digit that occurs in training (docs/results.md, "Prices in the prompt of the pocket model").
QUESTIONS, WORDS = 2, 24

_ASSISTANT_RULES = """\
You answer questions that may be ambiguous. {begin} with one of three tags:
#CLARIFY and one question, to ask the user which reading is meant;
#ANSWER and one short answer, to answer the likeliest reading;
#MULTI_ANS and one line a reading, "label: answer", to answer several readings.
Right answers earn 1. Your costs: {costs}. Words are those of your last message{reasoning}. Earn as much as you can."""

# Beginning of a message, and words charged in addition, by the game's option `reasoning`.
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


class Phrasing(NamedTuple):
    """Wording of a prompt in natural language whose costs stand last.

    All that stands before the costs is the same at every cost, so that it is read once in play and in learning.

    Attributes:
        rules: System message, before the context; ``{begin}`` and ``{reasoning}`` follow from the game's option
            ``reasoning``.
        costs: Follows the query; ``{alpha}`` and ``{beta}`` are the costs, ``{question}`` and ``{answer}`` what a
            question and a right answer are worth in words.
    """

    rules: str
    costs: str


PHRASINGS = {
    "natural": Phrasing(
        """\
You answer questions that may be ambiguous. {begin} with one of three tags:
#CLARIFY and one question, to ask the user which reading is meant;
#ANSWER and one short answer, to answer the likeliest reading;
#MULTI_ANS and one line a reading, "label: answer", to answer several readings.
A right answer earns 1, and questions and words cost something{reasoning}. Earn as much as you can.""",
        "Each question costs {alpha}, each word {beta}.",
    ),
    "brief": Phrasing(
        """\
{begin} with #CLARIFY (ask which reading is meant), #ANSWER (answer the likeliest one) or #MULTI_ANS (answer several, \
one line each: "label: answer"). A right answer earns 1; questions and words are charged{reasoning}.""",
        "Cost of a question: {alpha}. Cost of a word: {beta}.",
    ),
    "budget": Phrasing(
        """\
You are an assistant whose user is in a hurry. What they ask may have several meanings. You may guess: write \
#ANSWER and the answer. You may give several answers: write #MULTI_ANS and a line for each meaning, "label: answer". \
Or you may ask back: write #CLARIFY and your question. {begin} with one of these. Being right is worth 1 point to the \
user; asking and every word you write take points away{reasoning}.""",
        "Points lost: {alpha} if you ask back, {beta} for every word of the answer.",
    ),
}

# The wording of "natural", with prices in words: whether to ask or to list several answers turns on how many words a
# question is worth, a quotient that a small model cannot compute (docs/real-model.md).
RELATIVE = "relative"
PHRASINGS[RELATIVE] = PHRASINGS["natural"]._replace(
    costs="A question costs as much as {question}; a right answer is worth {answer}."
)

# The wording of "natural", with a line on how likely each reading is before the costs (arXiv 2602.16699).
PRIOR = "prior"
PHRASINGS[PRIOR] = PHRASINGS["natural"]

# Entries of the text caches, more than the default plane has training costs.
_CACHE = 4096

STYLES = ("pocket", "zero_shot", "few_shot", "reasoning", *PHRASINGS)


def messages(view: View, style: str = "zero_shot", prior: str = "") -> Messages:
    """Renders a view as chat messages.

    Args:
        view: What the role sees.
        style: ``"pocket"`` (costs or intent alone, for models that learned the rules in training), ``"zero_shot"``
            (with the rules written out), ``"few_shot"`` (with worked games as well), ``"reasoning"`` (asks for
            reasoning before the tag, which the game must allow), or one of `PHRASINGS` (rules written out, costs after
            the query).
        prior: Line on how likely each reading is, which the style ``"prior"`` states before the costs.

    Returns:
        Messages with roles ``system``, ``user`` and ``assistant``; ``assistant`` is the role of ``view``.

    Raises:
        ValueError: There is no such style, the game does not allow reasoning, or the style ``"prior"`` has no line.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    role: str = view[0]
    facts: Any = view[2]  # AssistantFacts or UserFacts; taken apart, not looked up by name, since that takes longer
    if role == "user":
        query, secret, _ = facts
        chat = [{"role": "system", "content": user_system(query, secret, style)}]
    else:
        query, context, costs, _, reasoning = facts
        if style in PHRASINGS:
            last = _costs_last(costs, style) if style != PRIOR else _prior_and_costs(prior, costs)
            system, query = _shared_system(context, style, reasoning), f"{query}\n{last}"
        else:
            system = assistant_system(costs, context, style, reasoning)
        chat = [{"role": "system", "content": system}, {"role": "user", "content": query}]
    for sender, text, _ in view[1]:
        chat.append({"role": "assistant" if sender == role else "user", "content": text})
    return chat


# Cached: constant during a game and used at each turn.
@lru_cache(maxsize=_CACHE)
def assistant_system(costs: Costs, context: str, style: str, reasoning: str) -> str:
    """The assistant's system message: rules, costs and context."""
    context = f"\n{context}" if context else ""
    if style == "pocket":
        # Rounded to remove floating-point errors of the products.
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
                "reasoning=none makes invalid; set game.reasoning to free or charged"
            )
        rules += _THINK
    return rules + context


@lru_cache(maxsize=_CACHE)
def _shared_system(context: str, style: str, reasoning: str) -> str:
    """System message of a phrasing: rules and context, the same at every cost."""
    begin, price = _REASONING[reasoning]
    rules = PHRASINGS[style].rules.format(begin=begin, reasoning=price)
    return f"{rules}\n{context}" if context else rules


@lru_cache(maxsize=_CACHE)
def _costs_last(costs: Costs, style: str) -> str:
    if style == RELATIVE:
        return _costs_in_words(costs)
    return PHRASINGS[style].costs.format(alpha=plain(costs.alpha, 2), beta=plain(costs.beta, 3))


def _costs_in_words(costs: Costs) -> str:
    """States the worth of a question, alpha / beta, and of a right answer, 1 / beta, in words, both rounded."""
    if not costs.beta:
        return f"A question costs {plain(costs.alpha, 2)} of what a right answer earns; words cost nothing."
    question, answer = (_words(worth / costs.beta) for worth in (costs.alpha, 1))
    return PHRASINGS[RELATIVE].costs.format(question=question, answer=answer)


def _words(number: float) -> str:
    return f"{round(number)} word{'s' * (round(number) != 1)}"


def _prior_and_costs(prior: str, costs: Costs) -> str:
    if not prior:
        raise ValueError(
            "prompts.style=prior states how likely the model finds each reading, which only trainers.prompted estimates"
        )
    return f"{prior}\n{_costs_last(costs, PRIOR)}"


def transcript(view: View) -> str:
    """Renders the view as plain text, one message per line, oldest first.

    All lines of a message but the first are indented, so that a message cannot imitate another sender's.
    """
    role: str = view[0]
    facts: Any = view[2]
    if role == "user":
        query, secret, _ = facts
        meaning = secret.text
        text_so_far = f"system: you mean: {meaning if meaning.isprintable() else indented(meaning)}\nuser: "
    else:
        query, context, costs, _, _ = facts
        text_so_far = _before_query(costs, context)
    text_so_far += query if query.isprintable() else indented(query)
    for sender, text, _ in view[1]:
        text_so_far = f"{text_so_far}\n{sender}: {text if text.isprintable() else indented(text)}"
    return text_so_far


@lru_cache(maxsize=_CACHE)
def _before_query(costs: Costs, context: str) -> str:
    header = f"{costs}\n{context}" if context else str(costs)
    return f"system: {indented(header)}\nuser: "
