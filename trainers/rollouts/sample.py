"""The shared sampler: how every method that learns from games comes by them (DESIGN section 6).

A group is a question at drawn costs. Its first messages are drawn freely and from each of the three tags (or those of
``sample.actions``), so that no action is judged by its absence; each distinct one is played against every reading, so
that a lucky guess is not taken for a good policy. Plain sampling (``sample.forced=0 sample.marginal=false``) does
neither: it draws games, an intent for each.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.selfplay import Start, play
from clarify_env.costs import Costs
from clarify_env.games.base import Agent, Game, Reply, Trajectory
from clarify_env.games.clarification.actions import KINDS, TAGS
from clarify_env.tasks.base import ENDLESS, Episode, Task
from trainers.runs import run as running
from trainers.runs.run import Run
from trainers.runs.store import ChunkLog
from trainers.selection.tree import decision

# Most questions whose games are grown, written and replayed together: the unit in which a killed run continues.
GROUPS = 32
# What a group's games are taken to be at most until the first have been played, lest a small budget be far exceeded.
_GROUP_GAMES = 60
TAG_OF = dict(zip(KINDS, TAGS, strict=False))  # all but ``invalid`` have one


def players(
    config: DictConfig, task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, temperature: float
) -> dict[str, Agent]:
    """The policy as assistant, and the configured user.

    Raises:
        NotImplementedError: Text before the tag is allowed, which methods that learn do not part from the message.
    """
    _refuse_reasoning(config)
    assistant = running.hf_agent(config, model, tokenizer, temperature)
    return {"assistant": assistant, "user": running.make_user(config, task, model, tokenizer)}


def grow(
    config: DictConfig,
    run: Run,
    task: Task,
    agents: dict[str, Agent],
    iteration: int,
    budget: int,
    among: Sequence[int] | None = None,
) -> Iterator[tuple[Episode, list[Trajectory]]]:
    """Plays groups of training questions until so many games are played, and yields each group's games.

    Which groups there are follows from the seed alone, so a killed run continues after the last chunk on disk.

    Args:
        config: ``sample.*``, ``costs.*``, ``selfplay.*`` and the seed are read.
        run: Where the games are written.
        task: Whose training questions.
        agents: Who plays.
        iteration: Its games are those of this number.
        budget: Games to play. A group is played whole, so a few may come on top: how many its games are shows only
            then, and the last chunk is as long as the groups before it foretell.
        among: Indices of the training questions to play; ``None``: all that there are to learn from.

    Raises:
        NotImplementedError: Text before the tag is allowed.
    """
    _refuse_reasoning(config)
    rng = np.random.default_rng([config.seed, iteration])
    size = training_questions(config, task) if among is None else len(among)
    cells = running.make_plane(config).train()
    make_game = running.game_maker(config)
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    log = ChunkLog(folder / f"iteration-{iteration}.jsonl")
    advance = run.bar(f"iteration {iteration}: growing", budget, "games")
    stored, played, grown, order = log.read(task, make_game), 0, 0, np.array([], dtype=int)
    replayed = log.chunks
    while played < budget:
        if len(order) < GROUPS:
            more = rng.permutation(size) if size else rng.integers(ENDLESS, size=10 * GROUPS)
            order = np.concatenate([order, more])
        wanted = (budget - played) * grown // played if played else budget // _GROUP_GAMES
        chosen, order = np.split(order, [min(max(wanted, 1), GROUPS)])
        if among is not None:
            chosen = np.array(among)[chosen]
        groups = [
            (task.episode("train", int(i)), cells[rng.integers(len(cells))], int(rng.integers(2**62))) for i in chosen
        ]
        if replayed:
            games, replayed = next(stored), replayed - 1
        else:
            games = play_groups(config, task, groups, agents, make_game, played)
            log.append(games)
        played, grown = played + len(games), grown + len(groups)
        advance(len(games))
        by_group: dict[tuple[str, Costs], list[Trajectory]] = {}
        for game in games:
            by_group.setdefault((game.episode_id, game.costs), []).append(game)
        yield from ((task.lookup(question), its) for (question, _), its in by_group.items())
    if not run.recorded("grow", iteration):
        run.record("grow", iteration, iteration, games=played)


def training_questions(config: DictConfig, task: Task) -> int | None:
    """How many training questions there are to learn from, the first ``budget.questions``; ``None``: without end.

    Raises:
        ValueError: There are fewer.
    """
    size, most = task.sizes["train"], config.budget.questions
    if most is None:
        return size
    if not 1 <= most <= (size or most):
        raise ValueError(f"budget.questions must lie in 1 to {size}, the training questions there are, not {most}")
    return most


def _refuse_reasoning(config: DictConfig) -> None:
    rule = config.selfplay.reasoning
    if rule != "none":
        raise NotImplementedError(
            f"selfplay.reasoning={rule} is for measuring alone: methods that learn read messages "
            "that begin with a tag, and want it none"
        )


def play_groups(
    config: DictConfig,
    task: Task,
    groups: list[tuple[Episode, Costs, int]],
    agents: dict[str, Agent],
    make_game: Callable[..., Game],
    first_id: int,
) -> list[Trajectory]:
    """Draws first messages for each group and plays each distinct one against every reading.

    Follow-ups are drawn ``sample.follow_ups`` times a branch, the first of them begun as an answer. Without
    ``sample.marginal`` each message drawn is a game, for an intent drawn by the readings' weights.
    """
    options = config.sample
    tags = [TAG_OF[action] for action in options.actions]
    prefixes = [""] * options.free + [tag for tag in tags for _ in range(options.forced)]
    views = [make_game(task, episode, 0, costs).view("assistant") for episode, costs, _ in groups for _ in prefixes]
    seeds = [seed + k for _, _, seed in groups for k in range(len(prefixes))]
    replies = agents["assistant"].act(views, seeds, prefixes * len(groups))
    starts = []
    for index, (episode, costs, seed) in enumerate(groups):
        drawn = replies[index * len(prefixes) : (index + 1) * len(prefixes)]
        if not options.marginal:
            starts += _one_game_each(episode, costs, seed, drawn)
            continue
        distinct = {decision(task, episode, reply.text): reply for reply in reversed(drawn)}
        for (kind, *_), reply in distinct.items():
            for follow in range(options.follow_ups if kind == "clarify" else 1):
                prefix = TAGS[1] if follow == 0 else ""
                for intent in range(len(episode.interpretations)):
                    starts.append(Start(episode, intent, costs, seed + len(prefixes) + follow, reply, prefix))
    return list(play(starts, agents, task=task, chunk=len(starts), make_game=make_game, first_id=first_id))


def _one_game_each(episode: Episode, costs: Costs, seed: int, drawn: list[Reply]) -> list[Start]:
    weights = [reading.weight for reading in episode.interpretations]
    intents = np.random.default_rng(seed).choice(len(weights), size=len(drawn), p=weights).tolist()
    return [
        Start(episode, intent, costs, seed + len(drawn) + k, reply)
        for k, (intent, reply) in enumerate(zip(intents, drawn, strict=True))
    ]


def generated_tokens(games: list[Trajectory]) -> int:
    """Tokens that models sampled in these games; what games share, or what was forced, counts once or not at all."""
    distinct = {
        (turn.view, turn.reply.ids): len(turn.reply.ids) - turn.reply.forced
        for game in games
        for turn in game.turns
        if turn.reply.ids is not None
    }
    return sum(distinct.values())
