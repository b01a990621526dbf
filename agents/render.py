"""The renderer: converts a role's view to token ids and ids to text, with a tokenizer and a chat template, no model."""

import re
from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase

from clarify_env.games.base import View
from clarify_env.games.description import Messages

# Markers that a chat template writes between messages but that are not single tokens, such as [INST] and <<SYS>>.
_MARKER = re.compile(r"<\|[^|<>]*\|>|<</?[A-Za-z_]+>>|</?[A-Za-z_]+>|\[/?[A-Z_]+\]")


class Renderer:
    """Renders views as prompts and replies as text, with a tokenizer and its chat template.

    Control tokens and template markers inside a message are replaced by spaces.

    Args:
        tokenizer: A tokenizer with a chat template.
        chat: Returns the chat messages of a view, each with ``role`` (``system``, ``user`` or ``assistant``) and
            ``content``. Picklable, so that an agent can be sent to another process: a function or a
            `functools.partial`, not a lambda.

    Attributes:
        end_id: Id of the token that ends an assistant message.
        pad_id: Id of the padding token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: Callable[[View], Messages]):
        self.tokenizer, self.chat = tokenizer, chat
        self.end_id, self.pad_id = _end_of_turn(tokenizer), tokenizer.pad_token_id
        self._reserved = sorted({*tokenizer.all_special_tokens, *_markers(tokenizer)}, key=len, reverse=True)

    def encode(self, view: View) -> tuple[int, ...]:
        """Returns the token ids of a view's prompt."""
        return self.encode_all([view])[0]

    def encode_all(self, views: Sequence[View]) -> list[tuple[int, ...]]:
        """Returns the token ids of each view's prompt, tokenized in one batch."""
        texts = []
        for view in views:
            chat = [message | {"content": self.scrub(message["content"])} for message in self.chat(view)]
            texts.append(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        return [tuple(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def scrub(self, text: str) -> str:
        """Replaces control tokens and template markers in a text by spaces."""
        # Replace by a space, so that the text on both sides cannot join into a new marker; repeat, because a marker may
        # contain spaces.
        while any(marker in text for marker in self._reserved):
            for marker in self._reserved:
                text = text.replace(marker, " ")
        return text

    def tokenize_reply(self, text: str) -> tuple[int, ...]:
        """Returns the token ids of a whole reply, including the end-of-turn token."""
        return (*self.tokenizer(self.scrub(text), add_special_tokens=False)["input_ids"], self.end_id)

    def opening(self, text: str, max_new_tokens: int, option: str = "max_new_tokens") -> tuple[int, ...]:
        """Returns the token ids that a forced reply starts with, without an end token.

        Args:
            text: Text of the opening; empty: no ids.
            max_new_tokens: Longest reply in tokens, opening included.
            option: Name of that option, for the error.

        Raises:
            ValueError: The opening leaves no room for a reply.
        """
        ids = tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()
        if len(ids) >= max_new_tokens:
            raise ValueError(f"{option}={max_new_tokens} leaves no room after the opening {text!r}")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of a reply, without its end token."""
        return self.decode_all([ids])[0]

    def decode_all(self, replies: Sequence[Sequence[int]]) -> list[str]:
        """Returns the text of each reply, without its end token."""
        return self.tokenizer.batch_decode(
            [ids[: -1 if len(ids) and ids[-1] == self.end_id else None] for ids in replies]
        )

    def leading(self, ids: Sequence[int], characters: int) -> int:
        """Returns the least number of leading ids whose text is at least this many characters long."""
        return next((n for n in range(len(ids)) if len(self.tokenizer.decode(ids[:n])) >= characters), len(ids))


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns the special token that the template writes after an assistant message; without one, the end of text."""
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    text = tokenizer.apply_chat_template(probe, tokenize=False)
    tail = tokenizer(text[text.rindex("b") + 1 :], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids)
    return next((token for token in tail if token in special), tokenizer.eos_token_id)


def _markers(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Returns texts that separate messages in the template and so must not occur inside a message."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return added + _MARKER.findall(tokenizer.chat_template)
