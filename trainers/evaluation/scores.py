"""More scores of finished games than their tasks have, by models."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from agents.hf import HFAgent, Row
from clarify_env.games.base import Trajectory
from clarify_env.games.clarification.actions import TAGS
from clarify_env.games.clarification.rules import closing_answer
from clarify_env.tasks.base import Task


def gold_logprobs(agent: HFAgent, task: Task, games: Sequence[Trajectory]) -> np.ndarray:
    """Log-probability (nats) of each game's gold answer, as the message that ends it, under a language model.

    What a conversation is worth to STaR-GATE (arXiv 2403.19154, under the base model there).
    """
    rows = []
    for game in games:
        view = [turn.view for turn in game.turns if turn.role == "assistant"][-1]
        gold = task.lookup(game.episode_id).interpretations[game.intent].answers[0]
        rows.append(Row(agent.encode(view), agent.tokenize_reply(f"{TAGS[1]} {gold}")))
    return np.array([sum(logprobs) for logprobs in agent.logprobs(rows)])


class Similarity:
    """Likeness in meaning by sentence embeddings (Sentence-BERT, arXiv 1908.10084), of finished games.

    It is the cosine similarity, in [-1, 1], of the answer a game closed with to the nearest gold answer; 0 without one.
    ACT reports it on Abg-CoQA (arXiv 2406.00222).

    Args:
        model: Folder or hub id of a sentence-transformers model.

    Raises:
        ValueError: The package or the model is missing.
    """

    def __init__(self, model: str):
        if find_spec("sentence_transformers") is None:
            raise ValueError("eval.similarity needs the package sentence-transformers; install the extra [similarity]")
        from sentence_transformers import SentenceTransformer

        try:
            self._model = SentenceTransformer(model)
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"eval.similarity: {model} is no sentence-embedding model ({said})") from error
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, task: Task, games: Sequence[Trajectory]) -> np.ndarray:
        """The score of each game, shape [games]."""
        said = [closing_answer(game) for game in games]
        gold = [task.lookup(game.episode_id).interpretations[game.intent].answers for game in games]
        self._embed({text for answer, golds in zip(said, gold, strict=True) if answer for text in (answer, *golds)})
        return np.array(
            [
                max(float(self._known[answer] @ self._known[text]) for text in golds) if answer else 0.0
                for answer, golds in zip(said, gold, strict=True)
            ]
        )

    def _embed(self, texts: set[str]) -> None:
        new = sorted(texts - self._known.keys())
        if new:
            embedded = self._model.encode(new, normalize_embeddings=True, show_progress_bar=False)
            self._known.update(zip(new, embedded, strict=True))
