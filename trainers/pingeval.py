"""Isotoken evaluation of private-information games (arXiv 2602.24188): success by turns at equal budgets of words.

``python -m trainers.pingeval assistant.model=runs/NAME/checkpoints/iteration-1`` measures a policy beside the scripted
protocols, and controls that show that communication is needed and used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.selfplay import Start
from clarify_env.costs import Prices
from clarify_env.evaluation.episodes import split_episodes
from clarify_env.evaluation.intervals import bootstrap
from clarify_env.games.agents import Agent
from clarify_env.games.ping.description import GAME, OPEN_GAME
from clarify_env.games.ping.players import ScriptedPlayer, protocols
from clarify_env.games.ping.rules import CONTROLS, OPEN
from clarify_env.options import option
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import write_json, write_text

# Measures of a cell beside success.
MEASURES = (
    "turns",
    "words",
    "unused",
    "unused_turns",
    "ended_by_alice",
    "ended_by_bob",
    "turns_used_up",
    "silent",
    "over",
)


@dataclass(frozen=True)
class PingevalOptions:
    """What is measured (``pingeval.*``)."""

    turns: list[int] = option([2, 4, 8, 16], least=2)
    """Numbers of turns, each even; a budget with fewer words than a player has turns is left out."""
    budgets: list[int] = option([8, 16, 32], least=1)
    """Budgets of each player, in ``game.unit``."""
    episodes: int = option(100, least=1)
    """Episodes of the split, each played once in every cell, with a possibility drawn by weight."""
    split: str = option("test")
    """Split of the episodes."""
    prices: list[float] | None = option(None, least=0)
    """Prices that the players are told, of a turn and of a word; null: the smallest trained ones."""
    temperature: float = option(0.0, least=0)
    """Sampling temperature of the policy; 0 is greedy."""
    controls: list[str] = option([*CONTROLS[1:], OPEN], choices=(*CONTROLS[1:], OPEN))
    """Controls, measured at ``game.turns`` and ``game.budget``."""

    def __post_init__(self) -> None:
        if odd := [turns for turns in self.turns if turns % 2]:
            raise ValueError(f"pingeval.turns must be even numbers, not {odd[0]}")
        if not self.cells():
            raise ValueError(
                f"pingeval.turns={self.turns} and pingeval.budgets={self.budgets} leave nothing to measure: a budget "
                "must be at least half of the turns"
            )

    def cells(self) -> list[tuple[int, int]]:
        """Returns the pairs of turns and budget that are measured."""
        return [(turns, budget) for budget in self.budgets for turns in self.turns if budget * 2 >= turns]


def pingeval(experiment: Experiment, options: PingevalOptions, run: Run) -> None:
    """Plays every cell with the scripted protocols and the policy, then the controls; writes a table and the curve."""
    from trainers.reporting.isotoken import curve, markdown, print_cells, save

    policy = None if experiment.policy_options is None else experiment.load_policy()
    players: dict[str, Mapping[str, Agent]] = {
        name: dict.fromkeys(GAME.roles, ScriptedPlayer(name)) for name in protocols(experiment.task.name)
    }
    if policy is not None or experiment.served is not None:
        players["policy"] = experiment.players(policy, options.temperature)
    seeing = {name: agents for name, agents in players.items() if name == "policy"}
    if len(players) > len(seeing):  # tasks of other packages have no scripted players
        seeing["seeing"] = dict.fromkeys(GAME.roles, ScriptedPlayer("seeing"))
    episodes = split_episodes(experiment.task, options.split, options.episodes, "pingeval.")
    cells = options.cells()
    middle = (experiment.setup.options["turns"], experiment.setup.options["budget"])
    rows: list[dict[str, Any]] = []
    controls = {control: len(seeing if control == OPEN else players) for control in options.controls}
    advance = run.bar("evaluating", len(cells) * len(players) + sum(controls.values()), "cells")
    for control, where in (("none", cells), *((control, [middle]) for control in options.controls)):
        for turns, budget in where:
            for name, agents in (seeing if control == OPEN else players).items():
                rows.append(_cell(experiment, options, name, agents, episodes, control, turns, budget))
                advance(1)
    result = {
        "task": experiment.task.name,
        "split": options.split,
        "episodes": len(episodes),
        "prices": list(_prices(experiment, options)),
        "unit": experiment.setup.options["unit"],
        "cells": rows,
        "gained": gained(rows, middle),
    }
    write_json(run.dir / "pingeval.json", result)
    write_text(run.dir / "pingeval.md", markdown(result))
    save(curve(result), run.dir / "pingeval.png")
    run.report = run.dir / "pingeval.md"
    run.progress.stop()
    print_cells(result)


def _prices(experiment: Experiment, options: PingevalOptions) -> Prices:
    return experiment.plane.train()[0] if options.prices is None else GAME.check_prices(options.prices)


def _cell(
    experiment: Experiment,
    options: PingevalOptions,
    name: str,
    agents: Mapping[str, Agent],
    episodes: Sequence[Any],
    control: str,
    turns: int,
    budget: int,
) -> dict[str, Any]:
    """Plays the episodes in one cell."""
    setup = experiment.setup
    changes = {"turns": turns, "budget": budget, "control": "none" if control == OPEN else control}
    setup = setup._replace(game=OPEN_GAME if control == OPEN else GAME, options={**setup.options, **changes})
    prices, rng = _prices(experiment, options), np.random.default_rng(experiment.evaluation.seed)
    starts = [Start(episode, setup.game.draw(episode, rng), prices, int(rng.integers(2**62))) for episode in episodes]
    games = list(experiment.at(setup=setup).play(starts, agents, chunk=experiment.selfplay.chunk))
    measured = [setup.measures(game) for game in games]
    success = np.array([[one["success"]] for one in measured])
    means = {key: float(np.mean([one[key] for one in measured])) for key in MEASURES}
    ci = bootstrap(success, episodes, experiment.evaluation.seed)
    cell = {"players": name, "control": control, "turns_allowed": turns, "budget": budget}
    return cell | {"success": float(success.mean()), "success_ci": ci} | means


def gained(rows: Sequence[Mapping[str, Any]], middle: tuple[int, int]) -> dict[str, float] | None:
    """Returns how far the policy comes from the best one-shot summary to the best scripted protocol.

    Args:
        rows: The cells.
        middle: Turns and budget at which they are compared; a one-shot summary has two turns and the same budget.

    Returns:
        Success of ``one_shot``, ``bound`` and ``policy``, and ``share`` = (policy - one_shot) / (bound - one_shot);
        ``None``: a cell was not measured, or there is nothing to gain.
    """
    turns, budget = middle
    at = {
        (row["players"], row["turns_allowed"]): row["success"]
        for row in rows
        if row["control"] == "none" and row["budget"] == budget
    }
    scripted = {key: value for key, value in at.items() if key[0] != "policy"}
    one_shot, bound = (
        max((value for (_, of), value in scripted.items() if of == wanted), default=None) for wanted in (2, turns)
    )
    policy = at.get(("policy", turns))
    if one_shot is None or bound is None or policy is None or bound <= one_shot:
        return None
    share = (policy - one_shot) / (bound - one_shot)
    return {"one_shot": one_shot, "bound": bound, "policy": policy, "share": share}


def check(experiment: Experiment, options: PingevalOptions) -> None:
    """Checks game, control, players, split and prices.

    Raises:
        ValueError: The game is another one or has a control of its own, nobody plays, the task has no such split or too
            few episodes in it, or the prices cannot be.
    """
    if experiment.setup.game.name != GAME.name:
        raise ValueError(f"game: trainers.pingeval measures game=ping, not {experiment.setup.game.name}")
    if (control := experiment.setup.options["control"]) != "none":
        raise ValueError(f"game.control={control}: trainers.pingeval measures the controls of pingeval.controls")
    if experiment.policy_options is None and experiment.served is None and not protocols(experiment.task.name):
        raise ValueError(f"assistant: task {experiment.task.name} has no scripted players, so a model must play")
    if options.split not in experiment.task.sizes:
        raise ValueError(f"pingeval.split: task {experiment.task.name} has no split {options.split!r}")
    if "deranged" in options.controls and experiment.task.sizes[options.split] == 1:
        raise ValueError(f"pingeval.controls: deranged needs more than the one episode of split {options.split}")
    try:
        _prices(experiment, options)
    except ValueError as error:
        raise ValueError(f"pingeval.prices: {error}") from error


main: Any = command(pingeval, check=check, learns=False, measures=False)

if __name__ == "__main__":
    main()
