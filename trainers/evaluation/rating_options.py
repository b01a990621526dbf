"""Options of how games are rated by a strong rater and a cheap one: the two raters, and the policy of sampling."""

from dataclasses import dataclass
from typing import Any

from clarify_env.options import SEED, option
from trainers.rating.errors import KINDS as ERROR_MODELS
from trainers.rating.intervals import KINDS as INTERVALS
from trainers.rating.policies import NAMES as POLICIES
from trainers.rating.rules import FLOOR

PERSON, JUDGE, SIMILARITY, EXECUTION = "person", "judge", "similarity", "execution"
# Metrics of texts; see `clarify_env.scores.metrics`.
TEXTUAL = ("em", "f1", "drop")
RATERS = (*TEXTUAL, SIMILARITY, EXECUTION, JUDGE, PERSON)


# Above it, sums of prices would lose money to rounding.
MOST_PRICE = 1e9


@dataclass(frozen=True)
class RaterOptions:
    """A rater and its price (``rater.*``: the strong one)."""

    kind: str | None = option(None, choices=(*RATERS, None))
    """em, f1 and drop compare texts; similarity: embeddings; execution: rows of SQL; judge: a model behind a server."""
    price: float = option(10.0, above=0, most=MOST_PRICE)
    """Money of one rating."""
    model: str | None = option(None)
    """Model of kind similarity (folder, GGUF file or hub id), mean-pooled; null: the policy's own."""
    judge: dict[str, Any] = option({})
    """Options of kind judge: those of assistant=api, and prompt, version and votes (docs/rating.md)."""


@dataclass(frozen=True)
class CheapRaterOptions(RaterOptions):
    """The cheap rater and its price (``cheap_rater.*``)."""

    kind: str = option("f1", choices=[kind for kind in RATERS if kind != PERSON])
    """Rates every game; the kinds are those of ``rater.kind``, but for a person."""
    price: float = option(1.0, above=0, most=MOST_PRICE)
    """Money of one rating."""


@dataclass(frozen=True)
class RatingOptions:
    """How games are rated by a strong rater and a cheap one (``rating.*``); see docs/rating.md."""

    games: int | None = option(None, least=2)
    """Games of the evaluation that are stored to be rated; null: those on file, else 1,000 if there is a rater."""
    budget: float | None = option(None, above=0)
    """Money for all ratings, never exceeded; null: the strong rater rates every game."""
    width: float | None = option(None, above=0)
    """Stop when the interval is at most so wide; null: when the money is spent."""
    policy: str = option("active", choices=POLICIES)
    """always: the strong rater rates all; uniform: at one rate; active: the oftener, the more the cheap rater errs."""
    burn_in: int | None = option(None, least=0)
    """Games of each method that both raters rate first; null: 200, or a third of what the budget pays for."""
    transfer: str | None = option(None)
    """Run directory with ratings by the same raters, from which their errors are learned; null: from the burn-in."""
    error_model: str = option("isotonic", choices=ERROR_MODELS)
    """How the cheap rater's error is learned; confidence: sqrt(G (1 - G)), nothing is learned."""
    recalibrated: bool = option(True)
    """Replace cheap ratings by what they say of the strong one, E[H | G], learned by isotonic regression."""
    floor: float = option(FLOOR, above=0, most=1)
    """Least probability of a strong rating."""
    tuned: bool = option(False)
    """Scale the cheap ratings by the factor of least variance (PPI++)."""
    interval: str | None = option(None, choices=(*INTERVALS, None))
    """Kind of interval, over entities; anytime holds while one looks; null: corrected, or anytime with a width."""
    confidence: float = option(0.95, above=0, below=1)
    """Coverage of the interval."""
    seed: int = option(20, least=0, most=SEED)
    """Seed of the order in which games are rated, and of the draws."""


# Sections of every command that measures.
SECTIONS: dict[str, type] = {"rating": RatingOptions, "rater": RaterOptions, "cheap_rater": CheapRaterOptions}
