"""Rating under a budget: what is asked of raters, when it stops, and that intervals cover what they say."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.rating.errors import calibrate
from trainers.rating.estimate import estimate, weights
from trainers.rating.policies import NAMES, Prices
from trainers.rating.rules import BURN_IN, Rules
from trainers.rating.sequential import Pending, rate

PRICES = Prices(1.0, 10.0)


class Raters:
    """Both raters of made-up items, with what they were asked."""

    def __init__(self, cheap, strong):
        self.scores, self.asked = {"cheap": cheap, "strong": strong}, {"cheap": [], "strong": []}

    def cheap(self, items):
        return self._rate("cheap", items)

    def strong(self, items):
        return self._rate("strong", items)

    def _rate(self, rater, items):
        assert items and all(type(item) is int for item in items)
        self.asked[rater] += items
        return [float(self.scores[rater][item]) for item in items]

    def money(self, prices):
        return prices.cheap * len(self.asked["cheap"]) + prices.strong * len(self.asked["strong"])


def raters(items, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    strong = (rng.random(items) < 0.6).astype(float)
    return Raters(np.clip(strong + noise * rng.normal(size=items), 0, 1), strong)


def run(both, rules, **more):
    return rate(len(both.scores["cheap"]), both.cheap, both.strong, rules, **more)


@settings(max_examples=120, deadline=None)
@given(
    items=st.integers(1, 80),
    budget=st.floats(4, 900),
    cheap=st.sampled_from([0.0, 0.1, 1.0, 7.0]),
    policy=st.sampled_from(NAMES),
    block=st.integers(1, 4),
    width=st.sampled_from([None, 0.3]),
    seed=st.integers(0, 5),
)
def test_the_budget_is_never_exceeded(items, budget, cheap, policy, block, width, seed):
    prices = Prices(cheap, 1.0)
    both = raters(items, seed)
    rules = Rules(prices, budget, policy, width=width, seed=seed)
    blocks = [i // block for i in range(items)]
    try:
        ratings = run(both, rules, blocks=blocks)
    except ValueError as error:
        assert re.match("budget .* (pays for no item|is less than)|burn_in.*(: at least 2| is more)", str(error))
        assert not both.asked["cheap"] and not both.asked["strong"], "said before anything is paid"
        return
    assert both.money(prices) <= budget * (1 + 1e-9)
    assert ratings.money == pytest.approx(both.money(prices))
    for asked in both.asked.values():
        assert len(asked) == len(set(asked)), "nothing is paid twice"
    assert sorted(both.asked["strong"]) == sorted(ratings.items[ratings.sampled])
    whole = np.bincount(np.array(blocks)[ratings.items], minlength=1)
    sizes = np.bincount(blocks)[: len(whole)]
    assert ((whole == 0) | (whole == sizes)).all(), "blocks are rated as wholes"
    assert ((ratings.rates > 0) & (ratings.rates <= 1)).all() and weights(ratings).sum() == pytest.approx(1)
    if len(ratings.items) < items and width is None:
        assert both.money(prices) > budget - (cheap + 1) * block - cheap, "no money is left that pays for more"


def test_items_are_rated_in_random_order():
    orders = [run(raters(300), Rules(PRICES, 900, seed=seed)).items for seed in range(60)]
    assert not any(np.array_equal(orders[0], other) for other in orders[1:])
    chances = np.bincount(np.concatenate(orders), minlength=300) / 60
    assert abs(chances[:150].mean() - chances[150:].mean()) < 0.03, "never cut in input order"
    assert np.array_equal(run(raters(300), Rules(PRICES, 900, seed=7)).items, orders[7]), "seeded"


def test_every_policy_rates_as_it_says():
    both = raters(2000)
    always = run(both, Rules(PRICES, 1000, "always"))
    assert len(always.items) == 100 and not both.asked["cheap"], "no cheap rating is bought"
    uniform = run(raters(2000), Rules(PRICES, 4000, "uniform", burn_in=50))
    late = uniform.rates[50:]
    assert uniform.burn_in == 50 and (uniform.rates[:50] == 1).all() and uniform.sampled[:50].all()
    assert np.ptp(late) == 0 and 0 < late[0] < 1
    assert uniform.sampled[50:].mean() == pytest.approx(late[0], abs=0.05)
    active = run(raters(2000), Rules(PRICES, 4000, "active", burn_in=50))
    assert np.ptp(active.rates[50:]) > 0.05 and active.rates.min() >= 0.02
    # Of Var H = 1 and MSE = 1/4: sqrt(0.1 / 4 / 0.75) of the items are rated by the strong rater.
    rate_then = (0.1 / 3) ** 0.5
    expected = (4000 - 550) / (1 + 10 * rate_then) / (0.75 + 0.25 / rate_then)
    assert active.planned == uniform.planned == pytest.approx(expected), "whatever the ratings are"


@pytest.mark.parametrize(
    ("budget", "given", "expected"),
    [(11 * 900, None, BURN_IN), (11 * 90, None, 30), (11 * 4, None, 2), (11 * 90, 60, 60), (11 * 90, 2, 2)],
)
def test_the_burn_in_is_200_items_or_a_third_of_the_budget(budget, given, expected):
    assert run(raters(3000), Rules(PRICES, budget, burn_in=given)).burn_in == expected


def test_a_useless_cheap_rater_is_not_paid():
    """Where the cheap rater errs more than ratings vary, the money after the burn-in buys strong ratings alone."""
    rng = np.random.default_rng(0)
    both = Raters(rng.random(500) * 3 - 1, (rng.random(500) < 0.5).astype(float))
    ratings = run(both, Rules(PRICES, 3300, "active"))
    assert len(both.asked["cheap"]) == ratings.burn_in == 100
    assert (ratings.rates == 1).all() and len(ratings.items) == 100 + 220


def test_a_calibration_from_elsewhere_needs_no_burn_in():
    other = raters(500, seed=9).scores
    known = calibrate(other["cheap"], other["strong"])
    ratings = run(raters(500), Rules(PRICES, 900), calibration=known)
    assert ratings.burn_in == 0 and ratings.rates.max() < 1
    assert run(raters(500), Rules(PRICES, 900, burn_in=20), calibration=known).burn_in == 20


def test_rating_stops_at_a_width():
    both = raters(5000, noise=0.1)
    ratings = run(both, Rules(PRICES, 1e6, width=0.2))
    assert estimate(ratings, interval="anytime").width <= 0.2
    assert both.money(PRICES) < 0.2 * 1e6 and ratings.planned is None
    fewer = ratings._replace(**{name: getattr(ratings, name)[:-10] for name in ("items", "cheap", "strong", "rates")})
    assert estimate(fewer, interval="anytime").width > 0.2, "and not later"
    together = run(raters(5000, noise=0.1), Rules(PRICES, 1e6, width=0.2), entities=[f"{i // 50}" for i in range(5000)])
    assert len(together.items) != len(ratings.items), "by entity"


@pytest.mark.parametrize(("items", "width"), [(5000, 0.2), (700, 0.16), (700, 0.14)])
def test_a_large_budget_does_not_make_a_width_dear(items, width):
    """Only the money for the width raises probabilities where items run out, not all there is."""
    both = raters(items, noise=0.1)
    ratings = run(both, Rules(PRICES, float("inf"), burn_in=60, width=width))
    assert estimate(ratings, interval="anytime").width <= width
    strong = run(raters(items, noise=0.1), Rules(PRICES, float("inf"), "always", width=width))
    assert ratings.money < 0.7 * strong.money


def test_strong_ratings_may_come_later():
    """As a person's do: the same call asks for what is missing, and ends with what it would have had at once."""
    both, journal = raters(600), {}
    rules = Rules(PRICES, 2000, seed=4)

    def from_journal(items):
        return [journal.get(item) for item in items]

    stages, asked = [], 0
    while isinstance(outcome := rate(600, both.cheap, from_journal, rules), Pending):
        stages.append(outcome.stage)
        assert outcome.money <= 2000 and not set(outcome.items) & set(journal)
        part = outcome.items[: max(1, len(outcome.items) // 2)]
        journal |= dict(zip(part, both.strong(part), strict=True))
        asked += len(part)
    at_once = run(raters(600), rules)
    assert np.array_equal(outcome.items, at_once.items) and estimate(outcome) == estimate(at_once)
    assert asked == at_once.sampled.sum() and set(stages) == {"burn-in", "sampled"}


@pytest.mark.parametrize("budget", [30, 100])
def test_a_budget_does_not_bias_the_estimate(budget):
    """A cheap rater that is always wrong by 1, so that strong ratings tell all: any rule that stops after
    them is off by far more than the noise of 400 repeats."""
    known = calibrate(np.tile([0.5, 1.5], 50), np.tile([-0.5, 0.5], 50), "constant")
    known = known._replace(variance=0.5, errors=np.full(9, 0.374))
    means = []
    for seed in range(400):
        both = Raters(np.ones(200), np.zeros(200))
        ratings = run(both, Rules(PRICES, budget, "uniform", seed=seed), calibration=known)
        means.append(np.mean(1 - ratings.sampled / ratings.rates))
        assert ratings.rates[0] == pytest.approx(0.197, abs=0.001)
    assert abs(np.mean(means)) < 3.5 * np.std(means) / 20


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Rules(Prices(-1, 10), 100), "prices -1 and 10: cheap >= 0, strong > 0"),
        (Rules(Prices(1, 0), 100), "prices 1 and 0"),
        (Rules(PRICES, 5), "budget 5 pays for no item: both ratings cost 11"),
        (Rules(PRICES, 100, "best"), "unknown sampling policy 'best'"),
        (Rules(PRICES, 100, floor=0), "floor 0: a probability above 0 and at most 1"),
        (
            Rules(PRICES, 100, burn_in=30),
            "burn_in 30 is more than a budget of 100 pays for: 9, as both",
        ),
        (Rules(PRICES, 1000, burn_in=60), "burn_in 60 is more than there are: 50"),
        (Rules(PRICES, 100, burn_in=1), "burn_in 1: at least 2 items, unless the raters were calibrated elsewhere"),
        (Rules(PRICES, 100, burn_in=-1), "burn_in -1: at least 0"),
        (Rules(PRICES, 100, "always", burn_in=2), "burn_in 2: policy always has none"),
        (Rules(PRICES, 11), "budget 11 is less than 22, the price of a burn-in of 2 items"),
        (Rules(PRICES, 100, model="forest"), "unknown model"),
        (Rules(PRICES, 100, interval="wald"), "unknown interval"),
        (Rules(PRICES, 100, width=0), "width 0"),
        (Rules(PRICES, 100, look=0), "look 0"),
    ],
)
def test_what_can_be_known_is_said_before_anything_is_paid(rules, message):
    both = raters(50)
    with pytest.raises(ValueError, match=message):
        run(both, rules)
    assert not both.asked["cheap"] and not both.asked["strong"]


def test_one_item_has_no_burn_in():
    with pytest.raises(ValueError, match=r"burn_in: at least 2 items, unless .*, not 1"):
        run(raters(1), Rules(PRICES, 100))
    assert run(raters(1), Rules(PRICES, 100, "always")).sampled.all()
