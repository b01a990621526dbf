"""The renderer: converts a role's view to token ids and ids to text, with a tokenizer and a chat template, no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.template import ChatTemplate
from clarify_env.games.base import View
from clarify_env.games.description import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Renderer:
    """Renders views as prompts and replies as text, with a tokenizer and its chat template.

    Control tokens and template markers inside a message are replaced by spaces.

    Args:
        tokenizer: A tokenizer with a chat template.
        chat: Returns the chat messages of a view, each with ``role`` (``system``, ``user`` or ``assistant``) and
            ``content``. Picklable, so that an agent can be sent to another process: a function or a
            `functools.partial`, not a lambda.

        options: Options of the chat template; see `ChatTemplate`.
        eos_ids: Ids that end a text by the model's generation settings.
        reasons: Whether replies may begin with reasoning.
        section: Config section of the role's options, for errors.

    Attributes:
        end_id: Id of the token that ends an assistant message.
        end_ids: All ids that end a reply, ``end_id`` first.
        turn_end_ids: Ids that end an earlier assistant message in a later prompt.
        pad_id: Id of the padding token.
        notes: Sentences on the template that a user should read.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        chat: Callable[[View], Messages],
        options: Mapping[str, Any] | None = None,
        *,
        eos_ids: Sequence[int] = (),
        reasons: bool = False,
        section: str = "assistant",
    ):
        self.tokenizer, self.chat = tokenizer, chat
        self._template = ChatTemplate(tokenizer, options, eos_ids=eos_ids, reasons=reasons, section=section)
        self.end_id, self.end_ids = self._template.end_id, self._template.end_ids
        self.turn_end_ids, self.notes = self._template.turn_end_ids, self._template.notes
        self.pad_id = tokenizer.pad_token_id

    def encode(self, view: View) -> tuple[int, ...]:
        """Returns the token ids of a view's prompt."""
        return self.encode_all([view])[0]

    def encode_all(self, views: Sequence[View]) -> list[tuple[int, ...]]:
        """Returns the token ids of each view's prompt, tokenized in one batch."""
        texts = []
        for view in views:
            chat = [message | {"content": self.scrub(message["content"])} for message in self.chat(view)]
            texts.append(self._template.render(chat))
        return [tuple(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def scrub(self, text: str) -> str:
        """Replaces control tokens and template markers in a text by spaces; see `ChatTemplate.scrub`."""
        return self._template.scrub(text)

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
            [ids[: -1 if len(ids) and ids[-1] in self.end_ids else None] for ids in replies]
        )

    def leading(self, ids: Sequence[int], characters: int) -> int:
        """Returns the least number of leading ids whose text is at least this many characters long."""
        return next((n for n in range(len(ids)) if len(self.tokenizer.decode(ids[:n])) >= characters), len(ids))
