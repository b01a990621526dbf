"""Description of the clarification game, for environments, self-play, trainers and reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clarify_env.costs import CostPlane, Costs, Prices, check_costs
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory, Turn, reward
from clarify_env.games.clarification import measures, prior, prompts, user_conduct, user_prompts
from clarify_env.games.clarification.actions import (
    ANSWER,
    KINDS,
    TAGS,
    Clarify,
    MultiAnswer,
    kind,
    parse,
    tag_length,
    words,
)
from clarify_env.games.clarification.decisions import action_of, decision
from clarify_env.games.clarification.oracle import Solved, solve
from clarify_env.games.clarification.pretraining.demonstrations import stream
from clarify_env.games.clarification.pretraining.demonstrator import lessons, turns
from clarify_env.games.clarification.rules import LEAKS, REASONING, ClarificationGame, closing_answer
from clarify_env.games.clarification.strategies import STRATEGIES, ScriptedAssistant
from clarify_env.games.clarification.users import ScriptedUser
from clarify_env.games.conduct import Judged
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.description import Decision, Description, Messages
from clarify_env.options import option
from clarify_env.tasks.base import Episode, Task
from clarify_env.words import count_words


@dataclass(frozen=True)
class ClarificationOptions:
    """The options of ``game=clarification``."""

    max_questions: int = option(2, least=0)
    """Most clarifying questions in a game; one more is invalid."""
    leaks: str = option("count", choices=LEAKS)
    """A user's reply that tells more than it was asked: counted, heard as ``[redacted]``, or the end, with score 0."""
    reasoning: str = option("none", choices=REASONING)
    """Text before the tag: invalid (none), allowed (free), or its words cost beta (charged); the user never sees it."""


class Clarification(Description):
    """A user with a hidden intent, an assistant who may ask, list or guess."""

    name = "clarification"
    game = ClarificationGame
    options = ClarificationOptions
    plane_options = CostPlane
    learns = ("assistant",)
    usage = ("questions", "words")
    priced = ("assistant",)
    actions = KINDS[:-1]
    openings = {"assistant": dict(zip(KINDS[:-1], TAGS, strict=True))}
    closing_opening = ANSWER
    styles = prompts.STYLES
    prior_styles = (prompts.PRIOR,)
    default_style = "zero_shot"
    players = {"assistant": ("oracle", *(name for name in STRATEGIES if name != "oracle")), "user": ("scripted",)}
    steering = {"ask_alpha": ("clarify", 0), "words_beta": ("words", 1)}
    blind = ("assistant",)
    hidden_name = "intent"
    faults = {"user": user_conduct.FAULTS}
    prompt_versions = {"user": user_prompts.VERSION}
    # Functions without a wrapping method, for speed: the environment calls them at every turn.
    chat = staticmethod(prompts.messages)
    transcript = staticmethod(prompts.transcript)
    measures = staticmethod(measures.measures)

    def weights(self, episode: Episode) -> tuple[float, ...]:
        """Probability that each reading is meant."""
        return tuple([reading.weight for reading in episode.interpretations])

    def prior_question(self, episode: Episode, order: Sequence[int], style: str) -> Messages:
        """See `clarify_env.games.clarification.prior.question`."""
        return prior.question(episode, order)

    def prior_line(self, episode: Episode, shares: Mapping[int, float]) -> str:
        """See `clarify_env.games.clarification.prior.line`."""
        return prior.line(episode, shares)

    def draw(self, episode: Episode, rng: np.random.Generator) -> int:
        """Draws a reading by its weight."""
        left = rng.random()
        for i, reading in enumerate(episode.interpretations):
            left -= reading.weight
            if left < 0:
                return i
        return len(episode.interpretations) - 1

    def check_prices(self, prices: Any) -> Costs:
        """Returns (alpha, beta) as `Costs`; see `Description.check_prices`."""
        return check_costs(prices)

    def plane(self, **options: Any) -> CostPlane:
        """The cost plane of ``costs.*``."""
        try:
            return CostPlane(**options)
        except TypeError as error:
            raise ValueError(f"costs: {error}") from error

    def spectator(self, game: Game) -> str:
        """Intended reading, then the assistant's transcript."""
        return f"({game.episode.interpretations[game.hidden].text})\n{prompts.transcript(game.view('assistant'))}"

    def summary(self, episodes: Sequence[Any], values: Mapping[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
        """See `clarify_env.games.clarification.measures.summary`."""
        return measures.summary(episodes, values, first)

    def shown(self, episode: Episode, hidden: int) -> dict[str, Any]:
        """See `clarify_env.games.clarification.measures.deal`."""
        return measures.deal(episode, hidden)

    def kind(self, turn: Turn) -> str:
        """``clarify``, ``answer``, ``multi_answer`` or ``invalid``."""
        return kind(turn.action)

    def decision(self, task: Task, episode: Episode, text: str) -> Decision:
        """See `clarify_env.games.clarification.decisions.decision`."""
        return decision(task, episode, text)

    def action_of(self, taken: Decision) -> str:
        """See `clarify_env.games.clarification.decisions.action_of`."""
        return action_of(taken)

    def words(self, text: str) -> int:
        """Words of the parsed fields, as they are charged; of a question, its words were it charged."""
        action = parse(text)
        return count_words(action.question) if isinstance(action, Clarify) else words(action)

    def opening_length(self, text: str) -> int:
        """Length of the opening tag, including white space before it."""
        return tag_length(text)

    def plays_on(self, taken: Decision) -> bool:
        """True after a question."""
        return taken[0] == "clarify"

    def by_lot(self, task: Task, episode: Episode, game: Trajectory) -> bool:
        """Whether several items of the last list fit the intended reading equally well."""
        last = game.moves(("assistant",))[-1].action
        return isinstance(last, MultiAnswer) and len(task.pick(last.items, game.hidden, episode)) > 1

    def closing_answer(self, game: Trajectory) -> str | None:
        """See `clarify_env.games.clarification.rules.closing_answer`."""
        return closing_answer(game)

    def lowest(self, prices: Prices, max_words: int, **options: Any) -> float:
        """Every question asked, one more refused, and the longest message, all for nothing."""
        return float(reward(0.0, (options.get("max_questions", 2) + 1, max_words), prices))

    def judge(self, task: Task, episode: Episode, game: Game | Trajectory, role: str) -> list[Judged]:
        """See `clarify_env.games.clarification.user_conduct.judge`."""
        return user_conduct.judge(task, episode, game)

    def gold_action(self, episode: Episode) -> str:
        """``clarify`` if there are several readings, else ``answer``."""
        return "clarify" if len(episode.interpretations) > 1 else "answer"

    def gold_reply(self, episode: Episode, hidden: int) -> str:
        """Gold answer, after its tag."""
        return f"{ANSWER} {episode.interpretations[hidden].answers[0]}"

    def reasons(self, role: str, **options: Any) -> bool:
        """Whether the assistant may write text before the tag."""
        return role == "assistant" and options.get("reasoning", "none") != "none"

    def player(self, role: str, task: Task, name: str, **options: Any) -> Agent:
        """Returns the scripted user, or a scripted assistant of `STRATEGIES`."""
        if role == "user":
            return ScriptedUser(task)
        return ScriptedAssistant(task, name, options.get("max_questions", 2))

    def demonstrate(
        self, task: Task, episode: Episode, prices: Prices, rng: np.random.Generator, **options: Any
    ) -> list[Turn]:
        """See `clarify_env.games.clarification.pretraining.demonstrations.turns`."""
        return turns(task, episode, Costs(*prices), rng, **options)

    def lessons(
        self, task: Task, episode: Episode, prices: Sequence[Prices], rng: np.random.Generator, **options: Any
    ) -> list[list[Turn]]:
        """See `clarify_env.games.clarification.pretraining.demonstrations.lessons`."""
        return lessons(task, episode, [Costs(*vector) for vector in prices], rng, **options)

    def pretraining(
        self, task: Task, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
    ) -> Iterator[Demonstration]:
        """See `clarify_env.games.clarification.pretraining.demonstrations.stream`."""
        return stream(task, rng, tuple(Costs(*vector) for vector in prices), shares)

    def solve(self, task: Task, episodes: Sequence[Episode], **options: Any) -> list[Solved]:
        """Solves episodes by `clarify_env.games.clarification.oracle`."""
        return solve(task, list(episodes), options.get("max_questions", 2))


GAME = Clarification()
