"""Rules of selection beside ReST's own here (`selection.tree`): which games of a question are kept, by their rewards.

Each sees the messages of a question's games with what they earned at given costs (`selection.returns`): a game's own
reward, or, for games that were played for every reading, the reward expected over them.
"""

from collections.abc import Callable, Sequence

import numpy as np

from trainers.selection.returns import Earned

# Which of some rewards, shape [n], are kept: a mask of that shape.
Keep = Callable[[np.ndarray], np.ndarray]
RULES = ("action", "best", "top_k", "threshold", "percentile")


def rule(name: str, *, k: int, threshold: Sequence[float], percentile: float, iteration: int) -> Keep:
    """The rule of a name.

    Args:
        name: ``best`` keeps the highest reward (best of n), ``top_k`` the k highest, ``threshold`` what is at least so
            far up between the lowest and the highest (ReST, arXiv 2308.08998, section 3: a threshold that rises), and
            ``percentile`` what reaches that percentile of the group. Where all earned the same nothing is kept, except
            by ``best`` and ``top_k``. Ties go to the first.
        k: Of ``top_k``.
        threshold: One an iteration, in [0, 1]; the last serves all later ones.
        percentile: In [0, 100].
        iteration: From 1.

    Raises:
        ValueError: There is no such rule, or one of its options cannot be.
    """
    if name not in RULES[1:]:
        raise ValueError(f"rest.rule must be one of {', '.join(RULES)}, not {name!r}")
    if k < 1:
        raise ValueError(f"rest.k must be at least 1, not {k}")
    if not threshold or not all(0 <= value <= 1 for value in threshold) or list(threshold) != sorted(threshold):
        raise ValueError(f"rest.threshold must be rising numbers in [0, 1], not {list(threshold)}")
    if not 0 <= percentile <= 100:
        raise ValueError(f"rest.percentile must lie in [0, 100], not {percentile}")
    at = threshold[min(iteration, len(threshold)) - 1]
    return {
        "best": lambda rewards: _highest(rewards, 1),
        "top_k": lambda rewards: _highest(rewards, k),
        "threshold": lambda rewards: _spread(rewards) & (rewards >= rewards.min() + at * np.ptp(rewards) - 1e-9),
        "percentile": lambda rewards: _spread(rewards) & (rewards >= np.percentile(rewards, percentile) - 1e-9),
    }[name]


def _highest(rewards: np.ndarray, k: int) -> np.ndarray:
    kept = np.zeros(len(rewards), dtype=bool)
    kept[np.argsort(-rewards, kind="stable")[:k]] = True
    return kept


def _spread(rewards: np.ndarray) -> bool:
    return np.ptp(rewards) > 1e-9


def kept(messages: Sequence[Earned], keep: Keep) -> list[Earned]:
    """The messages a rule keeps of one question's, at one costs.

    Args:
        messages: `returns.expected` of the games. The rule is applied to all that were said at the same point,
            and what was said after a question counts only where the question was kept.
        keep: The rule.
    """
    at: dict[tuple, list[Earned]] = {}
    for message in messages:
        at.setdefault(message.view.history, []).append(message)
    found: list[Earned] = []
    asked: set[tuple] = set()
    for history in sorted(at, key=len):
        if history and history[:-1] not in asked:
            continue
        its = at[history]
        for message, stays in zip(its, keep(np.array([m.reward for m in its])), strict=True):
            if stays:
                found.append(message)
                asked.add((*history, ("assistant", message.reply.text)))
    return found


def kept_games(games: Sequence[Sequence[Earned]], keep: Keep) -> list[Earned]:
    """All messages of the games that a rule keeps, each game by its own reward.

    Args:
        games: `trainers.selection.returns.earned` of each game: its messages, which all have its reward.
        keep: The rule.
    """
    stays = keep(np.array([messages[0].reward for messages in games]))
    return [message for messages, stay in zip(games, stays, strict=True) if stay for message in messages]
