"""The rules: Alice and Bob talk in turn, each message within its share of the budget, then answer in private."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clarify_env.games.base import Game, Reply, Result, Turn
from clarify_env.games.ping.budget import UNITS, message_limit, used_of, visible, words_of
from clarify_env.games.ping.facts import END, PlayerFacts
from clarify_env.tasks.base import Episode
from clarify_env.tasks.private import ALICE, BOB, PrivateTask

# What is changed to show that communication is needed and used: nothing; Bob plays another episode; messages do not
# arrive.
CONTROLS = ("none", "deranged", "silent")
# Both players see everything.
OPEN = "open"
# Kinds of messages.
TALK, STOP, ANSWER, OVER = "talk", "end", "answer", "over"


class PingGame(Game):
    """One game of two players with private information.

    Args:
        task: The task; it scores the answers.
        episode: The episode to play.
        hidden: Which of the episode's possibilities is dealt.
        prices: Price of a turn and of a word.
        budget: Most words (or tokens) of a player in the whole game.
        turns: Turns of both players together; an even number.
        unit: ``"words"``, or ``"tokens"`` of the model that plays.
        control: One of `CONTROLS`, or `OPEN`.

    Raises:
        ValueError: An option has a value that cannot be, or the task divides no facts between two players.
    """

    name = "ping"
    roles = (ALICE, BOB)
    __slots__ = ("_answers", "_dealt", "_ids", "_limit", "_reason", "_words")

    def __init__(
        self,
        task: PrivateTask,
        episode: Episode,
        hidden: int = 0,
        prices: tuple[float, ...] = (0.0, 0.0),
        budget: int = 128,
        turns: int = 8,
        unit: str = "words",
        control: str = "none",
    ):
        if not isinstance(task, PrivateTask):
            raise ValueError(f"game ping needs a task that divides facts between two players, and {task.name} does not")
        if turns < 2 or turns % 2 or budget < turns // 2:
            raise ValueError(
                f"game.turns={turns} must be an even number of at least 2, and game.budget={budget} at least half of it"
            )
        for option, value, choices in (("unit", unit, UNITS), ("control", control, (*CONTROLS, OPEN))):
            if value not in choices:
                raise ValueError(f"game.{option} must be one of {', '.join(choices)}, not {value!r}")
        super().__init__(task, episode, hidden, tuple(prices), budget=budget, turns=turns, unit=unit, control=control)
        self.to_move = ALICE
        self._limit = message_limit(budget, turns)
        self._dealt = {ALICE: (episode, hidden), BOB: (episode, hidden)}
        if control == "deranged":
            self._dealt[BOB] = _another(task, episode, hidden)
        self._answers: dict[str, float] = {}
        self._words, self._reason = 0, "turns"
        self._ids: Sequence[int] | None = None

    def facts(self, role: str, prices: tuple[float, ...]) -> PlayerFacts:
        """Returns what a player is told, the limits of its messages, and the prices."""
        if role not in self.roles:
            raise ValueError(f"game ping has no role {role!r}")
        task, (episode, hidden) = self.task, self._dealt[role]
        other = task.told(episode, hidden, BOB if role == ALICE else ALICE)
        return PlayerFacts(
            task.name,
            task.rules[role],
            episode.query,
            task.told(episode, hidden, role),
            other if self.options["control"] == OPEN else "",
            self.options["turns"],
            self._limit,
            self.options["unit"],
            tuple(prices),
            role in task.answering,
            task.example,
        )

    def apply(self, reply: Reply) -> Turn:
        """Plays a reply; its token ids, if it has any, are what a budget of tokens counts."""
        self._ids = reply.ids
        return super().apply(reply)

    def move(self, role: str, text: str | None) -> str:
        """Plays a message; returns its kind."""
        content = visible(text)
        if self._talks():
            return self._talk(role, content)
        self.say(role, content, to=(role,))
        episode, hidden = self._dealt[role]
        self._answers[role] = float(self.task.score(content, hidden, episode))
        self._next_answer()
        return ANSWER

    def _talks(self) -> bool:
        return self._reason == "turns" and len(self.turns) < self.options["turns"]

    def _talk(self, role: str, content: str) -> str:
        partner = BOB if role == ALICE else ALICE
        if content.startswith(END):
            self._reason = role
            self.say(role, END)
            self._next_answer()
            return STOP
        over = used_of(content, self._ids, self.options["unit"]) > self._limit
        self._words += words_of(content)
        arrives = self.options["control"] != "silent" and not over
        self.say(role, content, to=() if arrives else (role,))
        if len(self.turns) + 1 < self.options["turns"]:
            self.to_move = partner
        else:
            self._next_answer()
        return OVER if over else TALK

    def _next_answer(self) -> None:
        left = [role for role in self.task.answering if role not in self._answers]
        if left:
            self.to_move = left[0]
            return
        # The answer that is being given is not among the turns yet; it is no talk.
        kinds = [turn.action for turn in self.turns]
        talks = kinds.count(TALK) + kinds.count(OVER)
        score = min(self._answers.values())  # by a metric of partial scores, the worst answer counts
        flags: dict[str, Any] = {
            "over": OVER in kinds,
            "ended_by_alice": self._reason == ALICE,
            "ended_by_bob": self._reason == BOB,
            "turns_used_up": self._reason == "turns",
            **{f"{role}_right": one >= 1 for role, one in self._answers.items()},
        }
        self.result = Result(score, {"turns": talks, "words": self._words}, flags)


def _another(task: PrivateTask, episode: Episode, hidden: int) -> tuple[Episode, int]:
    """Returns the next episode of the split, and a possibility of it that does not depend on the one that is dealt."""
    split, _, index = episode.id.rpartition("/")
    size = task.split_size(split)
    if size == 1:
        raise ValueError(f"game.control=deranged needs another episode, and split {split} of {task.name} has only one")
    following = int(index) + 1
    other = task.episode(split, following if size is None else following % size)
    return other, int(np.random.default_rng([int(index), hidden]).integers(len(other.interpretations)))
