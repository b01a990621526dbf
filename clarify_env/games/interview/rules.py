"""The rules of the interview (docs/games/interview.md)."""

from typing import Any

from clarify_env.costs import Costs
from clarify_env.games.base import Game, Result, assemble
from clarify_env.games.interview.actions import Action, Answer, Ask, Invalid, parse, words
from clarify_env.games.interview.disclosure import disclosed, redact
from clarify_env.games.interview.facts import AssistantFacts, UserFacts
from clarify_env.tasks.faults import checked_score

LEAKS = ("count", "redact", "end")
# Most questions of a game, where no option says otherwise.
MAX_QUESTIONS = 4


class InterviewGame(Game):
    """One game: a user who holds the facts of a case, an assistant who asks for them and then answers.

    Args:
        task: The task; it scores the answer, and replies to questions by `Task.reply`.
        episode: The episode; its readings are the possible cases, and the facts of a case are its attributes.
        case: Index of the case dealt.
        costs: Cost of a question and of a word of the assistant.
        max_questions: Most questions; a further one is an invalid message.
        leaks: Consequence of a leak, a fact that the user tells unasked: ``"count"`` (a flag alone), ``"redact"`` (the
            assistant hears ``[redacted]`` instead) or ``"end"`` (the game ends with score 0).

    Raises:
        ValueError: ``leaks`` has another value.
    """

    name = "interview"
    roles = ("assistant", "user")
    __slots__ = ("_asked", "_leak", "_words", "leaks", "max_questions")

    def __init__(
        self,
        task: Any,
        episode: Any,
        case: int,
        costs: tuple[float, ...],
        max_questions: int = MAX_QUESTIONS,
        leaks: str = "count",
    ):
        if leaks not in LEAKS:
            raise ValueError(f"the game's option leaks must be one of {', '.join(LEAKS)}, not {leaks!r}")
        Game.__init__(self, task, episode, case, costs if isinstance(costs, Costs) else Costs(*costs))
        self.options = {"max_questions": max_questions, "leaks": leaks}
        self.max_questions, self.leaks = max_questions, leaks
        self.to_move = "assistant"
        self._asked: tuple[str, ...] = ()
        self._words, self._leak = 0, False

    def facts(self, role: str, prices: tuple[float, ...]) -> AssistantFacts | UserFacts:
        """Returns the facts of a role: the costs for the assistant, the case for the user."""
        episode = self.episode
        if role == "assistant":
            costs = prices if type(prices) is Costs else Costs(*prices)
            return assemble(AssistantFacts, (episode.query, episode.context, costs, episode.id, self.max_questions))
        if role == "user":
            known = episode.interpretations[self.hidden].attributes
            return assemble(UserFacts, (episode.query, known, episode.id, self.hidden))
        raise ValueError(f"the interview has no role {role!r}")

    def move(self, role: str, text: str | None) -> Action | None:
        """Plays a message of the assistant or the user."""
        if role == "user":
            self._reply(text if isinstance(text, str) else "")
            return None
        action = parse(text)
        if isinstance(action, Ask) and len(self._asked) >= self.max_questions:
            action = Invalid(action.question, "too many questions")
        self._words += words(action)
        self.say("assistant", text)
        if isinstance(action, Ask):
            self._asked = (*self._asked, action.question)
            self.to_move = "user"
        else:
            self._close(action)
        return action

    def _reply(self, text: str) -> None:
        self.to_move = "assistant"
        reply = text, self._asked, self.task, self.episode, self.hidden
        if disclosed(*reply):
            self._leak = True
            if self.leaks == "redact":
                text = redact(*reply)
            elif self.leaks == "end":
                self._end(0.0)
        self.say("user", text)

    def _close(self, action: Answer | Invalid) -> None:
        if isinstance(action, Invalid):
            self._end(0.0, invalid=True)
        else:
            # No answer is none of the options, whatever the metric makes of an empty text.
            self._end(checked_score(self.task, action.text, self.hidden, self.episode) if action.text else 0.0)

    def _end(self, score: float, invalid: bool = False) -> None:
        self.result = Result(
            score=score,
            # An invalid message costs one question more, so that it never earns more than the same text as an answer.
            usage={"questions": len(self._asked) + invalid, "words": self._words},
            flags={"invalid": invalid, "leak": self._leak},
        )
