"""Builds the experiment of a run from its config."""

import logging
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from agents import kinds
from clarify_env.games import find_game
from clarify_env.games.description import Description, Plane
from clarify_env.games.setup import Setup
from clarify_env.options import check_arguments, read
from clarify_env.tasks.base import Task, make_task, task_class
from trainers.evaluation.scores import Similarity
from trainers.runs.experiment import Experiment
from trainers.runs.options import (
    BudgetOptions,
    CommonOptions,
    EvalOptions,
    PromptOptions,
    SelfPlayOptions,
)
from trainers.runs.plugins import SOURCE
from trainers.runs.run import LOG

# Section of the policy, which plays every learning role. Other roles have the section ``players.ROLE``; a role named
# user may have ``user`` instead.
POLICY, USER = "assistant", "user"


def build(config: DictConfig, *, learns: bool = True, measures: bool = True, date: str | None = None) -> Experiment:
    """Builds the experiment of a config.

    Args:
        config: The whole config of a command.
        learns: Whether the command has a budget of games to learn from.
        measures: Whether the command ends in an evaluation, so that ``eval.*`` must fit the task.
        date: Day of the run, for chat templates that state it; ``None``: today.

    Raises:
        ValueError: An option is wrong; the message names it.
        NotImplementedError: The command learns, but the game allows text before the tag.
    """
    game, options = read_game(config)
    if learns and options.get("reasoning", "none") != "none":
        raise NotImplementedError(
            f"game.reasoning={options['reasoning']} is for measuring alone: methods that learn read messages "
            "that begin with a tag, and want it none"
        )
    roles, blocks, sections = _players(config, game, date)
    experiment = Experiment(
        setup=Setup(game, _task(config), options),
        plane=read_plane(config, game),
        blocks=blocks,
        learns=roles,
        budget=read(BudgetOptions, section(config, "budget"), "budget") if learns else BudgetOptions(),
        evaluation=read(EvalOptions, section(config, "eval"), "eval"),
        selfplay=read(SelfPlayOptions, section(config, "selfplay"), "selfplay"),
        sections=sections,
        seed=read(CommonOptions, {"seed": config.seed}, "").seed,
    )
    logging.getLogger(LOG).info(experiment.task.report())
    if learns:
        check_splits(experiment.task)
    if measures:
        check_evaluation(experiment)
    return experiment


def check_splits(task: Task) -> None:
    """Checks that a task has what methods that learn play: training episodes, and validation episodes for the curve.

    Raises:
        ValueError: A split is missing, as in a file of test episodes alone.
    """
    if missing := [split for split in ("train", "validation") if split not in task.sizes]:
        raise ValueError(
            f"task {task.name} has no {' and no '.join(missing)} episodes, only {', '.join(task.sizes)}: "
            "it can be evaluated (trainers.evaluate, trainers.prompted), but nothing can be learned from it"
        )


def check_evaluation(experiment: Experiment) -> None:
    """Checks that ``eval.*`` fits game, task and policy, before anything is learned.

    Raises:
        ValueError: An option of ``eval.*`` is wrong.
    """
    options, task, game = experiment.evaluation, experiment.task, experiment.setup.game
    if options.split not in task.sizes:
        raise ValueError(f"eval.split: task {task.name} has no split {options.split!r}, only {', '.join(task.sizes)}")
    known = experiment.plane.sets()
    if options.sets is not None and (not options.sets or set(options.sets) - set(known)):
        names = ", ".join(options.sets) or "none"
        raise ValueError(f"eval.sets must be one or more of {', '.join(known)}, not {names}")
    if options.similarity is not None:
        Similarity(options.similarity)
    if options.gold_logprob and experiment.policy_options is None:
        raise ValueError("eval.gold_logprob is a language model's, and assistant.kind=scripted is none")
    if options.gold_logprob and game.gold_reply(task.episode(options.split, 0), 0) is None:
        raise ValueError(f"eval.gold_logprob: game {game.name} has no right last message to score")


def section(config: DictConfig, name: str) -> dict[str, Any]:
    """Returns a section of a config as plain values; a missing section is empty.

    Raises:
        ValueError: A required value is missing.
    """
    if name not in config or config[name] is None:
        return {}
    try:
        values: Any = OmegaConf.to_container(config[name], resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} must be given: it has no default") from error
    return values


def read_game(config: DictConfig) -> tuple[Description, dict[str, Any]]:
    """Returns the game of ``game.*`` and its options.

    Raises:
        ValueError: There is no such game, or one of its options is wrong.
    """
    values = section(config, "game")
    game = find_game(values.pop("name"))
    return game, dict(vars(read(game.options, values, "game")))


def _players(
    config: DictConfig, game: Description, date: str | None
) -> tuple[tuple[str, ...], dict[str, kinds.Options], dict[str, str]]:
    """The learning roles, the options of each role's player, and the config section that each is from."""
    named = section(config, "players")
    if strange := set(named) - set(game.roles):
        raise ValueError(f"players.{min(strange)}: game {game.name} has the roles {', '.join(game.roles)}")
    learn = config.get("learn")
    learns = tuple(learn) if learn else tuple(r for r in game.learns or game.roles[:1] if r not in named)
    if not learns or set(learns) - set(game.roles):
        raise ValueError(f"learn must be one or more of {', '.join(game.roles)}, not {', '.join(learns) or 'none'}")
    if "temperature" in section(config, POLICY):
        raise ValueError("assistant.temperature is no option: eval.modes and rollouts.temperature set it")
    policy = _block(section(config, POLICY), POLICY, date, section(config, "prompts"))
    blocks: dict[str, kinds.Options] = {}
    sections: dict[str, str] = {}
    for role in game.roles:
        if role in named:
            sections[role] = f"players.{role}"
            blocks[role] = _block(named[role], sections[role], date)
        elif role in learns:
            sections[role], blocks[role] = POLICY, policy
        else:
            own = section(config, role)
            sections[role] = role if own else f"players.{role}"
            blocks[role] = _block(own or {"kind": "scripted"}, sections[role], date)
    return learns, blocks, sections


def _block(values: dict[str, Any], path: str, date: str | None, prompts: dict[str, Any] | None = None) -> kinds.Options:
    kind = values.get("kind")
    if kind not in kinds.KINDS:
        raise ValueError(f"{path}.kind must be one of {', '.join(kinds.KINDS)}, not {kind!r}")
    if prompts is not None and kind == "hf":
        values = values | {"style": read(PromptOptions, prompts, "prompts").style}
    block: kinds.Options = read(kinds.KINDS[kind].options, values, path)
    if isinstance(block, kinds.HF) and date is not None:
        block = replace(block, template={"date": date} | block.template)
    return block


def read_plane(config: DictConfig, game: Description) -> Plane:
    """Returns the distribution of training prices of ``costs.*``.

    Raises:
        ValueError: One of its options is wrong.
    """
    values = section(config, "costs")
    if game.plane_options is None:
        return game.plane(**values)
    return read(game.plane_options, values, "costs")


def _task(config: DictConfig) -> Task:
    values = section(config, "task")
    name = values.pop("name")
    name = values.pop(SOURCE, name)
    check_arguments(task_class(name), values, "task")
    return make_task(name, **values)
