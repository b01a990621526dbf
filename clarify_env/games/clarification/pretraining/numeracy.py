"""Demonstrations of comparing costs, for pretraining.

A large model can compare numbers before it sees a cost; a small one learns it here, at training costs only. No action
is shown, so nothing here teaches when to ask, list or guess.
"""

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.clarification.prompts import assistant_system
from clarify_env.games.demonstration import Demonstration


def price(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Compares the price of a question with that of n words, at the costs of a prompt; 1 <= n < 30."""
    n = int(rng.integers(1, 30))
    larger = "a question" if costs.alpha > n * costs.beta else f"{n} words"
    return _comparison(costs, f"Which costs more, a question or {n} words?", larger, "price")


def worth(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Compares the price of a question or of n words with a probability, written in percent as in `page`; 1 <= n < 20.

    A right answer earns 1, so a cost of p is worth the probability p of a right answer.
    """
    n = int(rng.integers(1, 20))
    values = {"a question": costs.alpha, f"{n} words": n * costs.beta}
    name = list(values)[rng.integers(2)]
    # The probability is of similar size (within a factor of two), so that comparing magnitudes is not enough.
    exact = round(1000 * values[name])
    percent = int(np.clip(round(exact * np.exp(rng.uniform(-0.7, 0.7)) / 10), 1, 99))
    percent += 10 * percent == exact
    larger = name if exact > 10 * percent else f"{percent}%"
    return _comparison(costs, f"Which is more, {name} or {percent}%?", larger, "worth")


def _comparison(costs: Costs, query: str, answer: str, kind: str) -> Demonstration:
    """A query about the costs that a game's system prompt states."""
    system = assistant_system(costs, "", "pocket", "none")
    return Demonstration((("system", system), ("user", query), ("assistant", answer)), kind)
