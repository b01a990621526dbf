"""One policy of several games: learns what ReST selects from the games of several runs, and measures it on each.

``python -m trainers.mix runs=[RUN_A,RUN_B]``, where the runs are of ``trainers.rest``, of any games and tasks. The
messages that each run learned last are selected again, by its own options and prices, and one model is fine-tuned on
all of them, in a random order. No game is played but those that measure.
"""

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from agents.example import Example
from clarify_env.games.base import Trajectory
from clarify_env.options import option, read
from trainers.data.stored import StoredRun, check_games, open_run
from trainers.evaluation.measure import evaluate
from trainers.learning.improve import check_update, improve
from trainers.learning.options import UpdateOptions, update_tokens
from trainers.rest import RestOptions, select
from trainers.rollouts.stored import check_training, stored_groups
from trainers.runs.command import command
from trainers.runs.experiment import Experiment, Policy
from trainers.runs.identity import weights_digest
from trainers.runs.options import MOST_EPISODES, BudgetOptions, EvalOptions, RolloutOptions
from trainers.runs.run import Run
from trainers.runs.store import last_checkpoint, read_json, write_json, write_text

MIXED, OWN = "mixed", "own"


@dataclass(frozen=True)
class MixOptions:
    """What is learned together, and how it is measured (the root of ``conf/mix.yaml``)."""

    runs: list[str] = option()
    """Run directories of trainers.rest that are finished, at least two."""
    model: str | None = option(None)
    """Chat model that learns: folder, GGUF file, hub id or smollm2; null: the one that the first run started from."""
    split: str | None = option(None)
    """Split of each task that is measured; null: the one that its run measured."""
    episodes: int | None = option(None, least=1, most=MOST_EPISODES)
    """Most episodes of that split; null: as many as the run measured."""
    own: bool = option(True)
    """Also measure the policy of each run, on the same episodes at the same prices."""
    seed: int = option(0, least=0)
    """Seed of the order in which messages are learned."""


class Part(NamedTuple):
    """A run that is learned from.

    Attributes:
        name: Game and task; a number follows where several runs have the same.
        stored: The run and the games that it learned from.
        experiment: The run's experiment, with the episodes to be measured.
        rest: The run's options of selection.
        rollouts: The run's options of rollouts.
        budget: The run's budget.
    """

    name: str
    stored: StoredRun
    experiment: Experiment
    rest: RestOptions
    rollouts: RolloutOptions
    budget: BudgetOptions


def load(options: MixOptions, update: UpdateOptions) -> dict[str, Any]:
    """Opens the runs and loads the models that play, before anything is written.

    Returns:
        The other arguments of `mix`.

    Raises:
        ValueError: A run cannot be learned from, or has no such split, or a model cannot be loaded or trained; the
            message names it.
    """
    learned = parts(options)
    from transformers.utils.logging import disable_progress_bar  # takes seconds to import

    disable_progress_bar()  # of transformers: it would disturb ours
    base = starting_model(options, learned[0])
    check_update(base, update, "model")
    for part in learned:
        with _naming(part.stored.folder):
            part.experiment.load_partners()
    return {"learned": learned, "base": base}


def mix(options: MixOptions, update: UpdateOptions, run: Run, learned: list[Part], base: Policy) -> None:
    """Selects from the games of every run, improves one model on all of it, and measures that on every game."""
    from trainers.reporting.mix import CARD, card, markdown, show  # jinja2 and rich take long to import

    learned = [part._replace(experiment=part.experiment.dated(run.identity["date"])) for part in learned]
    first = learned[0].experiment.at(seed=options.seed)
    for part in learned:
        if options.own and last_checkpoint(part.stored.folder) is None:
            run.log.warning(f"own: {part.stored.folder} has no checkpoint any more, so its policy is not measured")
    examples = [example for part in learned for example in selected(part, base, run)]
    policy = improve(first, update, run, base, examples, 1)
    results = {part.name: measured(part, policy, options, run) for part in learned}
    used = {"examples": len(examples), "update_tokens": update_tokens(examples, update)}
    write_json(run.dir / "mix.json", {"seed": options.seed, "budget": used, "runs": results})
    write_text(run.dir / "mix.md", markdown(results))
    assert policy.folder is not None, "it was loaded from the checkpoint"
    model = options.model or first.language_model().model
    write_text(policy.folder / CARD, card([part.experiment for part in learned], model, results))
    run.report = run.dir / "mix.md"
    run.progress.stop()
    show(results)


def parts(options: MixOptions) -> list[Part]:
    """Opens the runs.

    Raises:
        ValueError: There are fewer than two, one is named twice, was made by another command than rest, is unfinished,
            played by a server, holds games that nothing can be learned from, or its task has no such split.
    """
    folders = [Path(folder).resolve() for folder in options.runs]
    if len(folders) < 2 or len(set(folders)) < len(folders):
        raise ValueError("runs must be at least two run directories, each named once, as runs=[RUN_A,RUN_B]")
    opened: list[Part] = []
    for folder in map(Path, options.runs):
        part = open_part(folder)
        experiment = part.experiment.at(evaluation=episodes_to_measure(part.stored, options))
        game = f"{experiment.setup.game.name}-{experiment.task.name}"
        same = sum(part.name.rpartition("#")[0] == game or part.name == game for part in opened)
        opened.append(part._replace(name=f"{game}#{same + 1}" if same else game, experiment=experiment))
    return opened


def open_part(folder: Path) -> Part:
    """Opens a run, with its options and the games that it learned from: its own, or those of ``rollouts.games``.

    Raises:
        ValueError: Nothing can be learned from it; the message names it.
    """
    stored = open_run(folder, "runs", empty=True)
    if stored.command != "rest":
        raise ValueError(f"runs: {folder} is a run of trainers.{stored.command}, and only those of rest are mixed")
    if stored.experiment.policy_options is None:
        raise ValueError(f"runs: {folder} was played by a server, whose model cannot learn here")
    if not stored.finished:
        raise ValueError(f"runs: {folder} is unfinished: the command that began it goes on with it")
    sections = read_json(folder / "config.json")
    with _naming(folder / "config.json"):
        rest = read(RestOptions, _section(sections, "rest"), "rest")
        rollouts = read(RolloutOptions, _section(sections, "rollouts"), "rollouts")
        budget = read(BudgetOptions, _section(sections, "budget"), "budget")
    if rollouts.games is None:
        check_games(stored, "runs")
        names = (f"iteration-{iteration}.jsonl" for iteration in range(1, rest.iterations + 1))
        if missing := [name for name in names if folder / "trajectories" / name not in stored.files]:
            raise ValueError(f"runs: {folder} has no trajectories/{missing[0]} any more, of which it learned")
    else:
        with _naming(folder):
            stored = stored._replace(files=open_run(rollouts.games, "rollouts.games").files)
    check_training(stored, "runs")
    return Part("", stored, stored.experiment, rest, rollouts, budget)


def _section(sections: dict[str, Any], name: str) -> dict[str, Any]:
    section = sections.get(name)
    if not isinstance(section, dict):
        raise ValueError(f"it has no section {name}")
    return section


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Names ``runs`` and the run in errors about an option of that run."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"runs: {path}: {error}") from error


def episodes_to_measure(stored: StoredRun, options: MixOptions) -> EvalOptions:
    """Returns the evaluation of a run, with the split and the number of episodes of ``split`` and ``episodes``.

    Raises:
        ValueError: The run's task has no such split.
    """
    evaluation, task = stored.experiment.evaluation, stored.experiment.task
    split = options.split or evaluation.split
    if split not in task.sizes:
        raise ValueError(
            f"split: task {task.name} of {stored.folder} has no split {split!r}, only {', '.join(task.sizes)}"
        )
    return replace(evaluation, split=split, episodes=options.episodes or evaluation.episodes)


def starting_model(options: MixOptions, first: Part) -> Policy:
    """Loads the model that learns.

    Raises:
        ValueError: It cannot be loaded, or is not the one that the first run started from.
    """
    from agents.hf import load  # torch and transformers take seconds to import
    from agents.models import model_file

    learner, task, folder = first.experiment.language_model(), first.experiment.task.name, first.stored.folder
    if options.model is not None:
        return Policy(*load(model_file(options.model, task, "model"), device=learner.device, option="model"))
    with _naming(folder):
        policy = first.experiment.load_policy()
    if weights_digest(learner.model, task) != read_json(folder / "config.json").get("weights"):
        raise ValueError(
            f"runs: assistant.model={learner.model} is no longer what {folder} started from: it was made anew; choose "
            "the model that learns by model=FOLDER_OR_HUB_ID"
        )
    return policy


def selected(part: Part, policy: Policy, run: Run) -> list[Example]:
    """Selects from all games of a run what its last iteration learned, in the prompts and tokens of the policy.

    Raises:
        ValueError: That is nothing.
    """
    experiment, iterations = part.experiment, part.rest.iterations
    players = experiment.players(policy, 1.0)
    if part.rollouts.games is None:
        groups = stored_groups(experiment, players, str(part.stored.folder), 1, sys.maxsize)
    else:
        games, budget = part.rollouts.games, part.budget.games // iterations
        groups = itertools.chain.from_iterable(
            stored_groups(experiment, players, games, iteration, budget) for iteration in range(1, iterations + 1)
        )
    pool: dict[str, list[Trajectory]] = {}
    for episode, games_of_group in groups:
        pool.setdefault(episode.id, []).extend(games_of_group)
    advance = run.bar(f"{part.name}: selecting", len(pool), "episodes")
    renderer = experiment.renderer(policy)
    examples = select(experiment, part.rest, part.rollouts, renderer, pool, iterations, advance)
    if not examples:
        raise ValueError(f"runs: {part.stored.folder} has no examples to learn from: its selection rejects every group")
    return examples


def measured(part: Part, policy: Policy, options: MixOptions, run: Run) -> dict[str, Any]:
    """Measures the policy, and the run's own, on the run's game; what was measured before is read.

    Returns:
        Game, task, split and run directory, and by policy the entries of a summary (`Evaluation.results`).
    """
    experiment, by_policy = part.experiment, {}
    checkpoint = last_checkpoint(part.stored.folder) if options.own else None
    for name, folder in ((MIXED, policy.folder), (OWN, checkpoint)):
        if folder is None:
            continue
        file = run.dir / "measured" / f"{part.name}-{name}.json"
        if not file.exists():
            player = policy if folder == policy.folder else experiment.load(folder)
            file.parent.mkdir(exist_ok=True)
            write_json(file, evaluate(run, experiment, partial(experiment.players, player)).results())
        by_policy[name] = read_json(file)
    return {
        "game": experiment.setup.game.name,
        "task": experiment.task.name,
        "split": experiment.evaluation.split,
        "run": str(part.stored.folder),
        "policies": by_policy,
    }


main: Any = command(mix, load=load, learns=False, measures=False, root=True)

if __name__ == "__main__":
    main()
