"""Renders views of Pandora's boxes as chat messages. The price stands last, so that the boxes are a shared prefix."""

from typing import Any

from clarify_env.costs import plain
from clarify_env.games.base import View
from clarify_env.games.description import Messages
from clarify_env.tasks.base import Episode

# Styles that state the model's own estimates in the place of hidden priors (arXiv 2602.16699).
PRIORS = ("prior", "pocket_prior")
STYLES = ("natural", "pocket", *PRIORS)

_RULES = """\
Exactly one of these boxes holds a prize worth 1. Begin every message with one of two tags:
#LOOK and the label of a box, to learn whether the prize is in it;
#COMMIT and the label of a box, to end the game: you win the prize if it is in that box.
Each look costs something. You may commit to a box that you have not looked into. Earn as much as you can."""
_DISCOUNT = " Each look also multiplies the value of the prize by {discount:g}."
QUESTION = "Which box holds the prize?"


def messages(view: View, style: str = "natural", prior: str = "") -> Messages:
    """Renders a view as chat messages.

    Args:
        view: What the searcher sees.
        style: ``"natural"`` (rules written out), ``"pocket"`` (boxes and price alone, for a model that learned the
            rules in training), ``"prior"`` or ``"pocket_prior"`` (the same with ``prior`` for the boxes).
        prior: Line on how likely each box is, for a style of `PRIORS`.

    Raises:
        ValueError: There is no such style, or a style of `PRIORS` has no line.
    """
    if style not in STYLES:
        raise ValueError(f"prompts.style must be one of {', '.join(STYLES)}, not {style!r}")
    facts: Any = view.facts
    boxes, price = facts.boxes, plain(facts.price, 2)
    if style in PRIORS:
        if not prior:
            raise ValueError(
                f"prompts.style={style} states how likely the model finds each box, which only trainers.prompted "
                "estimates"
            )
        boxes = prior
    if style.startswith("pocket"):
        discount = "" if facts.discount == 1 else f" Discount {facts.discount:g}."
        system, ask = boxes, f"Look {price}.{discount}"
    else:
        discount = "" if facts.discount == 1 else _DISCOUNT.format(discount=facts.discount)
        system, ask = f"{_RULES}\nBoxes: {boxes}.", f"{QUESTION} A look costs {price}.{discount}"
    chat = [{"role": "system", "content": system}, {"role": "user", "content": ask}]
    for sender, text, _ in view.heard:
        chat.append({"role": "assistant" if sender == view.role else "user", "content": text})
    return chat


def prior_question(episode: Episode, style: str) -> Messages:
    """The chat that asks which box holds the prize; see `Description.prior_question`."""
    if style.startswith("pocket"):
        system = episode.context
    else:
        system = f"Exactly one of these boxes holds a prize: {episode.context}. Answer with the label of a box alone."
    return [{"role": "system", "content": system}, {"role": "user", "content": QUESTION}]
