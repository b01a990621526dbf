"""Selection of messages or games by their reward: best of n, top k, threshold, percentile."""

from collections.abc import Callable, Sequence

import numpy as np

from clarify_env.games.base import Message, View
from trainers.selection.returns import ScoredMessage

# Maps rewards, shape [n], to a boolean mask, shape [n], of those to keep.
Keep = Callable[[np.ndarray], np.ndarray]
RULES = ("action", "by_role", "best", "top_k", "threshold", "percentile")


def rule(name: str, *, k: int, threshold: Sequence[float], percentile: float, iteration: int) -> Keep:
    """Returns the selection rule of a name.

    Args:
        name: One of `RULES` that keeps games: not ``action`` or ``by_role``. ``best``: the highest reward (best of n).
            ``top_k``: the k highest. ``threshold``: reward >= min + threshold (max - min), a threshold that rises over
            iterations (ReST, arXiv 2308.08998, section 3). ``percentile``: reward >= that percentile of the group. If
            all rewards are equal, ``threshold`` and ``percentile`` keep nothing. Ties go to the first.
        k: Number of messages of ``top_k``.
        threshold: Thresholds in [0, 1], one per iteration; the last one also serves later iterations.
        percentile: Percentile in [0, 100].
        iteration: Number of the iteration, from 1.
    """
    fraction = threshold[min(iteration, len(threshold)) - 1]
    return {
        "best": lambda rewards: _highest(rewards, 1),
        "top_k": lambda rewards: _highest(rewards, k),
        "threshold": lambda rewards: _spread(rewards) & (rewards >= rewards.min() + fraction * np.ptp(rewards) - 1e-9),
        "percentile": lambda rewards: _spread(rewards) & (rewards >= np.percentile(rewards, percentile) - 1e-9),
    }[name]


def _highest(rewards: np.ndarray, k: int) -> np.ndarray:
    mask = np.zeros(len(rewards), dtype=bool)
    mask[np.argsort(-rewards, kind="stable")[:k]] = True
    return mask


def _spread(rewards: np.ndarray) -> bool:
    return np.ptp(rewards) > 1e-9


def keep_messages(messages: Sequence[ScoredMessage], keep: Keep) -> list[ScoredMessage]:
    """Applies a rule to the messages of one episode at one price vector.

    Args:
        messages: Result of `trainers.selection.returns.expected`. The rule is applied to all messages with the same
            view. A later message of a role is considered only if its earlier one was selected.
        keep: The rule.
    """
    by_view: dict[View, list[ScoredMessage]] = {}
    for message in messages:
        by_view.setdefault(message.view, []).append(message)
    selected: list[ScoredMessage] = []
    selected_histories: set[tuple[Message, ...]] = set()
    for view in sorted(by_view, key=lambda view: len(view.heard)):
        history = _up_to_own(view)
        if history and history not in selected_histories:
            continue
        candidates = by_view[view]
        for message, keep_it in zip(candidates, keep(np.array([m.reward for m in candidates])), strict=True):
            if keep_it:
                assert message.reply.text is not None, "a model's reply has text"
                selected.append(message)
                selected_histories.add((*map(_public, view.heard), Message(view.role, message.reply.text)))
    return selected


def _up_to_own(view: View) -> tuple[Message, ...]:
    """Returns the messages up to and including the role's own last one; empty if it has sent none."""
    own = [index for index, message in enumerate(view.heard) if message.sender == view.role]
    return tuple(map(_public, view.heard[: own[-1] + 1])) if own else ()


def _public(message: Message) -> Message:
    return message._replace(to=())


def keep_games(games: Sequence[Sequence[ScoredMessage]], keep: Keep) -> list[ScoredMessage]:
    """Applies a rule to whole games by their reward, and returns the messages of the selected games.

    Args:
        games: Result of `trainers.selection.returns.earned` for each game.
        keep: The rule.
    """
    with_messages = [messages for messages in games if messages]
    mask = keep(np.array([_reward(messages) for messages in with_messages]))
    return [message for messages, keep_it in zip(with_messages, mask, strict=True) if keep_it for message in messages]


def _reward(messages: Sequence[ScoredMessage]) -> float:
    """Returns the reward of a game: that of its learning roles, or the mean over messages if roles differ."""
    rewards = {message.reward for message in messages}
    return rewards.pop() if len(rewards) == 1 else float(np.mean([message.reward for message in messages]))
