"""The kernel: roles, messages, views, moves, usage and prices. It knows no one game, no task and no model.

Everything a finished game holds becomes JSON by `Trajectory.to_json`; `trainers.runs.store` replays it.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# Makes a named tuple from a tuple of all its fields, in half the time of its own constructor.
assemble = tuple.__new__


class Message(NamedTuple):
    """One message of a game.

    Attributes:
        sender: The role, or the tool, that sent it.
        text: What it says.
        to: Roles that hear it beside the sender; empty: everyone.
    """

    sender: str
    text: str
    to: tuple[str, ...] = ()


class View(NamedTuple):
    """What one role knows at its turn.

    Attributes:
        role: Whose view it is.
        heard: Messages this role has heard, oldest first, its own included.
        facts: The game's own hashable record of what this role may know beside the messages, prices included where it
            may know them.
        turn: Number of moves made in the game so far, those this role has not heard included.
    """

    role: str
    heard: tuple[Message, ...]
    facts: Hashable
    turn: int

    def after(self, messages: tuple[Message, ...]) -> "View":
        """The same role's view after more messages."""
        return self._replace(heard=(*self.heard, *messages), turn=self.turn + len(messages))


class Reply(NamedTuple):
    """One message, with what a language model generated kept exactly as generated.

    Of its token ids ``prompt_ids`` were read, ``ids[:forced]`` were given, and ``ids[forced:]`` were sampled.

    Attributes:
        text: The message; ``None``: no text, which the game judges as it does any message.
        prompt_ids: Token ids of the prompt; ``None``: no language model replied.
        ids: Token ids of the reply, the end token included where it was generated.
        logprobs: One log-probability (nats) an id.
        forced: Number of leading ids that were given to the model, not sampled from it.
    """

    text: str | None
    prompt_ids: tuple[int, ...] | None = None
    ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    forced: int = 0


class Turn(NamedTuple):
    """One move.

    Attributes:
        role: The role, or the tool, that moved.
        view: What it saw.
        reply: What it sent.
        action: What the message amounts to under the rules, in the game's own terms; ``None`` where it is just text.
    """

    role: str
    view: View
    reply: Reply
    action: Any = None


def reward(score: Any, usage: Iterable[Any], prices: Iterable[Any]) -> Any:
    """The reward: score - prices . usage, unclamped (docs/design.md).

    Args:
        score: A number, or an array.
        usage: Amounts used up; numbers, or arrays that broadcast with the score.
        prices: The price of one of each, in the same order.

    Returns:
        The reward, broadcast.

    Raises:
        ValueError: There are more prices than usages, or fewer.
    """
    for amount, price in zip(usage, prices, strict=True):
        score = score - price * amount
    return score


class Result(NamedTuple):
    """How a game ended, by component. Prices are applied only in `reward`, so any prices can be.

    Attributes:
        score: Value of the end before prices, in [0, 1].
        usage: Amount used up by name, in the order of the game's prices (`Description.usage`).
        flags: What else happened, by name.
        by_role: The result of each role that has one of its own; roles that are not named share this one.
    """

    score: float
    usage: Mapping[str, float] = {}
    flags: Mapping[str, bool] = {}
    by_role: Mapping[str, "Result"] | None = None

    def reward(self, prices: Sequence[float], role: str | None = None) -> float:
        """Reward at some prices: score - prices . usage.

        Args:
            prices: Price of one of each of `usage`, in the same order.
            role: Whose reward; ``None``: that of the game as a whole.
        """
        score, usage, _, by_role = self
        if by_role is not None:
            score, usage, _, _ = self.of(role)
        return float(reward(score, usage.values(), prices))

    def of(self, role: str | None) -> "Result":
        """The result of a role: its own where it has one, else the game's."""
        return self if self.by_role is None or role is None else self.by_role.get(role, self)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        own: dict[str, Any] = {"score": float(self.score), "usage": dict(self.usage), "flags": dict(self.flags)}
        if self.by_role is not None:
            own["by_role"] = {role: result.to_json() for role, result in self.by_role.items()}
        return own


class Trajectory(NamedTuple):
    """One finished game.

    Attributes:
        id: Number of the game in its run.
        game: Name of the game.
        task: Name of the task.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        episode_id: The episode played.
        hidden: Which of the possibilities that `Description.weights` weighs was dealt.
        prices: Prices the game was played at.
        seed: Seed of the game.
        agents: Name of the agent that played each role.
        turns: Every move in order, tools' moves included.
        result: How it ended.
    """

    id: int
    game: str
    task: str
    split: str
    episode_id: str
    hidden: int
    prices: tuple[float, ...]
    seed: int
    agents: Mapping[str, str]
    turns: tuple[Turn, ...]
    result: Result

    @property
    def costs(self) -> tuple[float, ...]:
        """The prices, by the name that the README's code uses."""
        return self.prices

    @property
    def outcome(self) -> Result:
        """The result, by the name that the README's code uses."""
        return self.result

    def reward(self, role: str | None = None) -> float:
        """Reward at the prices the game was played at."""
        return self.result.reward(self.prices, role)

    def moves(self, roles: Iterable[str]) -> list[Turn]:
        """The turns of some roles, in order."""
        chosen = set(roles)
        return [turn for turn in self.turns if turn.role in chosen]

    def to_json(self) -> dict[str, Any]:
        """JSON-able form. Views are left out: they follow from the episode and the messages.

        ``reward`` is the game's reward; ``rewards`` is that of each role, if roles have results of their own. Each turn
        names its role and its ``player``, the agent of that role (a tool plays itself); see `Reply` for its tokens.
        """
        record = self._asdict() | {"prices": [float(price) for price in self.prices], "agents": dict(self.agents)}
        record["result"] = self.result.to_json()
        record["reward"] = self.reward()
        if self.result.by_role is not None:
            record["rewards"] = {role: self.reward(role) for role in self.agents}
        record["turns"] = [
            {"role": turn.role, "player": self.agents.get(turn.role, turn.role)} | turn.reply._asdict()
            for turn in self.turns
        ]
        return record


class Game:
    """A pure state machine: the single truth of a game's rules. Nothing in it is random but what it is dealt.

    A subclass sets `roles`, and `to_move` in its constructor; defines `facts` and `move`. Every interface (PettingZoo,
    Gymnasium, self-play, replay) steps this object. Roles that move at once move one after another here, and do not
    hear each other: they `say` to those who may hear, or keep the texts until all have moved.

    Args:
        task: Where the episode comes from; scores answers.
        episode: What is played.
        hidden: Which of the possibilities that `Description.weights` weighs is dealt.
        prices: Price of one of each usage.
        **options: The game's own options.

    Attributes:
        name: Registered name.
        roles: Who plays. Tools are senders but no roles.
        turns: Every move so far.
        result: How the game ended; ``None`` until then.
        to_move: The role, or the tool, whose turn it is; ``None`` when the game is over.
    """

    name: str
    roles: tuple[str, ...]

    __slots__ = (
        "_facts",
        "_messages",
        "_private",
        "_views",
        "episode",
        "hidden",
        "options",
        "prices",
        "result",
        "task",
        "to_move",
        "turns",
    )

    def __init__(self, task: Any, episode: Any, hidden: int = 0, prices: tuple[float, ...] = (), **options: Any):
        self.task, self.episode, self.hidden, self.prices, self.options = task, episode, hidden, prices, options
        self.turns: list[Turn] = []
        self.to_move: str | None = None
        self.result: Result | None = None
        self._messages: tuple[Message, ...] = ()
        self._private = False
        self._views: dict[str, View] = {}
        self._facts: dict[str, Hashable] = {}

    def facts(self, role: str, prices: tuple[float, ...]) -> Hashable:
        """What a role knows from the start, whatever is said later. What changes arrives as a message.

        Args:
            role: Whose facts.
            prices: Prices to state where the role may know them; not always those of this game.

        Raises:
            ValueError: The game has no such role.
        """
        raise NotImplementedError

    def move(self, role: str, text: str | None) -> Any:
        """Plays a message for the role to move: calls `say`, then sets `to_move`, or `result` at the end.

        Total: any text, and ``None``, is judged and none raises.

        Returns:
            What the message amounts to, for `Turn.action`.
        """
        raise NotImplementedError

    def say(self, sender: str, text: str | None, to: tuple[str, ...] = ()) -> None:
        """Adds a message that later views hold; what is no string is heard as an empty one."""
        if to:
            self._private = True
        message = assemble(Message, (sender, text if isinstance(text, str) else "", to))
        self._messages = (*self._messages, message)
        self._views = {}

    def heard(self, role: str) -> tuple[Message, ...]:
        """Messages a role has heard."""
        if not self._private:
            return self._messages
        return tuple([m for m in self._messages if not m.to or role in m.to or role == m.sender])

    def view(self, role: str) -> View:
        """What a role knows now.

        Raises:
            ValueError: The game has no such role.
        """
        view = self._views.get(role)
        if view is None:
            facts = self._facts.get(role)
            if facts is None:
                facts = self._facts[role] = self.facts(role, self.prices)
            heard = self.heard(role) if self._private else self._messages
            view = self._views[role] = assemble(View, (role, heard, facts, len(self.turns)))
        return view

    def view_at(self, role: str, heard: tuple[Message, ...], prices: tuple[float, ...]) -> View:
        """What a role would know after some messages at some prices, of this game or others."""
        return View(role, heard, self.facts(role, prices), len(heard))

    def apply(self, reply: Reply) -> Turn:
        """Plays a reply for the role, or the tool, to move.

        Raises:
            ValueError: The game is over.
        """
        role = self.to_move
        if role is None:
            raise ValueError("the game is over")
        view = self._views.get(role) or self.view(role)
        action = self.move(role, reply.text)
        self._views = {}
        if self.result is not None:
            self.to_move = None
        turn = assemble(Turn, (role, view, reply, action))
        self.turns.append(turn)
        return turn

    def fork(self, hidden: int) -> "Game":
        """The same game so far, had another possibility been dealt."""
        other = type(self)(self.task, self.episode, hidden, self.prices, **self.options)
        for turn in self.turns:
            other.apply(turn.reply)
        return other
