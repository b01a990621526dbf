"""Converts a game into one prompt and one completion, for trainers of single completions."""

from itertools import pairwise
from typing import NamedTuple

from clarify_env.games.base import Reply, Trajectory


class Completion(NamedTuple):
    """A game as one prompt and one completion of a role, which includes the messages of other roles.

    Attributes:
        prompt_ids: Token ids of the first prompt.
        ids: Token ids after the prompt, up to the end of the role's last message.
        own: For each id, 1 if the role generated it, 0 if it comes from the template or another role.
        logprobs: For each id, its log-probability (nats) when it was sampled; 0 if it was not.
    """

    prompt_ids: list[int]
    ids: list[int]
    own: list[int]
    logprobs: list[float]


def completion(game: Trajectory, role: str, end: int) -> Completion:
    """Joins the turns of a role into one completion.

    Args:
        game: A game in which a language model plays the role.
        role: The role.
        end: Id of the token that ends a message.

    Raises:
        ValueError: A later prompt does not continue the earlier one, because the chat template rewrites earlier
            messages.
    """
    first, *_ = replies = [_tokens(turn.reply) for turn in game.moves((role,))]
    ids, own, logprobs = list(first.ids), [1] * len(first.ids), list(first.logprobs)
    for before, reply in pairwise(replies):
        between = _between(before, reply, end)
        ids += [*between, *reply.ids]
        own += [0] * len(between) + [1] * len(reply.ids)
        logprobs += [0.0] * len(between) + list(reply.logprobs)
    return Completion(list(first.prompt_ids), ids, own, logprobs)


class _Tokens(NamedTuple):
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def _tokens(reply: Reply) -> _Tokens:
    assert reply.prompt_ids is not None and reply.ids is not None and reply.logprobs is not None, "no model's reply"
    return _Tokens(reply.prompt_ids, reply.ids, reply.logprobs)


def _between(before: _Tokens, reply: _Tokens, end: int) -> tuple[int, ...]:
    """Returns the ids of the later prompt that follow the earlier reply."""
    earlier_prompt, prompt = before.prompt_ids, reply.prompt_ids
    after = prompt[len(earlier_prompt) :]
    if prompt[: len(earlier_prompt)] != earlier_prompt or end not in after:
        raise ValueError(
            "grpo: the chat template of assistant.model writes earlier messages anew in later prompts, "
            "so a game's tokens cannot be one completion"
        )
    # The template may tokenize a message differently from the sampled ids, but both end in `end`, which no message
    # contains. If the reply reached the maximum length, the sampled ids lack `end`, and the template adds it.
    return after[after.index(end) + (before.ids[-1] == end) :]
