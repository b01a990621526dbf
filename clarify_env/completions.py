"""Converts a game into one prompt and one completion, for trainers of single completions."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from clarify_env.costs import Prices
from clarify_env.games.base import Reply, Trajectory, View
from clarify_env.games.setup import Setup

_REWRITTEN = (
    "GRPO: the chat template of the model (assistant.model) writes earlier messages anew in later prompts, so a game's "
    "tokens cannot be one completion; choose another template (assistant.template), or let the role speak once a game, "
    "as by the game's option max_questions=0"
)


class Renderer(Protocol):
    """Converts views to token ids, as `agents.render.Renderer` does."""

    @property
    def turn_end_ids(self) -> Collection[int]:
        """Ids that end an earlier message of the role in a later prompt."""
        ...

    def encode_all(self, views: Sequence[View]) -> list[tuple[int, ...]]:
        """Returns the token ids of each view's prompt."""
        ...


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


def completion(game: Trajectory, role: str, ends: Collection[int]) -> Completion:
    """Joins the turns of a role into one completion.

    Args:
        game: A game in which a language model plays the role.
        role: The role.
        ends: Ids that end a message; see `Renderer.turn_end_ids`.

    Raises:
        ValueError: A later prompt does not continue the earlier one, because the chat template rewrites earlier
            messages.
    """
    first, *_ = replies = [_tokens(turn.reply) for turn in game.moves((role,))]
    ids, own, logprobs = list(first.ids), [1] * len(first.ids), list(first.logprobs)
    for before, reply in pairwise(replies):
        between = _between(before, reply, ends)
        ids += [*between, *reply.ids]
        own += [0] * len(between) + [1] * len(reply.ids)
        logprobs += [0.0] * len(between) + list(reply.logprobs)
    return Completion(list(first.prompt_ids), ids, own, logprobs)


def check_prompts(setup: Setup, role: str, prices: Prices, renderer: Renderer) -> None:
    """Checks, before any game is played, that a role's later prompts continue its earlier ones.

    A game is dealt for each opening of the role, and all say next to nothing.

    Raises:
        ValueError: The chat template writes earlier messages anew.
    """
    tools = setup.game.tools(setup.task)
    for opening in setup.game.openings.get(role, {}).values() or [""]:
        game = setup.deal(setup.task.episode("train", 0), 0, prices)
        views: list[View] = []
        while game.to_move and len(views) < 2:
            view = game.view(game.to_move)
            views += [view] if game.to_move == role else []
            tool = tools.get(game.to_move)
            game.apply(Reply(f"{opening} x".strip()) if tool is None else tool.act([view], [0])[0])
        for earlier, later in pairwise(renderer.encode_all(views)):
            if later[: len(earlier)] != earlier or not set(later[len(earlier) :]) & set(renderer.turn_end_ids):
                raise ValueError(_REWRITTEN)


class _Tokens(NamedTuple):
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


def _tokens(reply: Reply) -> _Tokens:
    assert reply.prompt_ids is not None and reply.ids is not None and reply.logprobs is not None, "no model's reply"
    return _Tokens(reply.prompt_ids, reply.ids, reply.logprobs)


def _between(before: _Tokens, reply: _Tokens, ends: Collection[int]) -> tuple[int, ...]:
    """Returns the ids of the later prompt that follow the earlier reply."""
    earlier_prompt, prompt = before.prompt_ids, reply.prompt_ids
    after = prompt[len(earlier_prompt) :]
    first_end = next((index for index, token in enumerate(after) if token in ends), None)
    if prompt[: len(earlier_prompt)] != earlier_prompt or first_end is None:
        raise ValueError(_REWRITTEN)
    # The template may tokenize a message differently from the sampled ids, but both end in one of `ends`, which no
    # message contains. If the reply reached the maximum length, the sampled ids lack it, and the template adds it.
    return after[first_end + (before.ids[-1] in ends) :]
