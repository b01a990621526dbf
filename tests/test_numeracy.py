"""What costs amount to is said rightly, of the costs of training alone."""

import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from clarify_env.costs import CostPlane
from clarify_env.games.clarification.pretraining.arithmetic import calculations, derived, sums
from clarify_env.games.clarification.pretraining.numeracy import price, worth

CELLS = CostPlane().train()


@pytest.mark.parametrize("shows", [price, worth])
def test_what_costs_are_worth_is_said_rightly(shows):
    rng, counts = np.random.default_rng(0), Counter()
    for _ in range(500):
        costs = CELLS[rng.integers(len(CELLS))]
        (_, system), (_, question), (_, named) = shows(costs, rng).messages
        words = re.sub(r"(\.\d\d)0$", r"\1", f"{24 * costs.beta:.3f}")  # exactly, with two places at least
        assert system == f"2 questions cost {2 * costs.alpha:.2f}, 24 words {words}."
        offers = re.fullmatch(r"Which .*?(?:,|more) (a question|\d+ words) or (\d+ words|\d+%)\?", question).groups()
        each = [{"n": costs.alpha, "s": costs.beta, "%": 0.01}[offer[-1]] for offer in offers]
        worths = [value * int(re.sub(r"\D", "", offer) or 1) for value, offer in zip(each, offers, strict=True)]
        counts[offers.index(named)] += 1
        assert worths[offers.index(named)] == pytest.approx(max(worths))
    assert min(counts.values()) > 100, "either may be more"


def test_sums_are_right():
    rng, asked_for = np.random.default_rng(0), Counter()
    for _ in range(200):
        shown = sums(rng)
        assert shown.every and shown.messages[0][0] == "user"
        for (_, question), (_, reply) in zip(shown.messages[::2], shown.messages[1::2], strict=True):
            low, high = map(int, re.findall(r"\d+", question))
            answer = int(re.fullmatch(r"It was (\d+)( percent)?\.", reply)[1])
            what = next(word for word in ("together", "percentage", "By how much") if word in question)
            assert 10 <= low < high <= 99
            assert {
                "together": answer == low + high,
                "By how much": answer == high - low,
                "percentage": low * (100 + answer) == 100 * high,
            }[what]
            asked_for[what] += 1
    assert min(asked_for.values()) > 400


def test_what_two_years_give_is_right_and_whole():
    rng, stated = np.random.default_rng(0), Counter()
    for _ in range(300):
        (_, row), (_, reply) = derived(rng).messages
        figures = {year: int(figure) for year, figure in re.findall(r"(\d{4}) (\d+)", row.splitlines()[0])}
        expected = set()
        for first, last in combinations(sorted(figures), 2):
            before, after = figures[first], figures[last]
            expected.add(f"in {first} and {last} together: {before} + {after} = {before + after}")
            if after > before:
                expected.add(f"rise from {first} to {last}: {after} - {before} = {after - before}")
                if (percent := 100 * (after - before) / before).is_integer():
                    working = f"{after} - {before} = {after - before}, {after - before} / {before} = {percent:.0f}"
                    expected.add(f"percentage from {first} to {last}: {working} percent")
        lines = reply.splitlines()
        assert set(lines) == expected and len(lines) == len(expected)
        stated.update(line.split()[0] for line in lines)
    assert min(stated[word] for word in ("in", "rise", "percentage")) > 100


def test_calculations_are_right_and_mostly_differences():
    rng, worked_out = np.random.default_rng(0), Counter()
    for _ in range(100):
        (_, queries), (_, reply) = calculations(rng).messages
        lines = reply.splitlines()
        queries = queries.removeprefix("Work out: ").split("; ")
        for query, line in zip(queries, lines, strict=True):
            first, sign, second = query.removesuffix(" in percent").split(" ")
            value = int(first) + int(second) if sign == "+" else int(first) - int(second)
            expected = f"{first} {sign} {second} = {value}"
            if query.endswith(" in percent"):
                assert 100 * value % int(second) == 0
                expected += f", {value} / {second} = {100 * value // int(second)} percent"
            assert line == expected and value > 0
            worked_out["percent" if query.endswith("percent") else sign] += 1
    assert 0.5 < worked_out["-"] / worked_out.total() < 0.7
    assert min(worked_out.values()) > 0.05 * worked_out.total()
