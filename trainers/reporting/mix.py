"""Table, page and model card of one policy of several games (`trainers.mix`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.table import Table

from trainers.reporting.card import CARD, base_id
from trainers.reporting.columns import MODES, fixed, percent
from trainers.reporting.terminal import markdown_table, print_wide
from trainers.runs.experiment import Experiment

__all__ = ["CARD", "card", "markdown", "rows", "show"]

COLUMNS = ["game and task", "costs", "sampling", "policy", "reward", "95 % interval", "% of oracle"]
COLUMNS += ["optimal match %", "invalid %"]
# By game and task: the entry of `trainers.mix.measured`.
Results = Mapping[str, Mapping[str, Any]]


def rows(results: Results) -> list[list[str]]:
    """Returns the rows of the table: one for each game, set of costs, mode and policy."""
    table = []
    for part, entry in results.items():
        policies = entry["policies"]
        for costs, modes in next(iter(policies.values()))["eval"].items():
            for mode in modes:
                first = part, costs.replace("_", " "), MODES[mode]
                table += [[*first, name, *_cells(policies[name]["eval"][costs][mode])] for name in policies]
    return table


def _cells(entry: Mapping[str, Any]) -> list[str]:
    low, high = entry["reward_ci"]
    match, oracle = entry.get("optimal_match"), entry.get("oracle")
    return [
        fixed(entry["reward"]),
        f"{fixed(low)} to {fixed(high)}",
        "–" if oracle is None else percent(entry["reward"], oracle, 1),
        "–" if match is None else percent(match, places=1),
        percent(entry["share"]["invalid"], places=1),
    ]


def markdown(results: Results) -> str:
    """Returns the page of the run: the table, and of which run each row is."""
    runs = (f"* {part}: {entry['split']} split of the run `{entry['run']}`" for part, entry in results.items())
    return "\n".join([_table(results), *runs, ""])


def _table(results: Results) -> str:
    return "\n".join(["# One policy of several games", "", *markdown_table(COLUMNS, rows(results)), ""])


def card(experiments: Sequence[Experiment], model: str, results: Results) -> str:
    """Returns the model card of the checkpoint: model and what it learned from in the header, then the table."""
    names = (name for one in experiments for name in (one.setup.game.name, one.task.name))
    base = base_id(model, experiments[0].task.name)
    header = {
        **({"base_model": base} if base else {}),
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["clarify-env", *dict.fromkeys(names), "mix"],
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n\n{_table(results)}"


def show(results: Results) -> None:
    """Prints the table."""
    table = Table(*COLUMNS)
    for row in rows(results):
        table.add_row(*row)
    print_wide(table)
