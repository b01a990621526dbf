"""The chat template of a model: which chats it takes, what it writes between messages, and how it ends a reply.

All of this is found by rendering probes when the template is set up.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from agents.markers import BRACKETED, is_control, is_marker, looked_for
from agents.reasoning import reply_opening
from agents.template_options import check_variables, choose, parse_day, with_day
from clarify_env.games.description import Messages
from clarify_env.streams import whole_characters

# What a template may raise: its own refusals, and errors of the code in it.
_REFUSALS = (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
# Contents of probe messages. They have no letter in common, so that two renderings differ exactly where the content is.
_PROBE, _OTHER = "qqqq", "zzzz"
# A content as long as the longest prompts.
_LONG = f"{_PROBE[0]} " * 10_000


class PlainPrompt(NamedTuple):
    """A prompt as transformers alone renders it, with the day on which it does so.

    Attributes:
        messages: First argument of ``tokenizer.apply_chat_template``.
        variables: Further keyword arguments of it, beside ``add_generation_prompt=True, tokenize=False``.
        opening: Text to add after it; mostly empty.
    """

    messages: list[dict[str, Any]]
    variables: dict[str, Any]
    opening: str


class ChatTemplate:
    """Renders chats by a tokenizer's chat template.

    A chat that the template refuses, or part of which it leaves out, is adapted: the system text joins the first user
    message, or is one; neighbouring messages of one role are joined; texts are wrapped as lists of parts.

    Args:
        tokenizer: A tokenizer with a chat template.
        options: Options of the template (``assistant.template``): variables that it reads, such as
            ``enable_thinking``; ``chat_template``, the name of one of several templates, or a template; ``date``, the
            day given to templates that ask for it, by default today.
        eos_ids: Ids that end a text by the model's generation settings.
        reasons: Whether replies may begin with reasoning. If not, prompts end where the template puts an assistant's
            text, so that reasoning that they open is closed.
        section: Config section of the role's options, for errors.

    Attributes:
        end_id: Id of the token that ends an assistant message.
        end_ids: All ids that end a reply, ``end_id`` first.
        turn_end_ids: Ids that end an earlier assistant message in a later prompt.
        reserved: Texts that may not occur inside a message, the longest first: special tokens and other control tokens,
            the tokens and markers that the template writes, and those that it looks for inside messages.
        control_ids: Ids of the reserved texts that are tokens, but for that of unknown characters.
        notes: Sentences that a user should read.
        section: Config section of the role's options, for errors.

    Raises:
        ValueError: The template cannot be used; the message names the option.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        options: Mapping[str, Any] | None = None,
        *,
        eos_ids: Sequence[int] = (),
        reasons: bool = False,
        section: str = "assistant",
    ):
        self.tokenizer, self.section = tokenizer, section
        self._variables = dict(options or {})
        day = parse_day(self._variables.pop("date", None), f"{section}.template.date")
        self.source = choose(tokenizer, self._variables.pop("chat_template", None), f"{section}.template")
        check_variables(self._variables, self.source, f"{section}.template")
        self._template, dates = with_day(self.source, day)
        self._variables |= dates
        self.notes: list[str] = []
        self._added = {added.content: added for added in tokenizer.added_tokens_decoder.values()}
        # White space, and added tokens that are words, such as a year or a name, do not mark messages.
        visible = {text: added for text, added in self._added.items() if text.strip()}
        control = [text for text, added in visible.items() if added.special or not text.strip().isalnum()]
        self._tokens = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)")
        self._adapt_to_template()
        self._find_ends(eos_ids)
        self._opening = self._find_opening(reasons)
        self.reserved = self._find_reserved()
        unknown = {tokenizer.unk_token_id} - {*self.turn_end_ids}  # what a tokenizer makes of ordinary characters
        self.control_ids = frozenset(self._id(text) for text in self.reserved if text in self._added) - unknown
        # Whether the tokenizer looks reserved tokens up in normalised text.
        normalises = tokenizer.is_fast and tokenizer.backend_tokenizer.normalizer is not None
        self._folds = normalises and any(self._added[text].normalized for text in self.reserved if text in self._added)

    def render(self, chat: Messages) -> str:
        """Returns the prompt of a chat.

        Raises:
            ValueError: The template refuses the chat.
        """
        try:
            return self._apply(self._adapted(chat)) + self._opening
        except _REFUSALS as error:
            roles = ", ".join(message["role"] for message in chat)
            raise ValueError(f"{self.section}.model: its chat template refuses a chat of {roles}: {error}") from error

    def plain(self, chat: Messages) -> PlainPrompt:
        """Returns what transformers alone needs to render the prompt of a chat; see `PlainPrompt`."""
        messages: Any = self._adapted(chat)
        if self._parts:
            messages = [m | {"content": [{"type": "text", "text": m["content"]}]} for m in messages]
        variables = {name: value for name, value in self._variables.items() if name != "day_of_run"}
        own: Any = self.tokenizer.chat_template
        if self.source != (own.get("default") if isinstance(own, dict) else own):
            variables["chat_template"] = self.source
        return PlainPrompt(messages, variables, self._opening)

    def scrub(self, text: str) -> str:
        """Replaces reserved texts by spaces, and lone surrogates, which no tokenizer takes, by U+FFFD."""
        text = whole_characters(text)
        # Replace by a space, so that the text on both sides cannot join into a new marker; repeat, because a marker may
        # contain spaces.
        while any(marker in text for marker in self.reserved):
            for marker in self.reserved:
                text = text.replace(marker, " ")
        return self._unfolded(text) if self._folds else text

    def _unfolded(self, text: str) -> str:
        """Replaces by spaces what becomes a reserved token only when the tokenizer normalises it."""
        while True:
            encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            spans = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
            folded = [span for token, span in spans if token in self.control_ids and span[0] < span[1]]
            if not folded:
                return text
            for start, end in reversed(folded):
                text = f"{text[:start]} {text[end:]}"

    def _apply(self, chat: Messages, prompt: bool = True) -> str:
        messages: Any = chat
        if self._parts:
            messages = [m | {"content": [{"type": "text", "text": m["content"]}]} for m in chat]
        text: Any = self.tokenizer.apply_chat_template(
            messages, chat_template=self._template, tokenize=False, add_generation_prompt=prompt, **self._variables
        )
        return text

    def _adapted(self, chat: Messages) -> Messages:
        """Returns the chat in the form that the template takes."""
        chat = list(chat)
        first = next((message["role"] for message in chat if message["role"] != "system"), None)
        if chat[0]["role"] == "system" and not (self._system and (self._any_first or first == "user")):
            system, *chat = chat
            if chat and chat[0]["role"] == "user":
                chat[0] = chat[0] | {"content": _joined([system, chat[0]])}
            else:
                chat = [{"role": "user", "content": system["content"]}, *chat]
        elif first != "user" and not self._any_first:
            chat = [{"role": "user", "content": ""}, *chat]
        if self._alternate:
            same_role = [list(messages) for _, messages in groupby(chat, key=lambda message: message["role"])]
            chat = [messages[0] | {"content": _joined(messages)} for messages in same_role]
        return chat

    def _adapt_to_template(self) -> None:
        """Finds out which chats the template takes, by whether each message of a probe changes what is rendered."""
        self._system, self._any_first, self._alternate, self._parts = True, True, False, False
        if not self._reads("user"):
            self._parts = True
            if not self._reads("user"):
                self._parts = False
                self._refuse("user")
        self._system = self._reads("system", "user")
        start = ("system",) if self._system else ()
        if not self._reads(*start, "user", "assistant", "user"):
            self._refuse(*start, "user", "assistant", "user")
        self._any_first = self._reads(*start, "assistant", "user") and (not start or self._reads(*start))
        self._alternate = not self._reads(*start, "user", "user")
        self._refuse_cuts(*start, "user", "assistant", "user")

    def _refuse_cuts(self, *roles: str) -> None:
        """Refuses a template that writes the beginning of a long message alone: prompts would lack the costs."""
        chat = _probe(*roles)
        short = self._apply(chat).lower().count(_PROBE[0])
        for index, message in enumerate(chat):
            long = [*chat[:index], message | {"content": _LONG}, *chat[index + 1 :]]
            if self._apply(long).lower().count(_PROBE[0]) - short < len(_LONG) / 2 - len(_PROBE):
                raise ValueError(
                    f"{self.section}.model: its chat template cuts a long message of {message['role']}; "
                    f"{self.section}.template.chat_template can name another template"
                )

    def _refuse(self, *roles: str) -> None:
        """Raises the error of a chat that the template should take."""
        try:
            self._apply(_probe(*roles))
            reason = "it leaves messages out"
        except _REFUSALS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{self.section}.model: its chat template cannot render a chat of {', '.join(roles)}: {reason}; "
            f"{self.section}.template.chat_template can name another template"
        )

    def _reads(self, *roles: str) -> bool:
        """Returns whether the template takes a chat of these roles and writes each message."""
        try:
            return all(start < end for start, end in self._spans(roles)[1])
        except _REFUSALS:
            return False

    def _spans(self, roles: Sequence[str], prompt: bool = True) -> tuple[str, list[tuple[int, int]]]:
        """Renders a probe; returns the text, and where the content of each message begins and ends in it."""
        chat, spans = _probe(*roles), []
        text = self._apply(chat, prompt)
        for index, message in enumerate(chat):
            other = self._apply([*chat[:index], message | {"content": _OTHER}, *chat[index + 1 :]], prompt)
            start, after = _common(text, other), _common(text[::-1], other[::-1])
            spans.append((start, max(start, len(text) - after)))
        return text, spans

    def _conversation(self, *roles: str, prompt: bool) -> tuple[str, list[tuple[int, int]]]:
        """Renders a probe that begins with a system message where there is one."""
        start = ("system",) if self._system else ()
        text, spans = self._spans((*start, *roles), prompt)
        return text, spans[len(start) :]

    def _find_ends(self, eos_ids: Sequence[int]) -> None:
        """Finds the token that the template writes after an assistant message; without one, the end of text."""
        last, (*_, span) = self._conversation("user", "assistant", prompt=False)
        later, (_, earlier, following) = self._conversation("user", "assistant", "user", prompt=True)
        tail, between = last[span[1] :], later[earlier[1] : following[0]]
        token, next_token = self._tokens.search(tail), self._tokens.match(between.lstrip())
        if text := tail[: token.start() if token else None].strip():
            raise ValueError(
                f"{self.section}.model: its chat template ends an assistant's message with the text {text!r}, which "
                "is no token of the model, so the end of a reply cannot be told; "
                f"{self.section}.template.chat_template can name another template"
            )
        eos: Any = self.tokenizer.eos_token_id
        named = [*([] if eos is None else [eos]), *eos_ids]
        following_id = self._id(next_token[0]) if next_token else None
        if token:
            self.end_id = self._id(token[0])
        elif following_id is not None and following_id in eos_ids:  # the next speaker's token ends a reply: GLM-4
            self.end_id = following_id
        elif named:
            self.end_id = named[0]
        else:
            raise ValueError(
                f"{self.section}.model: neither its chat template nor its tokenizer or generation settings name a "
                "token that ends a reply"
            )
        self.end_ids = tuple(dict.fromkeys([self.end_id, *named]))
        other_end = [following_id] if token and following_id is not None else []
        self.turn_end_ids = tuple(dict.fromkeys([*self.end_ids, *other_end]))

    def _id(self, token: str) -> int:
        token_id: Any = self.tokenizer.convert_tokens_to_ids(token)
        return token_id

    def _find_opening(self, reasons: bool) -> str:
        """Returns what is added to the template's prompts so that a reply comes next."""
        asked, (*_, query) = self._conversation("user", prompt=True)
        if reasons and asked != self._conversation("user", prompt=False)[0]:
            return ""
        if not reasons and "enable_thinking" in self.source and "enable_thinking" not in self._variables:
            self._variables["enable_thinking"] = False
            closed, (*_, query) = self._conversation("user", prompt=True)
            if closed != asked:
                asked = closed
                self.notes.append(
                    f"{self.section}.template.enable_thinking=false is given to the chat template, since replies may "
                    "not hold reasoning (game.reasoning)"
                )
        replied, (*_, before_reply, reply) = self._conversation("user", "assistant", prompt=False)
        opened, header = asked[query[1] :], replied[before_reply[1] : reply[0]]
        if reasons and not header.startswith(opened):
            return ""
        opening = reply_opening(opened, header, self.source, self._added, self.section)
        if opening:
            self.notes.append(
                f"{self.section}.model: {opening!r} is added to the prompts of its chat template, so that the text of "
                "a reply comes next, since replies may not hold reasoning (game.reasoning)"
            )
        return opening

    def _find_reserved(self) -> list[str]:
        """Returns all control tokens, and the markers that the template writes around messages or looks for in them."""
        reserved = set(self.tokenizer.all_special_tokens)
        reserved |= {token for token, added in self._added.items() if added.special or is_control(token)}
        reserved |= set(self._tokens.findall(self.source))
        reserved |= set(looked_for(self.source))
        for roles, prompt in ((("user", "assistant", "user"), True), (("user", "assistant"), False)):
            start = ("system",) if self._system else ()
            text, spans = self._spans((*start, *roles), prompt)
            starts, ends = zip(*sorted(spans), strict=True)
            before, *pieces = (text[a:b] for a, b in zip((0, *ends), (*starts, len(text)), strict=True))
            reserved |= {token for piece in (before, *pieces) for token in self._tokens.findall(piece)}
            reserved |= {word for piece in (before, *pieces) for word in BRACKETED.findall(piece)}
            # What stands before the first message, but for its last line, may be a default system text.
            lines = [line for piece in pieces for line in piece.splitlines()] + before.rstrip().splitlines()[-1:]
            texts = (text.strip() for line in lines for text in self._tokens.split(line))
            reserved |= {text for text in texts if is_marker(text)}
        return sorted(filter(str.strip, reserved), key=lambda text: (-len(text), text))


def _probe(*roles: str) -> Messages:
    return [{"role": role, "content": _PROBE} for role in roles]


def _common(one: str, other: str) -> int:
    """Returns the length of the longest common beginning of two texts."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _joined(messages: Sequence[Mapping[str, str]]) -> str:
    return "\n\n".join(message["content"] for message in messages if message["content"])
