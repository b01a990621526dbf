"""The rules of the clarification game (docs/design.md)."""

from clarify_env.costs import Costs
from clarify_env.games.base import Game, Result, Trajectory, assemble
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
from clarify_env.games.clarification.disclosure import disclosed, redact
from clarify_env.games.clarification.facts import AssistantFacts, UserFacts, secret_of
from clarify_env.scores.answers import normalize
from clarify_env.tasks.base import REFUSAL, Episode, Task
from clarify_env.tasks.faults import checked_score
from clarify_env.words import count_words

REASONING = ("none", "free", "charged")
LEAKS = ("count", "redact", "end")


class ClarificationGame(Game):
    """One game: a user with a hidden intent, an assistant who may ask, list or guess.

    Args:
        task: The task; it scores the closing answer.
        episode: The episode to play.
        intent: Index of the reading that the user means.
        costs: Cost of a question and of a word.
        max_questions: Largest number of questions; a further one is an invalid message.
        leaks: Consequence of a leak, what a reply of the user tells beyond the question: ``"count"`` (a flag alone),
            ``"redact"`` (the assistant hears ``[redacted]`` instead) or ``"end"`` (the game ends with score 0).
        reasoning: Rule on text before the tag: ``"none"`` (invalid), ``"free"`` (removed from all views) or
            ``"charged"`` (removed as well, and its words in all messages cost beta).

    Raises:
        ValueError: ``leaks`` or ``reasoning`` has another value.
    """

    name = "clarification"
    roles = ("assistant", "user")
    __slots__ = ("_asked", "_charged", "_leak", "_questions", "_secret", "leaks", "max_questions", "reasoning")

    def __init__(
        self,
        task: Task,
        episode: Episode,
        intent: int,
        costs: tuple[float, ...],
        max_questions: int = 2,
        leaks: str = "count",
        reasoning: str = "none",
    ):
        if reasoning not in REASONING:
            raise ValueError(f"the game's option reasoning must be one of {', '.join(REASONING)}, not {reasoning!r}")
        if leaks not in LEAKS:
            raise ValueError(f"the game's option leaks must be one of {', '.join(LEAKS)}, not {leaks!r}")
        prices = costs if isinstance(costs, Costs) else Costs(*costs)
        Game.__init__(self, task, episode, intent, prices)
        self.options = {"max_questions": max_questions, "leaks": leaks, "reasoning": reasoning}
        self.max_questions, self.leaks, self.reasoning = max_questions, leaks, reasoning
        self.to_move = "assistant"
        self._secret = secret_of(episode, intent)
        self._questions, self._charged, self._leak = 0, 0, False
        self._asked: tuple[str, ...] = ()

    def facts(self, role: str, prices: tuple[float, ...]) -> AssistantFacts | UserFacts:
        """Returns the facts of a role: costs and context for the assistant, the intent for the user."""
        episode = self.episode
        if role == "assistant":
            costs = prices if type(prices) is Costs else Costs(*prices)
            return assemble(AssistantFacts, (episode.query, episode.context, costs, episode.id, self.reasoning))
        if role == "user":
            return assemble(UserFacts, (episode.query, self._secret, episode.id))
        raise ValueError(f"the clarification game has no role {role!r}")

    def move(self, role: str, text: str | None) -> Action | None:
        """Plays a message of the assistant or the user."""
        if role == "user":
            self._user(text if isinstance(text, str) else "")
            return None
        if self.reasoning != "none":
            reasoning, text = split_reasoning(text)
            self._charged += count_words(reasoning) if self.reasoning == "charged" else 0
        action = parse(text)
        if isinstance(action, Clarify):
            self._asked = (*self._asked, action.question)
            if self._questions < self.max_questions:
                self._questions += 1
            else:
                action = Invalid(action.question, "too many questions")
        self.say("assistant", text)
        if isinstance(action, Invalid):
            self._close(action, None)
        else:
            self.to_move = "user"
        return action

    def _user(self, text: str) -> None:
        action = self.turns[-1].action
        if isinstance(action, Clarify):
            self.to_move = "assistant"
            reply = text, self._asked, self.task, self.episode, self.hidden
            if disclosed(*reply):
                self._leak = True
                if self.leaks == "redact":
                    text = redact(*reply)
                elif self.leaks == "end":
                    self._close(action, None)
        else:
            self._close(action, text)
        self.say("user", text)

    def _close(self, action: Action, closing: str | None) -> None:
        answer, grounded, score = REFUSAL, False, 0.0
        if closing is not None:
            form = self.task.normal_form(self.episode)
            answer = form(closing)
            grounded = answer in map(form, answers(action))
            if grounded:
                score = checked_score(self.task, closing, self.hidden, self.episode)
        invalid = isinstance(action, Invalid)
        self.result = Result(
            score=score,
            # An invalid message costs one question more, so that it never earns more than the same text as an answer.
            usage={"questions": self._questions + invalid, "words": words(action) + self._charged},
            # A user who refuses every item scores 0, but the refusal is grounded.
            flags={"invalid": invalid, "ungrounded": not grounded and answer != REFUSAL, "leak": self._leak},
        )


def answers(action: Action | None) -> list[str]:
    """Answers that the user may repeat as the closing answer after an action."""
    if isinstance(action, Answer):
        return [action.text]
    return [item.answer for item in action.items] if isinstance(action, MultiAnswer) else []


def closing_answer(game: Game | Trajectory) -> str | None:
    """The user's closing answer in a finished game; ``None`` if there is none or it is ungrounded."""
    result, closing = game.result, game.turns[-1].reply.text
    assert result is not None, "only a finished game is closed"
    if result.flags["invalid"] or result.flags["ungrounded"] or not isinstance(closing, str):
        return None
    if not answers(game.turns[-2].action):  # a leak ended the game before any answer
        return None
    return None if normalize(closing) == REFUSAL else closing
