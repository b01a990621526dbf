"""Equilibria of the helpers' game: values and equilibria by brute force over all outcomes, and known cases."""

from itertools import product

import numpy as np
import pytest

from clarify_env.games.helpers.equilibria import calls_of, main, square
from clarify_env.games.helpers.normal_form import ANONYMOUS, MOVES, NAMED, STRATEGIES, Setting, Solution

ASSERT, HEDGE, SEARCH_ASSERT, SEARCH_HEDGE = MOVES


PAIRS = tuple(product((0, 1), repeat=2))


def simulated(setting, helpers, rule):
    """Expected reward of a profile, over who is sure, what searches and guesses turn out, and the asker's coin."""
    total = 0.0
    for sure, finds, guesses, coin in product(PAIRS, PAIRS, PAIRS, (0, 1)):
        if setting.shared and sure[0] != sure[1]:
            continue
        share = 0.5
        for i in (0, 1):
            if not (setting.shared and i == 1):
                share *= setting.known[i] if sure[i] else 1 - setting.known[i]
            share *= setting.quality[i] if finds[i] else 1 - setting.quality[i]
            share *= setting.guess if guesses[i] else 1 - setting.guess
        moves = [helpers[i].sure if sure[i] else helpers[i].unsure for i in (0, 1)]
        right = [finds[i] if moves[i].searches else sure[i] or guesses[i] for i in (0, 1)]
        loud = [moves[i].asserts for i in (0, 1)]
        chosen = coin
        if rule in NAMED:
            chosen = NAMED.index(rule)
        elif rule != "any" and loud[0] != loud[1]:
            chosen = loud.index(rule == "assert")
        total += share * (right[chosen] - setting.price * sum(move.searches for move in moves))
    return total


def settings(count, askers):
    rng = np.random.default_rng(0)
    for n in range(count):
        known, quality = rng.choice([0.0, 0.3, 0.5, 1.0], 2), rng.choice([0.0, 0.4, 0.9, 1.0], 2)
        shared = n % 2 == 1
        first, second = known.tolist()
        pair = (first, first if shared else second)
        yield Setting(pair, tuple(quality.tolist()), float(rng.choice([0.0, 0.2, 0.7])), 0.1 * (n % 3), shared, askers)


def test_values_are_those_of_brute_force():
    rng = np.random.default_rng(1)
    for setting in settings(12, (*ANONYMOUS, *NAMED)):
        solution, own = Solution(setting), [setting.strategies(i) for i in (0, 1)]
        for _ in range(12):
            a, b, rule = (int(rng.integers(size)) for size in solution.values.shape)
            expected = simulated(setting, (own[0][a], own[1][b]), setting.askers[rule])
            assert solution.values[a, b, rule] == pytest.approx(expected), (setting, a, b, rule)


def test_equilibria_are_those_of_brute_force():
    for setting in settings(6, ("assert",)):
        own = [setting.strategies(i) for i in (0, 1)]
        value = {pair: simulated(setting, pair, "assert") for pair in product(*own)}
        stable = {
            (a, b)
            for a, b in value
            if all(value[other, b] <= value[a, b] + 1e-9 for other in own[0])
            and all(value[a, other] <= value[a, b] + 1e-9 for other in own[1])
        }
        solution = Solution(setting)
        assert {profile.helpers for profile in solution.equilibria()} == stable
        top = max(value.values())
        best = {pair for pair in value if value[pair] >= top - 1e-9}
        assert {profile.helpers for profile in solution.best()} == best <= stable, "a joint maximum is an equilibrium"


def test_there_are_sixteen_strategies_and_fewer_where_a_case_cannot_be():
    assert len(set(STRATEGIES)) == len(STRATEGIES) == 16
    setting = Setting((0.0, 1.0), (1.0, 1.0), 0.1)
    assert [len(setting.strategies(i)) for i in (0, 1)] == [4, 4]


def test_the_joint_maximum_hedges_what_is_not_known():
    """With a price above what a search is worth, nobody calls, and only hedging tells right from wrong."""
    (best,) = Solution(Setting((0.5, 0.5), (0.4, 0.4), 0.6)).best()
    assert all((helper.sure, helper.unsure) == (ASSERT, HEDGE) for helper in best.helpers)
    assert best.value == pytest.approx(0.75) and best.calls == 0


def test_one_policy_in_both_roles_needs_one_search_alone():
    best = Solution(Setting((0.5, 0.5), (0.9, 0.9), 0.2, shared=True)).best()
    assert {profile.calls for profile in best} == {0.5} and best[0].value == pytest.approx(0.5 + 0.5 * 0.9 - 0.1)
    searchers = [[helper.unsure.searches for helper in profile.helpers] for profile in best]
    assert all(sum(one) == 1 for one in searchers) and [True, False] in searchers and [False, True] in searchers


def test_who_is_told_apart_need_not_hedge():
    """An asker that believes one helper by name makes its hedges void: more equilibria, among them worse ones."""
    quality, known = (0.9, 0.9), (0.5, 0.3)
    anonymous, named = (Solution(Setting(known, quality, 0.2, askers=a)) for a in (ANONYMOUS, (*ANONYMOUS, *NAMED)))
    assert len(named.equilibria()) > len(anonymous.equilibria())
    by_name = [profile for profile in named.equilibria() if profile.asker in NAMED]
    believed = {profile.helpers[NAMED.index(profile.asker)].sure.asserts for profile in by_name}
    assert believed == {True, False}, "asserting and hedging earn the same"


@pytest.mark.parametrize(
    ("setting", "plan", "unique"),
    [
        (Setting((0.5, 0.5), (0.9, 0.9), 0.2), "u-", "~"),
        (Setting((0.5, 0.3), (0.9, 0.9), 0.2), "u-", "*"),
        (Setting((0.3, 0.5), (0.9, 0.9), 0.2), "-u", "*"),
        (Setting((0.5, 0.5), (0.9, 0.9), 0.9), "--", "*"),
        (Setting((0.5, 0.5), (0.5, 0.5), 0.0), "uu", "*"),
        (Setting((1.0, 1.0), (0.5, 0.5), 0.2), "--", " "),
    ],
)
def test_a_point_of_the_map(setting, plan, unique):
    point = square(setting)
    assert point.plans == (plan,) and point.unique == unique and point.worst <= point.value
    assert calls_of(Solution(setting).best()[0], setting) in point.plans or unique != "*"


def test_the_command_prints_equilibria_and_map(capsys):
    assert main(["known=0.5", "quality=0.9", "price=0.2", "values=3", "most=1"]) == 0
    text = capsys.readouterr().out
    assert "2 profiles earn the most" in text and "joint maximum" in text and "... " in text
    assert "nobody searches" in text and text.count("\n0.") == 2 and text.count("\n1.") == 1
    assert main(["help"]) == 0 and "key=value" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("known", "arguments have the form key=value"),
        ("knwon=1", "unknown argument 'knwon'"),
        ("known=2", "known must be in [0, 1]"),
        ("known=a", "known must be a number, not 'a'"),
        ("known=0.1,0.2,0.3", "known must be a number, or one a helper"),
        ("price=-1", "price must be at least 0"),
        ("guess=2", "guess must be in [0, 1]"),
        ("asker=me", "asker must be one of assert, any, free"),
        ("shared=1", "shared must be true or false"),
        ("identities=true", "identities=true needs asker=free"),
        ("values=1", "values must be a whole number of at least 2"),
    ],
)
def test_a_wrong_argument_is_one_sentence(capsys, argument, sentence):
    assert main([argument]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_shared_knowledge_is_the_same(capsys):
    assert main(["known=0.1,0.2", "shared=true"]) == 2 and "same known" in capsys.readouterr().err
