"""The evaluation that ends every run: five cost sets, sampled and greedy, the steering grid, the report."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from omegaconf import DictConfig

from clarify_env.costs import SETS
from clarify_env.games.base import Agent
from clarify_env.games.clarification.oracle import solve
from clarify_env.tasks.base import Episode, Task
from trainers.evaluation import metrics
from trainers.evaluation.jobs import Part, Players, play_parts
from trainers.evaluation.scores import Similarity
from trainers.evaluation.steering import steering_report
from trainers.reporting.report import print_table, write_report
from trainers.runs import run as running
from trainers.runs.run import Run, game_maker, make_plane
from trainers.runs.store import append_lines, read_json, write_json

NO_BUDGET = {"games": 0, "generated_tokens": 0, "update_tokens": 0, "gold_labels": 0}


def task_to_measure(config: DictConfig) -> Task:
    """The task of ``task.*``; what is wrong in ``eval.*`` is said now, not when a policy has been learned.

    Raises:
        ValueError: An option of ``eval.*`` is wrong.
    """
    task, options = running.make_task_from(config), config.eval
    split_episodes(task, options.split, 0)
    for option, known in (("modes", metrics.MODES), ("sets", SETS)):
        chosen = list(options[option])
        if not chosen or set(chosen) - set(known):
            said = ", ".join(chosen) or "none"
            raise ValueError(f"eval.{option} must be one or more of {', '.join(known)}, not {said}")
    if options.similarity is not None:
        Similarity(options.similarity)
    if options.gold_logprob and config.assistant.kind == "scripted":
        raise ValueError("eval.gold_logprob is a language model's, and assistant.kind=scripted is none")
    return task


def split_episodes(task: Task, split: str, most: int) -> list[Episode]:
    """The first ``most`` episodes of a split."""
    size = task.sizes.get(split)
    if split not in task.sizes:
        raise ValueError(f"eval.split: task {task.name} has no split {split!r}, only {', '.join(task.sizes)}")
    return [task.episode(split, index) for index in range(most if size is None else min(most, size))]


class Evaluation(NamedTuple):
    """What was played in an evaluation.

    Attributes:
        episodes: The questions.
        parts: The cost sets in each mode; the steering grid last.
        played: What each part's games came to.
        against: The oracle and the fixed strategies at each part's costs.
        axes: Of the steering grid: alphas and betas.
        seed: Of the bootstrap.
    """

    episodes: Sequence[Episode]
    parts: Sequence[Part]
    played: Sequence[metrics.Played]
    against: Sequence[metrics.Reference]
    axes: tuple[Sequence[float], Sequence[float]]
    seed: int

    def of_sets(self) -> Iterator[tuple[Part, metrics.Played, metrics.Reference]]:
        """The cost sets, without the grid."""
        yield from list(zip(self.parts, self.played, self.against, strict=True))[:-1]

    def by_set(self, of: Callable[[Part, metrics.Played, metrics.Reference], Any]) -> dict[str, dict[str, Any]]:
        """A value of every cost set in every mode: {cost set: {mode: value}}."""
        table: dict[str, dict[str, Any]] = {}
        for part, played, against in self.of_sets():
            table.setdefault(part.name, {})[part.mode] = of(part, played, against)
        return table

    def grid(self) -> dict[str, Any]:
        """The maps of the cost plane."""
        return metrics.grid_report(self.played[-1], self.against[-1], *self.axes)

    def results(self) -> dict[str, Any]:
        """``eval`` and ``steering`` of the summary."""
        table = self.by_set(lambda _, played, against: metrics.summarize(played, against, self.episodes, self.seed))
        return {"eval": table, "steering": steering_report(self.grid())}

    def by_task(self) -> dict[str, "Evaluation"]:
        """The same for the questions of each of a mix's tasks; empty for any other task."""
        rows: dict[str, list[int]] = {}
        for row, episode in enumerate(self.episodes):
            rows.setdefault(episode.meta.get("task", ""), []).append(row)
        rows.pop("", None)
        return {
            name: self._replace(
                episodes=[self.episodes[row] for row in its],
                played=[p.rows(its) for p in self.played],
                against=[a.rows(its) for a in self.against],
            )
            for name, its in rows.items()
        }


def measure(run: Run, config: DictConfig, task: Task, players: Players, *, method: str, budget: dict[str, int]) -> dict:
    """Evaluates the players and writes ``summary.json``, ``evaluation.json``, ``transcripts.jsonl`` and the report.

    Args:
        run: Where.
        config: ``eval.*``, ``costs.*`` and ``selfplay.*`` are read.
        task: What is played.
        players: Makes the players at a temperature.
        method: Name of the method, for the summary.
        budget: What learning has used, by kind.

    Returns:
        The summary.
    """
    summary_path = run.dir / "summary.json"
    if not summary_path.exists():
        found, agents = evaluate(run, config, task, players), players(1.0)
        (run.dir / "transcripts.jsonl").unlink(missing_ok=True)
        for part, played, against in found.of_sets():
            if agents["user"].name == "scripted":
                metrics.check_not_beaten(played, against, found.episodes)
            append_lines(run.dir / "transcripts.jsonl", _readable(played, task, against, found.episodes, part))
        # By question too, for what compares runs: the questions of one entity are not independent of each other.
        rewards = found.by_set(lambda _, played, __: played.values["reward"].mean(1).tolist())
        sets = found.by_set(lambda part, played, against: metrics.cells_report(played, against, part.cells))
        questions = {"entities": metrics.entities(found.episodes), "reward": rewards}
        write_json(run.dir / "evaluation.json", {"grid": found.grid(), "sets": sets, "questions": questions})
        summary = {
            "method": method,
            "task": task.name,
            "split": config.eval.split,
            "seed": config.seed,
            "assistant": agents["assistant"].name,
            "user": agents["user"].name,
            **found.results(),
            "budget": budget | {"seconds": round(run.seconds, 1)},
        }
        if (rule := config.selfplay.reasoning) != "none":
            summary["reasoning"] = rule
        if by_task := found.by_task():
            summary["tasks"] = {name: its.results() for name, its in by_task.items()}
        write_json(summary_path, summary)
    write_report(run.dir)
    summary = read_json(summary_path)
    run.progress.stop()
    print_table(summary)
    return summary


def evaluate(run: Run, config: DictConfig, task: Task, players: Players) -> Evaluation:
    """Plays the questions of ``eval.split`` at ``eval.sets`` in ``eval.modes``, and at the steering grid."""
    options, plane = config.eval, make_plane(config)
    episodes = split_episodes(task, options.split, options.episodes)
    solved = solve(task, episodes, config.selfplay.max_questions)
    sets, grid_cells = metrics.sets_and_grid(plane, options.grid)
    parts = [
        Part(name, mode, metrics.MODES[mode], cells, options.seed + index, options.transcripts)
        for index, mode in enumerate(options.modes)
        for name, cells in sets.items()
        if name in options.sets
    ]
    parts.append(Part("grid", "temperature", 1.0, grid_cells, options.seed + len(options.modes), 0))
    advance = run.bar("evaluating", len(episodes) * sum(len(part.cells) for part in parts), "pairs")
    played = play_parts(config, task, episodes, parts, players, advance)
    against = [metrics.reference(solved, part.cells) for part in parts]
    return Evaluation(episodes, parts, played, against, plane.grid(options.grid), options.seed)


def validate(run: Run, config: DictConfig, task: Task, agents: dict[str, Agent], *, iteration: int) -> None:
    """Plays the validation split at the between costs, once an iteration: the learning curve."""
    if run.recorded("validation", iteration):
        return
    episodes = split_episodes(task, "validation", config.eval.validation)
    cells = make_plane(config).sets()["between"]
    advance = run.bar(f"iteration {iteration}: validating", len(episodes) * len(cells), "pairs")
    played = metrics.play_cells(
        task,
        episodes,
        cells,
        agents,
        game_maker(config),
        seed=config.eval.seed,
        chunk=config.selfplay.chunk,
        progress=advance,
    )
    against = metrics.reference(solve(task, episodes, config.selfplay.max_questions), cells)
    entry = metrics.summarize(played, against, episodes, config.eval.seed)
    numbers = {key: entry[key] for key in ("reward", "oracle", "regret", "accuracy", "questions", "words")}
    run.record("validation", iteration, iteration, **numbers, **entry["share"])


def measure_assistant(run: Run, config: DictConfig, *, method: str) -> None:
    """Measures the assistant of ``assistant.*`` as it is: a language model, or a scripted player."""
    running.seed_everything(config.seed)
    task = task_to_measure(config)
    if config.assistant.kind == "scripted":
        assistant, user = running.make_scripted(config, task), running.make_user(config, task, None, None)
        measure(run, config, task, lambda _: {"assistant": assistant, "user": user}, method=method, budget=NO_BUDGET)
        return
    model, tokenizer = running.load_model(config)
    user = running.make_user(config, task, model, tokenizer)

    def players(temperature: float) -> dict[str, Agent]:
        return {"assistant": running.hf_agent(config, model, tokenizer, temperature), "user": user}

    measure(run, config, task, players, method=method, budget=NO_BUDGET)


def _readable(
    played: metrics.Played, task: Task, against: metrics.Reference, episodes: Sequence[Episode], part: Part
) -> list[dict[str, Any]]:
    row = {episode.id: index for index, episode in enumerate(episodes)}
    return [
        {"set": part.name, "mode": part.mode}
        | metrics.transcript(game, task, float(against.oracle[row[game.episode_id], cell]))
        for game, cell in played.transcripts
    ]
