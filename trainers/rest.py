"""ReST in collaborative self-play (arXiv 2512.04068; ReST: 2308.08998, ReST-EM: 2312.06585), with hindsight costs.

Each iteration grows a data set of games with the current policy (`trainers.rollouts`), selects from the games of each
episode the messages of highest value at given prices (`trainers.selection`), and improves the policy by supervised
fine-tuning on them (`trainers.learning`). The reward is linear in the prices, so a played game's reward is known at
every price, and one game teaches many prices (``rest.hindsight``).
"""

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.example import Example
from clarify_env.costs import Prices
from clarify_env.games.base import Trajectory
from clarify_env.options import option
from trainers.evaluation.measure import measure, validate
from trainers.learning.improve import check_update, improve
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.rollouts.grow import check_budget, grow
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.options import RolloutOptions
from trainers.runs.run import Run
from trainers.selection.decisions import answers, best_decisions
from trainers.selection.keep import RULES, keep_games, keep_messages, rule
from trainers.selection.partners import partner_turns
from trainers.selection.returns import ScoredMessage, earned, expected
from trainers.selection.tree import Choice, Heard, Tree, check_role

if TYPE_CHECKING:
    from agents.render import Renderer

# All games played on an episode so far, by the episode's id.
Pool = Mapping[str, Sequence[Trajectory]]

# Options of one rule, which no size or game sets; options of several rules say so in their help.
_OF_RULE = {"temperature": "action", "k": "top_k", "threshold": "threshold", "percentile": "percentile"}
# Minimum loss weight of a tag: even if actions have about the same value, messages must begin with a tag.
LEAST = 0.1


@dataclass(frozen=True)
class RestOptions:
    """ReST's own options (``rest.*``); docs/results.md says how their defaults were chosen."""

    iterations: int = option(1, least=1)
    """Rounds of grow, select and improve, which share the budget; one round selects 99.9 % of the oracle's reward."""
    hindsight: int = option(120, least=0)
    """Training prices at which each episode's games are selected; 0: only those that they were played at."""
    corner: float = option(0.1, least=0, most=1)
    """Probability that drawn costs are replaced by (max alpha, max beta), otherwise seldom drawn together."""
    word_ends: float = option(0.1, least=0, most=1)
    """Probability that a drawn beta is replaced by the smallest one, and the same for the largest."""
    margin: float = option(0.05, least=0)
    """Margin over the second-best action, in units of reward, from which a tag counts in full; 0: all tags do; of rules
    action and by_role."""
    least_value: float | None = option(None)
    """Expected reward of the best action, or highest reward of the games of a group, from which messages are learned; 0
    leaves out those of episodes that no game of the group solved, which a model that reads badly would learn as answers
    (a wrong answer that costs nothing earns 0 itself: then a little more); null: all are learned, as under by_role."""
    replies: str = option("each", choices=("each", "once"))
    """Where a message is the best of its action at several costs, it is learned at each of them; or once, and at the
    others its tag alone: the decision is what depends on the costs, and a tag is a fraction of the tokens; of rules
    action and by_role."""
    constant: int | None = option(None, least=1)
    """Most costs at which a point of a game is learned whose best action is the same at all that were drawn: it tells
    nothing of how to act on costs, and a question's answer mostly is such a point; null: all; of rule action."""
    temperature: float = option(0.0, least=0)
    """Messages are drawn with odds exp(value / temperature), each the best of its action; 0: the best one alone; of
    rule action."""
    rule: str = option("action", choices=RULES)
    """Selection: the best decision (action); where several roles learn, that of each role by its mean reward over games
    (by_role); or games by their reward (best, top_k, threshold, percentile)."""
    k: int = option(4, least=1)
    """Games that top_k keeps of an episode; at least 1."""
    threshold: list[float] = option([0.7, 0.8, 0.9], least=0, most=1)
    """Share of the way from a group's lowest reward to its highest, one an iteration, rising; of rule threshold."""
    percentile: float = option(75.0, least=0, most=100)
    """Percentile of a group's rewards from which games are kept, in [0, 100]; of rule percentile."""
    partner_turns: bool = option(True)
    """Also learn the policy's turns as the user (user=self, or learn=[assistant,user]), selected by their conduct: no
    leak, grounded, just what was asked; false: the user's turns are played and not learned."""
    start: str = option("base", choices=("base", "previous"))
    """Each iteration improves the base model (ReST-EM) or the previous policy (ReST)."""

    def __post_init__(self) -> None:
        if self.corner + 2 * self.word_ends > 1:
            raise ValueError("rest.corner and twice rest.word_ends are probabilities, of at most 1 together")
        if not self.threshold or self.threshold != sorted(self.threshold):
            raise ValueError(f"rest.threshold must be rising numbers in [0, 1], not {self.threshold}")


def rest(
    experiment: Experiment, options: RestOptions, rollouts: RolloutOptions, update: UpdateOptions, run: Run
) -> None:
    """Grow, select, improve; ``rest.iterations`` times. Then measure."""
    base = policy = experiment.load_policy()
    check_update(base, update)
    pool: dict[str, list[Trajectory]] = {}
    used = dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, experiment, experiment.players(base, 1.0), iteration=0)
    for iteration in range(1, options.iterations + 1):
        # Grow: play training episodes with the current policy.
        players = experiment.players(policy, rollouts.temperature)
        budget = experiment.budget.games // options.iterations
        for episode, games in grow(experiment, rollouts, run, players, iteration, budget, used=used):
            pool.setdefault(episode.id, []).extend(games)
        # Select: the messages of highest value, at many prices.
        advance = run.bar(f"iteration {iteration}: selecting", len(pool), "episodes")
        examples = select(experiment, options, rollouts, experiment.renderer(policy), pool, iteration, advance)
        # Improve: fine-tune on them.
        start = base if options.start == "base" else policy
        policy = improve(experiment, update, run, start, examples, iteration)
        used["update_tokens"] += update_tokens(examples, update)
        validate(run, experiment, experiment.players(policy, 1.0), iteration=iteration)
    used["gold_labels"] = experiment.gold_labels(pool)
    measure(run, experiment, partial(experiment.players, policy), method="rest", budget=used)


def check(experiment: Experiment, options: RestOptions, rollouts: RolloutOptions) -> None:
    """Refuses the rule ``action`` where it cannot be applied, and a budget of too few games.

    Raises:
        ValueError: Several roles learn by reward, the one that does can tell what is hidden, no message would be
            learned, an option has no effect with ``rest.rule``, or a group does not fit the budget.
    """
    defaults = RestOptions()
    for name, of_rule in _OF_RULE.items():
        if options.rule != of_rule and getattr(options, name) != getattr(defaults, name):
            raise ValueError(f"rest.{name} has no effect with rest.rule={options.rule}: it is of rest.rule={of_rule}")
    if experiment.served is not None and options.start == "previous" and options.iterations > 1:
        raise ValueError("rest.start must be base with assistant.kind=api: adapters belong to the model that is served")
    if not experiment.by_reward and not options.partner_turns:
        roles = ", ".join(experiment.learns)
        raise ValueError(f"rest.partner_turns=false leaves nothing to learn with learn=[{roles}], selected by conduct")
    if options.rule == "action" and experiment.by_reward:
        check_role(experiment.setup.game, experiment.at(learns=experiment.by_reward).learning_role("rest.rule=action"))
    games = experiment.budget.games // options.iterations
    if options.rule == "by_role" and not set(experiment.by_reward) & set(experiment.setup.game.openings):
        raise ValueError(
            f"rest.rule=by_role: no learning role of game {experiment.setup.game.name} has openings, which tell its "
            "decisions apart; choose another rule"
        )
    if options.rule == "by_role" and rollouts.marginal:
        raise ValueError(
            "rest.rule=by_role needs rollouts.marginal=false: it takes means over games whose hidden possibility is "
            "drawn by weight, and rollouts.marginal plays each of them equally often"
        )
    check_budget(experiment, rollouts, options.iterations, games, shared_by="rest.iterations")


def select(
    experiment: Experiment,
    options: RestOptions,
    rollouts: RolloutOptions,
    renderer: "Renderer",
    pool: Pool,
    iteration: int,
    progress: Callable[[int], None] = lambda episodes: None,
) -> list[Example]:
    """Values each episode's games at training prices and selects messages by ``rest.rule``.

    With ``rest.partner_turns``, turns of the user that the policy played (``user=self``, ``learn=[assistant,user]``)
    are added; see `partner_turns`. ``progress`` is called with the number of episodes just done.
    """
    rng = np.random.default_rng([experiment.seed, 1000 + iteration])
    examples: list[Example] = []
    for episode_id, games in pool.items():
        if options.hindsight:
            prices = experiment.plane.draw(options.hindsight, rng, corner=options.corner, word_ends=options.word_ends)
        else:
            prices = tuple(sorted({game.prices for game in games}))
        if not experiment.by_reward:
            pass  # only a role that is selected by conduct learns
        elif options.rule == "action":
            tree = Tree(experiment.setup, experiment.task.lookup(episode_id), experiment.by_reward[0])
            for game in games:
                tree.add(game)
            examples += by_action(options, renderer, tree, prices, rng)
        elif options.rule == "by_role":
            examples += by_role(experiment, options, renderer, games, prices)
        else:
            examples += by_rule(experiment, options, rollouts, renderer, games, prices, iteration)
        if options.partner_turns and experiment.by_conduct:
            turns = partner_turns(experiment.setup, games, experiment.by_conduct, renderer.end_ids)
            examples += [Example.of(renderer.encode(turn.view), turn.reply) for turn in turns]
        progress(1)
    return examples


def by_action(
    options: RestOptions, renderer: "Renderer", tree: Tree, prices: Sequence[Prices], rng: np.random.Generator
) -> list[Example]:
    """Selects the best decision at each price vector.

    The message is the best one of its action. The action is that of highest value or, with ``rest.temperature``, drawn
    with odds exp(value / temperature). The target tag is always that of the best action, with loss weight
    clip(margin / rest.margin, LEAST, 1). Follow-ups are kept with probability equal to their reach.
    """
    examples: list[Example] = []
    whole_messages: set[tuple[object, ...]] = set()  # each after the messages that it follows
    choices = tree.choices(np.array(prices), options.temperature, rng)
    most = options.constant or 0
    constant = points_of_one_action(tree, choices) if most else set()
    times: Counter[Heard] = Counter()
    for vector, choices_at in zip(np.array(prices).tolist(), choices, strict=True):
        for choice in choices_at:
            if options.least_value is not None and choice.value < options.least_value:
                continue
            if rng.random() < choice.mass:
                times[choice.heard] += 1
                if choice.heard in constant and times[choice.heard] > most:
                    continue  # the prices are in a random order
                view = tree.setup.learning_view(tree.episode, tree.role, choice.heard, tuple(vector))
                weight = np.clip(choice.margin / options.margin, LEAST, 1).item() if options.margin else 1.0
                opening = tree.setup.game.opening_length(choice.reply.text or "")
                message = (choice.heard, choice.reply.ids)
                whole = options.replies == "each" or message not in whole_messages
                whole_messages.add(message)
                examples.append(with_tag(renderer, renderer.encode(view), choice, opening, weight, whole))
    return examples


def points_of_one_action(tree: Tree, choices: Sequence[Sequence[Choice]]) -> set[Heard]:
    """Returns the points of a game, by the messages heard before, whose best action is the same at all prices."""
    actions: dict[Heard, set[str]] = {}
    for choice in itertools.chain(*choices):
        decision = tree.setup.decision(tree.episode, choice.best.text or "")
        actions.setdefault(choice.heard, set()).add(tree.setup.game.action_of(decision))
    return {heard for heard, best in actions.items() if len(best) == 1}


def with_tag(
    renderer: "Renderer", prompt: tuple[int, ...], choice: Choice, opening: int, weight: float, whole: bool = True
) -> Example:
    """Makes the example of a choice: the best action's tag is the target at ``weight``, all other tokens at 1.

    Args:
        renderer: Computes the number of token ids of the tag.
        prompt: Token ids of the prompt.
        choice: The choice.
        opening: Length of the tag in characters.
        weight: Loss weight of the tag.
        whole: Whether the message is learned as well; else the example ends with the tag, if there is one.
    """
    ids, best = choice.reply.ids, choice.best.ids
    assert ids is not None and best is not None, "the replies are no language model's"
    tag = renderer.leading(ids, opening) if opening else 0
    differs = next((i for i in range(tag) if ids[i : i + 1] != best[i : i + 1]), None)
    if tag and not whole:
        ids = ids[:tag]
    if differs is None:
        return Example(prompt, ids, first_weights=(weight,) * tag)
    # Tags differ in one token; later tokens of the tag follow from it and have full weight.
    return Example(prompt, ids, first_weights=(weight,) * (differs + 1), relabel=(differs, best[differs]))


def by_role(
    experiment: Experiment,
    options: RestOptions,
    renderer: "Renderer",
    games: Sequence[Trajectory],
    prices: Sequence[Prices],
) -> list[Example]:
    """Selects each role's best decision at each price vector, and the answers of games of the highest score.

    The loss weight of a tag is clip(margin / ``rest.margin``, LEAST, 1). A message that plays on, or that its game
    scored with, is learned as a whole, at each price or once (``rest.replies``); else its tag alone. Messages of roles
    without openings depend on no decision, and are learned once.
    """
    setup, roles = experiment.setup, experiment.by_reward
    examples: list[Example] = []
    whole_messages: set[tuple[object, ...]] = set()
    for vector in prices:
        for game, turn, margin, worth in best_decisions(setup, games, vector, roles):
            ids = turn.reply.ids
            assert ids is not None, "the replies are no language model's"
            message = (turn.role, turn.view.heard, ids)
            whole = worth and (options.replies == "each" or message not in whole_messages)
            opening = setup.game.opening_length(turn.reply.text or "")
            tag = renderer.leading(ids, opening) if opening else 0
            if whole:
                whole_messages.add(message)
            elif not tag:
                continue
            weight = np.clip(margin / options.margin, LEAST, 1).item() if options.margin else 1.0
            view = setup.view_at(game, turn, vector)
            examples.append(Example(renderer.encode(view), ids if whole else ids[:tag], first_weights=(weight,) * tag))
    others = [role for role in roles if role not in setup.game.openings]
    return examples + [Example.of(renderer.encode(turn.view), turn.reply) for _, turn in answers(games, others)]


def by_rule(
    experiment: Experiment,
    options: RestOptions,
    rollouts: RolloutOptions,
    renderer: "Renderer",
    pool: Sequence[Trajectory],
    prices: Sequence[Prices],
    iteration: int,
) -> list[Example]:
    """Selects games or messages by their reward at each price vector.

    With ``rollouts.marginal`` messages are selected by expected reward, and the weight of a message is its reach.
    Otherwise games are selected by their reward. Where no game of the group earns ``rest.least_value``, none is.
    """
    keep = rule(
        options.rule, k=options.k, threshold=options.threshold, percentile=options.percentile, iteration=iteration
    )
    setup, roles = experiment.setup, experiment.by_reward
    selected: list[ScoredMessage] = []
    for vector in prices:
        games = pool if options.hindsight else [game for game in pool if game.prices == vector]
        if options.least_value is not None and _highest(games, vector, roles) < options.least_value:
            continue
        if rollouts.marginal:
            selected += keep_messages(expected(setup, games, vector, roles), keep)
        else:
            selected += keep_games([earned(setup, [game], vector, roles) for game in games], keep)
    return [Example.of(renderer.encode(message.view), message.reply, message.share) for message in selected]


def _highest(games: Sequence[Trajectory], prices: Prices, roles: Sequence[str]) -> float:
    """Returns the highest reward of a game to any of some roles."""
    return max((game.result.reward(prices, role) for game in games for role in roles), default=-np.inf)


main: Any = command(rest, check=check, tries=True, served=True)

if __name__ == "__main__":
    main()
