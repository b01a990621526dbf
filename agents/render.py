"""The renderer: converts a role's view to token ids and ids to text, with a tokenizer and a chat template, no model."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.template import ChatTemplate, PlainPrompt
from clarify_env.games.base import View
from clarify_env.games.description import Messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LOG = logging.getLogger("clarify_env.run.models")

# Characters other than letters, digits, white space and common punctuation.
_UNUSUAL = re.compile(r"[^\w\s.,;:!?'\"()-]|_")


class Renderer:
    """Renders views as prompts and replies as text, with a tokenizer and its chat template.

    Control tokens and template markers inside a message are replaced by spaces, so that no message changes the turns of
    a prompt; each prompt is checked for this.

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
        rewrites: Whether later prompts write earlier turns anew, as by dropping reasoning, so that a game's prompts do
            not continue one another.
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
        self.tokenizer, self.chat, self._section = tokenizer, chat, section
        self._template = ChatTemplate(tokenizer, options, eos_ids=eos_ids, reasons=reasons, section=section)
        self.end_id, self.end_ids = self._template.end_id, self._template.end_ids
        self.turn_end_ids, self.notes = self._template.turn_end_ids, self._template.notes
        self.pad_id = tokenizer.pad_token_id
        # Control ids of the prompt of each form of chat, and whether a repaired prompt was reported.
        self._structures: dict[tuple[tuple[str, str], ...], tuple[int, ...]] = {}
        self._told = False
        self.rewrites = self._finds_rewriting()

    def encode(self, view: View) -> tuple[int, ...]:
        """Returns the token ids of a view's prompt."""
        return self.encode_all([view])[0]

    def encode_all(self, views: Sequence[View]) -> list[tuple[int, ...]]:
        """Returns the token ids of each view's prompt, tokenized in one batch.

        Control tokens of each prompt are those that its template writes around harmless messages: a prompt with others
        is made again from the letters, digits and common punctuation of its messages.

        Raises:
            ValueError: The template refuses a chat, or some message still changes the control tokens.
        """
        return self.encode_chats([self.chat(view) for view in views])

    def encode_chats(self, chats: Sequence[Messages]) -> list[tuple[int, ...]]:
        """Returns the token ids of the prompt that follows each chat; see `encode_all`."""
        chats = [self._scrubbed(chat) for chat in chats]
        prompts = self._tokenize(chats)
        for index, (chat, ids) in enumerate(zip(chats, prompts, strict=True)):
            if not self._keeps_structure(chat, ids):
                prompts[index] = self._plain_prompt(chat)
        return prompts

    def plain(self, view: View) -> PlainPrompt:
        """Returns what transformers alone needs to render a view's prompt."""
        return self._template.plain(self._scrubbed(self.chat(view)))

    def text(self, view: View) -> str:
        """Returns a view's prompt as text, with control tokens."""
        return self._template.render(self._scrubbed(self.chat(view)))

    def _scrubbed(self, chat: Messages) -> Messages:
        return [message | {"content": self.scrub(message["content"])} for message in chat]

    def _tokenize(self, chats: Sequence[Messages]) -> list[tuple[int, ...]]:
        texts = [self._template.render(chat) for chat in chats]
        return [tuple(ids) for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]]

    def _keeps_structure(self, chat: Messages, ids: Sequence[int]) -> bool:
        """Returns whether a prompt has the control ids of the same chat with harmless messages."""
        # Templates may leave out blank messages.
        form = tuple((message["role"], _harmless(message["content"])) for message in chat)
        if form not in self._structures:
            (harmless,) = self._tokenize([[{"role": role, "content": content} for role, content in form]])
            self._structures[form] = self._structure(harmless)
        return self._structure(ids) == self._structures[form]

    def _finds_rewriting(self) -> bool:
        chat = [{"role": role, "content": "x"} for role in ("system", "user", "assistant", "user")]
        earlier, later = self._tokenize([chat[:2], chat])
        return later[: len(earlier)] != earlier

    def _structure(self, ids: Sequence[int]) -> tuple[int, ...]:
        control_ids = self._template.control_ids
        return tuple([token for token in ids if token in control_ids])

    def _plain_prompt(self, chat: Messages) -> tuple[int, ...]:
        """Returns a prompt of what is left of messages that change its control tokens."""
        plain = [message | {"content": _plain(message["content"])} for message in chat]
        (ids,) = self._tokenize([plain])
        section = self._template.section
        if not self._keeps_structure(plain, ids):
            raise ValueError(
                f"{section}.model: its chat template lets the text of a message change the turns of a prompt; "
                f"{section}.template.chat_template can name another template"
            )
        if not self._told:
            self._told = True
            LOG.warning(
                "%s.model: a message would have changed the turns of a prompt by its chat template or tokenizer; of "
                "such messages only letters, digits and common punctuation are kept",
                section,
            )
        return ids

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

    def check_writes(self, text: str) -> None:
        """Checks that the tokenizer can write a text that a game's messages must hold.

        Raises:
            ValueError: It cannot: it changes case, for example, or has no token for a sign.
        """
        written = self.tokenizer.decode(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        if text not in written:
            raise ValueError(
                f"{self._section}.model: its tokenizer writes {written!r} for {text!r}, with which messages of this "
                "game begin, so that none could be read"
            )

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


def _harmless(content: str) -> str:
    """Returns a text that changes nothing in a prompt's turns, blank where the content is."""
    return content and ("x" if content.strip() else " ")


def _plain(content: str) -> str:
    """Returns the letters, digits and common punctuation of a text; blank texts alone become blank."""
    plain = _UNUSUAL.sub(" ", content)
    return "..." if content.strip() and not plain.strip() else plain
