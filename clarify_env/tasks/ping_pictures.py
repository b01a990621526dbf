"""Describer and guesser: Alice holds several pictures, Bob one of them, drawn as grids of letters."""

import numpy as np

from clarify_env.options import whole_number
from clarify_env.tasks.base import Episode, register
from clarify_env.tasks.private import PrivateTask, private_episode

LETTERS = ("x", "o", "v")
COLUMNS = "abcdefgh"


@register
class PingPictures(PrivateTask):
    """Pictures that form a tree: which cell tells two pictures apart depends on the cells before it.

    Args:
        pictures: Alice's pictures.
        side: Rows and columns of a picture; its cells must be at least the pictures less one.
        world_seed: Pictures follow from it, never from ``seed``.
        validation: Episodes of the validation split.
        test: Episodes of the test split; the train split is endless.
    """

    name = "ping_pictures"
    example = "3"
    answering = ("alice",)
    rules = {
        "alice": "Your partner holds one of your pictures and sees no number. Find out which one by talking: columns "
        "are a, b, c and so on, rows 1, 2, 3 from the top. Then give its number.",
        "bob": "You hold one of your partner's pictures. Help your partner find out which one by talking: columns are "
        "a, b, c and so on, rows 1, 2, 3 from the top.",
    }

    def __init__(
        self, pictures: int = 16, side: int = 4, world_seed: int = 0, validation: int = 200, test: int = 400
    ) -> None:
        self.pictures = whole_number("task.pictures", pictures, least=2)
        self.side = whole_number("task.side", side, least=1)
        if self.side > len(COLUMNS) or self.side**2 < self.pictures - 1:
            raise ValueError(
                f"task.side must be at most {len(COLUMNS)}, and its square at least task.pictures - 1 = "
                f"{self.pictures - 1}, not {side}"
            )
        self._set_splits(world_seed, validation, test)

    def _episode(self, split: str, index: int) -> Episode:
        rng = self._rng(split, index)
        cells = np.tile(rng.integers(len(LETTERS), size=self.side**2), (self.pictures, 1))
        unused = rng.permutation(self.side**2).tolist()
        groups = [rng.permutation(self.pictures)]
        while groups:
            group = groups.pop(0)
            if len(group) > 1:
                half, cell = group[len(group) // 2 :], unused.pop()
                cells[half, cell] = (cells[half, cell] + 1 + rng.integers(len(LETTERS) - 1)) % len(LETTERS)
                groups += [group[: len(group) // 2], half]
        grids = [grid([LETTERS[letter] for letter in picture], self.side) for picture in cells]
        alice = "\n\n".join(f"picture {number}\n{text}" for number, text in enumerate(grids, 1))
        answers = [str(number) for number in range(1, self.pictures + 1)]
        return private_episode(f"{split}/{index}", "Which picture does Bob hold?", answers, alice, grids)


def grid(letters: list[str], side: int) -> str:
    """Writes the letters of a picture, a row a line."""
    return "\n".join("".join(letters[row * side : (row + 1) * side]) for row in range(side))


def cell_names(side: int) -> list[str]:
    """Returns the names of the cells, row by row."""
    return [f"{COLUMNS[column]}{row + 1}" for row in range(side) for column in range(side)]
