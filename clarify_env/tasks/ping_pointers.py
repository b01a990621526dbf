"""Pointer chasing: follow two private maps in turn, the task whose need for rounds is proven (docs/games/ping.md)."""

from clarify_env.options import whole_number
from clarify_env.tasks.base import Episode, register
from clarify_env.tasks.ping_names import VALUES
from clarify_env.tasks.private import PrivateTask, private_episode

# Names of places; a map has the first few of them.
PLACES = tuple(name for values in VALUES for name in values)
MOST_STEPS = 1_000
# Maps of Bob's among which one is dealt.
_POSSIBILITIES = 4


@register
class PingPointers(PrivateTask):
    """Alice's map tells where each place leads in odd steps, Bob's in even steps.

    Args:
        places: Places of each map.
        steps: Steps from the start.
        world_seed: Maps follow from it, never from ``seed``.
        validation: Episodes of the validation split.
        test: Episodes of the test split; the train split is endless.
    """

    name = "ping_pointers"
    example = "otter"
    rules = {
        "alice": "You and your partner each hold a map that tells where each place leads. From the start, follow your "
        "map first, then your partner's, and so on in turn. Find out where you end, then name the place.",
        "bob": "You and your partner each hold a map that tells where each place leads. From the start, follow your "
        "partner's map first, then yours, and so on in turn. Find out where you end, then name the place.",
    }

    def __init__(
        self, places: int = 32, steps: int = 8, world_seed: int = 0, validation: int = 200, test: int = 400
    ) -> None:
        self.places = whole_number("task.places", places, least=2)
        if self.places > len(PLACES):
            raise ValueError(f"task.places must be at most {len(PLACES)}, not {places}")
        self.steps = whole_number("task.steps", steps, least=1)
        if self.steps > MOST_STEPS:
            raise ValueError(f"task.steps must be at most {MOST_STEPS}, not {steps}")
        self._set_splits(world_seed, validation, test)

    def _episode(self, split: str, index: int) -> Episode:
        rng = self._rng(split, index)
        names = PLACES[: self.places]
        start = str(rng.choice(names))
        alice = rng.integers(self.places, size=self.places)
        bobs = [rng.integers(self.places, size=self.places) for _ in range(_POSSIBILITIES)]
        answers = []
        for bob in bobs:
            at = names.index(start)
            for step in range(self.steps):
                at = int((alice, bob)[step % 2][at])
            answers.append(names[at])
        query = f"Start at {start}. Where are you after {self.steps} steps?"
        texts = [
            "\n".join(f"{name} leads to {names[to]}" for name, to in zip(names, leads, strict=True))
            for leads in (alice, *bobs)
        ]
        return private_episode(f"{split}/{index}", query, answers, texts[0], texts[1:])
