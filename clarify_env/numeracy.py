"""What numbers, prices and costs amount to: demonstrations to pretrain on beside those of games and facts.

A large model has read numbers and price lists of all kinds before it meets a cost. A small one that has met only the
costs of training reads them off a table, and a first digit that it has not met there means nothing to it. No action is
shown, so nothing here says when to ask, list or guess; and no value held out between the costs of training appears, nor
one beyond them as the price of a question or a word.
"""

from collections.abc import Sequence

import numpy as np

from clarify_env.costs import Costs, plain
from clarify_env.prompts import UNIT, in_brief
from clarify_env.tasks.base import Demonstration

# What price lists of other things than questions and words name.
_GOODS = "ticket mile night meal stamp page lamp yard".split()


def price(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is dearer at the costs of a prompt: a question, or some number of words."""
    return _asked(in_brief(costs), *_dearer(costs, ("a question", "words"), rng), "price")


def worth(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is more at the costs of a prompt: a question, some number of words, or a chance, as pages write it.

    A right answer earns 1, so a cost weighs as much as that chance of being right.
    """
    return _asked(in_brief(costs), *_likelier(costs, ("a question", "words"), rng), "worth")


def goods(rng: np.random.Generator, costs: Sequence[Costs]) -> Demonstration:
    """What `price` and `worth` ask, of a price list of other things than questions and words; see `_numbers`."""
    dear, cheap = (_GOODS[i] for i in rng.permutation(len(_GOODS))[:2])
    (alpha,), (many,) = _numbers(rng, 1, "alpha", costs), _numbers(rng, 1, "beta", costs)
    prices = Costs(alpha, many / UNIT)
    ask = (_dearer, _likelier)[rng.integers(2)]
    return _asked(in_brief(prices, (dear, f"{cheap}s")), *ask(prices, (f"a {dear}", f"{cheap}s"), rng), "goods")


def comparison(rng: np.random.Generator, costs: Sequence[Costs]) -> Demonstration:
    """Which of two numbers is more, or less; see `_numbers` for which numbers."""
    numbers = _numbers(rng, 2, ("alpha", "beta")[rng.integers(2)], costs)
    more = rng.random() < 0.5
    shown = [plain(number, 2) for number in numbers]
    asked = f"Which is {'more' if more else 'less'}, {shown[0]} or {shown[1]}?"
    return _asked("", asked, plain((max if more else min)(numbers), 2), "comparison")


def _numbers(rng: np.random.Generator, count: int, axis: str, costs: Sequence[Costs]) -> list[float]:
    """Different numbers as prompts write the costs of an axis, from zero to twice the largest.

    Inside the trained range of either axis only values trained there are drawn, so that no number held out from
    training is seen, in whatever place.
    """
    written = {"alpha": {cell.alpha for cell in costs}, "beta": {round(UNIT * cell.beta, 2) for cell in costs}}
    ranges = [(trained, min(trained), max(trained)) for trained in written.values()]
    numbers: list[float] = []
    while len(numbers) < count:
        drawn = round(float(rng.uniform(0, 2 * max(written[axis]))), 2)
        if drawn not in numbers and all(drawn in trained or not low <= drawn <= high for trained, low, high in ranges):
            numbers.append(drawn)
    return numbers


def _dearer(prices: Costs, names: tuple[str, str], rng: np.random.Generator) -> tuple[str, str]:
    """Question and answer: is one of the first thing dearer, or n of the second?"""
    n = int(rng.integers(1, 30))
    one, many = names[0], f"{n} {names[1]}"
    return f"Which costs more, {one} or {many}?", one if prices.alpha > n * prices.beta else many


def _likelier(prices: Costs, names: tuple[str, str], rng: np.random.Generator) -> tuple[str, str]:
    """Question and answer: is one of the first thing, or n of the second, more than a chance in per cent?"""
    n = int(rng.integers(1, 20))
    values = {names[0]: prices.alpha, f"{n} {names[1]}": n * prices.beta}
    name = list(values)[rng.integers(2)]
    # A chance of like size, so that the digits must be read and not the magnitude alone.
    exact = round(1000 * values[name])
    percent = int(np.clip(round(exact * np.exp(rng.uniform(-0.7, 0.7)) / 10), 1, 99))
    percent += 10 * percent == exact
    return f"Which is more, {name} or {percent}%?", name if exact > 10 * percent else f"{percent}%"


def _asked(listed: str, asked: str, said: str, shows: str) -> Demonstration:
    system = (("system", f"{listed}."),) if listed else ()
    return Demonstration((*system, ("user", asked), ("assistant", said)), shows)
