"""What costs amount to: demonstrations to pretrain on beside those of games and facts.

A large model knows what numbers mean before it meets a cost. Here a small one learns it, at the costs of training
alone. No action is shown, so nothing says when to ask, list or guess.
"""

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.games.clarification.pretraining.chats import Demonstration
from clarify_env.games.clarification.prompts import messages


def price(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is dearer at the costs of a prompt: a question, or some number of words."""
    n = int(rng.integers(1, 30))
    dearer = "a question" if costs.alpha > n * costs.beta else f"{n} words"
    return _asked(costs, f"Which costs more, a question or {n} words?", dearer, "price")


def worth(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is more at the costs of a prompt: a question, some number of words, or a chance, as pages write it.

    A right answer earns 1, so a cost weighs as much as that chance of being right.
    """
    n = int(rng.integers(1, 20))
    values = {"a question": costs.alpha, f"{n} words": n * costs.beta}
    name = list(values)[rng.integers(2)]
    # A chance of like size, so that the digits must be read and not the magnitude alone.
    exact = round(1000 * values[name])
    percent = int(np.clip(round(exact * np.exp(rng.uniform(-0.7, 0.7)) / 10), 1, 99))
    percent += 10 * percent == exact
    more = name if exact > 10 * percent else f"{percent}%"
    return _asked(costs, f"Which is more, {name} or {percent}%?", more, "worth")


def _asked(costs: Costs, asked: str, said: str, shows: str) -> Demonstration:
    """A question about the costs that a game's prompt states."""
    system = messages(View("assistant", "", "", None, (), costs, 0, ""), "pocket")[0]["content"]
    return Demonstration((("system", system), ("user", asked), ("assistant", said)), shows)
