"""The study of Pandora's boxes: ``python benchmarks/pandora.py`` (docs/games/pandora.md).

Base, ReST with hindsight and GRPO with the price in the prompt, with stated and hidden priors; of a real chat model
(``--model smollm2``) its warm start and ReST. Every stage is a command with a run directory of its own: a stage that is
complete is not run again, and one that was killed goes on. The table states the action mix by price beside the reward.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Stage(NamedTuple):
    """One command of the study.

    Attributes:
        name: Name of its run directory and of its row.
        command: Module of `trainers`.
        overrides: Its overrides; ``{rest}`` and ``{warm}`` are those stages' checkpoints of the same seed.
        seeded: Whether it is run for every seed.
    """

    name: str
    command: str
    overrides: tuple[str, ...] = ()
    seeded: bool = True


HIDDEN = ("task.priors=hidden",)
POCKET = (
    Stage("base", "prompted", seeded=False),
    Stage("rest", "rest"),
    Stage("grpo", "grpo"),
    Stage("grpo-hidden", "grpo", HIDDEN),
    Stage("hidden", "prompted", (*HIDDEN, "assistant.model={rest}")),
    Stage("hidden-prior", "prompted", (*HIDDEN, "assistant.model={rest}", "prompts=pocket_prior")),
)
# Of chat models: each look's best second message is tried, and learning has fewer episodes.
CHAT = ("size=laptop", "prompts=natural", "rollouts.follow_ups=3", "rollouts.forced=3")
REAL = (
    Stage("natural", "prompted", ("assistant={model}", "size=laptop", "prompts=natural"), seeded=False),
    Stage("warm", "sft", ("assistant={model}", "size=laptop", "prompts=natural")),
    Stage("rest", "rest", ("assistant=hf", "assistant.model={warm}", *CHAT)),
)
QUICK = ("eval.episodes=8", "eval.validation=2", "eval.sets=[between]", "eval.grid=2", "eval.modes=[temperature]")
QUICK_COMMANDS = {
    "rest": ("budget.games=300", "rest.hindsight=4", "update.least_steps=0"),
    "grpo": ("budget.games=80",),
    "sft": ("budget.games=16",),
}
COLUMNS = ("stage", "seed", "prices", "reward", "% of the oracle", "optimal match %", "optimal game %", "invalid %")


def run(stage: Stage, seed: int, folder: Path, model: str, quick: bool, overrides: list[str]) -> None:
    """Runs a stage of a seed, unless it is complete."""
    path = run_dir(folder, stage, seed)
    if (path / "summary.json").exists():
        return
    checkpoints = {name: folder / f"{name}-{seed}" / "checkpoints" / "iteration-1" for name in ("rest", "warm")}
    words = [word.format(model=model, **checkpoints) for word in stage.overrides]
    smaller = [*QUICK, *QUICK_COMMANDS.get(stage.command, ())] if quick else []
    command = ["-m", f"trainers.{stage.command}", "game=pandora", f"seed={seed}"]
    command += [*words, *smaller, *overrides, f"run_dir={path}"]
    print(" ".join(["python", *command]), flush=True)
    if status := subprocess.run([sys.executable, *command], check=False).returncode:
        sys.exit(status)  # the command said why


def run_dir(folder: Path, stage: Stage, seed: int) -> Path:
    """Returns the run directory of a stage."""
    return folder / (f"{stage.name}-{seed}" if stage.seeded else stage.name)


def table(folder: Path, stages: tuple[Stage, ...], seeds: list[int]) -> str:
    """Returns tables of the complete stages at temperature 1: rewards by set of prices, and action mix by price."""
    lines, mix, prices = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"], [], None
    for stage in stages:
        for seed in seeds if stage.seeded else seeds[:1]:
            path = run_dir(folder, stage, seed)
            if not (path / "summary.json").exists():
                continue
            summary = json.loads((path / "summary.json").read_text())
            for name, modes in summary["eval"].items():
                lines.append(f"| {stage.name} | {seed} | {name} | {' | '.join(figures(modes['temperature']))} |")
            grid = json.loads((path / "evaluation.json").read_text())["grid"]
            prices = grid["alphas"]
            mix += [
                mixed(f"{stage.name} {seed}", grid["policy"]),
                mixed(f"{stage.name} {seed}, oracle", grid["oracle"]),
            ]
    if prices is not None:
        titles = ["looks first, %", *(f"{price:g}" for price in prices), "mean reward"]
        lines += ["", f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *mix]
    return "\n".join(lines)


def figures(entry: dict[str, Any]) -> list[str]:
    """Returns the cells of a row after its names."""
    low, high = entry["reward_ci"]
    match, interval = entry["optimal_match"], entry["optimal_match_ci"]
    matched = "-" if match is None else "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * v for v in (match, *interval)))
    return [
        f"{entry['reward']:.3f} [{low:.3f}, {high:.3f}]",
        f"{100 * entry['reward'] / entry['oracle']:.1f}",
        matched,
        f"{100 * entry['optimal_game']:.1f}",
        f"{100 * entry['share']['invalid']:.1f}",
    ]


def mixed(name: str, side: dict[str, Any]) -> str:
    """Returns the row of an action mix: share of first looks at each price, and the mean reward over the prices."""
    looks, rewards = ([row[0] for row in side[key]] for key in ("look", "reward"))
    return f"| {name} | {' | '.join(f'{100 * look:.0f}' for look in looks)} | {sum(rewards) / len(rewards):.3f} |"


def main() -> None:
    """Runs the stages and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/pandora"), help="where the runs stand")
    parser.add_argument("--model", default="pocket", help="pocket, or the config of a chat model, as assistant=NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="every step, little of each")
    parser.add_argument("--stages", nargs="+", default=None)
    parser.add_argument("overrides", nargs="*", help="overrides of every stage, as eval.episodes=100")
    arguments = parser.parse_intermixed_args()
    stages = POCKET if arguments.model == "pocket" else REAL
    for stage in stages:
        for seed in arguments.seeds if stage.seeded else arguments.seeds[:1]:
            if arguments.stages is None or stage.name in arguments.stages:
                run(stage, seed, arguments.folder, arguments.model, arguments.quick, arguments.overrides)
    text = table(arguments.folder, stages, arguments.seeds)
    (arguments.folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
