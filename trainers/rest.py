"""ReST in collaborative self-play (arXiv 2512.04068; ReST: 2308.08998, ReST-EM: 2312.06585), with hindsight costs.

Each iteration grows a data set of games with the current policy, selects from each question's games the decisions that earn most at given
costs, and improves the policy by supervised fine-tuning on them. Three things make small budgets go far (DESIGN section 6):

* every group tries every action (``rest.forced``), so that none is judged by its absence;
* each distinct first message is played against every reading, so that a lucky guess is not taken for a good policy;
* a played game's reward is known at every cost, so a group teaches many costs (``rest.hindsight``).
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.hf import HFAgent, Row, load
from agents.selfplay import Start, play
from clarify_env.actions import TAGS
from clarify_env.costs import Costs
from clarify_env.games.base import Trajectory, View
from clarify_env.oracle import solve
from clarify_env.tasks.base import Episode, Task
from trainers import metrics
from trainers import run as running
from trainers.measure import measure, split_episodes
from trainers.run import Run, command
from trainers.select import Tree, decision
from trainers.store import ChunkLog, save_model
from trainers.update import UpdateConfig, update, update_tokens

# Questions whose games are grown, written and replayed together: the unit in which a killed run continues.
GROUPS = 64


def rest(config: DictConfig, run: Run) -> None:
    """Grow, select, improve; ``rest.iterations`` times. Then measure."""
    running.seed_everything(config.seed)
    task = running.make_task_from(config)
    base, tokenizer = running.load_model(config)
    model, trees, used = base, {}, dict.fromkeys(("games", "generated_tokens", "update_tokens", "gold_labels"), 0)
    for iteration in range(1, config.rest.iterations + 1):
        for episode, games in grow(config, run, task, model, tokenizer, iteration):
            tree = trees.setdefault(episode.id, Tree(task, episode))
            for game in games:
                tree.add(game)
            count(used, games)
        rows = select(config, HFAgent(model, tokenizer, style=config.prompts.style), trees, iteration)
        model = improve(config, run, base, model, tokenizer, rows, iteration)
        used["update_tokens"] += update_tokens(rows, config.update.epochs)
        validate(config, run, task, model, tokenizer, iteration)
    measure(run, config, task, lambda t: players(config, task, model, tokenizer, t), method="rest", budget=used)


def players(config: DictConfig, task: Task, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, temperature: float):
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
        groups = [(task.episode("train", int(i)), cells[rng.integers(len(cells))], int(rng.integers(2**62))) for i in chosen]
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
    run.record("grow", iteration, iteration, games=played, seconds=run.seconds)


def play_groups(config: DictConfig, task: Task, groups: list[tuple[Episode, Costs, int]], agents: dict, make_game,
                first_id: int) -> list[Trajectory]:  # fmt: skip
    """Draws first messages for each group, some from each tag, and plays each distinct one against every reading.

    Follow-ups are drawn ``rest.follow_ups`` times a branch, the first of them forced to be an answer.
    """
    options = config.rest
    prefixes = [""] * options.free + [tag for tag in TAGS for _ in range(options.forced)]
    views, seeds, owners = [], [], []
    for index, (episode, costs, seed) in enumerate(groups):
        view = make_game(task, episode, 0, costs).view("assistant")
        views += [view] * len(prefixes)
        seeds += [seed + k for k in range(len(prefixes))]
        owners += [index] * len(prefixes)
    replies = agents["assistant"].act(views, seeds, prefixes * len(groups))
    distinct: dict[tuple, tuple[int, object]] = {}
    for owner, reply in zip(owners, replies, strict=True):
        distinct.setdefault((owner, decision(task, groups[owner][0], reply.text)), (owner, reply))
    starts = []
    for (_, key), (owner, reply) in distinct.items():
        episode, costs, seed = groups[owner]
        for follow in range(options.follow_ups if key[0] == "clarify" else 1):
            for intent in range(len(episode.interpretations)):
                prefix = TAGS[1] if follow == 0 else ""
                starts.append(Start(episode, intent, costs, seed + 1000 + follow, reply, prefix))
    return list(play(starts, agents, task=task, chunk=max(1, len(starts)), make_game=make_game, first_id=first_id))


def select(config: DictConfig, agent: HFAgent, trees: dict[str, Tree], iteration: int) -> list[Row]:
    """Values each question's games at ``rest.hindsight`` training costs and keeps what earns most there."""
    rng = np.random.default_rng([config.seed, 1000 + iteration])
    train = np.array(running.make_plane(config).train())
    rows = []
    for tree in trees.values():
        costs = train[rng.choice(len(train), size=min(config.rest.hindsight, len(train)), replace=False)]
        for cell, choices in zip(costs, tree.choices(costs), strict=True):
            for choice in choices:
                episode = tree.episode
                view = View("assistant", episode.query, episode.context, None, choice.history, Costs(*cell.tolist()),
                            len(choice.history), episode.id)  # fmt: skip
                rows.append(Row(agent.encode(view), choice.reply.ids))
    return rows


def improve(config: DictConfig, run: Run, base: PreTrainedModel, previous: PreTrainedModel, tokenizer, rows: list[Row],
            iteration: int) -> PreTrainedModel:  # fmt: skip
    """Fine-tunes on the selected rows, from the base model (ReST-EM) or from the previous policy (ReST)."""
    folder = run.dir / "checkpoints"
    folder.mkdir(exist_ok=True)
    path = folder / f"iteration-{iteration}"
    if not path.exists():
        import copy

        model = copy.deepcopy(base if config.rest.start == "base" else previous)
        options = UpdateConfig(**config.update)
        advance, seen = run.bar(f"iteration {iteration}: improving", None, "steps"), 0

        def report(step, steps, logs):
            nonlocal seen
            advance(step - seen)
            seen = step
            if "loss" in logs:
                run.record("update", iteration, step, loss=float(logs["loss"]), learning_rate=float(logs["learning_rate"]))

        model = update(model, rows, options, seed=config.seed + iteration, pad=tokenizer.pad_token_id,
                       scratch=str(run.dir / "scratch"), report=report)  # fmt: skip
        save_model(model, tokenizer, path)
    return load(path, device=config.assistant.device)[0]


main = command(rest)

if __name__ == "__main__":
    main()
