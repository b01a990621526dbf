"""Training examples: a prompt and a reply as token ids, and the weight of each reply token's loss."""

from typing import NamedTuple

from clarify_env.games.base import Reply


class Example(NamedTuple):
    """One weighted training example.

    Attributes:
        prompt_ids: Token ids of the prompt; they carry no loss.
        ids: Token ids of the reply.
        weight: Loss weight of the reply's tokens.
        first_weights: Loss weights of the reply's first tokens; they replace `weight` for these tokens.
        relabel: (position in the reply, token id): target token at that position instead of the reply's token.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    weight: float = 1.0
    first_weights: tuple[float, ...] = ()
    relabel: tuple[int, int] | None = None

    @classmethod
    def of(cls, prompt_ids: tuple[int, ...], reply: Reply, weight: float = 1.0) -> "Example":
        """Returns the example of a language model's reply."""
        assert reply.ids is not None, "the reply is no language model's"
        return cls(prompt_ids, reply.ids, weight)
