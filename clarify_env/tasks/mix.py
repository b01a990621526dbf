"""The `mix` task: several tasks as one, so that a single policy learns them together."""

from collections.abc import Mapping, Sequence
from typing import Any

from clarify_env.tasks.base import Episode, Item, Task, make_task, register

DEFAULT: dict[str, dict[str, Any]] = {"almanac": {}, "ledger": {}}


@register
class Mix(Task):
    """Episodes of several tasks in turn: every task has the same share of each split.

    A split has as many episodes of each task as the smallest of them has; it is endless where all of theirs are. An
    episode's ``meta["task"]`` says whose it is, and results are reported for each task as well.

    Args:
        tasks: Options by name of a task; ``None``: almanac and ledger as they are.

    Raises:
        ValueError: There is no such task, or fewer than two; an option is wrong, or the tasks have other splits.

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
        self.sizes: dict[str, int | None] = {}
        for split in first.sizes:
            finite = [size for task in self.parts.values() if (size := task.sizes[split]) is not None]
            self.sizes[split] = len(self.parts) * min(finite) if finite else None
        self.attributes = {}  # type: ignore[misc]
        for task in self.parts.values():
            for attribute, cues in task.attributes.items():
                self.attributes[attribute] = tuple(dict.fromkeys((*self.attributes.get(attribute, ()), *cues)))
        # `demonstrations` shows of each task the splits that it allows.
        self.pretraining = ("train",)  # type: ignore[misc]

    def report(self) -> str:
        """What each of the tasks says."""
        return "; ".join(task.report() for task in self.parts.values())

    def _episode(self, split: str, index: int) -> Episode:
        place, turn = divmod(index, len(self.parts))
        task = list(self.parts.values())[turn]
        episode = task.episode(split, place)
        entity = f"{task.name}/{episode.meta.get('entity', episode.id)}"
        meta = episode.meta | {"task": task.name, "entity": entity, "inner": episode.id}
        return episode._replace(id=f"{split}/{index}", meta=meta)

    def own(self, episode: Episode) -> tuple[Task, Episode]:
        """The task an episode is of, and the episode as that task knows it."""
        return self.parts[episode.meta["task"]], episode._replace(id=episode.meta["inner"])

    def score(self, answer: str, intent: int, episode: Episode) -> float:
        """See `Task.score`."""
        task, own = self.own(episode)
        return task.score(answer, intent, own)

    def f1(self, answer: str, intent: int, episode: Episode) -> float:
        """See `Task.f1`."""
        task, own = self.own(episode)
        return task.f1(answer, intent, own)

    def reply(self, question: str, intent: int, episode: Episode) -> str:
        """See `Task.reply`."""
        task, own = self.own(episode)
        return task.reply(question, intent, own)

    def match(self, label: str, intent: int, episode: Episode) -> float:
        """See `Task.match`."""
        task, own = self.own(episode)
        return task.match(label, intent, own)

    def pick(self, items: Sequence[Item], intent: int, episode: Episode) -> list[int]:
        """See `Task.pick`."""
        task, own = self.own(episode)
        return task.pick(items, intent, own)

    def questions(self, episode: Episode) -> list[str]:
        """See `Task.questions`."""
        task, own = self.own(episode)
        return task.questions(own)
