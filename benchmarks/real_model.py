"""Whether a real chat model can be steered by costs: ``python benchmarks/real_model.py`` (docs/real-model.md).

The three claims of arXiv 2512.04068, on SmolLM2-135M-Instruct and the task `ledger`, whose tables it has never seen:
prompted, it does not steer; after a warm start and ReST it does, and earns more than the best fixed strategy; also at
costs never seen. Every stage is a command with a run directory of its own: a stage that is complete is not run again,
and one that was killed goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

COLUMNS = (
    "stage",
    "costs",
    "reward",
    "% of the oracle",
    "best fixed",
    "gap closed",
    "optimal match %",
    "invalid %",
    "clarify %",
    "answer %",
    "list %",
)
SETS = ("between", "beyond_both")


class Stage(NamedTuple):
    """One command of the study.

    Attributes:
        name: Name of its run directory and of its row.
        command: Module of `trainers`.
        overrides: Its overrides; ``{warm}`` is the warm start's checkpoint.
        sets: Sets of costs that it is measured at.
    """

    name: str
    command: str
    overrides: tuple[str, ...]
    sets: tuple[str, ...] = SETS


WARM = ("assistant=hf", "assistant.model={warm}", "assistant.max_new_tokens=96")
PROMPTED = ("natural", "brief", "budget", "relative", "few_shot", "reasoning", "prior")
STAGES = (
    *(Stage(style, "prompted", ("assistant={model}", f"prompts={style}")) for style in PROMPTED),
    Stage("warm", "sft", ("assistant={model}", "prompts=relative"), SETS[:1]),
    Stage("rest", "rest", (*WARM, "prompts=relative")),
    Stage("grpo", "grpo", (*WARM, "prompts=relative")),
)


# Overrides of the quick form: every step of it, little of each. Its figures mean nothing but that it works.
QUICK = ("eval.episodes=2", "eval.validation=1", "eval.grid=2")
QUICK_STAGES = {
    "warm": ("budget.games=24", "sft.lessons=5"),
    # So little is learned that few episodes are solved: what is best of each is learned all the same.
    "rest": ("budget.games=90", "rest.hindsight=6", "rest.least_value=null", "update.batch=16"),
    "grpo": ("budget.games=16", "grpo.games_a_step=8", "update.batch=8"),
}


def run(stage: Stage, folder: Path, model: str, quick: bool, overrides: list[str]) -> None:
    """Runs a stage, unless it is complete."""
    if (folder / stage.name / "summary.json").exists():
        return
    values = {"model": model, "warm": folder / "warm" / "checkpoints" / "iteration-1"}
    words = [word.format(**values) for word in stage.overrides]
    smaller = [*QUICK, *QUICK_STAGES.get(stage.name, ())] if quick else []
    sets = ",".join(SETS[:1] if quick else stage.sets)
    command = ["-m", f"trainers.{stage.command}", "task=ledger", "costs=ledger", "size=laptop"]
    command += [f"eval.sets=[{sets}]", *words, *smaller, *overrides, f"run_dir={folder / stage.name}"]
    print(" ".join(["python", *command]), flush=True)
    if status := subprocess.run([sys.executable, *command], check=False).returncode:
        sys.exit(status)  # the command said why


def table(folder: Path) -> str:
    """Returns a table of the stages that are complete, at temperature 1, by set of costs."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for stage in STAGES:
        path = folder / stage.name / "summary.json"
        if not path.exists():
            continue
        summary = json.loads(path.read_text())
        for name in SETS:
            if entry := summary["eval"].get(name, {}).get("temperature"):
                lines.append(f"| {stage.name} | {name} | {' | '.join(figures(entry))} |")
    return "\n".join(lines)


def figures(entry: dict) -> list[str]:
    """Returns the cells of a row."""
    low, high = entry["reward_ci"]
    gap, share, match = entry["gap_closed"], entry["share"], entry["optimal_match"]
    return [
        f"{entry['reward']:.3f} [{low:.3f}, {high:.3f}]",
        f"{100 * entry['reward'] / entry['oracle']:.1f}",
        f"{max(value for name, value in entry['fixed'].items() if name != 'threshold'):.3f}",
        "-" if gap is None else f"{gap:.2f}",
        "-" if match is None else f"{100 * match:.1f}",
        *(f"{100 * share[kind]:.1f}" for kind in ("invalid", "clarify", "answer", "multi_answer")),
    ]


def main() -> None:
    """Runs the stages and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/real-model"), help="where the runs stand")
    parser.add_argument("--model", default="smollm2", help="config of the model, as assistant=NAME")
    parser.add_argument("--quick", action="store_true", help="every step, little of each")
    parser.add_argument("--stages", nargs="+", choices=[stage.name for stage in STAGES], default=None)
    parser.add_argument("overrides", nargs="*", help="overrides of every stage, as seed=1")
    arguments = parser.parse_intermixed_args()
    for stage in STAGES:
        if arguments.stages is None or stage.name in arguments.stages:
            run(stage, arguments.folder, arguments.model, arguments.quick, arguments.overrides)
    text = table(arguments.folder)
    (arguments.folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
