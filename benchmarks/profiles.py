"""Which mixes of almanac's profiles make a world that needs steering, and how little they ask beyond the trained costs.

``python benchmarks/profiles.py``: the mix that ships, then the mix by a linear program over many profiles that loses
least beyond both when it is decided by at most 0.9 of the largest trained costs (at those themselves a mix may lose
nothing and yet hang on the very corner of the plane), within the limits that the default plane keeps to: no fixed
strategy earns more than 88 % of the oracle between costs, 94 % beyond one maximum or 81 % beyond both, and each action
is the oracle's on a fifth of (question, costs) pairs between. A minute on one core.
"""

from itertools import product

import numpy as np
from scipy.optimize import linprog

from clarify_env import CostPlane, make_task
from clarify_env.oracle import ACTIONS, FIXED, Solved
from clarify_env.tasks import almanac
from clarify_env.tasks.profiles import ANY, LONG, SHORT

QUESTIONS = 50  # of each profile
LENGTHS = {"short": SHORT, "long": LONG, "any": ANY} | {str(n): {n: 1.0} for n in range(1, 5)}
PROFILES = [(1, 1.0, name) for name in LENGTHS] + list(product(range(2, 6), (1.05, 1.5, 2.5, 4.0, 8.0), LENGTHS))
LIMITS = {"between": 0.88, "beyond_alpha": 0.94, "beyond_beta": 0.94, "beyond_both": 0.81}
LEAST_SHARE, LEAST_CLEAR, MOST_OF_ONE = 0.2, 0.06, 0.34
CLAMPS = (1.0, 0.9)  # decided by at most this part of the largest trained costs; the program looks at the last


def measured(profile: tuple[int, float, str], rng: np.random.Generator, questions: int = QUESTIONS) -> dict[str, float]:
    """Means over questions of a profile: rewards at each cost set, and the oracle's actions between costs."""
    readings, ratio, lengths = profile
    task, plane, found = make_task("almanac"), CostPlane(), []
    top = np.array(plane.train()[-1])
    for _ in range(questions // 2):
        for episode in almanac._entity("Ashford", (0, readings, ratio, LENGTHS[lengths]), rng):
            solved, values = Solved(task, episode._replace(id="profile"), 2), {}
            for name in LIMITS:
                costs = np.array(plane.sets()[name])
                earned = np.nan_to_num(solved.by_action(costs), neginf=-1.0)
                values[f"{name} oracle"] = earned.max(1).mean()
                for part in CLAMPS:
                    clamped = solved.by_action(np.minimum(costs, part * top)).argmax(1)
                    values[f"{name} clamped {part}"] = np.take_along_axis(earned, clamped[:, None], 1).mean()
                values |= {f"{name} {fixed}": value.mean() for fixed, value in solved.fixed(costs).items()}
                for i, action in enumerate(ACTIONS):
                    values[f"{name} share of {action}"] = (earned.argmax(1) == i).mean()
            found.append(values)
    return {key: float(np.mean([values[key] for values in found])) for key in found[0]}


def least_asked(table: dict[str, np.ndarray]) -> np.ndarray:
    """Shares of the profiles that lose least beyond both by clamping, found by halving the loss allowed."""
    limits = [
        table[f"{name} {fixed}"] - most * table[f"{name} oracle"] for name, most in LIMITS.items() for fixed in FIXED
    ]
    limits += [LEAST_SHARE - table[f"between share of {action}"] for action in ACTIONS]
    limits.append(LEAST_CLEAR - np.array([readings == 1 for readings, *_ in PROFILES], dtype=float))
    low, high, best = 0.0, 0.2, None
    while high - low > 1e-4:
        allowed = (low + high) / 2
        loss = (1 - allowed) * table["beyond_both oracle"] - table[f"beyond_both clamped {CLAMPS[-1]}"]
        done = linprog(np.zeros(len(PROFILES)), A_ub=np.array([*limits, loss]), b_ub=np.zeros(len(limits) + 1),
                       A_eq=np.ones((1, len(PROFILES))), b_eq=[1], bounds=(0, MOST_OF_ONE))  # fmt: skip
        low, high, best = (low, allowed, done.x) if done.status == 0 else (allowed, high, best)
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
    for title, shares in (("ships", np.array(list(ships.values()))), ("least asked", least_asked(table))):
        print(f"{title}: (share, readings, ratio, length of answers)")
        print("  ", *(f"({share:.2f}, {', '.join(map(str, p))})" for share, p in zip(shares, PROFILES, strict=True)
                     if share > 0.005))  # fmt: skip
        for name in LIMITS:
            whose = (*(f"clamped {part}" for part in CLAMPS), *FIXED)
            of = {who: shares @ table[f"{name} {who}"] / (shares @ table[f"{name} oracle"]) for who in whose}
            print(f"   {name}, of the oracle:", *(f"{who} {value:.3f}" for who, value in of.items()))
        print("   actions between:", *(f"{a} {shares @ table[f'between share of {a}']:.2f}" for a in ACTIONS))


if __name__ == "__main__":
    main()
