"""Contrastive training in the manner of ACT (arXiv 2406.00222), through DPO (arXiv 2305.18290).

Reference games are played once with the base model, every action tried. Then, for several rounds: the policy plays
anew, each game is paired with a reference (`selection.pairs`), and DPO prefers the better side (`learning.dpo`).
Which action is better at a question's costs is estimated from the reference games, never taken from the oracle.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from omegaconf import DictConfig, OmegaConf

from agents.hf import HFAgent, load
from clarify_env.games.base import Trajectory, View
from clarify_env.tasks.base import Episode
from trainers.evaluation.measure import measure, task_to_measure, validate
from trainers.learning.dpo import Preference, dpo
from trainers.learning.update import passes, update_config
from trainers.rollouts.sample import generated_tokens, grow, players
from trainers.runs import run as running
from trainers.runs.run import Run, command
from trainers.runs.store import append_lines, save_model
from trainers.selection.pairs import Pair, References, off_policy, pair, tokens

Groups = Iterator[tuple[Episode, list[Trajectory]]]
# How a round's games are sampled: as they come.
_ON_POLICY = {"free": 1, "forced": 0, "actions": [], "marginal": False, "follow_ups": 1, "temperature": 1.0}


def contrastive(config: DictConfig, run: Run) -> None:
    """Plays reference games, then ``contrastive.rounds`` times samples, pairs and improves. Then measures."""
    running.seed_everything(config.seed)
    check(config)
    task = task_to_measure(config)
    base, tokenizer = running.load_model(config)
    model, used = base, dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, config, task, players(config, task, base, tokenizer, 1.0), iteration=0)
    options, update = config.contrastive, update_config(config["update"])
    rounds = options.rounds if options.on_policy else 1
    each = int(config.budget.games * (1 - options.references) / rounds)
    first = config.budget.games - (rounds * each if options.on_policy else 0)
    by_question: dict[str, list[Trajectory]] = {}
    policy = players(config, task, base, tokenizer, config.sample.temperature)
    for episode, games in _counted(grow(config, run, task, policy, 1, first), used):
        by_question.setdefault(episode.id, []).extend(games)
    references = {question: References(task, task.lookup(question), games) for question, games in by_question.items()}
    # Questions that there is something to hold against.
    held = sorted(int(question.rpartition("/")[2]) for question in references)
    for number in range(1, rounds + 1):
        if options.on_policy:
            policy = players(config, task, model, tokenizer, 1.0)
            plain = OmegaConf.merge(config, {"sample": _ON_POLICY})
            groups = _counted(grow(plain, run, task, policy, number + 1, each, held), used)
            found = on_policy_pairs(config, references, groups, number)
        else:
            found = off_policy_pairs(config, references, each)
        rows = prepare(run, HFAgent(base, tokenizer, style=config.prompts.style), found, options.max_tokens, number)
        folder = run.dir / "checkpoints" / f"iteration-{number}"
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            improved = dpo(
                model,
                base,
                rows,
                update,
                beta=options.beta,
                seed=config.seed + number,
                tokenizer=tokenizer,
                report=run.steps(f"round {number}: improving", number),
            )
            save_model(improved, tokenizer, folder)
        model = load(folder, device=config.assistant.device)[0]
        read = sum(len(side.prompt) + len(side.ids) for row in rows for side in row)
        used["update_tokens"] += round(2 * passes(len(rows), update) * read)  # the frozen reference reads them too
        validate(run, config, task, players(config, task, model, tokenizer, 1.0), iteration=number)
    used["gold_labels"] = sum(len(its.episode.interpretations) for its in references.values())
    measure(run, config, task, lambda t: players(config, task, model, tokenizer, t), method="contrastive", budget=used)


def check(config: DictConfig) -> None:
    """Says what is wrong with the options before any game is played.

    Raises:
        ValueError: One of ``contrastive.*``, ``update.*`` or ``sample.*`` cannot be.
    """
    options = config.contrastive
    if options.labels not in ("estimated", "gold"):
        raise ValueError(f"contrastive.labels must be estimated or gold, not {options.labels!r}")
    if not 0 < options.references < 1:
        raise ValueError(f"contrastive.references must lie between 0 and 1, not {options.references}")
    if options.rounds < 1:
        raise ValueError(f"contrastive.rounds must be at least 1, not {options.rounds}")
    if not 0 <= options.threshold <= 1:
        raise ValueError(f"contrastive.threshold must lie in [0, 1], not {options.threshold}")
    if options.beta <= 0:
        raise ValueError(f"contrastive.beta must be above 0, not {options.beta}")
    if update_config(config["update"]).runs != 1:
        raise ValueError("update.runs must be 1: contrastive training makes one update a round")
    if not (config.sample.marginal and config.sample.forced and len(config.sample.actions) == 3):
        raise ValueError(
            "sample: contrastive training needs reference games of every action for every reading; "
            "choose sample=branching"
        )


def _counted(groups: Groups, used: dict[str, int]) -> Groups:
    for episode, games in groups:
        used["games"] += len(games)
        used["generated_tokens"] += generated_tokens(games)
        yield episode, games


def on_policy_pairs(
    config: DictConfig, references: Mapping[str, References], groups: Groups, number: int
) -> Iterator[Pair | None]:
    """The pair of each sampled game, or ``None`` where its question's references lack the action it needs."""
    rng = np.random.default_rng([config.seed, 2000 + number])
    options = config.contrastive
    for episode, games in groups:
        for game in games:
            its = references[episode.id]
            yield pair(
                game,
                its.games(game.costs, game.intent),
                its.better(game.costs, options.labels),
                options.threshold,
                options.simulate,
                rng,
            )


def off_policy_pairs(config: DictConfig, references: Mapping[str, References], count: int) -> Iterator[Pair | None]:
    """So many pairs of reference games alone, each at drawn training costs for a reading drawn by weight."""
    rng = np.random.default_rng([config.seed, 2000])
    cells, questions = running.make_plane(config).train(), list(references.values())
    for _ in range(count):
        its, costs = questions[rng.integers(len(questions))], cells[rng.integers(len(cells))]
        weights = [reading.weight for reading in its.episode.interpretations]
        intent = int(rng.choice(len(weights), p=weights))
        view = View("assistant", its.episode.query, its.episode.context, None, (), costs, 0, its.episode.id)
        yield off_policy(its.games(costs, intent), its.better(costs, config.contrastive.labels), view, rng)


def prepare(run: Run, agent: HFAgent, found: Iterator[Pair | None], most: int, number: int) -> list[Preference]:
    """Writes ``pairs/round-N.jsonl`` and returns the pairs as tokens; what is dropped, and why, is counted.

    Args:
        run: Where.
        agent: Encodes.
        found: Pairs; ``None`` where a game had no reference.
        most: Longest side in tokens, prompt included; no side is ever cut.
        number: Of the round.

    Raises:
        ValueError: No pair is left.
    """
    path = run.dir / "pairs" / f"round-{number}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    counts = dict.fromkeys(
        ("other_action", "good", "bad", "off_policy", "no_reference", "identical", "rewritten", "too_long"), 0
    )
    kept, rows = [], []
    for one in found:
        if one is None:
            counts["no_reference"] += 1
        elif one.chosen == one.rejected:
            counts["identical"] += 1
        else:
            chosen, rejected = (tokens(agent, one.view, side) for side in (one.chosen, one.rejected))
            if chosen is None or rejected is None:
                counts["rewritten"] += 1
            elif max(len(side.prompt) + len(side.ids) for side in (chosen, rejected)) > most:
                counts["too_long"] += 1
            else:
                counts[one.case] += 1
                kept.append(one.to_json())
                rows.append(Preference(chosen, rejected))
    append_lines(path, kept)
    if not run.recorded("pairs", number):
        run.record("pairs", number, number, **counts)
    if not rows:
        dropped = ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "no games"
        raise ValueError(f"contrastive: round {number} has no pairs to learn from ({dropped})")
    return rows


main = command(contrastive)

if __name__ == "__main__":
    main()
