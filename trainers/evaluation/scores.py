"""Scores of finished games by models: gold log-probability and similarity."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from agents.checks import may_be_model
from agents.example import Example
from clarify_env.games.base import Trajectory
from clarify_env.games.setup import Setup

if TYPE_CHECKING:
    from agents.render import Renderer
    from agents.sample import Sampler


def gold_logprobs(
    renderer: Renderer, sampler: Sampler, roles: Sequence[str], setup: Setup, games: Sequence[Trajectory]
) -> np.ndarray:
    """Returns the log-probability (nats) of each game's gold last message after the conversation, under a model.

    STaR-GATE (arXiv 2403.19154) scores conversations by it, under the base model.

    Args:
        renderer: Renderer of the last view of the learning role.
        sampler: Scores replies under the model.
        roles: Learning roles.
        setup: Game, task and options; the game must have a gold last message (`Description.gold_reply`).
        games: Finished games.

    Returns:
        Shape [games].
    """
    examples = []
    for game in games:
        view = game.moves(roles)[-1].view
        gold = setup.game.gold_reply(setup.task.lookup(game.episode_id), game.hidden)
        if gold is None:
            raise ValueError(f"game {setup.game.name} has no right last message to score")
        examples.append(Example(renderer.encode(view), renderer.tokenize_reply(gold)))
    return np.array([sum(logprobs) for logprobs in sampler.logprobs(examples)])


def check_similarity(model: str) -> None:
    """Checks what can be known of a sentence-embedding model before it is loaded.

    Raises:
        ValueError: The package is missing, or the model is neither a folder nor a name of the hub.
    """
    if find_spec("sentence_transformers") is None:
        raise ValueError("eval.similarity needs the package sentence-transformers; install the extra [similarity]")
    if not may_be_model(model):
        raise ValueError(f"eval.similarity: {model!r} is neither a folder that exists nor a hub id, as OWNER/NAME")


class Similarity:
    """Scores finished games by sentence embeddings (Sentence-BERT, arXiv 1908.10084).

    The score is the largest cosine similarity, in [-1, 1], of the closing answer with a gold answer; without a closing
    answer it is 0. ACT (arXiv 2406.00222) reports it on Abg-CoQA.

    Args:
        model: Folder or hub id of a sentence-transformers model.

    Raises:
        ValueError: The package or the model is missing.
    """

    def __init__(self, model: str):
        check_similarity(model)
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(model)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"eval.similarity: {model} is no sentence-embedding model ({reason})") from error
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, setup: Setup, games: Sequence[Trajectory]) -> np.ndarray:
        """Returns the score of each game, shape [games]."""
        answers = [setup.game.closing_answer(game) for game in games]
        gold = [setup.task.lookup(game.episode_id).interpretations[game.hidden].answers for game in games]
        pairs = list(zip(answers, gold, strict=True))
        self._embed({text for answer, aliases in pairs if answer for text in (answer, *aliases)})
        return np.array(
            [
                max(float(self._known[answer] @ self._known[text]) for text in aliases) if answer else 0.0
                for answer, aliases in pairs
            ]
        )

    def _embed(self, texts: set[str]) -> None:
        new = sorted(texts - self._known.keys())
        if new:
            embedded = self._model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self._known.update(zip(new, embedded, strict=True))
