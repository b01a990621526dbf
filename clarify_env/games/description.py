"""What commands, environments, self-play, storage, evaluation and reports ask of a game.

A game is offered as a `Description`: its class of games, and all that is not a rule of play. What is not overridden has
a working default, so that a small game needs little more than its rules (docs/games.md).
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from clarify_env.costs import FixedPrices, Plane, Prices, as_prices, is_price
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory, Turn, View
from clarify_env.games.conduct import FaultKind, Judged
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.solved import Solved
from clarify_env.options import read
from clarify_env.words import count_words

Messages = list[dict[str, str]]
# The first entry is the kind of action, a name in `Description.actions`; two messages with equal decisions amount to
# the same.
Decision = tuple[Hashable, ...]


class ReplyLimit(NamedTuple):
    """How long a message may be; a local model stops before it would be longer.

    Attributes:
        most: Most of what is counted.
        counted: Counts a text; ``None``: tokens of the model are counted.
    """

    most: int
    counted: Callable[[str], int] | None = None


@dataclass(frozen=True)
class NoOptions:
    """The options of a game that has none."""


class Description:
    """A game, as everything but its rules sees it.

    Attributes:
        name: Registered name, as in ``game=NAME`` and as the entry point of group ``clarify_env.games``.
        game: The class of its games.
        options: Dataclass of the game's own options; each is a keyword of `game`'s constructor.
        task: Name of the task that commands play unless another is chosen; empty: almanac.
        plane_options: Dataclass of ``costs.*``, which is the plane itself; ``None``: see `plane`.
        learns: Roles that learn unless an experiment says otherwise.
        usage: Names of what is used up, in the order of the prices; results hold it in this order.
        priced: Roles whose facts state the prices.
        actions: Kinds of first messages, for reports; ``invalid`` stands for what is outside the rules.
        openings: For each role, text that its messages may be forced to begin with, by kind of action.
        closing_opening: The opening of a message that ends the game; empty: there is none.
        styles: Names of the ways in which views become chat; the first is the default.
        prior_styles: Those that state how likely the model itself finds each hidden possibility, as ``chat(view, style,
            line)``; see `prior_question`.
        default_style: The style of a language model that is told no other.
        players: For each role, names of the scripted players `player` can make, the default first.
        steering: By name, what should follow which price: (an action or a measure, index of the price).
        blind: Roles that must not be able to tell which hidden possibility was dealt before others speak.
        hidden_name: What the hidden possibility is called in the options of an environment's `reset`.
        simultaneous: Whether all roles move in each cycle, in the order of `roles`, hear each other only after it, and
            the game ends only after it: then it has a parallel environment.
        scored_by_task: Whether answers are scored by the metric of the task.
        faults: For each role whose conduct `judge` judges, the kinds of faults.
        prompt_versions: For some roles, the version of the wording of their prompts; recorded with results.
    """

    name: str
    game: type[Game]
    options: ClassVar[type] = NoOptions
    task: ClassVar[str] = ""
    plane_options: ClassVar[type | None] = None
    learns: tuple[str, ...] = ()
    usage: tuple[str, ...] = ()
    priced: tuple[str, ...] = ()
    actions: tuple[str, ...] = ("message",)
    openings: Mapping[str, Mapping[str, str]] = {}
    closing_opening: str = ""
    styles: tuple[str, ...] = ("plain",)
    prior_styles: tuple[str, ...] = ()
    default_style: str = "plain"
    players: Mapping[str, tuple[str, ...]] = {}
    steering: Mapping[str, tuple[str, int]] = {}
    blind: tuple[str, ...] = ()
    hidden_name: str = "hidden"
    simultaneous: bool = False
    scored_by_task: bool = True
    faults: Mapping[str, tuple[FaultKind, ...]] = {}
    prompt_versions: Mapping[str, int] = {}

    @cached_property
    def _option_names(self) -> frozenset[str]:
        return frozenset(field.name for field in fields(self.options))

    @property
    def follow_up_openings(self) -> tuple[str, ...]:
        """Openings of the second messages that rollouts force in turn, the others being free; `closing_opening`."""
        return (self.closing_opening,) if self.closing_opening else ()

    @property
    def roles(self) -> tuple[str, ...]:
        """Who plays."""
        return self.game.roles

    def weights(self, episode: Any) -> tuple[float, ...]:
        """Probability of each hidden possibility of an episode; they sum to 1. By default there is one."""
        return (1.0,)

    def draw(self, episode: Any, rng: np.random.Generator) -> int:
        """Draws a hidden possibility by its weight."""
        left = rng.random()
        weights = self.weights(episode)
        for i, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return i
        return len(weights) - 1

    def deal(self, task: Any, episode: Any, hidden: int = 0, prices: Prices = (), **options: Any) -> Game:
        """Starts a game.

        Args:
            task: Where the episode comes from.
            episode: What is played.
            hidden: Which possibility is dealt, an index into `weights`.
            prices: Price of one of each of `usage`.
            **options: The game's own options.

        Raises:
            ValueError: There is no such option, or its value cannot be.
        """
        if options and options.keys() - self._option_names:
            self.check_options(options)
        return self.game(task, episode, hidden, prices, **options)

    def check_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns options of the game as they were given.

        Raises:
            ValueError: There is no such option, or its value is not of its type or out of range.
        """
        if unknown := options.keys() - self._option_names:
            known = ", ".join(sorted(self._option_names)) or "none"
            raise ValueError(f"game {self.name} has no option {', '.join(sorted(unknown))}; known: {known}")
        read(self.options, options, "game")
        return dict(options)

    def check_prices(self, prices: Sequence[float] | np.ndarray) -> Prices:
        """Returns prices, which may be an array, as a tuple of Python numbers.

        Raises:
            ValueError: They are not one finite number of at least 0 for each of `usage`.
        """
        prices, named = as_prices(prices), ", ".join(self.usage) or "none"
        if not isinstance(prices, (tuple, list)) or len(prices) != len(self.usage):
            raise ValueError(f"costs must hold a price for each of: {named} (game {self.name}), not {prices!r}")
        for name, value in zip(self.usage, prices, strict=True):
            if not is_price(value):
                raise ValueError(f"costs: the price of {name} must be a finite number of at least 0, not {value!r}")
        return tuple(prices)

    def plane(self, **options: Any) -> Plane:
        """The plane of ``costs.*``; by default every price is 0 unless it is given by its usage's name."""
        if unknown := options.keys() - set(self.usage):
            raise ValueError(f"costs: game {self.name} has no price of {', '.join(sorted(unknown))}")
        return FixedPrices(self.check_prices([options.get(name, 0.0) for name in self.usage]))

    def check_style(self, style: str | None) -> str:
        """Returns a style of the chat messages; of ``None``, the game's default.

        Raises:
            ValueError: There is no such style.
        """
        if style is not None and style not in self.styles:
            raise ValueError(f"style must be one of {', '.join(self.styles)}, not {style!r}")
        return self.default_style if style is None else style

    def chat(self, view: View, style: str = "plain") -> Messages:
        """Renders a view as chat messages, with roles ``system``, ``user`` and ``assistant``.

        By default the facts stand in the system message, and messages of others are named by their sender.

        Raises:
            ValueError: There is no such style.
        """
        if style not in self.styles:
            raise ValueError(f"prompts.style must be one of {', '.join(self.styles)}, not {style!r}")
        chat = [{"role": "system", "content": self.preamble(view)}]
        for message in view.heard:
            if message.sender == view.role:
                chat.append({"role": "assistant", "content": message.text})
            else:
                chat.append({"role": "user", "content": f"{message.sender}: {message.text}"})
        if chat[-1]["role"] != "user":
            chat.append({"role": "user", "content": f"Your turn, {view.role}."})
        return chat

    def prior_question(self, episode: Any, order: Sequence[int], style: str) -> Messages:
        """The chat that asks which hidden possibility is dealt, for a style of `prior_styles`; a label is the answer.

        Args:
            episode: The episode, whose readings are the possibilities.
            order: Order in which the possibilities are named.
            style: The style.

        Raises:
            ValueError: The game has no such style.
        """
        raise ValueError(f"game {self.name} has no style {style!r} that states a prior")

    def prior_line(self, episode: Any, shares: Mapping[int, float]) -> str:
        """The line on how likely each possibility is, from the shares in order; they sum to 1."""
        labels = ((episode.interpretations[index].label, share) for index, share in shares.items())
        return ", ".join(f"{label} {share:.0%}" for label, share in labels)

    def preamble(self, view: View) -> str:
        """A role's facts as text: what stands before the messages in a transcript and in the default chat."""
        return "" if view.facts is None else str(view.facts)

    def transcript(self, view: View) -> str:
        """The view as plain text, a message a line, oldest first.

        Lines after the first of a message are indented, so that no message can pass itself off as another's.
        """
        lines = [f"system: {indented(text)}"] if (text := self.preamble(view)) else []
        lines += [f"{message.sender}: {indented(message.text)}" for message in view.heard]
        return "\n".join(lines)

    def spectator(self, game: Game) -> str:
        """All messages of a game as text, private ones included, for who may know everything."""
        return "\n".join(f"{turn.role}: {indented(turn.reply.text or '')}" for turn in game.turns)

    def measures(self, task: Any, episode: Any, game: Game | Trajectory) -> dict[str, float]:
        """What is reported of a finished game beside its reward: by default score, usage and flags.

        A game may count its ``decisions``, and those that the oracle would take too as ``optimal_decisions``, of which
        the optimal match is the share; else first messages are compared.
        """
        result = game.result
        assert result is not None, "only a finished game is measured"
        return {"score": result.score} | dict(result.usage) | {name: float(flag) for name, flag in result.flags.items()}

    def summary(self, episodes: Sequence[Any], values: Mapping[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
        """Figures over all games that are no mean of a measure; by default none.

        Args:
            episodes: E episodes.
            values: Each measure at C price vectors, shape [E, C].
            first: Kind of the first message as an index into (*actions, ``invalid``), shape [E, C].
        """
        return {}

    def shown(self, episode: Any, hidden: int) -> dict[str, Any]:
        """What was dealt, for people to read; JSON-able."""
        return {"query": getattr(episode, "query", episode.id), "intent": str(hidden)}

    def kind(self, turn: Turn) -> str:
        """Kind of action a turn is counted as, a name in `actions` or ``invalid``."""
        return self.actions[0]

    def decision(self, task: Any, episode: Any, text: str) -> Decision:
        """What a message of a learning role amounts to, whatever its wording; by default its words, lower-cased."""
        return (self.actions[0], " ".join(text.lower().split()))

    def action_of(self, taken: Decision) -> str:
        """The action that a decision competes as; by default its kind."""
        return str(taken[0])

    def words(self, text: str) -> int:
        """Number of words of a message, by the one word count; ties between messages go to the fewest."""
        return count_words(text)

    def opening_length(self, text: str) -> int:
        """Number of leading characters of a message that name its action; 0 where none do."""
        return 0

    def plays_on(self, taken: Decision) -> bool:
        """Whether the role that took a decision first moves again after it."""
        return False

    def by_lot(self, task: Any, episode: Any, game: Trajectory) -> bool:
        """Whether a tie in a game was drawn by lot, so that its result is one of several possible ones."""
        return False

    def closing_answer(self, game: Trajectory) -> str | None:
        """The answer that a finished game closed with; ``None``: it closed with none."""
        return None

    def lowest(self, prices: Prices, max_words: int, **options: Any) -> float | None:
        """Lowest attainable reward; ``None``: it has no bound that the game could state.

        Args:
            prices: The prices.
            max_words: Most words of a message.
            **options: The game's own options.
        """
        return None

    def judge(self, task: Any, episode: Any, game: Game | Trajectory, role: str) -> Sequence[Judged]:
        """Judges every message of a role of `faults` in a game."""
        raise ValueError(f"game {self.name} does not judge the messages of {role}")

    def gold_action(self, episode: Any) -> str:
        """The better first action by the labels of the data set, which knows no prices; empty: it has no labels."""
        return ""

    def gold_reply(self, episode: Any, hidden: int) -> str | None:
        """The right last message of the learning role; ``None``: the game has no such message."""
        return None

    def reply_limit(self, view: View) -> ReplyLimit | None:
        """How long the message at a view may be, if the game limits it; by default it does not."""
        return None

    def reasons(self, role: str, **options: Any) -> bool:
        """Whether a role's messages may begin with reasoning, by the game's options."""
        return False

    def player(self, role: str, task: Any, name: str, **options: Any) -> Agent:
        """A scripted player, by a name in `players`.

        Raises:
            ValueError: The role has none of that name.
        """
        raise ValueError(f"game {self.name} has no scripted player for {role}")

    def tools(self, task: Any) -> Mapping[str, Agent]:
        """Senders that are no roles: what calls them is a move, what they return is a move too, and is never rerun."""
        return {}

    def demonstrate(
        self, task: Any, episode: Any, prices: Prices, rng: np.random.Generator, **options: Any
    ) -> Sequence[Turn]:
        """Turns of a game played by demonstrators that know every action and disregard the prices, for a warm start.

        Raises:
            ValueError: The game has no demonstrators.
        """
        raise ValueError(f"game {self.name} has no demonstrations to start from")

    def lessons(
        self, task: Any, episode: Any, prices: Sequence[Prices], rng: np.random.Generator, **options: Any
    ) -> Sequence[Sequence[Turn]]:
        """Demonstrated turns about other facts of an episode's context, where nothing is hidden, for a warm start.

        Args:
            task: The task.
            episode: The episode.
            prices: Prices of each lesson; there are fewer lessons if the context holds fewer facts.
            rng: Draws the facts, without replacement.
            **options: The game's own options.
        """
        return []

    def pretraining(
        self, task: Any, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
    ) -> Iterator[Demonstration]:
        """Yields demonstrations without end for a pocket model, which disregard the prices (`trainers.pretrain`).

        Args:
            task: The task.
            prices: Price vectors to draw from, independently of everything else.
            rng: Random generator of everything that is drawn.
            shares: Share of each kind of demonstration; ``None``: the game's default.

        Raises:
            ValueError: The game has no demonstrations to pretrain on, or a kind is unknown.
        """
        raise ValueError(f"game {self.name} has no demonstrations to pretrain a model on")

    def solve(self, task: Any, episodes: Sequence[Any], **options: Any) -> Sequence[Solved] | None:
        """Solves episodes; ``None``: the game has no oracle, and is measured without regret."""
        return None


def indented(text: str) -> str:
    """A text whose lines after the first are indented."""
    return text if text.isprintable() else "\n  ".join(text.splitlines())
