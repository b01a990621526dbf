"""Probe: says in a minute or two whether a language model is ready to learn a game, and what to do if it is not.

``python -m trainers.probe assistant=hf assistant.model=PATH_OR_HUB_ID``
"""

import time
from dataclasses import dataclass
from typing import Any

from clarify_env.options import option
from trainers.evaluation import partners
from trainers.evaluation.measure import split_episodes
from trainers.evaluation.probing import advice, play_probes, probe_conduct, probed
from trainers.runs.command import command
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import write_json


@dataclass(frozen=True)
class ProbeOptions:
    """What a probe plays (``probe.*``)."""

    episodes: int = option(8, least=1)
    """Episodes of the validation split, each played once with every opening of every role; at least 1."""
    split: str = option("validation")
    """Split of the episodes."""
    examples: int = option(2, least=0)
    """Games shown of each opening; 0: none."""


def probe(experiment: Experiment, options: ProbeOptions, run: Run) -> None:
    """Plays a few episodes with each opening of each role, prints what came of them, and what to do next."""
    policy = None if experiment.served else experiment.load_policy()
    end_ids = experiment.renderer(policy).end_ids if policy else ()
    episodes = split_episodes(experiment.task, options.split, options.episodes, "probe.")
    run.progress.say(f"probing: {len(episodes)} episodes with each opening of every role")
    start, rows, shown = time.monotonic(), [], []
    for one in play_probes(experiment, policy, episodes):
        rows.append(probed(experiment.setup, one, end_ids))
        elapsed = time.monotonic() - start
        run.progress.say(f"{one.role}, {one.opening or 'free'}: {len(one.games)} games, {elapsed:.0f} s so far")
        shown += [
            {"role": one.role, "opening": one.opening, "turns": [[turn.role, turn.reply.text] for turn in game.turns]}
            for game in one.games[: options.examples]
        ]
    conduct = probe_conduct(experiment, policy, episodes, options.examples)
    seconds = time.monotonic() - start
    tokens = sum(row["tokens"] * row["games"] for row in rows)
    sentences = advice(rows, experiment.learns, experiment.max_new_tokens, policy is None, conduct)
    write_json(
        run.dir / "probe.json",
        {
            "rows": rows,
            "faults": conduct,
            "partners": partners.partners(experiment),
            "advice": sentences,
            "seconds": seconds,
            "tokens_per_second": tokens / seconds,
            "games": shown,
        },
    )
    run.progress.stop()
    show(rows, shown)
    show_conduct(conduct)
    print(f"{seconds:.0f} s, {tokens / seconds:.0f} tokens/s")
    print("\n".join(sentences))


def show(rows: list[dict[str, Any]], shown: list[dict[str, Any]]) -> None:
    """Prints the figures as a table, then the games."""
    from rich.table import Table

    from trainers.reporting.terminal import print_wide

    table = Table(title="Probe", title_justify="left", box=None)
    for index, name in enumerate(("role", "opening", "games", "valid %", "ends %", "score", "clear", "tokens", "acts")):
        table.add_column(name, justify="right" if 1 < index < 8 else "left")
    for row in rows:
        clear = "-" if row["score_clear"] is None else f"{row['score_clear']:.2f}"
        acts = ", ".join(f"{kind} {share:.0%}" for kind, share in row["actions"].items())
        figures = (f"{100 * row['valid']:.0f}", f"{100 * row['ended']:.0f}", f"{row['score']:.2f}", clear)
        table.add_row(row["role"], row["opening"] or "free", str(row["games"]), *figures, f"{row['tokens']:.0f}", acts)
    print_wide(table)
    for game in shown:
        lines = [f"  {role}: {' / '.join((text or '').splitlines())[:150]}" for role, text in game["turns"]]
        print("\n".join([f"as {game['role']}, {game['opening'] or 'free'}:", *lines]))


def show_conduct(conduct: dict[str, Any]) -> None:
    """Prints the fault reports, each with one example of every kind of fault."""
    from trainers.reporting.report import print_faults

    print_faults(conduct)
    for report in conduct.values():
        for name, games in report["examples"].items():
            for game in games[:1]:
                lines = [f"  {role}: {' / '.join((text or '').splitlines())[:150]}" for role, text in game["turns"]]
                print("\n".join([f"{name} ({game['query']} Meant: {game['intent']}):", *lines]))


def check(experiment: Experiment, options: ProbeOptions) -> None:
    """Checks that the episodes are there, before a model is loaded.

    Raises:
        ValueError: The task has no such split, or deals an episode of a wrong form.
    """
    split_episodes(experiment.task, options.split, options.episodes, "probe.")


main: Any = command(probe, check=check, learns=False, measures=False)

if __name__ == "__main__":
    main()
