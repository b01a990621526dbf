"""What costs amount to is said rightly, of the costs of training alone."""

import re
from collections import Counter

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.numeracy import price, worth

CELLS = CostPlane().train()


@pytest.mark.parametrize("shows", [price, worth])
def test_what_costs_are_worth_is_said_rightly(shows):
    rng, said = np.random.default_rng(0), Counter()
    for _ in range(500):
        costs = CELLS[rng.integers(len(CELLS))]
        (_, system), (_, asked), (_, named) = shows(costs, rng).messages
        words = re.sub(r"(\.\d\d)0$", r"\1", f"{24 * costs.beta:.3f}")  # exactly, with two places at least
        assert system == f"2 questions cost {2 * costs.alpha:.2f}, 24 words {words}."
        offers = re.fullmatch(r"Which .*?(?:,|more) (a question|\d+ words) or (\d+ words|\d+%)\?", asked).groups()
        each = [{"n": costs.alpha, "s": costs.beta, "%": 0.01}[offer[-1]] for offer in offers]
        worths = [value * int(re.sub(r"\D", "", offer) or 1) for value, offer in zip(each, offers, strict=True)]
        said[offers.index(named)] += 1
        assert worths[offers.index(named)] == pytest.approx(max(worths))
    assert min(said.values()) > 100, "either may be more"
