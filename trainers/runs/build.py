"""Builds the experiment of a run from its config."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from agents import kinds
from agents.options import Options
from clarify_env.costs import Plane
from clarify_env.games import find_game
from clarify_env.games.description import Description
from clarify_env.games.setup import Setup
from clarify_env.options import Rule, check_arguments, convert, defaults, read
from clarify_env.tasks.base import Task
from clarify_env.tasks.registry import make_task, task_class
from trainers.evaluation import raters
from trainers.evaluation.rating_options import CheapRaterOptions, RaterOptions, RatingOptions
from trainers.evaluation.scores import check_similarity
from trainers.evaluation.stored_games import stored_games
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
from trainers.runs.trackers import check_trackers

# Most episodes of a split with an end.
MOST_EPISODES = 10_000_000
# Section of the policy, which plays every learning role. Other roles have the section ``players.ROLE``; a role named
# user may have ``user`` instead.
POLICY, USER = "assistant", "user"


def build(config: DictConfig, *, learns: bool = True, measures: bool = True) -> Experiment:
    """Builds the experiment of a config.

    Args:
        config: The whole config of a command.
        learns: Whether the command has a budget of games to learn from.
        measures: Whether the command ends in an evaluation, so that ``eval.*`` must fit the task.

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
    roles, blocks, sections = _players(config, game)
    common = {name: top_level(config, name, default) for name, default in defaults(CommonOptions).items()}
    shared = read(CommonOptions, common, "")
    report_to = check_trackers(shared.report_to)
    experiment = Experiment(
        setup=Setup(game, _task(config), options),
        plane=read_plane(config, game),
        blocks=blocks,
        learns=roles,
        budget=read(BudgetOptions, section(config, "budget"), "budget") if learns else BudgetOptions(),
        evaluation=read(EvalOptions, section(config, "eval"), "eval"),
        rating=read(RatingOptions, section(config, "rating"), "rating"),
        rater=read(RaterOptions, section(config, "rater"), "rater"),
        cheap_rater=read(CheapRaterOptions, section(config, "cheap_rater"), "cheap_rater"),
        selfplay=read(SelfPlayOptions, section(config, "selfplay"), "selfplay"),
        sections=sections,
        seed=shared.seed,
        report_to=report_to,
    )
    logging.getLogger(LOG).info(experiment.task.report())
    if learns:
        check_splits(experiment.task)
        if (style := experiment.language_model().style) in game.prior_styles:
            raise ValueError(
                f"prompts={style} is for trainers.prompted alone, which estimates the priors that it states"
            )
    if experiment.served is not None and (style := experiment.served.style) in game.prior_styles:
        raise ValueError(f"prompts={style} needs the model's own log-probabilities (kind hf), and a server plays here")
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
    for vector in (vector for vectors in known.values() for vector in vectors):
        game.check_prices(vector)
    if options.sets is not None and (not options.sets or set(options.sets) - set(known)):
        names = ", ".join(options.sets) or "none"
        raise ValueError(f"eval.sets must be one or more of {', '.join(known)}, not {names}")
    if options.similarity is not None:
        check_similarity(options.similarity)
    if experiment.rater.kind is not None:
        chosen = experiment.rating, experiment.rater, experiment.cheap_rater
        raters.check_rating(*chosen, experiment.setup, experiment.policy_options, stored_games(experiment))
    if options.gold_logprob and experiment.policy_options is None:
        if experiment.served is not None:
            raise ValueError("eval.gold_logprob needs the model here (kind hf), and assistant.kind=api is a server's")
        raise ValueError("eval.gold_logprob is a language model's, and assistant.kind=scripted is none")
    if options.gold_logprob and game.gold_reply(task.episode(options.split, 0), 0) is None:
        raise ValueError(f"eval.gold_logprob: game {game.name} has no right last message to score")


def section(config: DictConfig, name: str) -> dict[str, Any]:
    """Returns a section of a config as plain values; a missing section is empty.

    Raises:
        ValueError: A required value is missing, an interpolation cannot be resolved, or the section is no mapping.
    """
    with _naming(name):
        part = config if name == "" else config.get(name)
        if part is None:
            return {}
        if not isinstance(part, DictConfig):
            raise ValueError(f"{name} must be a mapping of options, as {name}.OPTION=VALUE, not {part!r}")
        values: Any = OmegaConf.to_container(part, resolve=True, throw_on_missing=True)
    return values


def top_level(config: DictConfig, name: str, default: Any) -> Any:
    """Returns the value of an option outside all sections; no other option is resolved.

    Raises:
        ValueError: The value is missing, or an interpolation cannot be resolved.
    """
    with _naming(name):
        value = config[name] if name in config or OmegaConf.is_missing(config, name) else default
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turns omegaconf's errors into a ValueError of one sentence that names the option, or else ``name``."""
    try:
        yield
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} must be given: it has no default{_example(str(error.full_key))}") from error
    except OmegaConfBaseException as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{error.full_key or name}: {reason}") from error


def _example(option: str) -> str:
    """Returns how a value without default is given, for the kinds of values that are."""
    last = option.rpartition(".")[2]
    examples = {
        "model": "FOLDER_OR_HUB_ID of a chat model, or the NAME that it has at a server",
        "path": "FILE of the data set",
    }
    return f"; write {option}={examples[last]}" if last in examples else ""


def read_game(config: DictConfig) -> tuple[Description, dict[str, Any]]:
    """Returns the game of ``game.*`` and its options.

    Raises:
        ValueError: There is no such game, or one of its options is wrong.
    """
    values = section(config, "game")
    game = find_game(_name(values, "game"))
    return game, dict(vars(read(game.options, values, "game")))


def _players(config: DictConfig, game: Description) -> tuple[tuple[str, ...], dict[str, Options], dict[str, str]]:
    """The learning roles, the options of each role's player, and the config section that each is from."""
    named = section(config, "players")
    for role, block in named.items():
        if not isinstance(block, dict):
            raise ValueError(f"players.{role} must be a mapping of options, as players.{role}.kind=hf, not {block!r}")
    if strange := set(named) - set(game.roles):
        raise ValueError(f"players.{min(strange)}: game {game.name} has the roles {', '.join(game.roles)}")
    learn = convert("learn", top_level(config, "learn", None), list[str] | None, Rule())
    learns = tuple(learn) if learn else tuple(r for r in game.learns or game.roles[:1] if r not in named)
    if not learns and not learn and (policy_roles := set(named) & set(game.learns or game.roles[:1])):
        raise ValueError(
            f"players.{min(policy_roles)}: that role is played by the policy, whose options are assistant.OPTION"
        )
    if not learns or set(learns) - set(game.roles):
        raise ValueError(f"learn must be one or more of {', '.join(game.roles)}, not {', '.join(learns) or 'none'}")
    if "temperature" in section(config, POLICY):
        raise ValueError("assistant.temperature is no option: eval.modes and rollouts.temperature set it")
    policy = _block(section(config, POLICY), POLICY, section(config, "prompts"))
    blocks: dict[str, Options] = {}
    sections: dict[str, str] = {}
    for role in game.roles:
        if role in named:
            sections[role] = f"players.{role}"
            blocks[role] = _block(named[role], sections[role])
        elif role in learns:
            sections[role], blocks[role] = POLICY, policy
        else:
            own = section(config, role)
            sections[role] = role if own else f"players.{role}"
            blocks[role] = _block(own or {"kind": "scripted"}, sections[role])
    return learns, blocks, sections


def _block(values: dict[str, Any], path: str, prompts: dict[str, Any] | None = None) -> Options:
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in kinds.KINDS:
        raise ValueError(f"{path}.kind must be one of {', '.join(kinds.KINDS)}, not {kind!r}")
    if prompts is not None and kind in ("hf", "api"):
        values = values | {"style": read(PromptOptions, prompts, "prompts").style}
    return read(kinds.KINDS[kind].options, values, path)


def read_plane(config: DictConfig, game: Description) -> Plane:
    """Returns the distribution of training prices of ``costs.*``.

    Raises:
        ValueError: One of its options is wrong.
    """
    values = section(config, "costs")
    if game.plane_options is None:
        prices = {name: convert(f"costs.{name}", value, float, Rule(least=0)) for name, value in values.items()}
        return game.plane(**prices)
    return read(game.plane_options, values, "costs")


def _task(config: DictConfig) -> Task:
    values = section(config, "task")
    name = str(values.pop(SOURCE, _name(values, "task")))
    arguments = check_arguments(task_class(name), values, "task")
    try:
        task = make_task(name, **arguments)
    except ValueError as error:
        # Constructors name their options; what else they say is about the task.
        raise ValueError(str(error) if "task" in str(error) else f"task={name}: {error}") from error
    except OSError as error:  # such as a path that is too long
        raise ValueError(f"task.path: {error.strerror}: {error.filename}") from error
    for split, size in task.sizes.items():
        if size is not None and size > MOST_EPISODES:
            raise ValueError(
                f"task.*: task {name} would have {size:,} {split} episodes, from which no order can be drawn; "
                f"{MOST_EPISODES:,} are the most"
            )
    return task


def _name(values: dict[str, Any], section_name: str) -> str:
    """Takes the name of a task or game out of its section."""
    name = convert(f"{section_name}.name", values.pop("name", None), str, Rule())
    return str(name)
