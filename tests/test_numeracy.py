"""What numbers, prices and costs amount to is said rightly, and no held-out cost is shown."""

import re
from collections import Counter

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.numeracy import comparison, goods, price, worth
from clarify_env.prompts import UNIT

CELLS = CostPlane().train()
# As prompts write them.
HELD_OUT = {number for alpha, beta in CostPlane().sets()["between"] for number in (alpha, round(UNIT * beta, 2))}


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
        assert system == f"Each question costs {costs.alpha:.2f}, {UNIT} words {UNIT * costs.beta:.2f}."
        offers, worths = dearest(asked, {"question": costs.alpha, "word": costs.beta})
        said[offers.index(named)] += 1
        assert worths[offers.index(named)] == pytest.approx(max(worths))
    assert min(said.values()) > 100, "either may be more"


def test_price_lists_of_other_things_are_read_rightly_and_no_held_out_price_is_on_them():
    rng, said, seen = np.random.default_rng(0), Counter(), (set(), set())
    for _ in range(2000):
        (_, system), (_, asked), (_, named) = goods(rng, CELLS).messages
        dear, first, cheap, second = re.fullmatch(
            r"Each (\w+) costs (\d\.\d+), 20 (\w+)s (\d\.\d+)\.", system).groups()  # fmt: skip
        assert not {dear, cheap} & {"question", "word"}
        prices = {dear: float(first), cheap: float(second) / UNIT}
        offers, worths = dearest(asked, prices)
        said[offers.index(named)] += 1
        assert worths[offers.index(named)] == pytest.approx(max(worths))
        seen[0].add(float(first))
        seen[1].add(float(second))
    assert min(said.values()) > 500, "either may be more"
    for axis in seen:
        assert len(axis) > 40 and not axis & HELD_OUT, "nor is a price one of those held out, of whatever"


def test_numbers_are_compared_rightly_and_none_is_held_out():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(2000):
        (_, asked), (_, said) = comparison(rng, CELLS).messages
        numbers = re.findall(r"\d\.\d+", asked)
        assert float(said) == (max if "more" in asked else min)(map(float, numbers))
        seen.update(map(float, numbers))
    assert len(seen) > 60 and not seen & HELD_OUT
