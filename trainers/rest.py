"""ReST in collaborative self-play (arXiv 2512.04068; ReST: 2308.08998, ReST-EM: 2312.06585), with hindsight costs.

Each iteration grows a data set of games with the current policy, selects from each question's games the decisions
that earn most at given
costs, and improves the policy by supervised fine-tuning on them. Three things make small budgets go far (DESIGN
section 6):

* every group tries every action (``rest.forced``), so that none is judged by its absence;
* each distinct first message is played against every reading, so that a lucky guess is not taken for a good policy;
* a played game's reward is known at every cost, so a group teaches many costs (``rest.hindsight``).
"""

from collections.abc import Callable, Iterator

import numpy as np
from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.hf import HFAgent, Row, load
from agents.selfplay import Start, play
from clarify_env.actions import TAGS, tag_length
from clarify_env.costs import Costs
from clarify_env.games.base import Agent, Game, Trajectory, View
from clarify_env.tasks.base import Episode, Task
from trainers import run as running
from trainers.measure import measure, validate
from trainers.run import Run, command
from trainers.select import Tree, decision
from trainers.store import ChunkLog, save_model
from trainers.update import update, update_config, update_tokens

# Questions whose games are grown, written and replayed together: the unit in which a killed run continues.
GROUPS = 32


def rest(config: DictConfig, run: Run) -> None:
    """Grow, select, improve; ``rest.iterations`` times. Then measure."""
    running.seed_everything(config.seed)
    update_config(config["update"])  # a wrong option is said before any game is played
    if config.rest.margin < 0:
        raise ValueError(f"rest.margin must be at least 0, not {config.rest.margin}")
    task = running.make_task_from(config)
    base, tokenizer = running.load_model(config)
    model, trees, used = base, {}, dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    validate(run, config, task, players(config, task, base, tokenizer, 1.0), iteration=0)
    for iteration in range(1, config.rest.iterations + 1):
        for episode, games in grow(config, run, task, model, tokenizer, iteration):
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


def players(config: DictConfig, task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
            temperature: float) -> dict[str, Agent]:  # fmt: skip
    """The policy as assistant, and the configured user."""
    assistant = running.hf_agent(config, model, tokenizer, temperature)
    return {"assistant": assistant, "user": running.make_user(config, task, model, tokenizer)}


def grow(config: DictConfig, run: Run, task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
         iteration: int) -> Iterator[tuple[Episode, list[Trajectory]]]:  # fmt: skip
    """Plays an iteration's share of ``budget.games`` and yields each group's games.

    Which groups there are follows from the seed alone, so a killed run continues after the last chunk on disk.
    """
    rng = np.random.default_rng([config.seed, iteration])
    size = task.sizes["train"]
    cells = running.make_plane(config).train()
    agents = players(config, task, model, tokenizer, config.rest.temperature)
    make_game = running.game_maker(config)
    folder = run.dir / "trajectories"
    folder.mkdir(exist_ok=True)
    log = ChunkLog(folder / f"iteration-{iteration}.jsonl")
    budget = config.budget.games // config.rest.iterations
    advance = run.bar(f"iteration {iteration}: growing", budget, "games")
    stored, played, order = log.read(task, make_game), 0, np.array([], dtype=int)
    replayed = log.chunks
    while played < budget:
        if len(order) < GROUPS:
            order = np.concatenate([order, rng.permutation(size or 10 * GROUPS)])
        chosen, order = order[:GROUPS], order[GROUPS:]
        groups = [
            (task.episode("train", int(i)), cells[rng.integers(len(cells))], int(rng.integers(2**62))) for i in chosen
        ]
        if replayed:
            games, replayed = next(stored), replayed - 1
        else:
            games = play_groups(config, task, groups, agents, make_game, played)
            log.append(games)
        played += len(games)
        advance(len(games))
        by_question: dict[str, list[Trajectory]] = {}
        for game in games:
            by_question.setdefault(game.episode_id, []).append(game)
        yield from ((task.lookup(question), its) for question, its in by_question.items())
    if not run.recorded("grow", iteration):
        run.record("grow", iteration, iteration, games=played)


def play_groups(config: DictConfig, task: Task, groups: list[tuple[Episode, Costs, int]], agents: dict[str, Agent],
                make_game: Callable[..., Game], first_id: int) -> list[Trajectory]:  # fmt: skip
    """Draws first messages for each group, some from each tag, and plays each distinct one against every reading.

    Follow-ups are drawn ``rest.follow_ups`` times a branch, the first of them begun as an answer.
    """
    options = config.rest
    prefixes = [""] * options.free + [tag for tag in TAGS for _ in range(options.forced)]
    views = [make_game(task, episode, 0, costs).view("assistant") for episode, costs, _ in groups for _ in prefixes]
    seeds = [seed + k for _, _, seed in groups for k in range(len(prefixes))]
    replies = agents["assistant"].act(views, seeds, prefixes * len(groups))
    starts = []
    for index, (episode, costs, seed) in enumerate(groups):
        drawn = replies[index * len(prefixes) : (index + 1) * len(prefixes)]
        distinct = {decision(task, episode, reply.text): reply for reply in reversed(drawn)}
        for (kind, *_), reply in distinct.items():
            for follow in range(options.follow_ups if kind == "clarify" else 1):
                prefix = TAGS[1] if follow == 0 else ""
                for intent in range(len(episode.interpretations)):
                    starts.append(Start(episode, intent, costs, seed + len(prefixes) + follow, reply, prefix))
    return list(play(starts, agents, task=task, chunk=len(starts), make_game=make_game, first_id=first_id))


def generated_tokens(games: list[Trajectory]) -> int:
    """Tokens that models sampled in these games; what games share, or what was forced, counts once or not at all."""
    distinct = {(turn.view, turn.reply.ids): len(turn.reply.ids) - turn.reply.forced
                for game in games for turn in game.turns if turn.reply.ids is not None}  # fmt: skip
    return sum(distinct.values())


def select(config: DictConfig, agent: HFAgent, trees: Iterator[Tree], iteration: int) -> list[Row]:
    """Values each question's games at training costs and keeps what earns most there: first message and follow-ups.

    Where another action earns about as much, which is chosen matters little and is decided by chance: there the tag
    counts less, in proportion to what it earns more, up to ``rest.margin``. A follow-up is kept as often as play comes
    to it. With ``user=self`` the user's turns of games that went well are kept too: one policy plays both sides.
    """
    rng = np.random.default_rng([config.seed, 1000 + iteration])
    train = np.array(running.make_plane(config).train())
    rows = []
    for tree in trees:
        episode = tree.episode
        if config.rest.hindsight:
            costs = train[rng.choice(len(train), size=min(config.rest.hindsight, len(train)), replace=False)]
        else:
            costs = np.array(sorted(tree.costs))
        for cell, choices in zip(costs, tree.choices(costs), strict=True):
            for choice in choices:
                if rng.random() < choice.mass:
                    view = View("assistant", episode.query, episode.context, None, choice.history,
                                Costs(*cell.tolist()), len(choice.history), episode.id)  # fmt: skip
                    tag = agent.leading(choice.reply.ids, tag_length(choice.reply.text))
                    weight = min(1.0, choice.margin / config.rest.margin) if config.rest.margin else 1.0
                    rows.append(Row(agent.encode(view), choice.reply.ids, lead=(weight,) * tag))
        if config.user.kind == "self":
            rows += [Row(agent.encode(turn.view), turn.reply.ids) for turn in tree.user_turns()]
    return rows


def improve(config: DictConfig, run: Run, start: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[Row],
            iteration: int) -> PreTrainedModel:  # fmt: skip
    """Fine-tunes on the selected rows, from the base model (ReST-EM) or from the previous policy (ReST)."""
    folder = run.dir / "checkpoints" / f"iteration-{iteration}"
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        model = update(start, rows, update_config(config["update"]), seed=config.seed + iteration,
                       pad=tokenizer.pad_token_id,
                       report=run.steps(f"iteration {iteration}: improving", iteration))  # fmt: skip
        save_model(model, tokenizer, folder)
    return load(folder, device=config.assistant.device)[0]


main = command(rest)

if __name__ == "__main__":
    main()
