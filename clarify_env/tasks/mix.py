"""The `mix` task: several tasks as one, so that one policy learns all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from clarify_env.tasks.base import Episode, Item, Task, register
from clarify_env.tasks.registry import make_task

DEFAULT: dict[str, dict[str, Any]] = {"almanac": {}, "ledger": {}}


@register
class Mix(Task):
    """Episodes of several tasks in turn: every task has the same share of each split.

    A split has as many episodes of each task as the smallest split of that name; it is endless if all of them are.
    ``meta["task"]`` of an episode is the name of its task, and results are also reported per task.

    Args:
        tasks: Options by name of a task; ``None``: almanac and ledger with their defaults.

    Raises:
        ValueError: A task is unknown, there are fewer than two, an option is wrong, or their splits differ.

    Version history: 1, first version.
    """

    name = "mix"
    version = 1

    def __init__(self, tasks: Mapping[str, Mapping[str, Any] | None] | None = None):
        tasks = DEFAULT if tasks is None else tasks
        if len(tasks) < 2:
            raise ValueError(f"task.tasks must name at least two tasks, not {len(tasks)}")
        if self.name in tasks:
            raise ValueError("task.tasks cannot hold mix itself")
        self.parts = {name: make_task(name, **(options or {})) for name, options in tasks.items()}
        first, *others = self.parts.values()
        for other in others:
            if set(other.sizes) != set(first.sizes):
                raise ValueError(
                    f"task.tasks: {first.name} has the splits {', '.join(first.sizes)}, "
                    f"{other.name} {', '.join(other.sizes)}"
                )
        self.known_odds = all(task.known_odds for task in self.parts.values())  # type: ignore[misc]
        self.sizes: dict[str, int | None] = {}
        for split in first.sizes:
            finite = [size for task in self.parts.values() if (size := task.sizes[split]) is not None]
            self.sizes[split] = len(self.parts) * min(finite) if finite else None
        self.attributes = {}  # type: ignore[misc]
        for task in self.parts.values():
            for attribute, cues in task.attributes.items():
                self.attributes[attribute] = tuple(dict.fromkeys((*self.attributes.get(attribute, ()), *cues)))
        # Demonstrations use the splits that each task allows.
        self.pretraining = ("train",)  # type: ignore[misc]

    def report(self) -> str:
        """Reports of all tasks."""
        return "; ".join(task.report() for task in self.parts.values())

    def _episode(self, split: str, index: int) -> Episode:
        inner_index, task_index = divmod(index, len(self.parts))
        task = list(self.parts.values())[task_index]
        episode = task.episode(split, inner_index)
        entity = f"{task.name}/{episode.meta.get('entity', episode.id)}"
        meta = episode.meta | {"task": task.name, "entity": entity, "inner": episode.id}
        return episode._replace(id=f"{split}/{index}", meta=meta)

    def own(self, episode: Episode) -> tuple[Task, Episode]:
        """Returns (task of the episode, the episode under that task's id)."""
        return self.parts[episode.meta["task"]], episode._replace(id=episode.meta["inner"])

    def score(self, answer: str, intent: int, episode: Episode) -> float:
        """See `Task.score`."""
        task, inner = self.own(episode)
        return task.score(answer, intent, inner)

    def f1(self, answer: str, intent: int, episode: Episode) -> float:
        """See `Task.f1`."""
        task, inner = self.own(episode)
        return task.f1(answer, intent, inner)

    def metric_of(self, episode: Episode) -> str:
        """See `Task.metric_of`."""
        task, inner = self.own(episode)
        return task.metric_of(inner)

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """See `Task.reply`."""
        task, inner = self.own(episode)
        return task.reply(question, intent, inner)

    def match(self, label: str, intent: int, episode: Episode) -> float:
        """See `Task.match`."""
        task, inner = self.own(episode)
        return task.match(label, intent, inner)

    def pick(self, items: Sequence[Item], intent: int, episode: Episode) -> list[int]:
        """See `Task.pick`."""
        task, inner = self.own(episode)
        return task.pick(items, intent, inner)

    def questions(self, episode: Episode) -> list[str]:
        """See `Task.questions`."""
        task, inner = self.own(episode)
        return task.questions(inner)
