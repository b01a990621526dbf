"""Warm start: supervised fine-tuning of a chat model on a game's demonstrations, which disregard the prices.

A chat model that cannot play yet learns the form of the messages and how each action is carried out, and no policy:
each action is demonstrated equally often at every price. Lessons ask for the other facts of a game's context, which is
then read once for all of them (``update.packed``). Every method can start from the result, an ordinary model
folder: ``assistant.model=RUN/checkpoints/iteration-1``.
"""

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.example import Example
from clarify_env.games.base import Turn
from clarify_env.options import option
from trainers.evaluation.measure import measure, validate
from trainers.learning.improve import check_update, improve
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run

if TYPE_CHECKING:
    from agents.render import Renderer


@dataclass(frozen=True)
class SftOptions:
    """What is demonstrated (``sft.*``)."""

    lessons: int = option(12, least=0, most=10_000)
    """Most lessons beside each game: further facts of its context, asked for without ambiguity; 0: none."""
    exercises: int = option(0, least=0, most=10**7)
    """Chats of the game's demonstrations for pretraining (`trainers.pretrain`) beside the games: what a model needs for
    a task beside its messages, as arithmetic."""
    kinds: list[str] = option([])
    """Kinds of these demonstrations, in equal shares; none: the game's own shares."""


def sft(experiment: Experiment, options: SftOptions, update: UpdateOptions, run: Run) -> None:
    """Fine-tunes on ``budget.games`` demonstrated games with their lessons, and measures."""
    played = demonstrations(experiment, options.lessons)
    base = experiment.load_policy()
    check_update(base, update)
    renderer = experiment.renderer(base)
    examples = learned_turns(experiment, renderer, played) + exercises(experiment, renderer, options)
    validate(run, experiment, experiment.players(base, 1.0), iteration=0)
    policy = improve(experiment, update, run, base, examples, 1)
    validate(run, experiment, experiment.players(policy, 1.0), iteration=1)
    used = {
        "games": len(played),
        "generated_tokens": 0,
        "gold_labels": experiment.gold_labels(episode_id for episode_id, _ in played),
        "update_tokens": update_tokens(examples, update),
    }
    measure(run, experiment, partial(experiment.players, policy), method="sft", budget=used)


def demonstrations(experiment: Experiment, lessons: int) -> list[tuple[str, list[Turn]]]:
    """Plays the demonstrated games and their lessons, on training episodes at training prices drawn independently.

    Returns:
        The episode's id and the turns of each game and lesson.

    Raises:
        ValueError: The game has no demonstrators.
    """
    setup, prices = experiment.setup, experiment.plane.train()
    rng = np.random.default_rng([experiment.seed, 2])
    games = []
    for index in experiment.training_indices(experiment.budget.games, rng):
        episode = setup.task.episode("train", index)
        at, *others = (prices[i] for i in rng.integers(len(prices), size=1 + lessons))
        game = setup.game.demonstrate(setup.task, episode, at, rng, **setup.options)
        of_context = setup.game.lessons(setup.task, episode, others, rng, **setup.options) if others else []
        games += [(episode.id, list(turns)) for turns in (game, *of_context)]
    return games


def learned_turns(experiment: Experiment, renderer: "Renderer", games: list[tuple[str, list[Turn]]]) -> list[Example]:
    """Returns an example per turn of the learning roles, and of partners that the policy plays (``user=self``)."""
    roles = {*experiment.learns, *experiment.partners}
    turns = [turn for _, game in games for turn in game if turn.role in roles]
    return [Example(renderer.encode(turn.view), renderer.tokenize_reply(turn.reply.text or "")) for turn in turns]


def exercises(experiment: Experiment, renderer: "Renderer", options: SftOptions) -> list[Example]:
    """Returns an example per learned message of ``sft.exercises`` chats, in the model's own template.

    Raises:
        ValueError: The game has no demonstrations for pretraining, or none of a kind.
    """
    game, rng = experiment.setup.game, np.random.default_rng([experiment.seed, 3])
    shares = dict.fromkeys(options.kinds, 1.0) or None
    stream = game.pretraining(experiment.task, experiment.plane.train(), rng, shares) if options.exercises else []
    examples: list[Example] = []
    for messages, _, every in islice(stream, options.exercises):
        chat = [{"role": role, "content": text} for role, text in messages]
        places = [place for place, (role, _) in enumerate(messages) if role == "assistant"]
        learned = places if every else places[-1:]
        prompts = renderer.encode_chats([chat[:place] for place in learned])
        replies = [renderer.tokenize_reply(messages[place][1]) for place in learned]
        examples += map(Example, prompts, replies)
    return examples


main: Any = command(sft, served=True)

if __name__ == "__main__":
    main()
