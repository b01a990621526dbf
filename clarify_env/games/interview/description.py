"""Description of the interview, for environments, self-play, trainers and reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clarify_env.costs import CostPlane, Costs, Prices, check_costs
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory, Turn, reward
from clarify_env.games.conduct import Judged
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.description import Decision, Description
from clarify_env.games.interview import measures, prompts, user_conduct
from clarify_env.games.interview.actions import ANSWER, ASK, KINDS, Answer, Ask, kind, parse, tag_length, words
from clarify_env.games.interview.demonstrations import stream, turns
from clarify_env.games.interview.oracle import Solved, solve
from clarify_env.games.interview.rules import LEAKS, MAX_QUESTIONS, InterviewGame
from clarify_env.games.interview.strategies import STRATEGIES, ScriptedAssistant
from clarify_env.games.interview.users import ScriptedUser
from clarify_env.options import option
from clarify_env.tasks.base import Episode, Task


@dataclass(frozen=True)
class InterviewOptions:
    """The options of ``game=interview``."""

    max_questions: int = option(MAX_QUESTIONS, least=0)
    """Most questions in a game; one more is invalid."""
    leaks: str = option("count", choices=LEAKS)
    """A fact that the user tells unasked: counted, heard as ``[redacted]``, or the end, with score 0."""


@dataclass(frozen=True)
class InterviewPlane(CostPlane):
    """The cost plane of the interview: one more question may be worth its cost or not (docs/games/interview.md)."""

    alpha: tuple[float, float] = option((0.05, 0.45))
    """Smallest and largest trained cost of a question, in units of reward; increasing, above 0."""
    beta: tuple[float, float] = option((0.01, 0.05))
    """Smallest and largest trained cost of a word of the assistant, in units of reward; increasing, above 0."""
    steps: tuple[float, float] = option((0.01, 0.001), above=0)
    """Training values are whole multiples of these: (alpha, beta)."""


class Interview(Description):
    """A user who holds the facts of a case, an assistant who asks for them as long as it pays, then answers."""

    name = "interview"
    game = InterviewGame
    options = InterviewOptions
    task = "workshop"
    plane_options = InterviewPlane
    learns = ("assistant",)
    usage = ("questions", "words")
    priced = ("assistant",)
    actions = KINDS[:-1]
    openings = {"assistant": {"ask": ASK, "answer": ANSWER}}
    closing_opening = ANSWER
    follow_up_openings = (ANSWER, ASK)  # after a question: the answer, and one more question
    styles = prompts.STYLES
    default_style = "natural"
    players = {"assistant": tuple(STRATEGIES), "user": ("scripted",)}
    steering = {"questions_alpha": ("questions", 0), "words_beta": ("words", 1)}
    blind = ("assistant",)
    hidden_name = "case"
    faults = {"user": user_conduct.FAULTS}
    prompt_versions = {"user": prompts.USER_VERSION}
    chat = staticmethod(prompts.messages)
    transcript = staticmethod(prompts.transcript)
    measures = staticmethod(measures.measures)

    def weights(self, episode: Episode) -> tuple[float, ...]:
        """Probability of each case."""
        return tuple([reading.weight for reading in episode.interpretations])

    def check_prices(self, prices: Any) -> Costs:
        """Returns (alpha, beta) as `Costs`; see `Description.check_prices`."""
        return check_costs(prices)

    def plane(self, **options: Any) -> InterviewPlane:
        """The cost plane of ``costs.*``."""
        try:
            return InterviewPlane(**options)
        except TypeError as error:
            raise ValueError(f"costs: {error}") from error

    def spectator(self, game: Game) -> str:
        """Facts of the case, then the assistant's transcript."""
        return f"({game.episode.interpretations[game.hidden].text})\n{prompts.transcript(game.view('assistant'))}"

    def summary(self, episodes: Sequence[Any], values: Mapping[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
        """See `clarify_env.games.interview.measures.summary`."""
        return measures.summary(episodes, values, first)

    def shown(self, episode: Episode, hidden: int) -> dict[str, Any]:
        """Query, facts of the case and gold answers, for people to read."""
        case = episode.interpretations[hidden]
        return {"query": episode.query, "intent": case.text, "gold": list(case.answers)}

    def kind(self, turn: Turn) -> str:
        """``ask``, ``answer`` or ``invalid``."""
        return kind(turn.action)

    def decision(self, task: Task, episode: Episode, text: str) -> Decision:
        """Maps a message to its decision.

        Returns:
            The kind of action, then: the normalised answer; or, for a question, the user's reply in each case, so that
            two wordings with the same replies are one decision.
        """
        action = parse(text)
        if isinstance(action, Answer):
            return ("answer", task.normal_form(episode)(action.text))
        if isinstance(action, Ask):
            return ("ask", *(task.reply(action.question, i, episode) for i in range(len(episode.interpretations))))
        return ("invalid", action.text)

    def words(self, text: str) -> int:
        """Words after the tag, as they are charged."""
        return words(parse(text))

    def opening_length(self, text: str) -> int:
        """Length of the opening tag, including white space before it."""
        return tag_length(text)

    def plays_on(self, taken: Decision) -> bool:
        """True after a question."""
        return taken[0] == "ask"

    def closing_answer(self, game: Trajectory) -> str | None:
        """The answer of a finished game; ``None``: it ended without one."""
        action = game.moves(("assistant",))[-1].action
        return action.text if isinstance(action, Answer) else None

    def lowest(self, prices: Prices, max_words: int, **options: Any) -> float:
        """Every question asked, one more refused, and the longest messages, all for nothing."""
        messages = options.get("max_questions", MAX_QUESTIONS) + 1
        return float(reward(0.0, (messages, messages * max_words), prices))

    def judge(self, task: Task, episode: Episode, game: Game | Trajectory, role: str) -> list[Judged]:
        """See `clarify_env.games.interview.user_conduct.judge`."""
        return user_conduct.judge(task, episode, game)

    def gold_reply(self, episode: Episode, hidden: int) -> str:
        """Gold answer, after its tag."""
        return f"{ANSWER} {episode.interpretations[hidden].answers[0]}"

    def player(self, role: str, task: Task, name: str, **options: Any) -> Agent:
        """Returns the scripted user, or a scripted assistant of `STRATEGIES`.

        Raises:
            ValueError: The task has no known odds, so that its cases cannot be solved.
        """
        if role == "user":
            return ScriptedUser(task)
        if not task.known_odds:
            raise ValueError(f"assistant.kind: the scripted assistants need odds, which task {task.name} does not know")
        return ScriptedAssistant(task, name, options.get("max_questions", MAX_QUESTIONS))

    def demonstrate(
        self, task: Task, episode: Episode, prices: Prices, rng: np.random.Generator, **options: Any
    ) -> list[Turn]:
        """See `clarify_env.games.interview.demonstrations.turns`."""
        solved = Solved(task, episode, options.get("max_questions", MAX_QUESTIONS))
        return turns(solved, Costs(*prices), rng, **options)

    def pretraining(
        self, task: Task, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
    ) -> Iterator[Demonstration]:
        """See `clarify_env.games.interview.demonstrations.stream`."""
        return stream(task, rng, prices, shares)

    def solve(self, task: Task, episodes: Sequence[Episode], **options: Any) -> list[Solved] | None:
        """Solves episodes by `clarify_env.games.interview.oracle`; ``None``: the task knows no odds."""
        if not task.known_odds:
            return None
        return solve(task, episodes, options.get("max_questions", MAX_QUESTIONS))


GAME = Interview()
