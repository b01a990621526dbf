"""How an environment's `reset` starts a game: what it was not given is drawn."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Plane
from clarify_env.games import find_game
from clarify_env.games.base import Game
from clarify_env.games.description import Description
from clarify_env.options import whole_number
from clarify_env.tasks.base import Task
from clarify_env.tasks.registry import as_task

# Indices are drawn below this from an endless split.
ENDLESS = 2**31


class Dealer:
    """Starts games: draws what `reset` was not given.

    Args:
        task: A task or its name.
        costs: Fixed prices, such as an (alpha, beta) pair or array, or a plane from whose training prices to draw;
            ``None``: the game's default plane.
        game: A game or its name.
        task_options: Options of a task given by name.
        **options: The game's own options.

    Attributes:
        known: Names of the options of `deal`.

    Raises:
        ValueError: There is no such task or game, or an option or a price is wrong.
    """

    def __init__(
        self,
        task: Task | str,
        costs: Plane | Sequence[float] | np.ndarray | None,
        game: str | Description,
        task_options: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        self.task = as_task(task, task_options)
        self.game = find_game(game)
        if costs is None:
            self._prices = self.game.plane().train()
        elif hasattr(costs, "train"):
            self._prices = costs.train()
        else:
            self._prices = (self.game.check_prices(costs),)
        self._deal, self._options = self.game.deal, self.game.check_options(options)
        self._split = "train" if "train" in self.task.sizes else next(iter(self.task.sizes), "train")
        self.known = ("split", "index", self.game.hidden_name, "costs")

    def deal(self, rng: np.random.Generator, options: dict[str, Any] | None) -> Game:
        """Starts a game.

        Args:
            rng: Draws the episode, what is hidden by its weights, and the prices.
            options: Any of ``split`` (default ``"train"``, or the first split of a task without training episodes),
                ``index``, `Description.hidden_name` and ``costs``, set instead of drawn.

        Raises:
            ValueError: An option's value is not possible.
        """
        if not isinstance(options, Mapping | None):
            raise ValueError(f"reset's options must be a dictionary, not {options!r}")
        options = options or {}
        for name in options:
            if name not in self.known:
                # Not an error: PettingZoo's own compliance test resets with an option of its invention.
                warnings.warn(f"reset option {name!r} is ignored; known: {', '.join(self.known)}", stacklevel=3)
        episode = self._episode(rng, options.get("split", self._split), options.get("index"))
        hidden = options.get(self.game.hidden_name)
        hidden = self.game.draw(episode, rng) if hidden is None else self._chosen(episode, hidden)
        costs = options.get("costs")
        # `integers` takes three times as long, and a tenth of a reset.
        prices = self._prices[int(rng.random() * len(self._prices))] if costs is None else self.game.check_prices(costs)
        return self._deal(self.task, episode, hidden, prices, **self._options)

    def _episode(self, rng: np.random.Generator, split: str, index: int | None) -> Any:
        if index is not None:
            index = whole_number("reset option index", index)
        elif split in tuple(self.task.sizes):
            index = int(rng.integers(self.task.sizes[split] or ENDLESS))
        # Of an unknown split no index is drawn; the task refuses it.
        return self.task.episode(split, 0 if index is None else index)

    def _chosen(self, episode: Any, hidden: int) -> int:
        n = len(self.game.weights(episode))
        if isinstance(hidden, bool) or not (isinstance(hidden, (int, np.integer)) and 0 <= hidden < n):
            name = self.game.hidden_name
            raise ValueError(f"reset option {name} of {episode.id} must be 0 to {n - 1}, not {hidden!r}")
        return int(hidden)
