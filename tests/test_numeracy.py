"""What numbers, prices and costs amount to is said rightly, and no held-out cost is shown."""

import re
from collections import Counter

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.numeracy import comparison, goods, mixed, price, worth

CELLS = CostPlane().train()


def dearest(asked, prices):
    """Which of the two offers in a question is worth more, first or second, at the prices of one of each thing."""
    offers = re.fullmatch(r"Which .*?(?:,|more) (an? \w+|\d+ \w+) or (\d+ \w+|\d+%)\?", asked).groups()
    worths = []
    for offer in offers:
        each = next(value for name, value in (prices | {"%": 0.01}).items() if offer.rstrip("s").endswith(name))
        worths.append(each * int(re.sub(r"\D", "", offer) or 1))
    return offers, worths


@pytest.mark.parametrize("shows", [price, worth])
def test_what_costs_are_worth_is_said_rightly(shows):
    rng, said = np.random.default_rng(0), Counter()
    for _ in range(500):
        costs = CELLS[rng.integers(len(CELLS))]
        (_, system), (_, asked), (_, named) = shows(costs, rng).messages
        assert system == f"Each{str(costs)[4:]}."
        offers, worths = dearest(asked, {"question": costs.alpha, "word": costs.beta})
        said[offers.index(named)] += 1
        assert worths[offers.index(named)] == pytest.approx(max(worths))
    assert min(said.values()) > 100, "either may be more"


@pytest.mark.parametrize(("shows", "named_by_the_game"), [(goods, 0), (mixed, 1)])
def test_price_lists_of_other_things_are_read_rightly_and_no_held_out_price_is_on_them(shows, named_by_the_game):
    rng, said, seen = np.random.default_rng(0), Counter(), set()
    inside = {value for cell in CostPlane().sets()["between"] for value in cell}
    trained = {"question": {cell.alpha for cell in CELLS}, "word": {cell.beta for cell in CELLS}}
    for _ in range(2000):
        (_, system), (_, asked), (_, named) = shows(rng, CELLS).messages
        listed = re.fullmatch(r"Each (\w+) costs (\d\.\d+), each (\w+) (\d\.\d+)\.", system).groups()
        prices = {listed[0]: float(listed[1]), listed[2]: float(listed[3])}
        ours = {*prices} & {*trained}
        assert len(prices) == 2 and len(ours) == named_by_the_game
        assert all(prices[thing] in trained[thing] for thing in ours), "the game's own costs are those of training"
        offers, worths = dearest(asked, prices)
        said[offers.index(named)] += 1
        assert worths[offers.index(named)] == pytest.approx(max(worths))
        seen |= {*prices.values()}
    assert min(said.values()) > 500, "either may be more"
    assert len(seen) > 100 and not seen & inside, "nor is a price one of those held out"


def test_numbers_are_compared_rightly_and_none_is_held_out():
    rng = np.random.default_rng(0)
    inside = {value for cell in CostPlane().sets()["between"] for value in cell}
    seen = set()
    for _ in range(2000):
        (_, asked), (_, said) = comparison(rng, CELLS).messages
        numbers = re.findall(r"\d\.\d+", asked)
        assert float(said) == (max if "more" in asked else min)(map(float, numbers))
        seen.update(map(float, numbers))
    assert len(seen) > 100 and not seen & inside
