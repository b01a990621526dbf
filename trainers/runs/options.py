"""Options that several commands share. The options of one method are in the file of its command."""

from dataclasses import dataclass

from clarify_env.evaluation.played import MODES
from clarify_env.options import SEED, option
from trainers.runs.trackers import NAMES

# Most episodes of an evaluation.
MOST_EPISODES = 1_000_000


@dataclass(frozen=True)
class CommonOptions:
    """Options at the root of every experiment's config."""

    seed: int = option(0, least=0, most=SEED)
    """Everything drawn in training depends on it; at least 0."""
    report_to: str | list[str] = option("tensorboard", choices=NAMES)
    """Tracker, or list of trackers, that is sent the metrics; all: those installed; none: metrics.jsonl alone."""


@dataclass(frozen=True)
class SelfPlayOptions:
    """How many games are played at once (``selfplay.*``)."""

    chunk: int = option(1024, least=1)
    """Episodes played at once in an evaluation; at least 1; more need more memory."""
    batch: int = option(512, least=1)
    """Most replies decoded at once by a language model; at least 1; more need more memory."""


@dataclass(frozen=True)
class EvalOptions:
    """What is measured at the end of a run, and once an iteration (``eval.*``)."""

    split: str = option("test")
    """Split of the task that the evaluation at the end plays."""
    episodes: int = option(300, least=1, most=MOST_EPISODES)
    """Most episodes of that split; at least 1."""
    validation: int = option(100, least=1, most=MOST_EPISODES)
    """Most episodes of the validation split for the learning curve; at least 1."""
    modes: list[str] = option(["temperature", "greedy"], choices=MODES)
    """Sampling of the assistant: at temperature 1, greedy, or each in turn."""
    sets: list[str] | None = option(None)
    """Sets of prices to measure, by name; null: all that the plane has."""
    similarity: str | None = option(None)
    """Sentence-embedding model (folder or hub id, extra [similarity]) for scoring answers; null: none."""
    gold_logprob: bool = option(False)
    """Also measure the gold answer's log-probability (nats) after the conversation, under the assistant's model."""
    grid: int = option(8, least=2, most=100)
    """Steering is measured on a grid of this many values of each cost, from 2 to 100."""
    transcripts: int = option(20, least=0)
    """Games of each cost set and mode written to transcripts.jsonl; 0: none."""
    seed: int = option(20, least=0, most=SEED)
    """Seed of sampling in evaluation; not `seed`, so that runs differ by training alone."""


@dataclass(frozen=True)
class BudgetOptions:
    """What a method may learn from (``budget.*``)."""

    games: int = option(10_000, least=1, most=10**9)
    """Training games of all iterations together; every branch counts; at least 1."""
    episodes: int | None = option(None, least=1)
    """Learn from the first this many training episodes; null: all of them."""


@dataclass(frozen=True)
class RolloutOptions:
    """How the games of an episode at drawn costs are sampled (``rollouts.*``); choose a kind by ``rollouts=NAME``."""

    free: int = option(2, least=0, most=10_000)
    """First messages sampled without a forced tag."""
    forced: int = option(4, least=0, most=10_000)
    """First messages sampled after each tag of ``actions``."""
    actions: list[str] = option(["clarify", "answer", "multi_answer"])
    """Actions whose tags begin the forced first messages: of clarify, answer and multi_answer."""
    marginal: bool = option(True)
    """Play each distinct first message for every interpretation; false: for one intent, drawn by weight."""
    follow_ups: int = option(3, least=1, most=10_000)
    """Games of each clarifying question and interpretation, under ``marginal``; at least 1."""
    each_role: bool = option(False)
    """Force the first message of each role that has openings, one role a game, while the others play as they do: so
    every decision of every role is tried against the others' own play; false: of the role that moves first alone.
    Needs marginal=false."""
    temperature: float = option(1.0, least=0)
    """Sampling temperature of the assistant; 0 is greedy."""
    games: str | None = option(None)
    """Run directory whose stored games are learned (also imported ones); null: games are played."""


@dataclass(frozen=True)
class PromptOptions:
    """How the assistant's prompts are written (``prompts.*``)."""

    style: str | None = option(None)
    """Style of the policy's prompts; null: the game's default. `prompts=assistant` takes that of its model."""
