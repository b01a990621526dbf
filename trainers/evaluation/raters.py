"""Raters: functions of finished games to ratings in [0, 1], each at a price.

A rater judges the closing answer of a game against what was meant in it. Kinds, named in `rating_options`: exact match,
token F1, DROP's F1, embedding similarity, execution match, a judge behind a server, and a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.checks import check_device, check_model
from agents.models import Models
from agents.options import HF
from clarify_env.evaluation.played import Score
from clarify_env.games.base import Trajectory
from clarify_env.games.description import Description
from clarify_env.games.setup import Setup
from clarify_env.scores.metrics import SCORES, episode_metric
from trainers.evaluation.closing import closings
from trainers.evaluation.rating_options import (
    EXECUTION,
    JUDGE,
    PERSON,
    SIMILARITY,
    TEXTUAL,
    RaterOptions,
    RatingOptions,
)
from trainers.rating.policies import Prices
from trainers.rating.rules import Rules

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainers.runs.experiment import Experiment

# Options of ``rating.*`` that a policy does not use, and why.
_UNUSED = {
    "always": (("burn_in", "transfer", "error_model", "recalibrated", "floor", "tuned"), "buys no cheap ratings"),
    "uniform": (("error_model",), "draws strong ratings at one rate"),
}
# Texts that are embedded in one forward pass.
_BATCH = 32


@dataclass(frozen=True)
class Rater:
    """A function of finished games to ratings in [0, 1], with a price.

    Attributes:
        name: Kind, model and version; ratings are stored under it, so a rater of another version rates anew.
        price: Money of one rating.
        score: Rates games; ``None``: a person does.
    """

    name: str
    price: float
    score: Score | None

    def __call__(self, setup: Setup, games: Sequence[Trajectory]) -> np.ndarray:
        """Returns the rating of each game, shape [games].

        Raises:
            ValueError: A person rates, or a rating is not in [0, 1].
        """
        if self.score is None:
            raise ValueError(f"{self.name} rates by a file or in the terminal: python -m trainers.rate action=export")
        values = np.asarray(self.score(setup, games), dtype=float)
        if len(bad := values[~((values >= 0) & (values <= 1))]):
            raise ValueError(f"rater {self.name} gave a rating of {bad[0]}, which is not in [0, 1]")
        return values


def rules_of(rating: RatingOptions, rater: RaterOptions, cheap: RaterOptions, items: int) -> Rules:
    """Returns how items are rated.

    Args:
        rating: The options.
        rater: The strong rater.
        cheap: The cheap rater.
        items: Number of items, of all methods together.
    """
    everything = items * (rater.price + cheap.price)
    return Rules(
        Prices(cheap.price, rater.price),
        budget=everything if rating.budget is None else rating.budget,
        policy=rating.policy,
        burn_in=rating.burn_in,
        floor=rating.floor,
        model=rating.error_model,
        width=rating.width,
        confidence=rating.confidence,
        interval=interval_of(rating),
        seed=rating.seed,
    )


def interval_of(rating: RatingOptions) -> str:
    """Returns the kind of interval: by default one that holds while one looks, if ratings end at a width."""
    return rating.interval or ("corrected" if rating.width is None else "anytime")


def check_rating(
    rating: RatingOptions,
    rater: RaterOptions,
    cheap: RaterOptions,
    setup: Setup,
    policy: HF | None,
    games: int,
    methods: int = 1,
    plans: bool = False,
) -> None:
    """Checks what can be known of two raters and the budget before any game is played or rated.

    Args:
        rating: Budget and policy.
        rater: The strong rater.
        cheap: The cheap rater.
        setup: Game, task and options whose games are rated.
        policy: Options of the policy's model; ``None``: it has none here.
        games: Games of each method, the most that there can be.
        methods: Number of methods.
        plans: Whether all policies are planned, so that ``rating.policy`` is not used.

    Raises:
        ValueError: An option is wrong, or has no effect; the message names it.
    """
    if not plans:
        check_used(rating)
    check_rater(rater, "rater", setup, policy)
    check_rater(cheap, "cheap_rater", setup, policy)
    check_budget(rating, rater, cheap, games, methods)


def check_used(rating: RatingOptions) -> None:
    """Checks that every option that is set has an effect with ``rating.policy``.

    Raises:
        ValueError: One has none; the message names it.
    """
    names, reason = _UNUSED.get(rating.policy, ((), ""))
    for name in names:
        if getattr(rating, name) != getattr(RatingOptions, name):
            raise ValueError(f"rating.{name} has no effect with rating.policy={rating.policy}, which {reason}")


def check_budget(rating: RatingOptions, rater: RaterOptions, cheap: RaterOptions, games: int, methods: int) -> None:
    """Checks that games and budget are enough for a burn-in.

    Raises:
        ValueError: They are not, or another option of ``rating.*`` is wrong; the message names it.
    """
    rules = rules_of(rating, rater, cheap, games * methods)
    try:
        rules.check()
        rules.burn_in_blocks(methods * np.arange(1, games + 1), rating.transfer is not None)
    except ValueError as error:
        raise ValueError(f"rating.{error}") from error


def check_rater(options: RaterOptions, section: str, setup: Setup, policy: HF | None) -> None:
    """Checks what can be known of a rater before it is loaded.

    Args:
        options: Its options; of kind ``None`` nothing is checked.
        section: Config section of the options, for errors.
        setup: Game, task and options whose games are rated.
        policy: Options of the policy's model; ``None``: it has none here.

    Raises:
        ValueError: It cannot rate these games; the message names the option.
    """
    if options.kind is None:
        return
    if type(setup.game).closing_answer is Description.closing_answer:
        raise ValueError(f"{section}.kind: games of {setup.game.name} close with no answer that could be rated")
    if options.kind == EXECUTION and not _has_databases(setup.task):
        raise ValueError(f"{section}.kind=execution: answers of task {setup.task.name} are no queries to a database")
    if options.model is not None and options.kind != SIMILARITY:
        raise ValueError(f"{section}.model is the model of {section}.kind=similarity, not of kind {options.kind}")
    if options.judge and options.kind != JUDGE:
        raise ValueError(f"{section}.judge holds options of {section}.kind=judge, not of kind {options.kind}")
    if options.kind == SIMILARITY:
        if options.model is None and policy is None:
            raise ValueError(f"{section}.model must name a model: the policy of this run has none of its own here")
        check_model(options.model or policy.model, setup.task.name, f"{section}.model")  # type: ignore[union-attr]
        check_device(policy.device if policy else None, "assistant.device")
    if options.kind == JUDGE:
        from trainers.evaluation.judge import judge_options

        judge_options(options.judge, f"{section}.judge")


def _has_databases(task: Any) -> bool:
    return hasattr(task, "databases") or any(map(_has_databases, task.parts.values()))


@contextmanager
def open_raters(
    options: Mapping[str, RaterOptions], experiment: Experiment, folder: Path
) -> Iterator[tuple[list[Rater], Models]]:
    """Makes raters; replies of judges are stored under a folder, and their servers closed at the end.

    Args:
        options: Options of each rater, by its config section.
        experiment: Experiment whose games are rated; it loads the models.
        folder: Folder of the ratings.

    Yields:
        The raters in order, and the holder of the judges' servers.

    Raises:
        ValueError: A model cannot be loaded, or a server cannot be asked; the message names the option.
    """
    models = Models()  # whose servers are the judges' alone: those of players store their replies elsewhere
    if any(one.kind == JUDGE for one in options.values()):
        models.servers.open(folder)
    try:
        yield [make_rater(one, section, experiment, models) for section, one in options.items()], models
    finally:
        if models.has_servers:
            models.servers.close()


def make_rater(options: RaterOptions, section: str, experiment: Experiment, judges: Models) -> Rater:
    """Makes a rater; its model is loaded.

    Args:
        options: Its options; the kind is not ``None``.
        section: Config section of the options, for errors.
        experiment: Experiment whose games are rated; it loads and holds the models.
        judges: Holds the servers of judges.

    Raises:
        ValueError: A model cannot be loaded, or a server cannot be asked; the message names the option.
    """
    kind = str(options.kind)
    if kind == PERSON:
        return Rater(PERSON, options.price, None)
    if kind in TEXTUAL:
        return Rater(kind, options.price, partial(by_text, kind))
    if kind == EXECUTION:
        return Rater(kind, options.price, by_execution)
    if kind == JUDGE:
        from trainers.evaluation.judge import Judge, judge_options

        judge = Judge(judge_options(options.judge, f"{section}.judge"), f"{section}.judge", judges.servers)
        return Rater(judge.name, options.price, judge)
    policy = experiment.policy_options
    chosen = HF(model=options.model) if options.model is not None else policy
    assert chosen is not None, "checked by check_rater"
    loaded = experiment.models.load(chosen, experiment.task.name, section)
    return Rater(f"{SIMILARITY} {chosen.model}", options.price, MeanPooled(*loaded))


def by_text(metric: str, setup: Setup, games: Sequence[Trajectory]) -> np.ndarray:
    """Scores closing answers by a metric of texts, or by its variant that keeps symbols where an episode needs it.

    Args:
        metric: em, f1 or drop.
        setup: Game, task and options.
        games: Finished games.

    Returns:
        Shape [games]; 0 without a closing answer.
    """
    values = []
    for game, (answer, aliases) in zip(games, closings(setup, games), strict=True):
        readings = setup.task.lookup(game.episode_id).interpretations
        chosen = episode_metric(metric, tuple(tuple(reading.answers) for reading in readings))
        values.append(SCORES[chosen](answer, aliases) if answer else 0.0)
    return np.array(values)


def by_execution(setup: Setup, games: Sequence[Trajectory]) -> np.ndarray:
    """Scores closing answers, which are SQL queries, by the rows that they return (`execution_match`)."""
    values = []
    for game, (answer, _) in zip(games, closings(setup, games), strict=True):
        task, episode = setup.task.own(setup.task.lookup(game.episode_id))
        if not hasattr(task, "databases"):
            raise ValueError(f"rater.kind=execution: answers of task {task.name} are no queries to a database")
        values.append(task.score(answer, game.hidden, episode) if answer else 0.0)
    return np.array(values)


class MeanPooled:
    """Scores closing answers by embeddings: the mean over a text's tokens of a model's last hidden states.

    The rating is the largest cosine similarity with an alias of the right answer, 0 where that is negative and without
    a closing answer. Cosines of causal models lie close together; the estimate does not depend on their scale.

    Args:
        model: A language model.
        tokenizer: Its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        self._model, self._tokenizer = model, tokenizer
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, setup: Setup, games: Sequence[Trajectory]) -> np.ndarray:
        """Returns the rating of each game, shape [games]."""
        pairs = closings(setup, games)
        self._embed({text for answer, aliases in pairs if answer for text in (answer, *aliases)})
        return np.array(
            [
                min(1.0, max(0.0, *(float(self._known[answer] @ self._known[text]) for text in aliases)))
                if answer
                else 0.0
                for answer, aliases in pairs
            ]
        )

    def _embed(self, texts: set[str]) -> None:
        import torch

        new = sorted(texts - self._known.keys(), key=lambda text: (len(text), text))
        for begin in range(0, len(new), _BATCH):
            batch = new[begin : begin + _BATCH]
            # A text of no token, such as one of control characters alone, is embedded as the end token.
            ids = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in batch]
            rows = [row or [self._tokenizer.eos_token_id or 0] for row in ids]
            length = max(map(len, rows))
            pad = self._tokenizer.pad_token_id or 0
            tokens = torch.tensor([row + [pad] * (length - len(row)) for row in rows], device=self._model.device)
            mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=tokens.device)
            with torch.inference_mode():
                # Asked for its hidden states, a model gets hooks that keep it from being sent to other processes.
                states = self._model.base_model(input_ids=tokens, attention_mask=mask).last_hidden_state
            weights = mask[..., None].to(torch.float32)
            means = (states.float() * weights).sum(1) / weights.sum(1)
            unit = torch.nn.functional.normalize(means, dim=-1).cpu().numpy()
            self._known.update(zip(batch, unit, strict=True))
