"""What uniform and active ratings save against always-strong ones, on synthetic ratings, beside the theory.

``python benchmarks/rating.py``: a table (and ``--png FILE``, the picture) over c_g / c_h, the cheap rater's error and
how much that error differs between items; ``--quick``: fewer of them, and less of each. The strong rating H is normal
with variance 1, and G = H + s(x) times a normal number, with s(x)^2 = MSE exp(spread z - spread^2 / 2) of a known z,
normal too.

Saved is 1 - money x variance / (c_h Var H): what part of the money that strong ratings alone would cost for an interval
of the same width. *Theory* knows s(x) and has no burn-in. *Ours* learns s(x) by isotonic regression on a burn-in of 200
that is paid for and kept in the estimate, rates under a budget of 2,000 strong ratings, and measures the variance from
the interval's width; items never run out.
"""

import argparse
from typing import NamedTuple

import numpy as np

from trainers.rating.estimate import estimate
from trainers.rating.policies import Prices, best_policy, objective
from trainers.rating.rules import Rules
from trainers.rating.sequential import rate

POLICIES = ("uniform", "active")
RATIOS, ERRORS, SPREADS = (0.001, 0.01, 0.1), (0.05, 0.2, 0.5), (0.0, 1.0, 2.0)


class Cell(NamedTuple):
    """One setting.

    Attributes:
        ratio: c_g / c_h.
        error: MSE, in units of Var H.
        spread: Standard deviation of log s(x)^2; at 0 the conditional error has no variance.
    """

    ratio: float
    error: float
    spread: float

    def rmse(self, difficulty: np.ndarray) -> np.ndarray:
        """Returns s(x)."""
        return np.sqrt(self.error * np.exp(self.spread * difficulty - self.spread**2 / 2))


def theory(cell: Cell, policy: str) -> float:
    """Returns what a policy that knows s(x) saves, of endless items and money."""
    from scipy.special import ndtri

    rmse = cell.rmse(ndtri((np.arange(4000) + 0.5) / 4000))
    rmse *= np.sqrt(cell.error / np.mean(rmse**2))
    prices = Prices(cell.ratio, 1.0)
    product = objective(prices, 1.0, rmse, best_policy(policy, prices, 1.0, rmse).rates(rmse))
    return 1 - min(1.0, product)  # no worse than strong ratings alone, which need no cheap ones


def measured(cell: Cell, policy: str, repeats: int, budget: float, burn_in: int) -> tuple[float, float]:
    """Returns what is saved by ratings under a budget, and its standard error over repeats."""
    # So many items that they do not run out.
    items = int(budget / (cell.ratio + 0.02)) + burn_in
    products = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        difficulty, strong = rng.normal(size=items), rng.normal(size=items)
        cheap = strong + cell.rmse(difficulty) * rng.normal(size=items)
        rules = Rules(Prices(cell.ratio, 1.0), budget, policy, burn_in, seed=seed)
        ratings = rate(items, cheap.__getitem__, strong.__getitem__, rules, features=difficulty[:, None])
        products.append(estimate(ratings).error ** 2 * budget)
    return 1 - float(np.mean(products)), float(np.std(products) / max(1, repeats - 1) ** 0.5)


def table(cells: list[Cell], repeats: int, budget: float, burn_in: int) -> list[dict[str, float]]:
    """Returns a row for each setting, with what each policy saves in theory and as measured."""
    rows = []
    for cell in cells:
        row = cell._asdict()
        for policy in POLICIES:
            row[f"{policy}, theory"] = theory(cell, policy)
            row[policy], row[f"{policy}, error"] = measured(cell, policy, repeats, budget, burn_in)
        rows.append(row)
    return rows


def markdown(rows: list[dict[str, float]]) -> str:
    """Returns the table in Markdown."""
    lines = [
        "| c_g / c_h | MSE / Var H | spread | uniform, theory | ours | active, theory | ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        saved = (f"{100 * row[name]:.0f} %" for policy in POLICIES for name in (f"{policy}, theory", policy))
        lines.append(f"| {row['ratio']:g} | {row['error']:g} | {row['spread']:g} | {' | '.join(saved)} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, float]], path: str) -> None:
    """Draws what is saved against the price ratio, one panel for each error, theory dashed."""
    from matplotlib.figure import Figure

    from trainers.reporting.figures import LINES, our_style

    errors = sorted({row["error"] for row in rows})
    spreads = sorted({row["spread"] for row in rows})
    with our_style():
        figure = Figure(figsize=(3.4 * len(errors), 3.2), layout="constrained")
        for axis, error in zip(np.ravel(figure.subplots(1, len(errors), sharey=True)), errors, strict=True):
            shown = [("uniform", spreads[-1])] + [("active", spread) for spread in spreads]
            for (policy, spread), (color, marker) in zip(shown, LINES, strict=False):
                part = [row for row in rows if row["error"] == error and row["spread"] == spread]
                ratios = [row["ratio"] for row in part]
                label = policy if policy == "uniform" else f"active, spread {spread:g}"
                axis.plot(ratios, [100 * row[policy] for row in part], color=color, marker=marker, label=label)
                axis.plot(ratios, [100 * row[f"{policy}, theory"] for row in part], color=color, linestyle="--")
            axis.set(xscale="log", xlabel="price of a cheap rating / of a strong one", title=f"MSE = {error:g} Var H")
            axis.grid(alpha=0.25)
            axis.legend()
        figure.axes[0].set_ylabel("money saved for the same width, %")
        figure.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> None:
    """Prints the table, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="fewer settings, repeats and money")
    parser.add_argument("--png", help="file of the picture")
    options = parser.parse_args(arguments)
    if options.quick:
        cells = [Cell(ratio, 0.2, spread) for ratio in (0.01, 0.1) for spread in (0.0, 2.0)]
        rows = table(cells, 6, 1000.0, 100)
    else:
        cells = [Cell(ratio, error, spread) for error in ERRORS for spread in SPREADS for ratio in RATIOS]
        rows = table(cells, options.repeats, 2000.0, 200)
    print(markdown(rows))
    if options.png:
        draw(rows, options.png)


if __name__ == "__main__":
    main()
