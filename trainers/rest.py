"""ReST in collaborative self-play (arXiv 2512.04068; ReST: 2308.08998, ReST-EM: 2312.06585), with hindsight costs.

Each iteration grows a data set of games with the current policy (`rollouts.sample`), selects from each question's games
the decisions that earn most at given costs (`selection.tree`), and improves the policy by supervised fine-tuning on
them. A played game's reward is known at every cost, so a group teaches many costs (``rest.hindsight``).
"""

from collections.abc import Iterable

import numpy as np
from omegaconf import DictConfig

from agents.hf import HFAgent, Row
from clarify_env.costs import Costs
from clarify_env.games.base import View
from clarify_env.games.clarification.actions import tag_length
from trainers.evaluation.measure import measure, task_to_measure, validate
from trainers.learning.update import improve, update_config, update_tokens
from trainers.rollouts.sample import generated_tokens, grow, players
from trainers.runs import run as running
from trainers.runs.run import Run, command
from trainers.selection.keep import Keep, kept, kept_games, rule
from trainers.selection.returns import Earned, earned, expected
from trainers.selection.tree import Choice, Tree


def rest(config: DictConfig, run: Run) -> None:
    """Grow, select, improve; ``rest.iterations`` times. Then measure."""
    running.seed_everything(config.seed)
    update_config(config["update"])  # a wrong option is said before any game is played
    if config.rest.dearest + 2 * config.rest.word_ends > 1:
        raise ValueError("rest.dearest and twice rest.word_ends are chances, of at most 1 together")
    for option in ("margin", "temperature", "dearest", "word_ends"):
        if config.rest[option] < 0:
            raise ValueError(f"rest.{option} must be at least 0, not {config.rest[option]}")
    if config.rest.rule != "action":
        make_rule(config, 1)
    task = task_to_measure(config)
    base, tokenizer = running.load_model(config)
    model, trees, used = base, {}, dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, config, task, players(config, task, base, tokenizer, 1.0), iteration=0)
    for iteration in range(1, config.rest.iterations + 1):
        policy = players(config, task, model, tokenizer, config.sample.temperature)
        for episode, games in grow(config, run, task, policy, iteration, config.budget.games // config.rest.iterations):
            tree = trees.setdefault(episode.id, Tree(task, episode))
            for game in games:
                tree.add(game)
            used["games"] += len(games)
            used["generated_tokens"] += generated_tokens(games)
        rows = select(config, HFAgent(model, tokenizer, style=config.prompts.style), trees.values(), iteration)
        start = base if config.rest.start == "base" else model
        model = improve(config, run, start, tokenizer, rows, iteration)
        used["update_tokens"] += update_tokens(rows, update_config(config["update"]))
        validate(run, config, task, players(config, task, model, tokenizer, 1.0), iteration=iteration)
    used["gold_labels"] = sum(len(tree.episode.interpretations) for tree in trees.values())
    measure(run, config, task, lambda t: players(config, task, model, tokenizer, t), method="rest", budget=used)


# Least weight of a tag, where actions earn about as much. That a message begins with a tag is to be learned there too:
# with weights down to 0, up to 0.5 % of messages beyond both maxima had none, most on names of three even readings.
LEAST = 0.1


def select(config: DictConfig, agent: HFAgent, trees: Iterable[Tree], iteration: int) -> list[Row]:
    """Values each question's games at training costs and keeps what is worth learning there (``rest.rule``).

    With ``user=self`` the user's turns of games that went well are kept too: one policy plays both sides.
    """
    rng = np.random.default_rng([config.seed, 1000 + iteration])
    plane = running.make_plane(config)
    rows = []
    for tree in trees:
        if config.rest.hindsight:
            costs = np.array(plane.draw(config.rest.hindsight, rng, config.rest.dearest, config.rest.word_ends))
        else:
            costs = np.array(sorted(tree.costs))
        if config.rest.rule == "action":
            rows += decisions(config, agent, tree, costs, rng)
        else:
            rows += by_rule(config, agent, tree, costs, iteration)
        if config.user.kind == "self":
            rows += [Row(agent.encode(turn.view), turn.reply.ids) for turn in tree.user_turns()]
    return rows


def decisions(config: DictConfig, agent: HFAgent, tree: Tree, costs: np.ndarray, rng: np.random.Generator) -> list[Row]:
    """What is learned at each of the costs, of shape [C, 2]: the best action, and how each action is best carried out.

    A message is the best one of its action, and the action that of highest value or, by ``rest.temperature``, one drawn
    by its value: what is best said after a tag is worth knowing where another tag is better, as at dearer costs it may
    be the one to use. But the tag that is learned is always that of the best action.

    Where another action earns about as much, which is chosen matters little and is decided by chance: there the tag
    counts less, in proportion to what it earns more, up to ``rest.margin``, but never less than `LEAST`. A follow-up is
    kept as often as play comes to it.
    """
    rows, episode = [], tree.episode
    for cell, choices in zip(costs, tree.choices(costs, config.rest.temperature, rng), strict=True):
        for choice in choices:
            if rng.random() < choice.mass:
                view = View(
                    "assistant",
                    episode.query,
                    episode.context,
                    None,
                    choice.history,
                    Costs(*cell.tolist()),
                    len(choice.history),
                    episode.id,
                )
                weight = np.clip(choice.margin / config.rest.margin, LEAST, 1).item() if config.rest.margin else 1.0
                rows.append(with_tag(agent, agent.encode(view), choice, weight))
    return rows


def with_tag(agent: HFAgent, prompt: tuple[int, ...], choice: Choice, weight: float) -> Row:
    """The row of a choice, in which the best action's tag is learned with this weight and all else in full."""
    said, best = choice.reply.ids, choice.best.ids
    tag = agent.leading(said, tag_length(choice.reply.text))
    turn = next((i for i in range(tag) if said[i : i + 1] != best[i : i + 1]), None)
    if turn is None:
        return Row(prompt, said, lead=(weight,) * tag)
    # Tags are told apart by one token; what may follow of a tag is no decision.
    return Row(prompt, said, lead=(weight,) * (turn + 1), instead=(turn, best[turn]))


def by_rule(config: DictConfig, agent: HFAgent, tree: Tree, costs: np.ndarray, iteration: int) -> list[Row]:
    """What another rule of selection keeps at each of the costs, of shape [C, 2].

    Games that were played for every reading are judged by the reward expected over these, and what follows a question
    counts as often as play comes to it; others are judged by their own reward.
    """
    keep = make_rule(config, iteration)
    weights = [reading.weight for reading in tree.episode.interpretations]
    found: list[Earned] = []
    for cell in costs:
        at = Costs(*cell.tolist())
        games = tree.games if config.rest.hindsight else [game for game in tree.games if game.costs == at]
        if config.sample.marginal:
            found += kept(expected(games, at, weights), keep)
        else:
            found += kept_games([earned([game], at) for game in games], keep)
    return [Row(agent.encode(message.view), message.reply.ids, message.share) for message in found]


def make_rule(config: DictConfig, iteration: int) -> Keep:
    """The rule of ``rest.rule`` with its options."""
    options = config.rest
    return rule(
        options.rule, k=options.k, threshold=list(options.threshold), percentile=options.percentile, iteration=iteration
    )


main = command(rest)

if __name__ == "__main__":
    main()
