"""Description of the helpers' game, for environments, self-play, trainers and reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory, Turn, View, reward
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.description import Decision, Description, Messages
from clarify_env.games.helpers import measures, plans, pretraining, prompts
from clarify_env.games.helpers.actions import KINDS, KNOW, SEARCH, THINK, WORDINGS, kind, opening_length, parse
from clarify_env.games.helpers.facts import ASKER, HELPERS, AskerFacts, HelperFacts
from clarify_env.games.helpers.prices import CallPlane
from clarify_env.games.helpers.retrieval import Tools
from clarify_env.games.helpers.rules import ALONE, HelpersGame
from clarify_env.games.helpers.strategies import (
    ASKER_STRATEGIES,
    HELPER_STRATEGIES,
    ScriptedAsker,
    ScriptedHelper,
)
from clarify_env.options import option
from clarify_env.tasks.base import Episode
from clarify_env.tasks.passages import PassageTask


@dataclass(frozen=True)
class HelpersOptions:
    """The options of ``game=helpers``."""

    calls: int = option(1, least=0)
    """Most calls of each helper; a further one is an invalid message."""
    results: int = option(1, least=1)
    """Most passages that a call returns."""
    wording: str = option("closed", choices=WORDINGS)
    """Form of the helpers' answers: closed ("I know: x" or "I think: x") or free (any text is an answer)."""
    identities: bool = False
    """Whether the asker knows which helper is which and what their archives are about (ablation)."""
    alone: str = option("none", choices=ALONE)
    """The role that plays alone: the asker answers from memory, a helper the question itself, after a search or not."""


class Helpers(Description):
    """An asker and two helpers, who answer from memory or search an archive of their own at a price."""

    name = "helpers"
    game = HelpersGame
    options = HelpersOptions
    task = "archives"
    plane_options = CallPlane
    learns = (ASKER, *HELPERS)
    usage = ("calls",)
    priced = HELPERS
    actions = KINDS[:-1]
    openings = {helper: {"search": SEARCH, "assert": KNOW, "hedge": THINK} for helper in HELPERS}
    styles = prompts.STYLES
    default_style = "plain"
    players = {ASKER: ASKER_STRATEGIES, **{helper: HELPER_STRATEGIES for helper in HELPERS}}
    steering = {"calls_price": ("calls", 0)}
    blind = learns

    def plane(self, **options: Any) -> CallPlane:
        """The prices of ``costs.*``."""
        try:
            return CallPlane(**options)
        except TypeError as error:
            raise ValueError(f"costs: {error}") from error

    def chat(self, view: View, style: str = "plain") -> Messages:
        """See `clarify_env.games.helpers.prompts.messages`."""
        return prompts.messages(view, style)

    def preamble(self, view: View) -> str:
        """The rules in words, and the question for who is told it."""
        facts = view.facts
        assert isinstance(facts, AskerFacts | HelperFacts), f"{view.role} has no facts of a player"
        question = f"\nQuestion: {facts.query}" if isinstance(facts, HelperFacts) and facts.query else ""
        return prompts.system(facts, "plain") + question

    def measures(self, task: PassageTask, episode: Episode, game: Game | Trajectory) -> dict[str, float]:
        """See `clarify_env.games.helpers.measures.measures`."""
        return measures.measures(task, episode, game)

    def summary(self, episodes: Sequence[Any], values: Mapping[str, np.ndarray], first: np.ndarray) -> dict[str, Any]:
        """See `clarify_env.games.helpers.measures.summary`."""
        return measures.summary(values)

    def shown(self, episode: Episode, hidden: int) -> dict[str, Any]:
        """The question and the answer."""
        return {"query": episode.query, "intent": episode.interpretations[0].answers[0]}

    def kind(self, turn: Turn) -> str:
        """``say`` (the asker), ``search``, ``assert``, ``hedge`` or ``invalid``; an archive's reply: ``say``."""
        return "say" if turn.action is None else kind(turn.action)

    def decision(self, task: PassageTask, episode: Episode, text: str) -> Decision:
        """The kind of action, and its words in the normal form of answers."""
        action = parse(text, "free")
        return (kind(action), task.normal_form(episode)(action[0]))

    def opening_length(self, text: str) -> int:
        """Length of ``#SEARCH``, ``I know:`` or ``I think:`` at the beginning of a message."""
        return opening_length(text)

    def plays_on(self, taken: Decision) -> bool:
        """True after a search, and after the asker's first message."""
        return taken[0] in ("search", "say")

    def by_lot(self, task: PassageTask, episode: Episode, game: Trajectory) -> bool:
        """True: an answer that no memory holds may be right by luck, so that the best plan bounds no single game."""
        return True

    def closing_answer(self, game: Trajectory) -> str | None:
        """The last message."""
        return game.turns[-1].reply.text

    def lowest(self, prices: Prices, max_words: int, **options: Any) -> float:
        """Both helpers call as often as they may, for nothing."""
        return float(reward(0.0, (len(HELPERS) * options.get("calls", HelpersOptions.calls),), prices))

    def gold_reply(self, episode: Episode, hidden: int) -> str:
        """The answer."""
        return episode.interpretations[0].answers[0]

    def player(self, role: str, task: PassageTask, name: str, **options: Any) -> Agent:
        """Returns a scripted player."""
        return ScriptedAsker(task, name) if role == ASKER else ScriptedHelper(task, name)

    def tools(self, task: Any) -> Mapping[str, Agent]:
        """The archive of each helper; none on a task without corpora, which `HelpersGame` refuses."""
        return Tools(task) if isinstance(task, PassageTask) else {}

    def demonstrate(
        self, task: PassageTask, episode: Episode, prices: Prices, rng: np.random.Generator, **options: Any
    ) -> list[Turn]:
        """Plays the strategy ``careful`` in all roles: it calls where memory is wrong, whatever the price."""
        game = self.deal(task, episode, 0, prices, **options)
        players = {role: self.player(role, task, "careful") for role in self.roles} | dict(self.tools(task))
        while game.to_move is not None:
            game.apply(players[game.to_move].act([game.view(game.to_move)], [0])[0])
        return game.turns

    def pretraining(
        self,
        task: PassageTask,
        prices: Sequence[Prices],
        rng: np.random.Generator,
        shares: Mapping[str, Any] | None = None,
    ) -> Iterator[Demonstration]:
        """See `clarify_env.games.helpers.pretraining.stream`."""
        return pretraining.stream(task, prices, rng, shares)

    def solve(self, task: PassageTask, episodes: Sequence[Episode], **options: Any) -> list[plans.Plans] | None:
        """Prices the joint plans of each episode; see `clarify_env.games.helpers.plans`."""
        chosen = {name: options[name] for name in ("calls", "results", "alone") if name in options}
        return plans.solve(task, episodes, **chosen)


GAME = Helpers()
