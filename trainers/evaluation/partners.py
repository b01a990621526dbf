"""What results say of the players beside the learning ones: who they are, how they are prompted, and their faults."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agents.options import Scripted, Self
from clarify_env.evaluation.faults import FaultCounts
from clarify_env.evaluation.played import Played
from trainers.runs.experiment import Experiment


def partners(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Returns the settings of every role that does not learn, or whose messages are judged; JSON-able.

    Of a scripted player: its ``kind``, ``strategy`` and ``version``, that of its task. Of a language model: the options
    of its block, those of the policy where it plays the role, and ``prompt``: the style and version of its wording.
    """
    game, task = experiment.setup.game, experiment.task
    settings: dict[str, dict[str, Any]] = {}
    for role, block in experiment.blocks.items():
        if role in experiment.learns and role not in game.faults:
            continue
        if isinstance(block, Scripted):
            strategy = block.strategy or game.players[role][0]
            settings[role] = {"kind": block.kind, "strategy": strategy, "version": f"{task.name}-{task.version}"}
            continue
        options = asdict(block)
        if isinstance(block, Self):
            options = asdict(experiment.blocks[experiment.learns[0]]) | options
        style = options.pop("style", None) or game.default_style
        settings[role] = options | {"prompt": {"style": style, "version": game.prompt_versions.get(role)}}
    return settings


def faults(experiment: Experiment, played: Sequence[Played]) -> dict[str, Any]:
    """Returns the fault report of each judged role over some games; see `FaultCounts.report`."""
    reports = {}
    for index, role in enumerate(experiment.judged):
        counts = FaultCounts(experiment.setup, role)
        for games in played:
            counts.merge(games.faults[index])
        reports[role] = counts.report()
    return reports
