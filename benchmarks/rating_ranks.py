"""Ranks methods by a cheap and a strong rater, and says which share of the money of strong ratings alone that takes.

``python benchmarks/rating_ranks.py sql``, ``almanac``, ``ledger``, or ``ambigqa --path DEV_LIGHT_JSON``, with
``--models NAME=FOLDER ...``, pocket models of the task and policies that learned from them, each sampled and greedy.
Every method plays the same episodes once, one game each. The strong rater is the task's own score (exact match, or
execution of queries), the cheap one token F1 or the similarity of a model's embeddings, each replaced by what it says
of the strong rating (`trainers.evaluation.recalibrate`). On sql, scripted players make slips: some wrong, some only
spelled otherwise. Strong ratings alone, of half the episodes, give the width to reach; each policy is given the least
share of that money at which its mean width is as small. Then methods are ranked ``--repeats`` times with other draws:
``ranked`` is the share of repeats in which every pair of methods that all strong ratings together tell apart is in
their order, ``pairs`` the share of such pairs.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clarify_env import make_task
from clarify_env.evaluation.played import Score
from clarify_env.games import find_game
from clarify_env.games.agents import Agent
from clarify_env.games.base import Reply, View
from clarify_env.games.setup import Setup
from clarify_env.selfplay import Start, play
from trainers.evaluation.raters import MeanPooled, by_execution, by_text
from trainers.evaluation.rating import of_method
from trainers.evaluation.recalibrate import Recalibrated
from trainers.rating.estimate import compare
from trainers.rating.policies import Prices
from trainers.rating.ratings import of_arrays
from trainers.rating.rules import Rules
from trainers.rating.sequential import Pending, rate

# Costs of a question and of a word in every game.
COSTS = (0.3, 0.03)
# Prices of a strong rating, a cheap one costing 1.
PRICES = (10.0, 100.0)
POLICIES = ("always", "uniform", "active")
# Share of the episodes whose strong ratings give the widths to reach.
REFERENCE = 0.5
# Probabilities of a wrong query and of one spelled otherwise, of the scripted players of sql.
SLIPS = ((0.05, 0.3), (0.15, 0.1), (0.15, 0.3), (0.3, 0.0), (0.45, 0.2))
# Shares of that money between which the least is found, and repeats at each.
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 1.0)
SEARCH = 50


class Rated:
    """Ratings of all methods on all episodes.

    Args:
        methods: Names of the methods.
        strong: Strong ratings, shape [methods, episodes].
        cheap: By name of the cheap rater, its ratings, shape [methods, episodes].
    """

    def __init__(self, methods: list[str], strong: np.ndarray, cheap: dict[str, np.ndarray]):
        self.methods, self.strong, self.cheap = methods, strong, cheap
        self.pairs = self.told_apart()

    def ranking(self) -> list[int]:
        """Returns the methods as all strong ratings rank them, best first."""
        return sorted(range(len(self.methods)), key=lambda method: -self.strong[method].mean())

    def told_apart(self) -> list[tuple[int, int]]:
        """Returns the pairs (better, worse) that all strong ratings tell apart, with 95 % confidence for all pairs."""
        ones = np.ones(self.strong.shape[1])
        comparison = compare([of_arrays(strong, strong, ones) for strong in self.strong])
        pairs = [
            (pair if one.mean > 0 else pair[::-1])
            for pair, one in comparison.differences.items()
            if one.low > 0 or one.high < 0
        ]
        return sorted(pairs)


class Repeats(NamedTuple):
    """What some repeats came to.

    Attributes:
        width: Mean width of the methods' intervals.
        paired: Mean width of the intervals of differences, 95 % for all pairs together.
        money: Mean money.
        ranked: Share of rankings equal to that by all strong ratings.
        pairs: Share of pairs of methods in its order.
        covered: Share of intervals that hold the mean of all strong ratings.
    """

    width: float
    paired: float
    money: float
    ranked: float
    pairs: float
    covered: float


def rated_methods(
    setup: Setup, methods: dict[str, Agent], episodes: Sequence[Any], strong: Score, cheap: Score
) -> Rated:
    """Plays every method on the same episodes, readings and costs, and rates each game by both raters."""
    rng, starts = np.random.default_rng(0), []
    for number, episode in enumerate(episodes):
        starts.append(Start(episode, setup.game.draw(episode, rng), COSTS, seed=number))
    user = {"user": setup.game.player("user", setup.task, "scripted")}
    ratings: dict[str, list[np.ndarray]] = {name: [] for name in ("strong", *cheap)}
    for agent in methods.values():
        games = list(play(starts, user | {"assistant": agent}, task=setup.task, game=setup.game, chunk=256))
        for name, rater in ({"strong": strong} | cheap).items():
            ratings[name].append(rater(setup, games))
    stacked = {name: np.stack(of_rater) for name, of_rater in ratings.items()}
    return Rated(list(methods), stacked.pop("strong"), stacked)


def repeat(rated: Rated, rater: str, policy: str, prices: Prices, money: float, seeds: Sequence[int]) -> Repeats:
    """Ranks the methods with the draws of each seed."""
    methods = len(rated.methods)
    strong, cheap = rated.strong.T.ravel(), rated.cheap[rater].T.ravel()  # methods take turns
    pairs, means = rated.pairs, rated.strong.mean(1)
    results = []
    for seed in seeds:
        rules = Rules(prices, money, policy, seed=seed)
        outcome = rate(
            strong.size,
            Recalibrated(lambda items: cheap[items].tolist(), lambda items: strong[items].tolist()),
            lambda items: strong[items].tolist(),
            rules,
            blocks=np.arange(strong.size) // methods,
        )
        assert not isinstance(outcome, Pending), "every rating is there"
        parts = [of_method(outcome, number, methods, rules) for number in range(methods)]
        estimates, differences, _ = compare(parts)
        ordered = [estimates[better].mean > estimates[worse].mean for better, worse in pairs]
        covered = [one.low <= mean <= one.high for one, mean in zip(estimates, means, strict=True)]
        width = float(np.mean([one.width for one in estimates]))
        paired = float(np.mean([one.width for one in differences.values()]))
        results.append((width, paired, outcome.money, all(ordered), np.mean(ordered), np.mean(covered)))
    return Repeats(*np.mean(np.array(results, dtype=float), axis=0).tolist())


def least_share(rated: Rated, rater: str, policy: str, prices: Prices, reference: Repeats) -> float | None:
    """Returns the least share of the reference's money that gives as narrow intervals; ``None``: none does."""
    before: tuple[float, float] | None = None
    for share in SHARES:
        width = repeat(rated, rater, policy, prices, share * reference.money, range(SEARCH)).width
        if width <= reference.width:
            if before is None:
                return share
            # Widths fall with the square root of the money: interpolated in 1 / width^2.
            low, high, wanted = before[1] ** -2, width**-2, reference.width**-2
            return before[0] + (share - before[0]) * (wanted - low) / (high - low)
        before = share, width
    return None


def table(rated: Rated, rater: str, repeats: int) -> list[dict[str, Any]]:
    """Returns a row for each price and policy; see the module."""
    methods, episodes = rated.strong.shape
    rows = []
    for price in PRICES:
        prices = Prices(1.0, price)
        reference = repeat(
            rated, rater, "always", prices, price * methods * round(REFERENCE * episodes), range(repeats)
        )
        for policy in POLICIES:
            share = 1.0 if policy == "always" else least_share(rated, rater, policy, prices, reference)
            row: dict[str, Any] = {"prices": f"{price:g}:1", "policy": policy, "share": share}
            if share is not None:
                result = repeat(rated, rater, policy, prices, share * reference.money, range(1000, 1000 + repeats))
                row |= result._asdict() | {"wanted": reference.width, "paired_wanted": reference.paired}
            rows.append(row)
    return rows


def markdown(rated: Rated, tables: dict[str, list[dict[str, Any]]]) -> str:
    """Returns the tables in Markdown; ``tables`` holds the rows of each cheap rater."""
    titles = [f"{name} (MSE)" for name in tables]
    lines = [f"| method | strong rating | {' | '.join(titles)} |", "|" + "---|" * (2 + len(titles))]
    for method in rated.ranking():
        strong = rated.strong[method]
        cells = [
            f"{rated.cheap[name][method].mean():.3f} ({np.square(strong - rated.cheap[name][method]).mean():.3f})"
            for name in tables
        ]
        lines.append(f"| {rated.methods[method]} | {strong.mean():.3f} | {' | '.join(cells)} |")
    pairs = len(rated.methods) * (len(rated.methods) - 1) // 2
    lines += ["", f"{len(rated.pairs)} of {pairs} pairs are told apart by all strong ratings.", ""]
    columns = ("cheap rater", "prices", "policy", "money, %", "width (wanted)", "of differences (wanted)")
    columns += ("ranked, %", "pairs, %", "covered, %")
    lines += [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for name, rows in tables.items():
        for row in rows:
            cells = ["more than 100", "", "", "", "", ""]
            if row["share"] is not None:
                shares = [f"{100 * row[column]:.1f}" for column in ("ranked", "pairs", "covered")]
                paired = f"{row['paired']:.4f} ({row['paired_wanted']:.4f})"
                cells = [f"{100 * row['share']:.0f}", f"{row['width']:.4f} ({row['wanted']:.4f})", paired, *shares]
            lines.append(f"| {' | '.join([name, row['prices'], row['policy'], *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the tables of a task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("ambigqa", "sql", "almanac", "ledger"))
    parser.add_argument("--path", help="AmbigQA's data file")
    parser.add_argument("--models", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--embeddings", metavar="FOLDER", help="model of the cheap rater similarity")
    parser.add_argument("--episodes", type=int, default=1400)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--save", type=Path, help="file of the ratings, read again if it is there")
    options = parser.parse_args()
    if options.save is not None and options.save.exists():
        stored = json.loads(options.save.read_text(encoding="utf-8"))
        cheap = {name: np.array(values) for name, values in stored["cheap"].items()}
        rated = Rated(stored["methods"], np.array(stored["strong"]), cheap)
    else:
        rated = play_task(options.task, options.path, options.models, options.embeddings, options.episodes)
        if options.save is not None:
            cheap_lists = {name: values.tolist() for name, values in rated.cheap.items()}
            values = {"methods": rated.methods, "strong": rated.strong.tolist(), "cheap": cheap_lists}
            options.save.write_text(json.dumps(values), encoding="utf-8")
    print(f"{options.task}: {rated.strong.shape[1]} episodes, {options.repeats} repeats\n")
    print(markdown(rated, {name: table(rated, name, options.repeats) for name in rated.cheap}))


class Slips:
    """The strategy that guesses, with slips: with some probabilities it errs, or spells a right query otherwise.

    Args:
        guess: The strategy.
        wrong: Probability that it drops a condition or an order, or answers with another column's query.
        respelled: Probability that it writes an equivalent query.
    """

    def __init__(self, guess: Agent, wrong: float, respelled: float):
        self.name, self._guess, self._wrong, self._respelled = "slips", guess, wrong, respelled

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`."""
        replies = self._guess.act(views, seeds, openings)
        return [Reply(self._slip(str(reply.text), seed)) for reply, seed in zip(replies, seeds, strict=True)]

    def _slip(self, text: str, seed: int) -> str:
        draw = np.random.default_rng([seed, 7]).random()
        if draw < self._wrong:
            for clause in (" WHERE ", " ORDER BY "):
                if clause in text:
                    return text.partition(clause)[0]
            return text.replace("SELECT ", "SELECT DISTINCT name, ")
        return f"{text} LIMIT 900" if draw > 1 - self._respelled else text


def play_task(name: str, path: str | None, models: Sequence[str], embeddings: str | None, count: int) -> Rated:
    """Plays scripted methods and models on a task and rates them."""
    options: dict[str, Any] = {"ambigqa": {"path": path}, "sql": {"test": count}}.get(name, {})
    task = make_task(name, **options)
    setup = Setup(find_game("clarification"), task)
    episodes = [episode for split in ("test", "validation", "train") for episode in task_episodes(task, split, count)]
    methods: dict[str, Agent] = {
        strategy: setup.game.player("assistant", task, strategy) for strategy in ("guess", "threshold")
    }
    if name == "sql":
        slips = {f"slips {wrong:g}, {other:g}": Slips(methods["guess"], wrong, other) for wrong, other in SLIPS}
        methods |= slips
    for model in models:
        from agents.hf import HFAgent, load

        label, _, folder = model.partition("=")
        for title, temperature in (("sampled", 1.0), ("greedy", 0.0)):
            loaded = load(folder, device="cpu")
            methods[f"{label} {title}"] = HFAgent(*loaded, style="pocket", temperature=temperature)
    strong = by_execution if name == "sql" else partial(by_text, "em")
    cheap: dict[str, Score] = {"f1": partial(by_text, "f1")}
    if embeddings is not None:
        from agents.hf import load

        cheap["similarity"] = MeanPooled(*load(embeddings, device="cpu"))
    return rated_methods(setup, methods, episodes[:count], strong, cheap)


def task_episodes(task: Any, split: str, count: int) -> list[Any]:
    """Returns up to ``count`` episodes of a split."""
    size = task.sizes[split]
    return [task.episode(split, index) for index in range(count if size is None else min(count, size))]


if __name__ == "__main__":
    main()
