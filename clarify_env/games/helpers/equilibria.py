"""``python -m clarify_env.games.helpers.equilibria``: prints the equilibria of two helpers and a map of the best plans.

The game is that of `normal_form`: a strategy such as ``m! s?`` says what a helper does when it is sure and when it is
not: answer from memory (m) or after a search (s), assert (!) or hedge (?). The asker prefers an answer that is
asserted; of two alike it takes either. The joint maximum is an equilibrium, but there are worse ones.

Arguments, as key=value: ``known`` (probability that a helper is sure), ``quality`` (that a search finds the answer),
``price`` (of a call), ``guess`` (that an unsure memory is right), each a number; ``known`` and ``quality`` also one a
helper, as ``known=0.5,0.3``. ``shared=true``: both are sure or neither is (one policy in both roles). ``asker``: assert
(default), any (takes either answer) or free (it chooses among preferring asserted and hedged answers, and any);
``identities=true``: a free asker may also always believe one helper. ``values``: rows and columns of the map, which
spans price and quality, of both helpers in the ratio given. ``most``: most equilibria that are listed.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clarify_env.arguments import run, value
from clarify_env.games.helpers.normal_form import ANONYMOUS, EQUAL, NAMED, Profile, Setting, Solution


def calls_of(profile: Profile, setting: Setting) -> str:
    """Who searches where: ``-`` nobody, ``u`` where it is unsure, ``a`` always, ``k`` where it is sure; by helper.

    Helpers of equal knowledge and quality are in one order, so that plans that differ only in who is who are one.
    """
    named = []
    for helper, strategy in enumerate(profile.helpers):
        sure = strategy.sure.searches and setting.known[helper] > 0
        unsure = strategy.unsure.searches and setting.known[helper] < 1
        named.append("a" if sure and unsure else "k" if sure else "u" if unsure else "-")
    same = setting.known[0] == setting.known[1] and setting.quality[0] == setting.quality[1]
    return "".join(sorted(named, reverse=True) if same else named)


class Square(NamedTuple):
    """One point of the map.

    Attributes:
        plans: Who searches where (`calls_of`) in the profiles of the highest value, of those with the fewest calls.
        unique: ``"*"``: one profile alone has the highest value; ``"~"``: one alone but for who of the helpers is who;
            else a space.
        value: The highest value.
        worst: Value of the worst equilibrium.
    """

    plans: tuple[str, ...]
    unique: str
    value: float
    worst: float


def square(setting: Setting) -> Square:
    """Solves one point of the map."""
    solution = Solution(setting)
    best, stable = solution.best(), solution.equilibria()
    fewest = min(profile.calls for profile in best)
    plans = {calls_of(profile, setting) for profile in best if profile.calls <= fewest + EQUAL}
    classes = {(frozenset(profile.helpers), profile.asker) for profile in best}
    unique = "*" if len(best) == 1 else "~" if len(classes) == 1 else " "
    return Square(tuple(sorted(plans)), unique, best[0].value, stable[-1].value)


def main(arguments: Sequence[str]) -> int:
    """Prints equilibria and map.

    Args:
        arguments: The command line, as ``key=value`` arguments.

    Returns:
        The exit code: 2 if an argument is wrong, after one sentence on stderr.
    """
    return run("clarify_env.games.helpers.equilibria", __doc__, arguments, lambda given: described(*read(given)))


_DEFAULTS = {
    "known": "0.5",
    "quality": "0.9",
    "price": "0.2",
    "guess": "0",
    "shared": "false",
    "asker": "assert",
    "identities": "false",
    "values": "9",
    "most": "12",
}


def read(arguments: Sequence[str]) -> tuple[Setting, int, int]:
    """Reads the command line: the arguments of `described`, in order.

    Raises:
        ValueError: An argument is wrong; the message names it.
    """
    given = dict(_DEFAULTS)
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals:
            raise ValueError(f"arguments have the form key=value, not {argument!r}")
        if key not in given:
            raise ValueError(f"unknown argument {key!r}; known: {', '.join(given)}")
        given[key] = text
    if given["asker"] not in ("assert", "any", "free"):
        raise ValueError(f"asker must be one of assert, any, free, not {given['asker']!r}")
    flags = {key: _flag(given, key) for key in ("shared", "identities")}
    if flags["identities"] and given["asker"] != "free":
        raise ValueError("identities=true needs asker=free, which may then believe one helper always")
    named = NAMED if flags["identities"] else ()
    askers = (*ANONYMOUS, *named) if given["asker"] == "free" else (given["asker"],)
    setting = Setting(
        _pair(given, "known"),
        _pair(given, "quality"),
        _number(given, "price"),
        _number(given, "guess"),
        flags["shared"],
        askers,
    )
    return setting, _whole(given, "values", 2), _whole(given, "most", 0)


def _number(given: Mapping[str, str], key: str) -> float:
    try:
        return float(given[key])
    except ValueError:
        raise ValueError(f"{key} must be a number, not {given[key]!r}") from None


def _pair(given: Mapping[str, str], key: str) -> tuple[float, float]:
    parts = given[key].strip("[]()").split(",")
    if len(parts) > 2:
        raise ValueError(f"{key} must be a number, or one a helper, not {given[key]!r}")
    first, *others = [_number({key: part}, key) for part in parts]
    return first, others[0] if others else first


def _flag(given: Mapping[str, str], key: str) -> bool:
    flag = value(given[key])
    if not isinstance(flag, bool):
        raise ValueError(f"{key} must be true or false, not {given[key]!r}")
    return flag


def _whole(given: Mapping[str, str], key: str, least: int) -> int:
    if not given[key].isdecimal() or int(given[key]) < least:
        raise ValueError(f"{key} must be a whole number of at least {least}, not {given[key]!r}")
    return int(given[key])


def described(setting: Setting, values: int, most: int) -> str:
    """Returns the equilibria of a setting, and the map over price and quality, as text."""
    solution = Solution(setting)
    stable, best = solution.equilibria(), {str(profile) for profile in solution.best()}
    unique = "one profile earns" if len(best) == 1 else f"{len(best)} profiles earn"
    lines = [
        f"known {setting.known}, quality {setting.quality}, price {setting.price:g}: {unique} the most; "
        f"{len(stable)} of {solution.values.size} profiles are equilibria",
        "strategies when sure, then unsure; m memory, s search; ! assert, ? hedge",
        f"{'helper 0 | helper 1 | asker':<32}{'value':>8}{'calls':>8}",
    ]
    lines += [
        f"{profile!s:<32}{profile.value:8.3f}{profile.calls:8.3f}{'  joint maximum' if str(profile) in best else ''}"
        for profile in stable[:most]
    ]
    if len(stable) > most:
        lines.append(f"... {len(stable) - most} more, down to {stable[-1].value:.3f}")
    return "\n".join([*lines, "", *_map(setting, values)])


def _map(setting: Setting, values: int) -> list[str]:
    """Returns the map: at each price and quality a letter for the plans of the highest value."""
    prices, shares = np.linspace(0, 1, values), np.linspace(0, 1, values)[::-1]
    scale = np.array(setting.quality) / max(*setting.quality, EQUAL)
    rows = [
        [square(_at(setting, tuple((share * scale).tolist()), float(price))) for price in prices] for share in shares
    ]
    letters: dict[tuple[str, ...], str] = {}
    for point in (point for row in rows for point in row):
        letters.setdefault(point.plans, chr(ord("A") + len(letters)))
    corner = "quality \\ price"
    lines = [
        "best joint plan (*: one profile alone; ~: one alone, whoever of the helpers is who), and in brackets how much",
        "less the worst equilibrium earns",
        f"{corner:<16}" + "".join(f"{price:>10.2f}" for price in prices),
    ]
    for share, row in zip(shares, rows, strict=True):
        points = (f"{letters[p.plans]}{p.unique}({p.value - p.worst:.2f})" for p in row)
        lines.append(f"{share:<16.2f}" + "".join(f"{point:>10}" for point in points))
    lines += [f"{letter}: {' or '.join(map(_in_words, plans))}" for plans, letter in letters.items()]
    return lines


_WORDS = {"-": "never", "u": "where unsure", "a": "always", "k": "where sure"}


def _in_words(plan: str) -> str:
    if plan == "--":
        return "nobody searches"
    first, second = (_WORDS[one] for one in plan)
    return f"both search {first}" if first == second else f"one searches {first}, the other {second}"


def _at(setting: Setting, quality: tuple[float, ...], price: float) -> Setting:
    first, second = quality
    return Setting(setting.known, (first, second), price, setting.guess, setting.shared, setting.askers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
