"""Description of Pandora's boxes, for environments, self-play, trainers and reports."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from clarify_env.costs import Prices
from clarify_env.games.base import Game, Trajectory, Turn, reward
from clarify_env.games.demonstration import Demonstration
from clarify_env.games.description import Decision, Description, Messages
from clarify_env.games.pandora import measures, pretraining, prompts
from clarify_env.games.pandora.actions import COMMIT, LOOK, TAGS, kind, parse, tag_length
from clarify_env.games.pandora.oracle import ACTIONS, Solved
from clarify_env.games.pandora.prices import LookPlane
from clarify_env.games.pandora.rules import SEARCHER, PandoraGame, discount_of, labels_of
from clarify_env.games.pandora.strategies import STRATEGIES, ScriptedSearcher
from clarify_env.tasks.base import Episode, Task
from clarify_env.tasks.boxes import MOST_BOXES


class Pandora(Description):
    """One of K boxes holds a prize; a look into a box costs something; the searcher looks on, or commits to a box."""

    name = "pandora"
    game = PandoraGame
    task = "boxes"
    plane_options = LookPlane
    learns = (SEARCHER,)
    usage = ("looks",)
    priced = (SEARCHER,)
    actions = ACTIONS
    openings = {SEARCHER: dict(zip(ACTIONS, TAGS, strict=True))}
    closing_opening = COMMIT
    follow_up_openings = (COMMIT, LOOK, COMMIT, LOOK)  # the value of a look is that of the best decision after it
    styles = prompts.STYLES
    prior_styles = prompts.PRIORS
    default_style = "natural"
    players = {SEARCHER: STRATEGIES}
    steering = {"look_price": ("look", 0), "looks_price": ("looks", 0)}
    blind = (SEARCHER,)
    hidden_name = "prize"
    scored_by_task = False

    def chat(self, view: Any, style: str = "natural", prior: str = "") -> Messages:
        """See `clarify_env.games.pandora.prompts.messages`."""
        return prompts.messages(view, style, prior)

    def prior_question(self, episode: Episode, order: Sequence[int], style: str) -> Messages:
        """See `clarify_env.games.pandora.prompts.prior_question`."""
        return prompts.prior_question(episode, style)

    def preamble(self, view: Any) -> str:
        """Boxes and price."""
        facts = view.facts
        discount = "" if facts.discount == 1 else f", and multiplies the value of the prize by {facts.discount:g}"
        return f"boxes: {facts.boxes}; each look costs {facts.price:g}{discount}"

    def weights(self, episode: Episode) -> tuple[float, ...]:
        """Probability that each box holds the prize."""
        return tuple([reading.weight for reading in episode.interpretations])

    def plane(self, **options: Any) -> LookPlane:
        """The prices of ``costs.*``."""
        try:
            return LookPlane(**options)
        except TypeError as error:
            raise ValueError(f"costs: {error}") from error

    def measures(self, task: Task, episode: Episode, game: Game | Trajectory) -> dict[str, Any]:
        """See `clarify_env.games.pandora.measures.measures`."""
        return measures.measures(episode, game)

    def shown(self, episode: Episode, hidden: int) -> dict[str, Any]:
        """The boxes, and which one holds the prize."""
        return {"query": f"{episode.query} {episode.context}", "intent": labels_of(episode)[hidden]}

    def spectator(self, game: Game) -> str:
        """The box that holds the prize, then the searcher's transcript."""
        return f"(the prize is in {labels_of(game.episode)[game.hidden]})\n{self.transcript(game.view(SEARCHER))}"

    def kind(self, turn: Turn) -> str:
        """``look``, ``commit`` or ``invalid``."""
        return kind(turn.action)

    def decision(self, task: Task, episode: Episode, text: str) -> Decision:
        """The kind of action and the box; of an invalid message, its text."""
        action = parse(text, labels_of(episode))
        return (kind(action), action[0])

    def opening_length(self, text: str) -> int:
        """Length of the opening tag, including white space before it."""
        return tag_length(text)

    def plays_on(self, taken: Decision) -> bool:
        """True after a look."""
        return taken[0] == "look"

    def lowest(self, prices: Prices, max_words: int, **options: Any) -> float:
        """Every box looked into, one look more refused, and no prize."""
        return float(reward(0.0, (MOST_BOXES + 1,), prices))

    def gold_reply(self, episode: Episode, hidden: int) -> str:
        """The commitment to the box that holds the prize."""
        return f"{COMMIT} {labels_of(episode)[hidden]}"

    def player(self, role: str, task: Task, name: str, **options: Any) -> ScriptedSearcher:
        """Returns a scripted searcher of `STRATEGIES`."""
        return ScriptedSearcher(task, name)

    def demonstrate(
        self, task: Task, episode: Episode, prices: Prices, rng: np.random.Generator, **options: Any
    ) -> list[Turn]:
        """See `clarify_env.games.pandora.pretraining.turns`."""
        return pretraining.turns(task, episode, prices, rng)

    def pretraining(
        self, task: Task, prices: Sequence[Prices], rng: np.random.Generator, shares: Mapping[str, Any] | None = None
    ) -> Iterator[Demonstration]:
        """See `clarify_env.games.pandora.pretraining.stream`."""
        return pretraining.stream(task, prices, rng, shares)

    def solve(self, task: Task, episodes: Sequence[Episode], **options: Any) -> list[Solved]:
        """Solves episodes in closed form."""
        return [Solved(self.weights(episode), discount_of(episode)) for episode in episodes]


GAME = Pandora()
