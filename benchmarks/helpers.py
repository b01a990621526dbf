"""The study of the helpers' game: ``python benchmarks/helpers.py --model FOLDER`` (docs/games/helpers.md).

The base model, ReST with anonymous and with named helpers, imitation of the best joint plan, and action-supervised
fine-tuning; each of them together, and each role alone as it would be deployed. Every stage is a command with a run
directory of its own: a stage that is complete is not run again, and one that was killed goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Stage(NamedTuple):
    """One command of the study.

    Attributes:
        name: Name of its run directory and of its row.
        command: Module of `trainers`.
        overrides: Its overrides; ``{model}`` is the base model, ``{NAME}`` the checkpoint of that stage and seed.
    """

    name: str
    command: str
    overrides: tuple[str, ...] = ("assistant.model={model}",)


NAMED = "game.identities=true"
LEARNED = (
    Stage("rest", "rest"),
    Stage("rest-named", "rest", ("assistant.model={model}", NAMED)),
    Stage("imitate", "imitate"),
    Stage("sft", "sft"),
)
# Who is deployed alone: memory without a tool, and each tool.
ALONE = ("asker", "helper_0", "helper_1")
STAGES = (
    Stage("base", "prompted"),
    *LEARNED,
    *(
        Stage(f"{name}-{role}", "prompted", (f"assistant.model={{{name}}}", f"game.alone={role}"))
        for name in ("model", *(stage.name for stage in LEARNED))
        for role in ALONE
    ),
)
QUICK = ("eval.episodes=8", "eval.validation=2", "eval.sets=[between]", "eval.grid=2", "eval.modes=[temperature]")
QUICK_GAMES = {"rest": ("budget.games=160", "rest.hindsight=1"), "imitate": ("budget.games=20",)}
QUICK_GAMES["sft"] = QUICK_GAMES["imitate"]
# Measures of the table, each with the number of decimal places.
MEASURES = {
    "f1": 3,
    "calls": 2,
    "calls_known": 2,
    "calls_partly": 2,
    "calls_unknown": 2,
    "call_auroc": 3,
    "asserted_accuracy": 3,
    "hedged_accuracy": 3,
    "hedge_auroc": 3,
    "hedge_ece": 3,
}
# Calls a question at which policies are compared.
BUDGETS = (0.25, 0.5, 1.0)
COLUMNS = ("stage", "seed", "prices", "reward", "% of the best plan", *(name.replace("_", " ") for name in MEASURES))
COLUMNS += tuple(f"F1 at {budget} calls" for budget in BUDGETS)


def run_dir(folder: Path, stage: Stage, seed: int) -> Path:
    """Returns the run directory of a stage."""
    return folder / f"{stage.name}-{seed}"


def run(stage: Stage, seed: int, folder: Path, model: str, quick: bool, overrides: list[str]) -> None:
    """Runs a stage of a seed, unless it is complete."""
    path = run_dir(folder, stage, seed)
    if (path / "summary.json").exists():
        return
    models = {one.name: run_dir(folder, one, seed) / "checkpoints" / "iteration-1" for one in LEARNED}
    words = [word.format(model=model, **models) for word in stage.overrides]
    smaller = [*QUICK, *QUICK_GAMES.get(stage.command, ())] if quick else []
    command = ["-m", f"trainers.{stage.command}", "game=helpers", f"seed={seed}"]
    command += [*words, *smaller, *overrides, f"run_dir={path}"]
    print(" ".join(["python", *command]), flush=True)
    if status := subprocess.run([sys.executable, *command], check=False).returncode:
        sys.exit(status)  # the command said why


def table(folder: Path, seeds: list[int]) -> str:
    """Returns the table of the complete stages at temperature 1, a row for each seed and set of prices."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for stage in STAGES:
        for seed in seeds:
            path = run_dir(folder, stage, seed) / "summary.json"
            if path.exists():
                for name, modes in json.loads(path.read_text())["eval"].items():
                    lines.append(f"| {stage.name} | {seed} | {name} | {' | '.join(figures(modes['temperature']))} |")
    return "\n".join(lines)


def figures(entry: dict[str, Any]) -> list[str]:
    """Returns the cells of a row after its names."""
    low, high = entry["reward_ci"]
    cells = [f"{entry['reward']:.3f} [{low:.3f}, {high:.3f}]", f"{100 * entry['reward'] / entry['oracle']:.1f}"]
    values = [(entry.get(name), places) for name, places in MEASURES.items()]
    values += [(f1_at(entry.get("f1_by_calls", []), budget), 3) for budget in BUDGETS]
    return cells + ["-" if value is None else f"{value:.{places}f}" for value, places in values]


def f1_at(points: list[list[float]], budget: float) -> float | None:
    """Returns the F1 at a budget of calls a question, linear between the prices; ``None`` beyond them.

    Args:
        points: Calls a question and F1 at each price, by calls.
        budget: Calls a question.
    """
    if not points or not points[0][0] <= budget <= points[-1][0]:
        return None
    return float(np.interp(budget, *zip(*points, strict=True)))


def main() -> None:
    """Runs the stages and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="folder of a pocket model (trainers.pretrain recipe=archives)")
    parser.add_argument("--folder", type=Path, default=Path("runs/helpers"), help="where the runs stand")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="every step, little of each")
    parser.add_argument("--stages", nargs="+", default=None)
    parser.add_argument("overrides", nargs="*", help="overrides of every stage, as eval.episodes=100")
    arguments = parser.parse_intermixed_args()
    for stage in STAGES:
        for seed in arguments.seeds:
            if arguments.stages is None or stage.name in arguments.stages:
                run(stage, seed, arguments.folder, arguments.model, arguments.quick, arguments.overrides)
    text = table(arguments.folder, arguments.seeds)
    (arguments.folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
