"""The evaluation that ends every run: five cost sets, sampled and greedy, the steering grid, the report."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from clarify_env.games.base import Agent
from clarify_env.oracle import solve
from clarify_env.tasks.base import Episode, Task
from trainers import metrics
from trainers import run as running
from trainers.parts import Part, Players, play_parts
from trainers.report import print_table, write_report
from trainers.run import Run, game_maker, make_plane
from trainers.store import append_lines, read_json, write_json

MODES = {"temperature": 1.0, "greedy": 0.0}
NO_BUDGET = {"games": 0, "generated_tokens": 0, "update_tokens": 0, "gold_labels": 0}


def split_episodes(task: Task, split: str, most: int) -> list[Episode]:
    """The first ``most`` episodes of a split."""
    size = task.sizes.get(split)
    if split not in task.sizes:
        raise ValueError(f"eval.split: task {task.name} has no split {split!r}, only {', '.join(task.sizes)}")
    return [task.episode(split, index) for index in range(most if size is None else min(most, size))]


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
        options, plane = config.eval, make_plane(config)
        episodes = split_episodes(task, options.split, options.episodes)
        solved = solve(task, episodes, config.selfplay.max_questions)
        if unknown := set(options.modes) - set(MODES):
            raise ValueError(f"eval.modes must be of {', '.join(MODES)}, not {', '.join(sorted(unknown))}")
        sets, grid_cells = metrics.sets_and_grid(plane, options.grid)
        parts = [
            Part(name, mode, MODES[mode], cells, options.seed + index, options.transcripts)
            for index, mode in enumerate(options.modes)
            for name, cells in sets.items()
        ]
        parts.append(Part("grid", "temperature", 1.0, grid_cells, options.seed + len(options.modes), 0))
        advance = run.bar("evaluating", len(episodes) * sum(len(part.cells) for part in parts), "pairs")
        *of_sets, of_grid = play_parts(config, task, episodes, parts, players, advance)
        agents = players(1.0)
        table: dict[str, Any] = {name: {} for name in sets}
        by_cell: dict[str, Any] = {name: {} for name in sets}
        by_question: dict[str, Any] = {name: {} for name in sets}
        transcripts: list[dict[str, Any]] = []
        for part, played in zip(parts, of_sets, strict=False):
            against = metrics.reference(solved, part.cells)
            if agents["user"].name == "scripted":
                metrics.check_not_beaten(played, against, episodes)
            table[part.name][part.mode] = metrics.summarize(played, against, episodes, options.seed)
            by_cell[part.name][part.mode] = metrics.cells_report(played, against, part.cells)
            by_question[part.name][part.mode] = played.values["reward"].mean(1).tolist()
            transcripts += _readable(played, task, against, episodes, part)
        grid = metrics.grid_report(of_grid, metrics.reference(solved, grid_cells), *plane.grid(options.grid))
        (run.dir / "transcripts.jsonl").unlink(missing_ok=True)
        append_lines(run.dir / "transcripts.jsonl", transcripts)
        # By question too, for what compares runs: the questions of one entity are not independent of each other.
        questions = {"entities": metrics.entities(episodes), "reward": by_question}
        rule = config.selfplay.reasoning
        write_json(run.dir / "evaluation.json", {"grid": grid, "sets": by_cell, "questions": questions})
        write_json(
            summary_path,
            {
                "method": method,
                "task": task.name,
                "split": options.split,
                "seed": config.seed,
                "assistant": agents["assistant"].name,
                "user": agents["user"].name,
                "eval": table,
                "steering": metrics.steering_report(grid),
                "budget": budget | {"seconds": round(run.seconds, 1)},
            }
            | ({} if rule == "none" else {"reasoning": rule}),
        )
    write_report(run.dir)
    summary = read_json(summary_path)
    run.progress.stop()
    print_table(summary)
    return summary


def validate(run: Run, config: DictConfig, task: Task, agents: dict[str, Agent], *, iteration: int) -> None:
    """Plays the validation split at the between costs, once an iteration: the learning curve."""
    if run.recorded("validation", iteration):
        return
    episodes = split_episodes(task, "validation", config.eval.validation)
    cells = make_plane(config).sets()["between"]
    advance = run.bar(f"iteration {iteration}: validating", len(episodes) * len(cells), "pairs")
    played = metrics.play_cells(task, episodes, cells, agents, game_maker(config), seed=config.eval.seed,
                                chunk=config.selfplay.chunk, progress=advance)  # fmt: skip
    against = metrics.reference(solve(task, episodes, config.selfplay.max_questions), cells)
    entry = metrics.summarize(played, against, episodes, config.eval.seed)
    numbers = {key: entry[key] for key in ("reward", "oracle", "regret", "accuracy", "questions", "words")}
    run.record("validation", iteration, iteration, **numbers, **entry["share"])


def measure_assistant(run: Run, config: DictConfig, *, method: str) -> None:
    """Measures the assistant of ``assistant.*`` as it is: a language model, or a scripted player."""
    running.seed_everything(config.seed)
    task = running.make_task_from(config)
    if config.assistant.kind == "scripted":
        assistant, user = running.make_scripted(config, task), running.make_user(config, task, None, None)
        measure(run, config, task, lambda _: {"assistant": assistant, "user": user}, method=method, budget=NO_BUDGET)
        return
    model, tokenizer = running.load_model(config)
    user = running.make_user(config, task, model, tokenizer)

    def players(temperature: float) -> dict[str, Agent]:
        return {"assistant": running.hf_agent(config, model, tokenizer, temperature), "user": user}

    measure(run, config, task, players, method=method, budget=NO_BUDGET)


def _readable(played: metrics.Played, task: Task, against: metrics.Reference, episodes: Sequence[Episode],
              part: Part) -> list[dict[str, Any]]:  # fmt: skip
    row = {episode.id: index for index, episode in enumerate(episodes)}
    return [
        {"set": part.name, "mode": part.mode}
        | metrics.transcript(game, task, float(against.oracle[row[game.episode_id], cell]))
        for game, cell in played.transcripts
    ]
