"""Contrastive training in the manner of ACT (arXiv 2406.00222), through DPO (arXiv 2305.18290).

Reference games are played once with the base model, with every action forced. Then, in each round, the policy plays
games, each game is paired with a reference (`selection.pairs`), and DPO prefers the better side (`learning.dpo`). The
better action at an episode's costs is estimated from the reference games, never taken from the oracle.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from clarify_env.games.base import Trajectory
from clarify_env.options import option
from trainers.evaluation.measure import measure, validate
from trainers.learning.improve import check_update, prefer
from trainers.learning.options import UpdateOptions, check_alike, passes
from trainers.rollouts.grow import check_budget, grow
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.runs.store import append_lines
from trainers.selection.pairs import Pair, Preference, References, off_policy, pair, tokens

if TYPE_CHECKING:
    from agents.render import Renderer

Groups = Iterator[tuple[Any, list[Trajectory]]]
# Rollouts of a round: one game per group, no forced message.
_ON_POLICY = RolloutOptions(free=1, forced=0, actions=[], marginal=False, follow_ups=1, temperature=1.0)
# Why pairs that were played are left out, if an option can change it.
_LEFT_OUT = {
    "rewritten": "the chat template of assistant.model writes earlier messages anew in later prompts, so a side of "
    "several messages is no single text (contrastive.simulate=false compares first messages alone)",
    "too_long": "a side is longer than contrastive.max_tokens",
}


@dataclass(frozen=True)
class ContrastiveOptions:
    """Contrastive training's own options (``contrastive.*``)."""

    rounds: int = option(3, least=1)
    """Rounds of sampling, pairing and improving; at least 1."""
    references: float = option(0.5, above=0, below=1)
    """Share of the games that are reference games, played first with every action tried; in (0, 1)."""
    labels: str = option("estimated", choices=("estimated", "gold"))
    """Better action at given costs: estimated from the reference games; or gold (ask wherever ambiguous)."""
    threshold: float = option(0.9, least=0, most=1)
    """Lowest score of a good outcome, in [0, 1]; as published."""
    simulate: bool = option(True)
    """Messages after a clarifying question count; false: first messages alone (an ablation of the paper)."""
    on_policy: bool = option(True)
    """Pair the policy's games with references; false: plain DPO on pairs of reference games (the other ablation)."""
    beta: float = option(0.05, above=0)
    """DPO's beta, the pull to the base model; above 0; as in the published code."""
    max_tokens: int = option(1024, least=1)
    """Longest side of a pair in tokens, prompt included; pairs with longer ones are dropped and counted."""


def check(experiment: Experiment, options: ContrastiveOptions, rollouts: RolloutOptions, update: UpdateOptions) -> None:
    """Checks that the options fit together, before any game is played.

    Raises:
        ValueError: One of ``update.*`` or ``rollouts.*`` cannot be, the game has one action only, the learning role is
            not one that moves first, or the budget is too small.
    """
    game = experiment.setup.game
    if len(game.actions) < 2:
        raise ValueError(f"contrastive: game {game.name} has one kind of action, so there is none to prefer")
    experiment.first_mover("contrastive")
    check_alike(update, "contrastive")
    if update.runs != 1:
        raise ValueError("update.runs must be 1: contrastive training makes one update a round")
    if rollouts.each_role:
        raise ValueError("rollouts.each_role must be false: contrastive training forces the first message of one role")
    if not (rollouts.marginal and rollouts.forced and set(rollouts.actions) == set(game.actions)):
        raise ValueError(
            "rollouts: contrastive training needs reference games of every action for every reading; "
            "choose rollouts=all_readings"
        )
    first, each = shares(experiment.budget.games, options)
    check_budget(experiment, rollouts, 1, first)
    if not each:
        raise ValueError(f"budget.games leaves no games for each of contrastive.rounds={options.rounds}; raise it")


def shares(budget: int, options: ContrastiveOptions) -> tuple[int, int]:
    """Returns the number of reference games and of games a round (or, without ``on_policy``, of pairs)."""
    rounds = options.rounds if options.on_policy else 1
    each = int(budget * (1 - options.references) / rounds)
    return budget - (rounds * each if options.on_policy else 0), each


def contrastive(
    experiment: Experiment, options: ContrastiveOptions, rollouts: RolloutOptions, update: UpdateOptions, run: Run
) -> None:
    """Plays reference games; samples, pairs and improves ``contrastive.rounds`` times; measures."""
    setup = experiment.setup
    base = policy = experiment.load_policy()
    check_update(base, update)
    used = dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, experiment, experiment.players(base, 1.0), iteration=0)
    rounds = options.rounds if options.on_policy else 1
    first, each = shares(experiment.budget.games, options)
    # Reference games: every action, every hidden possibility.
    by_episode: dict[str, list[Trajectory]] = {}
    players = experiment.players(base, rollouts.temperature)
    for episode, games in grow(experiment, rollouts, run, players, 1, first, used=used):
        by_episode.setdefault(episode.id, []).extend(games)
    references = {
        name: References(setup, setup.task.lookup(name), games, experiment.learns[0])
        for name, games in by_episode.items()
    }
    # Indices of the episodes that have references.
    among = sorted(int(name.rpartition("/")[2]) for name in references)
    for number in range(1, rounds + 1):
        if options.on_policy:
            players = experiment.players(policy, 1.0)
            groups = grow(experiment, _ON_POLICY, run, players, number + 1, each, among, used)
            pairs = on_policy_pairs(experiment, options, references, groups, number)
        else:
            pairs = off_policy_pairs(experiment, options, references, each)
        preferences = prepare(run, experiment.renderer(base), pairs, options.max_tokens, number)
        policy = prefer(experiment, update, run, policy, base, preferences, number, beta=options.beta)
        tokens_read = sum(len(side.prompt) + len(side.ids) for preference in preferences for side in preference)
        # Factor 2: the frozen reference model reads the tokens too.
        used["update_tokens"] += round(2 * passes(len(preferences), update) * tokens_read)
        validate(run, experiment, experiment.players(policy, 1.0), iteration=number)
    used["gold_labels"] = experiment.gold_labels(references)
    measure(run, experiment, partial(experiment.players, policy), method="contrastive", budget=used)


def on_policy_pairs(
    experiment: Experiment,
    options: ContrastiveOptions,
    references: Mapping[str, References],
    groups: Groups,
    number: int,
) -> Iterator[Pair | None]:
    """Yields the pair of each sampled game; ``None`` if the references of its episode lack the needed action."""
    rng = np.random.default_rng([experiment.seed, 2000 + number])
    for episode, games in groups:
        reference = references[episode.id]
        for game in games:
            yield pair(
                experiment.setup,
                game,
                reference.games(game.prices, game.hidden),
                reference.better(game.prices, options.labels),
                options.threshold,
                options.simulate,
                rng,
            )


def off_policy_pairs(
    experiment: Experiment, options: ContrastiveOptions, references: Mapping[str, References], count: int
) -> Iterator[Pair | None]:
    """Yields ``count`` pairs of reference games, each at drawn training prices and a drawn hidden possibility."""
    setup, rng = experiment.setup, np.random.default_rng([experiment.seed, 2000])
    plane, pool = experiment.plane.train(), list(references.values())
    for _ in range(count):
        reference, prices = pool[rng.integers(len(pool))], plane[rng.integers(len(plane))]
        weights = setup.weights(reference.episode)
        hidden = int(rng.choice(len(weights), p=weights))
        view = setup.learning_view(reference.episode, experiment.learns[0], (), prices)
        better = reference.better(prices, options.labels)
        games = reference.games(prices, hidden)
        yield off_policy(games, better, reference.episode.id, view, prices, options.simulate, rng)


def prepare(run: Run, renderer: "Renderer", pairs: Iterator[Pair | None], most: int, number: int) -> list[Preference]:
    """Writes ``pairs/round-N.jsonl`` and returns the pairs as tokens; dropped pairs are counted by reason, and logged.

    Args:
        run: Run whose directory holds the file.
        renderer: "Renderer" of the policy's prompts.
        pairs: Pairs; ``None`` for a game without reference.
        most: Maximum length of a side in tokens, prompt included; longer pairs are dropped, not cut.
        number: Number of the round.

    Raises:
        ValueError: No pair is left.
    """
    path = run.dir / "pairs" / f"round-{number}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    counts = dict.fromkeys(("other_action", "good", "bad", "off_policy", "no_reference", "identical", *_LEFT_OUT), 0)
    lines: list[dict[str, Any]] = []
    preferences: list[Preference] = []
    for one in pairs:
        if one is None:
            counts["no_reference"] += 1
        elif one.chosen == one.rejected:
            counts["identical"] += 1
        else:
            chosen = tokens(renderer, one.view, one.chosen, one.chosen_ids)
            rejected = tokens(renderer, one.view, one.rejected, one.rejected_ids)
            if chosen is None or rejected is None:
                counts["rewritten"] += 1
            elif max(len(side.prompt) + len(side.ids) for side in (chosen, rejected)) > most:
                counts["too_long"] += 1
            else:
                counts[one.case] += 1
                lines.append(one.to_json())
                preferences.append(Preference(chosen, rejected))
    append_lines(path, lines)
    if not run.recorded("pairs", number):
        run.record("pairs", number, number, **counts)
    for reason in _LEFT_OUT:
        if counts[reason]:
            message = "contrastive: round %d leaves out %d of %d pairs: %s"
            run.log.warning(message, number, counts[reason], sum(counts.values()), _LEFT_OUT[reason])
    if not preferences:
        dropped = ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "no games"
        raise ValueError(f"contrastive: round {number} has no pairs to learn from ({dropped})")
    return preferences


main: Any = command(contrastive, check=check, tries=True)

if __name__ == "__main__":
    main()
