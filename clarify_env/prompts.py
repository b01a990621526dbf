"""How a view becomes chat: the only place where that happens."""

from clarify_env.games.base import View
from clarify_env.tasks.base import NONE_OF_THESE

Messages = list[dict[str, str]]

_ASSISTANT_RULES = """\
You answer questions that may be ambiguous. Begin every message with one of three tags:
#CLARIFY and one question, to ask the user which reading is meant;
#ANSWER and one short answer, to answer the likeliest reading;
#MULTI_ANS and one line a reading, "label: answer", to answer several readings.
Right answers earn 1. Your costs: {costs}. Words are those of your last message. Earn as much as you can.{context}"""

_USER_RULES = """\
You are a user who asked: {query}
What you mean: {meant}
Reply to the assistant. To a question, answer just what was asked, in a few words, and reveal nothing else; if it is not \
clear what was asked, say that you do not understand. To an answer, or a list of answers, repeat the one answer that \
fits what you mean, and nothing else; if none fits, say "{none}"."""

_REASONING = " Think step by step about how many readings there are and how likely each is, before you choose."

STYLES = ("pocket", "zero_shot", "reasoning")


def messages(view: View, style: str = "zero_shot") -> Messages:
    """Renders a view as chat messages.

    Args:
        view: What the role sees.
        style: ``"pocket"`` (costs or intent alone, for models that learned the rules in training), ``"zero_shot"`` (with the
            rules written out) or ``"reasoning"``.

    Returns:
        Messages with roles ``system``, ``user`` and ``assistant``, the last being the side that ``view`` belongs to.

    Raises:
        ValueError: There is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    if view.role == "assistant":
        chat = [{"role": "system", "content": _assistant_system(view, style)}, {"role": "user", "content": view.query}]
    else:
        chat = [{"role": "system", "content": _user_system(view, style)}]
    return chat + [
        {"role": "assistant" if role == view.role else "user", "content": text} for role, text in view.history
    ]


def _assistant_system(view: View, style: str) -> str:
    context = f"\n{view.context}" if view.context else ""
    if style == "pocket":
        return f"Each{str(view.costs)[4:]}.{context}"
    rules = _ASSISTANT_RULES.format(costs=view.costs, context=context)
    return rules + (_REASONING if style == "reasoning" else "")


def _user_system(view: View, style: str) -> str:
    if view.secret.attributes:
        meant = ", ".join(f"{name} {value}" for name, value in view.secret.attributes)
    else:
        meant = f"{view.secret.label}: {view.secret.text}"
    if style == "pocket":
        return f"You mean: {meant}."
    return _USER_RULES.format(query=view.query, meant=meant, none=NONE_OF_THESE)


def transcript(view: View) -> str:
    """The view as plain text, a message a line, oldest first.

    Lines after the first of a message are indented, so that no message can pass itself off as another's.
    """
    lines = [f"system: {line}" for line in [_header(view)] if line]
    lines += [f"{role}: {_indented(text)}" for role, text in (("user", view.query), *view.history)]
    return "\n".join(lines)


def _header(view: View) -> str:
    if view.secret is not None:
        return f"you mean: {_indented(view.secret.text)}"
    return _indented("\n".join(part for part in (str(view.costs), view.context) if part))


def _indented(text: str) -> str:
    return text if text.isprintable() else "\n  ".join(text.splitlines())
