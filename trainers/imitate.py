"""Oracle SFT: imitation of the oracle player, which knows every fact but not the intent.

What a likelihood method could learn at most from so many games, if it knew the best message of each.
"""

from collections.abc import Iterator

import numpy as np
from omegaconf import DictConfig

from agents.hf import HFAgent, Row
from agents.selfplay import Start, play
from clarify_env.games.base import Trajectory
from clarify_env.games.clarification.strategies import ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.tasks.base import Task
from trainers.evaluation.measure import measure, task_to_measure, validate
from trainers.learning.update import improve, update_config, update_tokens
from trainers.rollouts.sample import players, training_questions
from trainers.runs import run as running
from trainers.runs.run import Run, command


def imitate(config: DictConfig, run: Run) -> None:
    """Plays ``budget.games`` games of the oracle player, fine-tunes on its messages, and measures."""
    running.seed_everything(config.seed)
    update_config(config["update"])
    task = task_to_measure(config)
    base, tokenizer = running.load_model(config)
    validate(run, config, task, players(config, task, base, tokenizer, 1.0), iteration=0)
    agent = HFAgent(base, tokenizer, style=config.prompts.style)
    games = list(oracle_games(config, run, task))
    rows = [row for game in games for row in imitated(agent, game)]
    model = improve(config, run, base, tokenizer, rows, 1)
    validate(run, config, task, players(config, task, model, tokenizer, 1.0), iteration=1)
    labels = {game.episode_id: len(task.lookup(game.episode_id).interpretations) for game in games}
    used = {
        "games": len(games),
        "generated_tokens": 0,
        "gold_labels": sum(labels.values()),
        "update_tokens": update_tokens(rows, update_config(config["update"])),
    }
    measure(run, config, task, lambda t: players(config, task, model, tokenizer, t), method="imitate", budget=used)


def oracle_games(config: DictConfig, run: Run, task: Task) -> Iterator[Trajectory]:
    """Games of the oracle player with the scripted user: training questions, training costs, intents by weight."""
    rng = np.random.default_rng([config.seed, 1])
    cells = running.make_plane(config).train()
    options = config.selfplay
    agents = {"assistant": ScriptedAssistant(task, "oracle", options.max_questions), "user": ScriptedUser(task)}
    size, starts = training_questions(config, task) or config.budget.games, []
    while len(starts) < config.budget.games:
        for index in rng.permutation(size)[: config.budget.games - len(starts)].tolist():
            episode = task.episode("train", index)
            weights = [reading.weight for reading in episode.interpretations]
            intent = int(rng.choice(len(weights), p=weights))
            starts.append(Start(episode, intent, cells[rng.integers(len(cells))], int(rng.integers(2**62))))
    advance = run.bar("the oracle plays", len(starts), "games")
    for game in play(starts, agents, task=task, chunk=options.chunk, make_game=running.game_maker(config)):
        advance(1)
        yield game


def imitated(agent: HFAgent, game: Trajectory) -> list[Row]:
    """The assistant's messages of a game as rows to learn."""
    return [
        Row(agent.encode(turn.view), agent.tokenize_reply(turn.reply.text))
        for turn in game.turns
        if turn.role == "assistant"
    ]


main = command(imitate)

if __name__ == "__main__":
    main()
