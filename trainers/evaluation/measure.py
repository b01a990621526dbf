"""The evaluation at the end of every run: all sets of prices, sampled and greedy, the steering grid, the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clarify_env.evaluation.episodes import split_episodes
from clarify_env.evaluation.intervals import entities
from clarify_env.evaluation.played import MODES, Played, play_all
from clarify_env.evaluation.reference import Reference, check_not_beaten, reference
from clarify_env.evaluation.summary import summarize
from clarify_env.evaluation.transcripts import transcript
from clarify_env.games.agents import Agent
from clarify_env.games.setup import Setup
from trainers.data.ratings import JOURNAL
from trainers.data.stored import StoredRun
from trainers.evaluation import partners
from trainers.evaluation.items import FOLDER, GAMES, Study, games_on_file, items_of, write_games
from trainers.evaluation.maps import grid_map, grid_prices, set_map
from trainers.evaluation.rating import rate_in_run
from trainers.evaluation.steering import steering_report
from trainers.evaluation.stored_games import stored_games
from trainers.reporting.results import headline_set
from trainers.runs.experiment import Experiment
from trainers.runs.run import Run
from trainers.runs.store import append_lines, last_checkpoint, read_json, write_json, write_text

if TYPE_CHECKING:
    from trainers.evaluation.jobs import Job, Players

NO_BUDGET = {"games": 0, "generated_tokens": 0, "update_tokens": 0, "gold_labels": 0}


class Evaluation(NamedTuple):
    """The games of an evaluation.

    Attributes:
        setup: Game, task and options.
        learns: Roles that are measured.
        episodes: The episodes.
        jobs: One job per set of prices and mode.
        played: Games of each job.
        against: Oracle and fixed strategies at each job's prices; ``None`` if the game has no oracle.
        grid: Games, reference and axes of the steering grid; ``None`` if there is no grid.
        seed: Seed of the bootstrap.
    """

    setup: Setup
    learns: tuple[str, ...]
    episodes: Sequence[Any]
    jobs: Sequence[Job]
    played: Sequence[Played]
    against: Sequence[Reference | None]
    grid: tuple[Played, Reference, tuple[tuple[float, ...], ...]] | None
    seed: int

    def of_jobs(self) -> Iterator[tuple[Job, Played, Reference | None]]:
        """Yields each job with its games and their reference."""
        yield from zip(self.jobs, self.played, self.against, strict=True)

    def by_set(self, of: Callable[[Job, Played, Reference | None], Any]) -> dict[str, dict[str, Any]]:
        """Returns a value for every set of prices and mode: {set: {mode: value}}."""
        table: dict[str, dict[str, Any]] = {}
        for job, played, against in self.of_jobs():
            table.setdefault(job.name, {})[job.mode] = of(job, played, against)
        return table

    def maps(self) -> dict[str, Any] | None:
        """Returns the maps of the steering grid."""
        if self.grid is None:
            return None
        played, against, axes = self.grid
        return grid_map(self.setup.game, played, against, *axes)

    def results(self) -> dict[str, Any]:
        """Returns the entries ``eval`` and ``steering`` of the summary."""
        table = self.by_set(
            lambda _, played, against: summarize(self.setup.game, played, against, self.episodes, self.seed)
        )
        maps = self.maps()
        return {"eval": table} | ({} if maps is None else {"steering": steering_report(self.setup.game, maps)})

    def by_task(self) -> dict[str, Evaluation]:
        """Splits the evaluation by the tasks of a mix; empty for any other task."""
        rows: dict[str, list[int]] = {}
        for row, episode in enumerate(self.episodes):
            rows.setdefault(episode.meta.get("task", ""), []).append(row)
        rows.pop("", None)
        return {name: self._part(task_rows) for name, task_rows in rows.items()}

    def _part(self, rows: Sequence[int]) -> Evaluation:
        grid = self.grid and (self.grid[0].rows(rows), self.grid[1].rows(rows), self.grid[2])
        return self._replace(
            episodes=[self.episodes[row] for row in rows],
            played=[played.rows(rows) for played in self.played],
            against=[against and against.rows(rows) for against in self.against],
            grid=grid,
        )


def measure(
    run: Run, experiment: Experiment, players: Players, *, method: str, budget: Mapping[str, int]
) -> dict[str, Any]:
    """Evaluates the players and writes ``summary.json``, ``evaluation.json``, ``transcripts.jsonl`` and the report.

    Args:
        run: Run whose directory holds the files.
        experiment: Game, task, prices and evaluation options.
        players: Makes the players at a temperature.
        method: Name of the method in the summary.
        budget: Games, tokens and labels that learning has used.

    Returns:
        The summary.
    """
    from trainers.reporting.report import print_table, write_report  # matplotlib takes a second to import

    summary_path = run.dir / "summary.json"
    if stores_games(run, experiment) or not summary_path.exists():
        evaluation, agents = evaluate(run, experiment, players), players(1.0)
        if stored_games(experiment):
            write_games(run.dir, [game for played in evaluation.played for game in played.stored])
    if not summary_path.exists():
        _write_details(run, experiment, evaluation, agents)
        summary = {
            "method": method,
            "game": experiment.setup.game.name,
            "task": experiment.task.name,
            "split": experiment.evaluation.split,
            "seed": experiment.seed,
            "players": {role: agent.name for role, agent in agents.items()},
            "partners": partners.partners(experiment),
            "options": dict(experiment.setup.options),
            **evaluation.results(),
            **fault_reports(experiment, evaluation),
            "budget": {**budget, "seconds": round(run.seconds, 1)},
        }
        if (rule := experiment.setup.options.get("reasoning", "none")) != "none":
            summary["reasoning"] = rule
        if experiment.models.has_servers:
            summary["servers"] = experiment.models.servers.usage()
        if by_task := evaluation.by_task():
            summary["tasks"] = {name: part.results() for name, part in by_task.items()}
        if (folder := last_checkpoint(run.dir)) is not None:
            _write_card(folder, experiment, evaluation, agents, summary)
        write_json(summary_path, summary)
    run.report = write_report(run.dir)
    summary = read_json(summary_path)
    if experiment.rater.kind is not None:
        rate_evaluation(run, experiment, method)
        write_report(run.dir)  # with the ratings
    run.progress.stop()
    print_table(summary)
    return summary


def stores_games(run: Run, experiment: Experiment) -> bool:
    """Returns whether games are to be stored to be rated, and are not yet, or fewer than ``rating.games``.

    Raises:
        ValueError: Fewer are stored, and some of them are rated.
    """
    wanted, on_file = stored_games(experiment), games_on_file(run.dir)
    if wanted <= on_file or (on_file and experiment.rating.games is None):
        return False
    if on_file and (run.dir / FOLDER / JOURNAL).exists():
        raise ValueError(
            f"rating.games={experiment.rating.games}: {run.dir} holds ratings of the {on_file:,} games that it stored; "
            f"write rating.games={on_file}, or choose another run_dir for {wanted:,}"
        )
    return True


def rate_evaluation(run: Run, experiment: Experiment, command: str) -> None:
    """Rates the games that an evaluation has stored, as far as that can be done without a person."""
    stored = StoredRun(run.dir, command, experiment, (run.dir / FOLDER / GAMES,))
    items = items_of(experiment.setup, [game for _, game in stored.games()], command)
    study = Study(run.dir / FOLDER, stored, {command: items})
    rate_in_run(run, study, experiment.rating, experiment.rater, experiment.cheap_rater)


def _write_details(run: Run, experiment: Experiment, evaluation: Evaluation, agents: Mapping[str, Agent]) -> None:
    """Writes ``transcripts.jsonl`` and ``evaluation.json``; raises AssertionError if a policy beats the oracle."""
    (run.dir / "transcripts.jsonl").unlink(missing_ok=True)
    row = {episode.id: index for index, episode in enumerate(evaluation.episodes)}
    for job, played, against in evaluation.of_jobs():
        if against is not None and experiment.partners_are_scripted:
            check_not_beaten(played, against, evaluation.episodes)
        lines = []
        for trajectory, at in played.transcripts:
            oracle = None if against is None else float(against.oracle[row[trajectory.episode_id], at])
            line = transcript(evaluation.setup, trajectory, evaluation.learns, oracle)
            lines.append({"set": job.name, "mode": job.mode} | line)
        append_lines(run.dir / "transcripts.jsonl", lines)
    game = evaluation.setup.game
    sets = evaluation.by_set(lambda job, played, against: set_map(game, played, against, job.prices))
    # Rewards by episode and entity, for comparisons of runs: episodes of one entity are not independent.
    rewards = evaluation.by_set(lambda _, played, __: played.values["reward"].mean(1).tolist())
    episodes = {"entities": entities(evaluation.episodes), "reward": rewards}
    settings = {"partners": partners.partners(experiment), "options": dict(experiment.setup.options)}
    write_json(run.dir / "evaluation.json", {"grid": evaluation.maps(), "sets": sets, "episodes": episodes} | settings)


def fault_reports(experiment: Experiment, evaluation: Evaluation) -> dict[str, Any]:
    """Returns the entry ``faults`` of the summary, {mode: {role: report}} over all sets of prices, if any is judged."""
    played: dict[str, list[Played]] = {}
    for job, games, _ in evaluation.of_jobs():
        played.setdefault(job.mode, []).append(games)
    reports = {mode: partners.faults(experiment, games) for mode, games in played.items()}
    return {"faults": reports} if experiment.judged else {}


def _write_card(
    folder: Path, experiment: Experiment, evaluation: Evaluation, agents: Mapping[str, Agent], summary: dict[str, Any]
) -> None:
    """Rewrites the card of a checkpoint with its results, and with a game of ``transcripts.jsonl`` as its example."""
    from trainers.reporting.card import CARD, card, first_view, show

    policy: Any = agents[experiment.learns[0]]
    game = next((played.transcripts[0][0] for job, played, _ in evaluation.of_jobs() if _is_example(job, played)), None)
    if game is None:
        view, message = first_view(experiment), None
    else:
        turn = game.moves(experiment.learns)[0]
        view, message = turn.view, turn.reply.text
    example = None if view is None else show(policy.renderer, view, message)
    write_text(folder / CARD, card(experiment, folder, summary["method"], example, summary))


def _is_example(job: Job, played: Played) -> bool:
    return job.mode == "greedy" and bool(played.transcripts)


def evaluate(run: Run, experiment: Experiment, players: Players) -> Evaluation:
    """Plays the episodes of ``eval.split`` at ``eval.sets`` in ``eval.modes``, and on the steering grid."""
    from trainers.evaluation.jobs import Job, check_players, play_jobs  # what starts processes takes long to import

    setup, options, plane = experiment.setup, experiment.evaluation, experiment.plane
    check_players(experiment, [players(1.0)])
    episodes = split_episodes(experiment.task, options.split, options.episodes, "eval.")
    solved = setup.game.solve(experiment.task, episodes, **setup.options)
    jobs = [
        Job(name, mode, MODES[mode], prices, options.seed + index, options.transcripts)
        for index, mode in enumerate(options.modes)
        for name, prices in plane.sets().items()
        if options.sets is None or name in options.sets
    ]
    # Games to be rated are those of the first mode at the headline set.
    rated = next(index for index, job in enumerate(jobs) if job.name == headline_set(job.name for job in jobs))
    jobs[rated] = jobs[rated]._replace(stored=stored_games(experiment))
    axes = plane.grid(options.grid) if solved is not None else ()
    if axes:
        seed = options.seed + len(options.modes)
        jobs.append(Job("grid", "temperature", 1.0, grid_prices(plane, options.grid), seed, 0))
    advance = run.bar("evaluating", len(episodes) * sum(len(job.prices) for job in jobs), "pairs")
    played = play_jobs(experiment, episodes, jobs, players, advance)
    against = [None if solved is None else reference(solved, job.prices) for job in jobs]
    grid = None
    if axes:
        *jobs, _ = jobs
        *played, grid_played = played
        *against, grid_against = against
        assert grid_against is not None, "a steering grid has an oracle"
        grid = (grid_played, grid_against, axes)
    return Evaluation(setup, experiment.learns, episodes, jobs, played, against, grid, options.seed)


def validate(run: Run, experiment: Experiment, agents: Mapping[str, Agent], *, iteration: int) -> None:
    """Plays validation episodes at held-out prices and records the point of the learning curve, once per iteration."""
    from trainers.evaluation.jobs import check_players

    check_players(experiment, [agents])  # the evaluation at the end hands them to other processes
    if run.recorded("validation", iteration):
        return
    setup, options = experiment.setup, experiment.evaluation
    episodes = split_episodes(experiment.task, "validation", options.validation, "eval.")
    sets = experiment.plane.sets()
    prices = sets.get("between") or next(iter(sets.values()))
    advance = run.bar(f"iteration {iteration}: validating", len(episodes) * len(prices), "pairs")
    chunk = experiment.selfplay.chunk
    played = play_all(
        setup, episodes, prices, agents, experiment.learns, seed=options.seed, chunk=chunk, progress=advance
    )
    solved = setup.game.solve(experiment.task, episodes, **setup.options)
    against = None if solved is None else reference(solved, prices)
    entry = summarize(setup.game, played, against, episodes, options.seed)
    numbers = {name: value for name, value in entry.items() if isinstance(value, float)}
    run.record("validation", iteration, iteration, **numbers, **entry["share"])


def measure_policy(run: Run, experiment: Experiment, *, method: str) -> None:
    """Measures the players without learning."""
    policy = None if experiment.policy_options is None else experiment.load_policy()
    measure(run, experiment, partial(experiment.players, policy), method=method, budget=NO_BUDGET)
