"""The clarification game (DESIGN section 3): its rules, once."""

from clarify_env.costs import Costs
from clarify_env.games.base import Outcome, Reply, Secret, Trajectory, Turn, View
from clarify_env.games.clarification.actions import (
    Action,
    Answer,
    Clarify,
    Invalid,
    MultiAnswer,
    parse,
    split_reasoning,
    words,
)
from clarify_env.games.clarification.users import leaks, redact
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import REFUSAL, Episode, Task
from clarify_env.words import count_words

REASONING = ("none", "free", "charged")


class ClarificationGame:
    """One game: a user with a hidden intent, an assistant who may ask, list or guess.

    Args:
        task: Scores the closing answer.
        episode: What is played.
        intent: Index of the reading the user means.
        costs: What the assistant pays.
        max_questions: A question beyond this many is invalid.
        redact_leaks: Replace what a user gives away unasked, beside counting it.
        reasoning: Whether the assistant may write before its tag: ``"none"`` (that is invalid), ``"free"`` (nobody sees
            it, in no later view either) or ``"charged"`` (the same, but its words in all messages count).

    Raises:
        ValueError: There is no such rule of reasoning.
    """

    name = "clarification"
    roles = ("assistant", "user")

    __slots__ = (
        "_charged",
        "_history",
        "_leak",
        "_questions",
        "_secret",
        "_views",
        "costs",
        "episode",
        "intent",
        "max_questions",
        "outcome",
        "reasoning",
        "redact_leaks",
        "task",
        "to_move",
        "turns",
    )

    def __init__(
        self,
        task: Task,
        episode: Episode,
        intent: int,
        costs: Costs,
        max_questions: int = 2,
        redact_leaks: bool = False,
        reasoning: str = "none",
    ):
        if reasoning not in REASONING:
            raise ValueError(f"the game's option reasoning must be one of {', '.join(REASONING)}, not {reasoning!r}")
        self.task, self.episode, self.intent, self.costs = task, episode, intent, costs
        self.max_questions, self.redact_leaks, self.reasoning = max_questions, redact_leaks, reasoning
        self._secret = _secret(episode, intent)
        self._history: tuple[tuple[str, str], ...] = ()
        self._views: dict[str, View] = {}
        self._questions, self._charged, self._leak = 0, 0, False
        self.turns: list[Turn] = []
        self.outcome: Outcome | None = None
        self.to_move: str | None = "assistant"

    def view(self, role: str) -> View:
        """What ``role`` sees now: the costs and the context only as assistant, the intent only as user."""
        view = self._views.get(role)
        if view is None:
            episode, history = self.episode, self._history
            if role == "assistant":
                view = View(
                    role,
                    episode.query,
                    episode.context,
                    None,
                    history,
                    self.costs,
                    len(history),
                    episode.id,
                    self.reasoning,
                )
            elif role == "user":
                view = View(role, episode.query, "", self._secret, history, None, len(history), episode.id)
            else:
                raise ValueError(f"the clarification game has no role {role!r}")
            self._views[role] = view
        return view

    def apply(self, reply: Reply) -> Turn:
        """Plays ``reply`` for the role to move.

        Raises:
            ValueError: The game is over.
        """
        role = self.to_move
        if role is None:
            raise ValueError("the game is over")
        view = self.view(role)
        action: Action | None = None
        if role == "assistant":
            action = self._assistant(reply)
        else:
            self._user(reply)
        self._views = {}
        turn = Turn(role, view, reply, action)
        self.turns.append(turn)
        return turn

    def _assistant(self, reply: Reply) -> Action:
        text = reply.text
        if self.reasoning != "none":
            reasoning, text = split_reasoning(text)
            self._charged += count_words(reasoning) if self.reasoning == "charged" else 0
        action = parse(text)
        if isinstance(action, Clarify):
            if self._questions < self.max_questions:
                self._questions += 1
            else:
                action = Invalid(action.question, "too many questions")
        self._history = (*self._history, ("assistant", text if isinstance(text, str) else ""))
        if isinstance(action, Invalid):
            self._close(action, None)
        else:
            self.to_move = "user"
        return action

    def _user(self, reply: Reply) -> None:
        text = reply.text if isinstance(reply.text, str) else ""
        asked = self.turns[-1].action
        if isinstance(asked, Clarify):
            questions = "\n".join([said for role, said in self._history if role == "assistant"])
            if leaks(text, questions, self.episode, self.intent):
                self._leak = True
                text = redact(text, self.episode, self.intent) if self.redact_leaks else text
            self.to_move = "assistant"
        else:
            self._close(asked, text)
        self._history = (*self._history, ("user", text))

    def _close(self, action: Action, closing: str | None) -> None:
        # A user who refuses every item scores 0 but made nothing up.
        said = normalize(closing) if closing is not None else REFUSAL
        grounded = said in map(normalize, _answers(action))
        accuracy = self.task.score(closing, self.intent, self.episode) if grounded else 0.0
        self.outcome = Outcome(
            accuracy=accuracy,
            f1=self.task.f1(closing, self.intent, self.episode) if grounded else 0.0,
            questions=self._questions,
            words=words(action) + self._charged,
            invalid=isinstance(action, Invalid),
            ungrounded=not grounded and said != REFUSAL,
            leak=self._leak,
        )
        self.to_move = None

    def fork(self, intent: int) -> "ClarificationGame":
        """The same game so far, had reading ``intent`` been meant."""
        other = ClarificationGame(
            self.task, self.episode, intent, self.costs, self.max_questions, self.redact_leaks, self.reasoning
        )
        for turn in self.turns:
            other.apply(turn.reply)
        return other


def closing_answer(game: Trajectory) -> str | None:
    """The answer that the user closed a finished game with; ``None`` where there was none, or one made up."""
    closing = game.turns[-1].reply.text
    if game.outcome.invalid or game.outcome.ungrounded or normalize(closing) == REFUSAL:
        return None
    return closing


def _answers(action: Action) -> list[str]:
    if isinstance(action, Answer):
        return [action.text]
    return [item.answer for item in action.items] if isinstance(action, MultiAnswer) else []


def _secret(episode: Episode, intent: int) -> Secret:
    reading = episode.interpretations[intent]
    return Secret(intent, reading.label, reading.text, reading.attributes)
