"""A model behind a server as an agent: views to requests, answers to replies."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from agents.servers.journal import Answer
from agents.servers.protocol import Request
from agents.servers.server import Server
from clarify_env.games.agents import PlayerError
from clarify_env.games.base import Reply, View
from clarify_env.games.description import Messages
from clarify_env.streams import whole_characters

if TYPE_CHECKING:
    from agents.render import Renderer

# Seeds of servers are 32-bit integers, some of them signed.
_SEEDS = 2**31 - 1
# Control tokens and markers of common chat templates; that of a server is not known here. None holds a space, so none
# can arise where spaces take their places.
_MARKERS = re.compile(
    r"<[|\uff5c][^<>\s]*?[|\uff5c]>|</?s>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
    r"|</?(?:start_of_turn|end_of_turn|bos|eos|pad|unk|think|tool_call|tool_response)>"
)


class ServerAgent:
    """Plays any role with the model of a server; see `clarify_env.games.agents.RemoteAgent`.

    Args:
        server: The server.
        chat: Renders a view as chat messages.
        temperature: Sampling temperature; 0 is greedy and ignores seeds.
        name: Recorded with results.
        renderer: For requests by token ids: renders views as ids; ``None``: requests are chats.
        adapter: Name of the adapter to play with; empty: none.

    Attributes:
        lengths: Of each reply, the number of its tokens and whether it ended before the longest length.
    """

    def __init__(
        self,
        server: Server,
        chat: Callable[[View], Messages],
        *,
        temperature: float,
        name: str,
        renderer: Renderer | None = None,
        adapter: str = "",
    ):
        self.name, self.renderer, self.lengths = name, renderer, list[tuple[int, bool]]()
        self._server, self._chat, self._temperature, self._adapter = server, chat, temperature, adapter
        self._lock = threading.Lock()  # tokenizers are used by one thread at a time
        self._unended = set[str | None]()  # texts of replies that reached the longest length

    @property
    def opens(self) -> bool:
        """Returns whether replies can be made to begin with a given text."""
        return self.renderer is not None

    def act(self, views: list[View], seeds: list[int], openings: list[str] | None = None) -> list[Reply]:
        """Replies to each view; see `clarify_env.games.agents.Agent`.

        Raises:
            PlayerError: Some replies cannot be had now.
        """
        moves = list(zip(views, seeds, openings or [""] * len(views), strict=True))
        replies: dict[int, Reply] = {}
        missing, before = list(range(len(moves))), -1
        while missing and len(replies) > before:
            before, failed = len(replies), []
            futures = {i: self.submit(*moves[i]) for i in missing}
            try:
                for i, future in futures.items():
                    try:
                        replies[i] = future.result()
                    except PlayerError as error:
                        failed.append((i, error))
            except BaseException:
                self.stop()
                raise
            missing = [i for i, _ in failed]
        if missing:
            unanswered = PlayerError(f"{failed[0][1]} ({len(missing)} of {len(moves)} messages are missing)")
            unanswered.games = [{"reason": str(reason)} for _, reason in failed]
            raise unanswered
        return [replies[i] for i in range(len(moves))]

    def submit(self, view: View, seed: int, opening: str = "") -> Future[Reply]:
        """Requests a reply; see `clarify_env.games.agents.RemoteAgent`.

        Raises:
            ValueError: A chat completion is to begin with an opening, or the opening leaves no room for a reply.
        """
        options, section = self._server.options, self._server.section
        prompt: tuple[int, ...] = ()
        opening_ids: tuple[int, ...] = ()
        chat: tuple[dict[str, str], ...] | None = None
        ends: tuple[int, ...] = ()
        if self.renderer is None:
            if opening:
                raise ValueError(
                    f"{section}.endpoint=chat cannot make a message begin with {opening!r}; {section}.endpoint=ids can"
                )
            chat = tuple(message | {"content": scrubbed(message["content"])} for message in self._chat(view))
        else:
            with self._lock:
                prompt = self.renderer.encode(view)
                opening_ids = self.renderer.opening(opening, options.max_new_tokens, f"{section}.max_new_tokens")
            ends = tuple(self.renderer.end_ids)
        request = Request(
            chat or (*prompt, *opening_ids),
            seed=seed % _SEEDS if self._temperature else 0,
            temperature=self._temperature,
            max_tokens=options.max_new_tokens - len(opening_ids),
            end_ids=ends,
            adapter=self._adapter,
            turn=view.turn,
        )
        answered = self._server.submit(request)
        replied: Future[Reply] = Future()

        def pass_on(done: Future[Answer]) -> None:
            try:
                replied.set_result(self._reply(done.result(), prompt, opening_ids))
            except Exception as error:  # handed to the game
                replied.set_exception(error)

        answered.add_done_callback(pass_on)
        return replied

    def ended(self, reply: Reply) -> bool:
        """Whether a reply of this agent ended before the limit on its length; see `KnowsEnds`."""
        return reply.text not in self._unended

    def stop(self) -> None:
        """Drops the requests that wait for a reply."""
        self._server.stop()

    def _reply(self, answer: Answer, prompt: tuple[int, ...], opening: tuple[int, ...]) -> Reply:
        self.lengths.append((answer.tokens + len(opening), answer.ended))
        reply = Reply(None if answer.text is None else whole_characters(answer.text))
        if self.renderer is not None and answer.ids is not None:
            ids = (*opening, *answer.ids)
            with self._lock:
                text = self.renderer.decode(ids)
            logprobs = (*[0.0] * len(opening), *(answer.logprobs or ()))
            reply = Reply(text, prompt, ids, logprobs, len(opening))
        if not answer.ended:
            self._unended.add(reply.text)
        return reply


def scrubbed(text: str) -> str:
    """Replaces control tokens and markers of chat templates by spaces, and lone surrogates by U+FFFD."""
    return _MARKERS.sub(" ", whole_characters(text))
