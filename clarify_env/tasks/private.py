"""Tasks whose facts are divided between two players, Alice and Bob, who must talk to find an answer (``game=ping``)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from clarify_env.options import whole_number
from clarify_env.tasks.base import Episode, Interpretation, Task

ALICE, BOB = PLAYERS = ("alice", "bob")


class PrivateTask(Task):
    """Base class of tasks with private information.

    An episode's readings are the possibilities among which one is dealt; all of them look the same to Alice. The
    attributes of a reading hold what each player is told, by the player's name.

    Attributes:
        answering: Players who must give the answer.
        rules: For each player, the task in one or two sentences.
        example: An answer, to show its form.
    """

    pretraining = ("train",)
    answering: ClassVar[tuple[str, ...]] = PLAYERS
    rules: ClassVar[Mapping[str, str]]
    example: ClassVar[str]

    def _set_splits(self, world_seed: int, validation: int, test: int) -> None:
        """Sets the seed of the episodes and the sizes of the splits; the train split is endless."""
        self.world_seed = whole_number("task.world_seed", world_seed, least=0)
        self.sizes = {
            "train": None,
            "validation": whole_number("task.validation", validation, least=1),
            "test": whole_number("task.test", test, least=1),
        }

    def _rng(self, split: str, index: int) -> np.random.Generator:
        """Returns the generator of an episode, which shares nothing with those of other splits."""
        return np.random.default_rng([self.world_seed, list(self.sizes).index(split), index])

    def told(self, episode: Episode, hidden: int, player: str) -> str:
        """Returns what a player is told in private, if possibility ``hidden`` is dealt."""
        return dict(episode.interpretations[hidden].attributes)[player]


def private_episode(
    episode_id: str, query: str, answers: Sequence[str], alice: str, bobs: Sequence[str], **meta: object
) -> Episode:
    """Makes an episode of equally likely possibilities.

    Args:
        episode_id: Id of the episode.
        query: The question that both players are to answer.
        answers: Answer of each possibility.
        alice: What Alice is told; the same for each possibility.
        bobs: What Bob is told, for each possibility.
        **meta: Further facts for reports.
    """
    readings = tuple(
        Interpretation(answer, f"possibility {i + 1}", (answer,), 1 / len(answers), ((ALICE, alice), (BOB, bob)))
        for i, (answer, bob) in enumerate(zip(answers, bobs, strict=True))
    )
    return Episode(episode_id, query, "", readings, {"entity": episode_id, **meta})
