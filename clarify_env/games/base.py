"""What every game is made of. Torch-free; everything here becomes JSON by `to_json` and comes back by `from_json`."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from clarify_env.costs import Costs
from clarify_env.games.clarification.actions import Action
from clarify_env.tasks.base import Episode, Task


class Secret(NamedTuple):
    """What only the user knows: which reading is meant. Never a gold answer.

    Attributes:
        intent: Index of the intended interpretation in the episode.
        label: The reading's label.
        text: The unambiguous form of the query.
        attributes: (name, value) pairs of the reading.
    """

    intent: int
    label: str
    text: str
    attributes: tuple[tuple[str, str], ...]


class View(NamedTuple):
    """What one role sees at its turn.

    Attributes:
        role: ``"assistant"`` or ``"user"``.
        query: The user's opening message.
        context: The assistant's private context (the assistant's view only).
        secret: The intent (the user's view only).
        history: (role, text) of every message after the query.
        costs: The costs (the assistant's view only).
        turn: Number of messages after the query.
        episode_id: Identifies the episode in its task.
        reasoning: The game's rule on text before the tag (the assistant's view only).
    """

    role: str
    query: str
    context: str
    secret: Secret | None
    history: tuple[tuple[str, str], ...]
    costs: Costs | None
    turn: int
    episode_id: str
    reasoning: str = "none"


class Reply(NamedTuple):
    """One message, with what a language model generated kept exactly as generated.

    Attributes:
        text: The message.
        prompt_ids: Token ids of the prompt.
        ids: Token ids of the reply, the end token included where it was generated.
        logprobs: One log-probability (nats) an id.
        forced: Number of leading ids that were given to the model, not sampled from it.
    """

    text: str
    prompt_ids: tuple[int, ...] | None = None
    ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    forced: int = 0


class Turn(NamedTuple):
    """One move: who saw what, said what, and (for the assistant) what it amounts to under the rules."""

    role: str
    view: View
    reply: Reply
    action: Action | None


class Outcome(NamedTuple):
    """How a game ended, by component; the costs are applied only in `reward`, so any costs can be.

    Attributes:
        accuracy: The task's score of the closing answer, in [0, 1].
        f1: Token F1 of the closing answer, in [0, 1].
        questions: Clarifying questions asked.
        words: Words of the assistant's last message; of its reasoning too, where the game charges for that.
        invalid: Whether the assistant's last message was outside the rules.
        ungrounded: Whether the user's closing answer was not among those it was given.
        leak: Whether the user gave away the answer or its intent unasked.
    """

    accuracy: float
    f1: float
    questions: int
    words: int
    invalid: bool
    ungrounded: bool
    leak: bool

    def reward(self, costs: Costs) -> float:
        """The reward both sides receive: accuracy less the costs, unclamped (DESIGN section 3, rule 4)."""
        return self.accuracy - costs.alpha * (self.questions + self.invalid) - costs.beta * self.words


class Trajectory(NamedTuple):
    """One finished game.

    Attributes:
        id: The game's number in its run.
        game: Name of the game.
        task: Name of the task.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        episode_id: The episode played.
        intent: Index of the reading that was meant.
        costs: The costs the assistant saw.
        seed: The game's seed.
        user: Name of the user who played.
        turns: Every move in order.
        outcome: How it ended.
    """

    id: int
    game: str
    task: str
    split: str
    episode_id: str
    intent: int
    costs: Costs
    seed: int
    user: str
    turns: tuple[Turn, ...]
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """JSON-able form. Views are left out: they follow from the episode and the messages."""
        record = self._asdict() | {"costs": list(self.costs), "outcome": self.outcome._asdict()}
        record["turns"] = [{"role": turn.role} | turn.reply._asdict() for turn in self.turns]
        return record


@runtime_checkable
class Agent(Protocol):
    """Something that replies, in batches, to views of a game.

    Attributes:
        name: Recorded with every result.
    """

    name: str

    def act(self, views: list[View], seeds: list[int], prefixes: list[str] | None = None) -> list[Reply]:
        """Replies to each view; the same view and seed give the same reply, whatever else is in the batch.

        Args:
            views: What the agent sees, one a game.
            seeds: One seed a view.
            prefixes: Opening text each reply must start with (``""``: free). Scripted agents may ignore it.
        """
        ...


class Game(Protocol):
    """A pure state machine: the single truth of a game's rules.

    Attributes:
        name: Registered name.
        roles: Who plays; the first moves first.
        turns: Every move so far.
        outcome: How the game ended; ``None`` until then.
        to_move: The role whose turn it is; ``None`` when the game is over.
    """

    name: str
    roles: tuple[str, ...]
    task: Task
    episode: Episode
    intent: int
    costs: Costs
    turns: list[Turn]
    outcome: Outcome | None
    to_move: str | None

    def __init__(self, task: Task, episode: Episode, intent: int, costs: Costs, **options: Any): ...

    def view(self, role: str) -> View:
        """What ``role`` sees now."""
        ...

    def apply(self, reply: Reply) -> Turn:
        """Plays ``reply`` for the role to move."""
        ...

    def fork(self, intent: int) -> "Game":
        """The same game so far, had another reading been meant."""
        ...
