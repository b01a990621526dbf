"""System message of a language model that plays the user: the wording of every style, and its version."""

from functools import lru_cache

from clarify_env.games.clarification.facts import Secret
from clarify_env.tasks.base import NONE_OF_THESE, NOT_UNDERSTOOD

# Recorded with every result. Rises when a wording changes; tests/test_prompts.py holds the digest of each version.
VERSION = 2

# Rules before facts: what precedes the facts is one prefix of every game. The styles of prompts without a wording of
# their own have that of "zero_shot"; "pocket" is for models that learned the rules in training.
_NATURAL = """\
You play the user of an assistant. You have asked it a question, and you mean one thing by it. Reply to its last \
message:
If it begins with #CLARIFY, it asks you something. Answer just what it asks, in a few words. Tell nothing else of what \
you mean, and never answer your own question. If it asks nothing that you can tell from what you mean, say: \
{not_understood}
If it begins with #ANSWER or #MULTI_ANS, it answers your question. Repeat the one answer that fits what you mean, word \
for word, without its label, and write nothing else. If none fits, say: {none}
You asked: {query}
You mean: {meant}"""
WORDINGS = {
    "pocket": "You mean: {meant}.",
    "zero_shot": """\
You are a user who asked: {query}
What you mean: {meant}
Reply to the assistant. To a question, answer just what was asked, in a few words, and reveal nothing else; if it is \
not clear what was asked, say that you do not understand. To an answer, or a list of answers, repeat the one answer \
that fits what you mean, and nothing else; if none fits, say "{none}".""",
    "natural": _NATURAL,
    "brief": """\
You play the user. To #CLARIFY (a question), reply with just what is asked and nothing more, or with \
"{not_understood}" To #ANSWER or #MULTI_ANS (answers), reply with the one answer that fits what you mean, word for \
word, or with "{none}"
You asked: {query}
You mean: {meant}""",
    "budget": """\
You are the user, in a hurry, and have asked an assistant a question that can mean several things. When it asks you \
back (#CLARIFY), tell it what it asks and not a word more; if it asks something else than what you mean, write: \
{not_understood} When it gives you an answer (#ANSWER) or several (#MULTI_ANS), copy the one for your meaning and \
stop; if there is none, write: {none}
You asked: {query}
You mean: {meant}""",
}
# Styles that differ from another in the assistant's prompt alone.
_SAME_AS = {"prior": "natural", "relative": "natural"}

# Entries of the cache: a user's system message is constant during a game and used at each turn.
_CACHE = 4096


@lru_cache(maxsize=_CACHE)
def user_system(query: str, secret: Secret, style: str) -> str:
    """Returns the user's system message: rules, query and what is meant; never the costs or a gold answer.

    Args:
        query: The user's opening message.
        secret: What the user means.
        style: Style of the prompts, one of `prompts.STYLES`.
    """
    meant = f"{secret.label}: {secret.text}"
    if secret.attributes:
        meant = ", ".join(f"{name} {value}" for name, value in secret.attributes)
    wording = WORDINGS.get(_SAME_AS.get(style, style), WORDINGS["zero_shot"])
    return wording.format(query=query, meant=meant, none=NONE_OF_THESE, not_understood=NOT_UNDERSTOOD)
