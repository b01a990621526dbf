"""The experiment of a run: game, task, prices, players by role, learning roles, budget, evaluation and seed.

It is built once from the config (`trainers.runs.build`). No library function below it sees the config.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from agents import checks, kinds
from agents.models import Models
from agents.options import HF, Options, Scripted, Self, local_model
from agents.selfplay import Start, play
from agents.servers.options import Api
from clarify_env.costs import FixedPrices, Plane
from clarify_env.games.agents import Agent
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup
from clarify_env.tasks.base import Task
from trainers.evaluation.rating_options import CheapRaterOptions, RaterOptions, RatingOptions
from trainers.evaluation.scores import Similarity
from trainers.runs.options import BudgetOptions, EvalOptions, SelfPlayOptions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from agents.render import Renderer

# Whether a chat template rewrites earlier turns, for the log of a run.
_REWRITES = (
    "its chat template writes earlier turns anew in later prompts (such as reasoning, which it drops), so each turn is "
    "learned as an example of its own, and games of several turns are not learned as one text (grpo, contrastive)"
)
_KEEPS = "its chat template keeps earlier turns in later prompts, token for token"


def _has_template(block: Options) -> TypeGuard[HF | Api]:
    """Returns whether prompts are rendered here, by a chat template."""
    return isinstance(block, HF) or (isinstance(block, Api) and block.endpoint == "ids")


class Policy(NamedTuple):
    """A causal language model and its tokenizer.

    Attributes:
        model: The model.
        tokenizer: Its tokenizer.
        folder: Folder it was loaded from if a run has learned it; ``None``: it is the model that learning starts from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    folder: Path | None = None


@dataclass(frozen=True)
class Experiment:
    """Everything that defines a run except the options of its method.

    Attributes:
        setup: Game, task and options.
        plane: Distribution of training prices, and the sets of prices for evaluation.
        blocks: Options of each role's player.
        learns: Roles that the policy plays and that learn; the first one's block holds the policy's options.
        budget: What may be learned from.
        evaluation: What is measured.
        rating: How games of the evaluation are rated.
        rater: The strong rater; of kind ``None``: nothing is rated.
        cheap_rater: The cheap rater.
        selfplay: How many games are played at once.
        seed: Everything drawn in training depends on it.
        report_to: Trackers that are sent the metrics.
        sections: Config section of each role's block, for errors; a role that is not named: its own name.
        models: The models loaded so far.
    """

    setup: Setup
    plane: Plane = field(default_factory=FixedPrices)
    blocks: Mapping[str, Options] = field(default_factory=dict)
    learns: tuple[str, ...] = ("assistant",)
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    evaluation: EvalOptions = field(default_factory=EvalOptions)
    rating: RatingOptions = field(default_factory=RatingOptions)
    rater: RaterOptions = field(default_factory=RaterOptions)
    cheap_rater: CheapRaterOptions = field(default_factory=CheapRaterOptions)
    selfplay: SelfPlayOptions = field(default_factory=SelfPlayOptions)
    seed: int = 0
    report_to: Sequence[str] = ()
    sections: Mapping[str, str] = field(default_factory=dict)
    models: Models = field(default_factory=Models, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"models": Models()}  # agents are pickled with their own models

    @property
    def task(self) -> Task:
        """Returns the source of episodes."""
        return self.setup.task

    def learning_role(self, method: str) -> str:
        """Returns the learning role, for a method that trains one.

        Raises:
            ValueError: Several roles learn.
        """
        if len(self.learns) != 1:
            roles = " and ".join(self.learns)
            raise ValueError(
                f"learn: {method} trains one role, and in game {self.setup.game.name} {roles} learn; "
                f"choose one, as learn=[{self.learns[0]}]"
            )
        return self.learns[0]

    def first_mover(self, method: str) -> str:
        """Returns the learning role, for a method that trains the one role that moves first.

        Raises:
            ValueError: Several roles learn, or another role moves first.
        """
        role = self.learning_role(method)
        mover = self.setup.deal(self.task.episode("train", 0), 0, self.plane.train()[0]).to_move
        if role != mover:
            game = self.setup.game.name
            raise ValueError(f"{method}: {role} learns, but {mover} moves first in game {game}: learn=[{mover}]")
        return role

    @property
    def by_reward(self) -> tuple[str, ...]:
        """Returns the learning roles whose messages are selected by the game's reward: those that it does not judge."""
        return tuple(role for role in self.learns if role not in self.setup.game.faults)

    @property
    def by_conduct(self) -> tuple[str, ...]:
        """Returns the roles that the policy plays, and that learn by `trainers.selection.partners`, not by reward."""
        return (*self.partners, *(role for role in self.learns if role in self.setup.game.faults))

    @property
    def partners(self) -> tuple[str, ...]:
        """Returns the roles that the policy plays without learning them (kind ``self``)."""
        others = [role for role in self.setup.game.roles if role not in self.learns]
        return tuple(role for role in others if isinstance(self.blocks[role], Self))

    @property
    def has_models(self) -> bool:
        """Returns whether a model may be loaded: one that plays a role, or one that measures what was played."""
        plays = any(not isinstance(block, Scripted) for block in self.blocks.values())
        return plays or self.evaluation.similarity is not None or self.rater.kind is not None

    @property
    def partners_are_scripted(self) -> bool:
        """Returns whether a scripted player of the game plays every role that does not learn by the game's reward."""
        others = [role for role in self.setup.game.roles if role not in self.by_reward]
        return all(isinstance(self.blocks[role], Scripted) for role in others)

    @property
    def judged(self) -> tuple[str, ...]:
        """Returns the roles that a language model plays and whose messages the game judges (`Description.faults`)."""
        return tuple(
            role for role in self.setup.game.faults if not isinstance(self.blocks.get(role, Scripted()), Scripted)
        )

    @property
    def policy_options(self) -> HF | None:
        """Returns the options of the policy's model here; ``None``: the role is scripted, or played by a server."""
        block = self.blocks[self.learns[0]]
        return block if isinstance(block, HF) else None

    @property
    def served(self) -> Api | None:
        """Returns the options of the server that plays the learning roles; ``None``: none does."""
        block = self.blocks[self.learns[0]]
        return block if isinstance(block, Api) else None

    @property
    def max_new_tokens(self) -> int:
        """Returns the maximum length of the policy's replies in tokens."""
        return self.served.max_new_tokens if self.served else self.language_model().max_new_tokens

    def language_model(self) -> HF:
        """Returns the options of the policy's model here, which learns: of a server's, that of ``weights``.

        Raises:
            ValueError: The role has a scripted player, or the replies of its server cannot be learned from.
        """
        options, role = self.policy_options, self.learns[0]
        section = self.sections.get(role, role)
        if self.served is not None:
            if self.served.endpoint != "ids":
                raise ValueError(
                    f"{section}.endpoint=chat: chat completions bring no token ids, so what the server plays cannot be "
                    f"learned from; choose {section}.endpoint=ids with {section}.weights, the same model here, or "
                    "trainers.prompted, which measures without learning"
                )
            return local_model(self.served)
        if options is None:
            raise ValueError(f"{section}.kind must be hf, a language model, for this command")
        return options

    def load_policy(self) -> Policy:
        """Loads the model of the first learning role.

        Raises:
            ValueError: It is not a language model, cannot be loaded, or none is shipped for the task.
        """
        role = self.learns[0]
        name = "model" if self.served is None else "weights"
        return Policy(*self.models.load(self.language_model(), self.task.name, self.sections.get(role, role), name))

    def dated(self, date: str) -> Experiment:
        """Returns the experiment with the day of its run, for chat templates that state it."""
        blocks = {
            role: replace(block, template={"date": date} | block.template) if _has_template(block) else block
            for role, block in self.blocks.items()
        }
        return self.at(blocks=blocks)

    def check_players(self) -> None:
        """Checks all that can be known of the players before a model is loaded; see `agents.checks.check_players`.

        Raises:
            ValueError: An option of a player cannot be, or a role of kind ``self`` has no policy; the message names it.
        """
        styles = dict.fromkeys(self.learns, "prompts.style")
        checks.check_players(self.blocks, self.setup.game, self.task.name, sections=self.sections, styles=styles)
        if self.partners and self.policy_options is None and self.served is None:
            raise ValueError(f"{self.sections.get(self.partners[0], self.partners[0])}.{kinds.NO_POLICY}")

    def load_models(self, continues: bool = False) -> None:
        """Loads the model of every player, the policy's first, so that one that cannot be loaded is said at once.

        Args:
            continues: Whether the run has begun: then a server is asked only once it is needed.

        Raises:
            ValueError: A model cannot be loaded, or a server cannot be asked; the message names its option.
        """
        if self.policy_options is not None:
            self.load_policy()
        self.load_partners(continues)

    def load_partners(self, continues: bool = False) -> None:
        """Loads the models that the policy is not, those that measure what was played among them; see `load_models`."""
        for role, block in self.blocks.items():
            section = self.sections.get(role, role)
            if role not in self.learns and isinstance(block, HF):
                self.models.load(block, self.task.name, section)
            elif isinstance(block, Api):
                if block.endpoint == "ids":
                    self.models.tokenizer(block, self.task.name, section)
                self.models.servers.server(block, section).check(later=continues)
        if self.evaluation.similarity is not None:
            Similarity(self.evaluation.similarity)

    def load(self, folder: str | Path) -> Policy:
        """Loads a policy from a folder that a run has saved, with the policy's options: device, trust in its code."""
        from agents.hf import load  # torch and transformers take seconds to import

        options = self.language_model()
        loaded = load(folder, trust_remote_code=options.trust_remote_code, device=options.device)
        return Policy(*loaded, Path(folder))

    def renderer(self, policy: Policy) -> Renderer:
        """Returns the renderer of the policy's prompts; logs once whether its template rewrites earlier turns."""
        from agents.generation import eos_ids
        from agents.render import Renderer

        game, options, role = self.setup.game, self.language_model(), self.learns[0]
        section = self.sections.get(role, role)
        renderer = Renderer(
            policy.tokenizer,
            partial(game.chat, style=options.style or game.default_style),
            options.template,
            eos_ids=eos_ids(policy.model),
            reasons=game.reasons(role, **self.setup.options),
            section=section,
        )
        self.models.say(f"{section}.model: {_REWRITES if renderer.rewrites else _KEEPS}", logging.INFO)
        return renderer

    def players(self, policy: Policy | None, temperature: float) -> dict[str, Agent]:
        """Makes the agents by role.

        Args:
            policy: The model that plays the learning roles and those of kind ``self``; ``None``: every role is played
                as its block says.
            temperature: Sampling temperature of the learning roles.
        """
        blocks = {
            role: replace(block, temperature=temperature) if role in self.learns and isinstance(block, Api) else block
            for role, block in self.blocks.items()
        }
        return kinds.make_players(
            blocks,
            self.setup.game,
            self.task,
            models=self.models,
            policy=None if policy is None else self._playing(policy, temperature),
            batch=self.selfplay.batch,
            game_options=self.setup.options,
            sections=self.sections,
        )

    def _playing(self, policy: Policy, temperature: float) -> kinds.Policy:
        adapter = None if policy.folder is None else policy.folder / "adapter"
        return kinds.Policy(policy.model, policy.tokenizer, temperature, self.learns, adapter)

    def play(
        self, starts: Sequence[Start], agents: Mapping[str, Agent], *, chunk: int, first_id: int = 0
    ) -> Iterator[Trajectory]:
        """Plays one game per start; see `agents.selfplay.play`."""
        setup = self.setup
        yield from play(
            starts, agents, task=setup.task, game=setup.game, options=setup.options, chunk=chunk, first_id=first_id
        )

    def gold_labels(self, episode_ids: Iterable[str]) -> int:
        """Returns the number of gold labels: one per hidden possibility of each distinct episode."""
        return sum(len(self.setup.weights(self.task.lookup(name))) for name in dict.fromkeys(episode_ids))

    def training_episodes(self) -> int | None:
        """Returns the number of training episodes to learn from (``budget.episodes``); ``None``: unlimited.

        Raises:
            ValueError: The task has fewer training episodes than ``budget.episodes``.
        """
        size, most = self.task.sizes["train"], self.budget.episodes
        if most is None:
            return size
        if most > (size or most):
            raise ValueError(f"budget.episodes must lie in 1 to {size}, the training episodes there are, not {most}")
        return most

    def training_indices(self, count: int, rng: np.random.Generator) -> Iterator[int]:
        """Yields indices of training episodes, in passes of a new order each."""
        size = self.training_episodes() or count
        while count > 0:
            yield from rng.permutation(size)[:count].tolist()
            count -= size

    def at(self, **changes: Any) -> Experiment:
        """Returns a copy with some attributes changed."""
        return replace(self, **changes)
