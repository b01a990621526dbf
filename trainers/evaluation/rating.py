"""Rates the games of a study by a strong rater and a cheap one, for the least money, and estimates how good they are.

Every rating is on disk before the next is asked for, and what is asked for follows from seed and ratings so far:
a command that was killed, or that waits for a person, goes on from the journal.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainers.data.ratings import Ratings as Journal
from trainers.evaluation.closing import shown
from trainers.evaluation.items import Item, Study
from trainers.evaluation.learned import calibrated, transferred, write_drawn
from trainers.evaluation.raters import Rater, check_budget, open_raters, rules_of
from trainers.evaluation.rating_options import RaterOptions, RatingOptions
from trainers.evaluation.recalibrate import Lookup, Recalibrated
from trainers.rating.estimate import Estimate, compare, estimate
from trainers.rating.planning import Plan, plan
from trainers.rating.policies import Prices
from trainers.rating.ratings import Ratings
from trainers.rating.rules import Rules
from trainers.rating.sequential import SAMPLED, Pending, rate
from trainers.runs.run import Run
from trainers.runs.store import write_json, write_text

# Games that a rater is given at once: what a crash may lose of an automatic rater.
_CHUNK = 64
# Budgets of a plan, as shares of the money that the strong rater would cost on every game.
_SHARES = np.linspace(0.05, 1.0, 20)
# What rounding may leave of the variance of equal ratings.
_NO_VARIANCE = 1e-12


class Rated(NamedTuple):
    """What came of rating a study.

    Attributes:
        report: Estimates, intervals and money; ``None``: the strong rater's ratings are not all there.
        pending: Items that wait for a person, in the order of rating, each once.
        stage: Whether these are of the ``burn-in`` or ``sampled`` by the policy.
    """

    report: dict[str, Any] | None
    pending: list[Item]
    stage: str = ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from rating the same games.

    Raises:
        ValueError: Another process rates them.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise ValueError(f"run: another process rates in {folder}; let it end or stop it") from None


def rate_study(
    study: Study,
    rating: RatingOptions,
    rater: RaterOptions,
    cheap: RaterOptions,
    advance: Callable[[int], None] = lambda ratings: None,
) -> Rated:
    """Rates a study as far as ratings can be had, and estimates the mean rating of each method.

    Args:
        study: The games.
        rating: Budget, policy and interval.
        rater: The strong rater.
        cheap: The cheap rater.
        advance: Called with the number of ratings just made.

    Raises:
        ValueError: The budget does not pay for a burn-in, or a rater fails; ratings so far are on disk.
    """
    journal, methods = Journal(study.folder), list(study.items)
    flat = [item for row in zip(*study.items.values(), strict=True) for item in row]
    rows = [index // len(methods) for index in range(len(flat))]
    check_budget(rating, rater, cheap, len(study.entities), len(methods))
    rules = rules_of(rating, rater, cheap, len(flat))
    with _opened(study, rater, cheap) as ((strong, weak), judges):
        learned = transferred(rating, strong, weak)
        paid: dict[tuple[str, str], float] = {}
        cheap_ratings, strong_ratings = (_looked_up(one, study, flat, journal, advance, paid) for one in (weak, strong))
        if rating.recalibrated:
            cheap_ratings = Recalibrated(cheap_ratings, strong_ratings, learned and learned.curve)
        outcome = rate(
            len(flat),
            cheap_ratings,
            strong_ratings,
            rules,
            learned and learned.calibration,
            blocks=rows,
            entities=[item.entity for item in flat],
        )

        def note(rates: Mapping[int, float]) -> None:
            by_id = {flat[item].id: rate for item, rate in rates.items()}
            write_drawn(study.folder, strong.name, weak.name, by_id)

        if isinstance(outcome, Pending):
            if outcome.stage == SAMPLED:
                note(outcome.rates)
            waiting = {flat[index].id: flat[index] for index in outcome.items}
            return Rated(None, list(waiting.values()), outcome.stage)
        note(outcome.strong_rates())
        report = _report(study, outcome, methods, rating, rules, strong, weak) | {"paid": sum(paid.values())}
        if judges.has_servers:
            report["servers"] = judges.servers.usage()
    return Rated(report, [])


def rate_in_run(
    run: Run, study: Study, rating: RatingOptions, rater: RaterOptions, cheap: RaterOptions
) -> dict[str, Any] | None:
    """Rates a study at the end of a run, prints the table, and writes ``rating.json`` and ``.md`` in its folder.

    Returns:
        The report; ``None``: games wait for a person, and the log says how they are rated.
    """
    from trainers.reporting.rating import markdown, print_rating  # matplotlib takes a second to import

    advance = run.bar("rating", len(study.entities) * len(study.items), "ratings")
    with locked(study.folder):
        rated = rate_study(study, rating, rater, cheap, advance)
        if rated.report is not None:
            write_json(study.folder / "rating.json", rated.report)
            write_text(study.folder / "rating.md", markdown(rated.report))
    run.progress.stop()
    if rated.report is None:
        words = shlex.join([f"run={study.folder.parent}", "action=export"])
        run.log.warning("rater.kind=person: %d games wait: python -m trainers.rate %s", len(rated.pending), words)
        return None
    print_rating(rated.report)
    return rated.report


def rate_all(
    study: Study, rater: RaterOptions, advance: Callable[[int], None] = lambda ratings: None
) -> tuple[str, list[float]]:
    """Rates every game of a study of one method, without a budget; ratings so far are taken from the journal.

    Returns:
        Name of the rater, and the rating of each game.
    """
    (items,) = study.items.values()
    journal, experiment = Journal(study.folder), study.run.experiment
    with locked(study.folder), open_raters({"rater": rater}, experiment, study.folder) as ((one,), _):
        return one.name, list(_looked_up(one, study, items, journal, advance)(list(range(len(items)))))


def _opened(study: Study, rater: RaterOptions, cheap: RaterOptions) -> Any:
    return open_raters({"rater": rater, "cheap_rater": cheap}, study.run.experiment, study.folder)


def _looked_up(
    rater: Rater,
    study: Study,
    items: Sequence[Item],
    journal: Journal,
    advance: Callable[[int], None],
    paid: dict[tuple[str, str], float] | None = None,
) -> Lookup:
    """Returns a function from indices of items to their ratings, from the journal or else by the rater.

    A game without a closing answer is rated 0 by everyone. A person's ratings that are missing are ``None``.

    Args:
        rater: The rater.
        study: The games.
        items: Their items.
        journal: The ratings so far.
        advance: Called with the number of ratings just made.
        paid: Receives the price of each rating that is looked up, by rater and item.
    """
    setup, paid = study.setup, {} if paid is None else paid
    empty = {item.id for item in items if not shown(setup, item.game)["answer"]}

    def ratings(indices: list[int]) -> Sequence[Any]:
        known = journal.of(rater.name)
        missing = {items[index].id: items[index] for index in indices}
        missing = {name: item for name, item in missing.items() if name not in known and name not in empty}
        waiting = list(missing.values()) if rater.score is not None else []
        for begin in range(0, len(waiting), _CHUNK):
            chunk = waiting[begin : begin + _CHUNK]
            values = rater(setup, [item.game for item in chunk]).tolist()
            journal.add(rater.name, dict(zip([item.id for item in chunk], values, strict=True)), rater.price)
            advance(len(chunk))
        known = journal.of(rater.name)
        names = {items[index].id for index in indices}
        paid.update({(rater.name, name): rater.price for name in names & known.keys() - empty})
        return [0.0 if items[index].id in empty else known.get(items[index].id) for index in indices]

    return ratings


def _report(
    study: Study,
    ratings: Ratings,
    methods: Sequence[str],
    rating: RatingOptions,
    rules: Rules,
    strong: Rater,
    weak: Rater,
) -> dict[str, Any]:
    parts = [of_method(ratings, number, len(methods), rules) for number in range(len(methods))]
    entities = [study.entities[row] for row in parts[0].items]
    how: dict[str, Any] = {"confidence": rules.confidence, "interval": rules.interval, "tuned": rating.tuned}
    comparison = compare(parts, entities=entities, seed=rating.seed, **how)
    result: dict[str, Any] = {
        "rater": strong.name,
        "cheap_rater": weak.name,
        "prices": {"strong": rules.prices.strong, "cheap": rules.prices.cheap},
        "policy": rating.policy,
        "confidence": rating.confidence,
        "interval": rules.interval,
        "budget": rating.budget,
        "money": ratings.money,
        "games": len(next(iter(study.items.values()))),
        "methods": {},
        "differences": [],
        "ranking": [methods[number] for number in comparison.ranking],
    }
    for method, part, reached in zip(methods, parts, comparison.estimates, strict=True):
        result["methods"][method] = {
            "estimate": reached.mean,
            "interval": bounds(reached, 0.0, 1.0),
            "strong": int(part.sampled.sum()),
            "cheap": round((part.money - rules.prices.strong * int(part.sampled.sum())) / rules.prices.cheap),
            "money": part.money,
            "always": always_money(part, rules, how),
        }
    for (first, second), difference in comparison.differences.items():
        result["differences"].append(
            {
                "methods": [methods[first], methods[second]],
                "estimate": difference.mean,
                "interval": bounds(difference, -1.0, 1.0),
            }
        )
    return result


def bounds(estimated: Estimate, least: float, most: float) -> list[float] | None:
    """Returns the ends of an interval within the values that there can be.

    What is cut off holds no mean of ratings, so as many intervals hold it as before.

    Args:
        estimated: The estimate.
        least: Least mean of ratings, or difference of two.
        most: Most.

    Returns:
        The ends; ``None``: there are too few entities or strong ratings for an interval.
    """
    ends = [estimated.low, estimated.high]
    return np.clip(ends, least, most).tolist() if np.isfinite(ends).all() else None


def of_method(ratings: Ratings, number: int, methods: int, rules: Rules) -> Ratings:
    """Returns one method's part of ratings of several, whose items take turns: item = row * methods + number.

    Args:
        ratings: Ratings of all methods, rated in blocks of a row each.
        number: Number of the method.
        methods: How many there are.
        rules: Prices and policy.

    Returns:
        Its ratings; ``items`` are rows.
    """
    own = ratings.items % methods == number
    part = Ratings(
        ratings.items[own] // methods,
        ratings.cheap[own],
        ratings.strong[own],
        ratings.rates[own],
        ratings.burn_in // methods,
        None if ratings.planned is None else ratings.planned / methods,
    )
    # Cheap ratings are bought for whole rows, so of all methods alike.
    cheap = (ratings.money - rules.prices.strong * int(ratings.sampled.sum())) / methods
    return part._replace(money=cheap + rules.prices.strong * int(part.sampled.sum()))


def always_money(ratings: Ratings, rules: Rules, how: Mapping[str, Any]) -> float | None:
    """Returns what an interval of the same width would cost by strong ratings alone: c_h Var H / (width / 2 z)^2.

    Both are taken for independent items, and strong ratings may be of more games than there are. ``None``: the width is
    0, or Var H.
    """
    from scipy.stats import norm

    reached = estimate(ratings, **how)
    squares = ratings._replace(cheap=ratings.cheap**2, strong=ratings.strong**2)
    variance = estimate(squares).mean - reached.mean**2
    error = reached.width / (2 * float(norm.ppf((1 + rules.confidence) / 2)))
    return rules.prices.strong * variance / error**2 if 0 < error < np.inf and variance > _NO_VARIANCE else None


def plan_study(study: Study, rating: RatingOptions, rater: RaterOptions, cheap: RaterOptions) -> Plan:
    """Says which width of one method's interval each policy would reach at each budget, from the ratings so far.

    Args:
        study: The games; the items of all methods that both raters rated are the burn-in.
        rating: Floor, model of the error and confidence.
        rater: The strong rater.
        cheap: The cheap rater.

    Raises:
        ValueError: Fewer than two games were rated by both.
    """
    items = len(study.entities)
    with _opened(study, rater, cheap) as ((strong, weak), _):
        learned = transferred(rating, strong, weak) or calibrated(study, rating, strong, weak, "run")
    prices = Prices(weak.price, strong.price)
    budgets = _SHARES * items * strong.price
    return plan(prices, learned.calibration, items, budgets[budgets >= sum(prices)], rating.floor, rating.confidence)
