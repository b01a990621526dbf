"""Which mixes of almanac's profiles make a world that needs steering, and one whose steering can be learned.

``python benchmarks/profiles.py``: the mix that ships, then the mix by a linear program over many profiles in which most
of the oracle's *fall*, the words it saves as their price rises, is left to a policy that takes costs for those around
them (`taken`). Where little is left, the oracle's fall hangs on corners of the plane and on choices worth next to
nothing, and a policy that earns all but the oracle's reward shows a range ratio far below 1. The mix keeps to limits:
no fixed strategy earns more than 88 % of the oracle between costs, 94 % beyond one maximum or 81 % beyond both; each
action is the oracle's on a fifth of the grid on which steering is measured; and to decide beyond both by 0.85 of the
largest trained costs loses at most 2 % of the oracle. A minute and a half on one core.
"""

from itertools import product

import numpy as np
from scipy.optimize import linprog

from clarify_env import CostPlane, make_task
from clarify_env.games.clarification.oracle import ACTIONS, FIXED, Solved
from clarify_env.tasks import almanac
from clarify_env.tasks.profiles import ANY, LONG, SHORT

EPISODES = 40  # of each profile
LENGTHS = {"short": SHORT, "long": LONG, "any": ANY} | {str(n): {n: 1.0} for n in range(1, 5)}
PROFILES = [(1, 1.0, name) for name in LENGTHS] + list(product(range(2, 6), (1.05, 1.5, 2.5, 3.0, 4.0, 8.0), LENGTHS))
LIMITS = {"between": 0.88, "beyond_alpha": 0.94, "beyond_beta": 0.94, "beyond_both": 0.81}
LEAST_SHARE, LEAST_CLEAR, MOST_OF_ONE = 0.2, 0.06, 0.4
CLAMP, MOST_LOST = 0.85, 0.02
# Costs are taken for those around them with weights that fall off as a normal density of the costs' ratios.
BLUR = 0.1
FULL = 0.05  # as rest.margin


def taken(words: np.ndarray, margins: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Words used at some costs by a policy that learned at others and does not tell like costs apart.

    Args:
        words: The oracle's at the costs learned at, shape [T].
        margins: By how much its action is the best there, shape [T]; what is worth little is learned little.
        near: How much each cost is taken for each of those, shape [costs, T].

    Returns:
        Shape [costs].
    """
    learned = near * np.clip(margins / FULL, 1e-6, 1)
    return learned @ words / learned.sum(1)


def around(grid: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """How much each cost of a grid is taken for each trained cost: shapes [G, 2], [T, 2] and [G, T]."""
    ratios = np.log(grid[:, None] / trained[None])
    return np.exp(-0.5 * (ratios**2).sum(-1) / BLUR**2)


def measured(profile: tuple[int, float, str], rng: np.random.Generator, episodes: int = EPISODES) -> dict[str, float]:
    """Means over episodes of a profile: rewards by cost set, the oracle's actions, its fall and what is left of it."""
    readings, ratio, lengths = profile
    task, plane, found = make_task("almanac"), CostPlane(), []
    trained, grid = np.array(plane.train()), np.array(list(product(*plane.grid())))
    near, side = around(grid, trained), len(plane.grid()[0])
    for _ in range(episodes // 2):
        for episode in almanac._entity("Ashford", (0, readings, ratio, LENGTHS[lengths]), rng):
            solved, values = Solved(task, episode._replace(id="profile"), 2), {}
            for name in LIMITS:
                costs = np.array(plane.sets()[name])
                earned = np.nan_to_num(solved.by_action(costs), neginf=-1.0)
                values[f"{name} oracle"] = earned.max(1).mean()
                clamped = solved.by_action(np.minimum(costs, CLAMP * trained[-1])).argmax(1)
                values[f"{name} clamped"] = np.take_along_axis(earned, clamped[:, None], 1).mean()
                values |= {f"{name} {fixed}": value.mean() for fixed, value in solved.fixed(costs).items()}
            actions = solved.by_action(grid).argmax(1)
            values |= {f"share of {action}": (actions == i).mean() for i, action in enumerate(ACTIONS)}
            ranked = np.sort(np.nan_to_num(solved.by_action(trained), neginf=-1.0), axis=1)
            left = taken(solved.words_used(trained), ranked[:, -1] - ranked[:, -2], near)
            for name, words in (("fall", solved.words_used(grid)), ("learned fall", left)):
                rows = words.reshape(side, side)
                values[name] = (rows[:, 0] - rows[:, -1]).mean()
            found.append(values)
    return {key: float(np.mean([values[key] for values in found])) for key in found[0]}


def best_learned(table: dict[str, np.ndarray]) -> np.ndarray:
    """Shares of the profiles by which most of the fall can be learned, found by halving the part asked for."""
    limits = [
        table[f"{name} {fixed}"] - most * table[f"{name} oracle"] for name, most in LIMITS.items() for fixed in FIXED
    ]
    limits += [LEAST_SHARE - table[f"share of {action}"] for action in ACTIONS]
    limits.append(LEAST_CLEAR - np.array([readings == 1 for readings, *_ in PROFILES], dtype=float))
    limits.append((1 - MOST_LOST) * table["beyond_both oracle"] - table["beyond_both clamped"])
    low, high, best = 0.0, 1.0, None
    while high - low > 1e-3:
        asked = (low + high) / 2
        missing = asked * table["fall"] - table["learned fall"]
        done = linprog(
            np.zeros(len(PROFILES)),
            A_ub=np.array([*limits, missing]),
            b_ub=np.zeros(len(limits) + 1),
            A_eq=np.ones((1, len(PROFILES))),
            b_eq=[1],
            bounds=(0, MOST_OF_ONE),
        )
        low, high, best = (asked, high, done.x) if done.status == 0 else (low, asked, best)
    if best is None:
        raise SystemExit("no mix of these profiles keeps to the limits")
    return best


def main() -> None:
    """Prints both mixes and what they come to."""
    rng = np.random.default_rng(0)
    rows = [measured(profile, rng) for profile in PROFILES]
    table = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    names = {id(LENGTHS[name]): name for name in LENGTHS}
    ships = dict.fromkeys(PROFILES, 0.0)
    for share, readings, ratio, lengths in almanac.PROFILES:
        ships[readings, ratio, names[id(lengths)]] += share
    for title, shares in (("ships", np.array(list(ships.values()))), ("best learned", best_learned(table))):
        print(f"{title}: (share, readings, ratio, length of answers)")
        print(
            "  ",
            *(
                f"({share:.2f}, {', '.join(map(str, p))})"
                for share, p in zip(shares, PROFILES, strict=True)
                if share > 0.005
            ),
        )
        for name in LIMITS:
            whose, best = ("clamped", *FIXED), shares @ table[f"{name} oracle"]
            of = {who: shares @ table[f"{name} {who}"] / best for who in whose}
            print(f"   {name}, of the oracle:", *(f"{who} {value:.3f}" for who, value in of.items()))
        print("   actions on the grid:", *(f"{a} {shares @ table[f'share of {a}']:.3f}" for a in ACTIONS))
        fall, left = shares @ table["fall"], shares @ table["learned fall"]
        print(f"   fall: {fall:.2f} words, of which {left / fall:.2f} can be learned")


if __name__ == "__main__":
    main()
