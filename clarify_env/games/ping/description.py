"""Description of the game of private information, for environments, self-play, trainers and reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory, Turn, View, reward
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.description import Decision, Description, Messages, ReplyLimit
from clarify_env.games.ping import bounds, pretraining, prompts
from clarify_env.games.ping.budget import UNITS, used_of, visible, words_of
from clarify_env.games.ping.facts import END, facts_of, talking
from clarify_env.games.ping.players import ScriptedPlayer, all_names
from clarify_env.games.ping.prices import PingPlane
from clarify_env.games.ping.rules import CONTROLS, OPEN, OVER, STOP, TALK, PingGame
from clarify_env.options import option
from clarify_env.tasks.base import Episode
from clarify_env.tasks.private import ALICE, BOB, PrivateTask


@dataclass(frozen=True)
class PingOptions:
    """The options of ``game=ping``."""

    budget: int = option(128, least=1)
    """Most words (or tokens) of each player in a game, divided evenly over its turns."""
    turns: int = option(8, least=2)
    """Messages of both players together, an even number; their answers are not counted."""
    unit: str = option("words", choices=UNITS)
    """What the budget counts: words, or tokens of the model that plays."""
    control: str = option("none", choices=CONTROLS)
    """What is changed to show that communication is needed: deranged (Bob plays another episode) or silent (no message
    arrives)."""

    def __post_init__(self) -> None:
        if self.turns % 2:
            raise ValueError(f"game.turns must be an even number, not {self.turns}")
        if self.budget < self.turns // 2:
            raise ValueError(f"game.budget={self.budget} leaves no {self.unit} for each of game.turns={self.turns}")


class Ping(Description):
    """Two players, each told a part of what both must find out by talking."""

    name = "ping"
    game = PingGame
    options = PingOptions
    task = "ping_names"
    plane_options = PingPlane
    learns = (ALICE, BOB)
    usage = ("turns", "words")
    priced = (ALICE, BOB)
    actions = (TALK, STOP)
    openings = {ALICE: {STOP: END}, BOB: {STOP: END}}
    styles = prompts.STYLES
    default_style = "plain"
    players = {ALICE: all_names(), BOB: all_names()}
    steering = {"turns_turn": ("turns", 0), "words_word": ("words", 1)}
    blind: tuple[str, ...] = (ALICE,)
    hidden_name = "possibility"

    def weights(self, episode: Episode) -> tuple[float, ...]:
        """Probability of each possibility."""
        return tuple(reading.weight for reading in episode.interpretations)

    def plane(self, **options: Any) -> PingPlane:
        """The plane of ``costs.*``."""
        try:
            return PingPlane(**options)
        except TypeError as error:
            raise ValueError(f"costs: {error}") from error

    def chat(self, view: View, style: str = "plain") -> Messages:
        """See `clarify_env.games.ping.prompts.messages`."""
        return prompts.messages(view, style)

    def preamble(self, view: View) -> str:
        """The rules, limits, prices and private facts of a player, in words."""
        return prompts.system(view.role, facts_of(view), "plain")

    def reply_limit(self, view: View) -> ReplyLimit | None:
        """Most words, or tokens, of a message of the talk; the answer has no limit of its own."""
        facts = facts_of(view)
        return ReplyLimit(facts.limit, self.words if facts.unit == "words" else None) if talking(view) else None

    def measures(self, task: PrivateTask, episode: Episode, game: Game | Trajectory) -> dict[str, float]:
        """Success, what was used and left, why the talk ended, and who was right.

        ``unused`` is the share of both players' budgets that was left, ``unused_turns`` of the turns.
        """
        result, facts = game.result, facts_of(game.turns[0].view)
        assert result is not None, "only a finished game is measured"
        turns = result.usage["turns"]
        talks = [turn for turn in game.turns if turn.action in (TALK, OVER)]
        used = sum(used_of(turn.reply.text or "", turn.reply.ids, facts.unit) for turn in talks)
        return {
            "success": result.score,
            "turns": turns,
            "words": result.usage["words"],
            "unused": 1 - min(used / (facts.turns * facts.limit), 1.0),
            "unused_turns": 1 - turns / facts.turns,
            "silent": float(sum(not visible(turn.reply.text) for turn in talks)),
            **{name: float(flag) for name, flag in result.flags.items()},
        }

    def shown(self, episode: Episode, hidden: int) -> dict[str, Any]:
        """The question and the answer."""
        return {"query": episode.query, "intent": episode.interpretations[hidden].answers[0]}

    def kind(self, turn: Turn) -> str:
        """``talk`` or ``end``; a message over its limit, or an answer without talk, is ``invalid``."""
        return turn.action if turn.action in self.actions else "invalid"

    def decision(self, task: PrivateTask, episode: Episode, text: str) -> Decision:
        """The end of the talk, or the words of a message."""
        content = visible(text)
        if content.startswith(END):
            return (STOP,)
        return (TALK, " ".join(content.lower().split()))

    def words(self, text: str) -> int:
        """Number of words of a message as the budget counts them; none of the end."""
        return 0 if visible(text).startswith(END) else words_of(text)

    def opening_length(self, text: str) -> int:
        """Number of characters of `END` at the beginning of a message."""
        return len(END) if text.startswith(END) else 0

    def plays_on(self, taken: Decision) -> bool:
        """True: after its first message a player goes on to talk or answers."""
        return True

    def by_lot(self, task: PrivateTask, episode: Episode, game: Trajectory) -> bool:
        """True: players who do not know may guess right, so that the scripted protocols bound no single game."""
        return True

    def closing_answer(self, game: Trajectory) -> str | None:
        """The last answer."""
        return game.turns[-1].reply.text

    def lowest(self, prices: Prices, max_words: int, **options: Any) -> float:
        """Every turn used, with messages of the longest length, for nothing."""
        turns = options.get("turns", PingOptions.turns)
        return float(reward(0.0, (turns, turns * max_words), prices))

    def gold_reply(self, episode: Episode, hidden: int) -> str:
        """The answer."""
        return episode.interpretations[hidden].answers[0]

    def player(self, role: str, task: PrivateTask, name: str, **options: Any) -> Agent:
        """Returns a scripted player of the task."""
        return ScriptedPlayer(name)

    def pretraining(
        self,
        task: PrivateTask,
        prices: Sequence[Prices],
        rng: np.random.Generator,
        shares: Mapping[str, Any] | None = None,
    ) -> Iterator[Demonstration]:
        """See `clarify_env.games.ping.pretraining.stream`."""
        return pretraining.stream(task, prices, rng, shares)

    def solve(self, task: PrivateTask, episodes: Sequence[Episode], **options: Any) -> list[bounds.Protocols] | None:
        """Plays the scripted protocols of the task; see `clarify_env.games.ping.bounds`."""
        return bounds.solve(task, episodes, **options)


class OpenPing(Ping):
    """The control in which both players see everything, so that Alice can tell the possibilities apart."""

    blind = ()

    def deal(self, task: Any, episode: Any, hidden: int = 0, prices: Prices = (), **options: Any) -> Game:
        """Starts a game; see `Description.deal`."""
        return super().deal(task, episode, hidden, prices, **options | {"control": OPEN})


GAME, OPEN_GAME = Ping(), OpenPing()
