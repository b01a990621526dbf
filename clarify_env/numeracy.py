"""What numbers, prices and costs amount to: demonstrations to pretrain on beside those of games and facts.

A large model has read numbers and price lists of all kinds before it meets a cost. A small one that has met only the
costs of training reads them off a table, and other digits mean nothing to it. No action is shown, so nothing here says
when to ask, list or guess; and no value held out between the costs of training appears, nor one beyond them as the
price of a question or a word.
"""

from collections.abc import Sequence

import numpy as np

from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.prompts import messages
from clarify_env.tasks.base import Demonstration

# What price lists of other things than questions and words name.
_GOODS = "ticket mile night meal stamp page lamp yard".split()


def price(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is dearer at the costs of a prompt: a question, or some number of words."""
    return _asked(_prompt(costs), _dearer(costs, ("a question", "words"), rng), "price")


def worth(costs: Costs, rng: np.random.Generator) -> Demonstration:
    """Which is more at the costs of a prompt: a question, some number of words, or a chance, as pages write it.

    A right answer earns 1, so a cost weighs as much as that chance of being right.
    """
    return _asked(_prompt(costs), _likelier(costs, ("a question", "words"), rng), "worth")


def goods(rng: np.random.Generator, costs: Sequence[Costs]) -> Demonstration:
    """What `price` and `worth` ask, of a price list of other things than questions and words; see `_number`."""
    dear, cheap = (_GOODS[i] for i in rng.permutation(len(_GOODS))[:2])
    prices = Costs(_number(rng, "alpha", costs), _number(rng, "beta", costs))
    listed = f"Each {dear} costs {prices.alpha:.2f}, each {cheap} {prices.beta:.3f}."
    return _asked(listed, _either(prices, dear, cheap, rng), "goods")


def mixed(rng: np.random.Generator, costs: Sequence[Costs]) -> Demonstration:
    """As `goods`, but one of the two, in either place, is a question or a word, at a cost of training.

    So that prices of things and costs of the game are read in one way, not each in its own.
    """
    cell, thing = costs[int(rng.integers(len(costs)))], _GOODS[rng.integers(len(_GOODS))]
    if rng.random() < 0.5:
        dear, cheap, prices = "question", thing, Costs(cell.alpha, _number(rng, "beta", costs))
    else:
        dear, cheap, prices = thing, "word", Costs(_number(rng, "alpha", costs), cell.beta)
    places = [(dear, f"{prices.alpha:.2f}"), (cheap, f"{prices.beta:.3f}")]
    (first, its), (second, other) = places if rng.random() < 0.5 else places[::-1]
    return _asked(f"Each {first} costs {its}, each {second} {other}.", _either(prices, dear, cheap, rng), "mixed")


def comparison(rng: np.random.Generator, costs: Sequence[Costs]) -> Demonstration:
    """Which of two numbers is more, or less; see `_number` for which numbers."""
    axis, places = (("alpha", 2), ("beta", 3))[rng.integers(2)]
    numbers: list[float] = []
    while len(numbers) < 2:
        drawn = _number(rng, axis, costs)
        if drawn not in numbers:
            numbers.append(drawn)
    more = rng.random() < 0.5
    asked = f"Which is {'more' if more else 'less'}, {numbers[0]:.{places}f} or {numbers[1]:.{places}f}?"
    return _asked("", (asked, f"{(max if more else min)(numbers):.{places}f}"), "comparison")


def _number(rng: np.random.Generator, axis: str, costs: Sequence[Costs]) -> float:
    """A number like the costs of an axis, from zero to twice the largest.

    Inside the trained range only trained values are drawn, so that values held out from training stay unseen.
    """
    trained = {getattr(cell, axis) for cell in costs}
    low, high = min(trained), max(trained)
    while True:
        drawn = round(float(rng.uniform(0, 2 * high)), 2 if axis == "alpha" else 3)
        if drawn in trained or not low <= drawn <= high:
            return drawn


def _either(prices: Costs, dear: str, cheap: str, rng: np.random.Generator) -> tuple[str, str]:
    ask = (_dearer, _likelier)[rng.integers(2)]
    return ask(prices, (f"a {dear}", f"{cheap}s"), rng)


def _dearer(prices: Costs, names: tuple[str, str], rng: np.random.Generator) -> tuple[str, str]:
    """Question and answer: is one of the first thing dearer, or n of the second?"""
    n = int(rng.integers(1, 30))
    one, many = names[0], f"{n} {names[1]}"
    return f"Which costs more, {one} or {many}?", one if prices.alpha > n * prices.beta else many


def _likelier(prices: Costs, names: tuple[str, str], rng: np.random.Generator) -> tuple[str, str]:
    """Question and answer: is one of the first thing, or n of the second, more than a chance in per cent?"""
    n = int(rng.integers(1, 30))
    values = {names[0]: prices.alpha, f"{n} {names[1]}": n * prices.beta}
    name = list(values)[rng.integers(2)]
    # A chance of like size, so that the digits must be read and not the magnitude alone.
    exact = round(1000 * values[name])
    percent = int(np.clip(round(exact * np.exp(rng.uniform(-0.7, 0.7)) / 10), 1, 99))
    percent += 10 * percent == exact
    return f"Which is more, {name} or {percent}%?", name if exact > 10 * percent else f"{percent}%"


def _prompt(costs: Costs) -> str:
    """What a game's prompt says of the costs."""
    return messages(View("assistant", "", "", None, (), costs, 0, ""), "pocket")[0]["content"]


def _asked(listed: str, exchange: tuple[str, str], shows: str) -> Demonstration:
    asked, said = exchange
    system = (("system", listed),) if listed else ()
    return Demonstration((*system, ("user", asked), ("assistant", said)), shows)
