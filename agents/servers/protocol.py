"""OpenAI's interface: what is sent for a request, and what is read from the reply."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx2 as httpx
import openai

from agents.servers.faults import UnusableReplyError
from agents.servers.journal import Answer
from agents.servers.options import Api

# Most tokens that a chat template adds to a message, and to a chat.
_PER_MESSAGE, _PER_CHAT = 16, 64
# The model's own distribution: servers otherwise apply the sampling settings that come with a model.
_PLAIN = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
_RETURNED = {"return_token_ids": True, "return_tokens_as_token_ids": True, "skip_special_tokens": False}


class Request(NamedTuple):
    """What a server is asked.

    Attributes:
        prompt: Chat messages, or token ids.
        seed: Seed of the reply, in [0, 2^31 - 1).
        temperature: Sampling temperature.
        max_tokens: Longest reply.
        end_ids: For token ids: ids that end a reply.
        adapter: Name of the adapter to play with; empty: none.
        turn: Moves made in the game so far: later ones come first, so that games end.
    """

    prompt: Any
    seed: int
    temperature: float
    max_tokens: int
    end_ids: tuple[int, ...] = ()
    adapter: str = ""
    turn: int = 0

    def key(self, options: Api) -> str:
        """Returns a hash of all that the reply depends on."""
        parts = self._asdict() | {"model": options.model, "endpoint": options.endpoint, "body": options.body}
        del parts["turn"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=list).encode()).hexdigest()[:32]


def client(options: Api, section: str, key: str | None) -> openai.AsyncOpenAI:
    """Returns a client without retries and time limits of its own.

    Raises:
        ValueError: The address is none.
    """
    plain = options.base_url.startswith("http:")  # needs no certificates, which take long to load
    transport = openai.DefaultAsyncHttpxClient(
        limits=httpx.Limits(max_connections=options.concurrency + 1),  # one for adapters
        verify=not plain,
        follow_redirects=not plain,
    )
    try:
        return openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=options.base_url,
            max_retries=0,
            timeout=options.timeout,
            http_client=transport,
        )
    except httpx.InvalidURL as error:
        raise ValueError(f"{section}.base_url: {options.base_url!r} is no address of a server: {error}") from error


def bound(prompt: Any) -> int:
    """Returns a number of tokens that a prompt does not exceed: a token holds a byte at least."""
    if prompt and isinstance(prompt[0], int):
        return len(prompt)
    return _PER_CHAT + sum(_PER_MESSAGE + len(message["content"].encode()) for message in prompt)


async def chat(client: openai.AsyncOpenAI, options: Api, model: str, request: Request, body: dict[str, Any]) -> Answer:
    """Asks for a chat completion.

    Raises:
        UnusableReplyError: The reply is no chat completion.
    """
    fields = {"model": model, "messages": request.prompt, options.length_field: request.max_tokens}
    reply = await _post(client, "/chat/completions", fields | _sampled(options, request) | body | options.body)
    with _reading():
        choice = reply["choices"][0]
        message = choice["message"]
        refused = choice.get("finish_reason") == "content_filter" and not _text(message, "content")
        text = None if refused else _text(message, "content") or _text(message, "refusal")
        answer = Answer(text, None, None, *_usage(reply, request), ended=choice.get("finish_reason") != "length")
    return answer._replace(refused="content filter") if refused else answer


async def by_ids(
    client: openai.AsyncOpenAI, options: Api, model: str, request: Request, body: dict[str, Any], section: str
) -> Answer:
    """Asks for a completion of token ids, and for the ids and log-probabilities of the reply.

    Raises:
        UnusableReplyError: The reply is no completion.
        ValueError: The server does not return ids and log-probabilities.
    """
    fields = {"model": model, "prompt": request.prompt, "max_tokens": request.max_tokens} | _sampled(options, request)
    if "logprobs" not in (options.omit or ()):
        fields["logprobs"] = 1
    fields |= _PLAIN | _RETURNED | {"stop_token_ids": request.end_ids}
    reply = await _post(client, "/completions", fields | body | options.body)
    with _reading():
        choice = reply["choices"][0]
        ids, logprobs = _scored(choice)
        returned, reason, text = choice.get("prompt_token_ids"), choice.get("finish_reason"), _text(choice, "text")
        used = _usage(reply, request)
        logprobs = tuple(map(float, logprobs))
        if not all(map(math.isfinite, logprobs)):
            raise ValueError("a log-probability that is no finite number")
        returned = None if returned is None else tuple(returned)
    at = f"{section}.endpoint=ids: the server at {options.base_url}"
    if ids is None:
        raise ValueError(
            f"{at} returns no token ids, so what it plays cannot be learned from (those of vLLM and llama.cpp do); "
            f"{section}.endpoint=chat plays with it"
        )
    if len(logprobs) != len(ids):
        raise ValueError(f"{at} returns {len(logprobs)} log-probabilities for {len(ids)} token ids")
    if returned is not None and returned != tuple(request.prompt):
        raise ValueError(f"{at} changes the ids of a prompt")
    if request.end_ids and reason == "stop" and (not ids or ids[-1] not in request.end_ids):
        raise ValueError(
            f"{at} leaves out the id that ends a reply, or ends it at another one than {section}.weights "
            f"({', '.join(map(str, request.end_ids))})"
        )
    return Answer(text, tuple(ids), logprobs, *used, ended=reason != "length")


async def _post(client: openai.AsyncOpenAI, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Sends a request and returns the body of the reply, without the types that the client would build of both."""
    response = await client.post(path, cast_to=httpx.Response, body=body)
    try:
        reply: Any = response.json()
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits included
        # Not cut here: a key is removed first, see `faults.fault_of`.
        raise UnusableReplyError(f"what it sent is no JSON ({error}): {response.text!r}") from None
    return reply


def _sampled(options: Api, request: Request) -> dict[str, Any]:
    fields = {"temperature": request.temperature, "seed": request.seed}
    return {name: value for name, value in fields.items() if name not in (options.omit or ())}


@contextmanager
def _reading() -> Iterator[None]:
    """Turns what a reply of another form raises into `UnusableReplyError`."""
    try:
        yield
    except (ArithmeticError, AttributeError, TypeError, LookupError, ValueError) as error:
        raise UnusableReplyError(f"what it sent is no completion ({type(error).__name__}: {error})") from None


def _text(message: Mapping[str, Any], name: str) -> str:
    """Returns a text of a message; empty if there is none."""
    text = message.get(name)
    if text is not None and not isinstance(text, str):
        raise TypeError(f"{name} is no text")
    return text or ""


def _scored(choice: dict[str, Any]) -> tuple[list[int] | None, Sequence[float]]:
    """Returns ids and log-probabilities of a reply as vLLM gives them (ids apart, or as ``token_id:ID``), or llama.cpp.

    Without ids of all tokens, the first is ``None``.
    """
    scored = choice.get("logprobs") or {}
    logprobs: Sequence[float]
    if content := scored.get("content"):
        ids: Any = [token["id"] for token in content] if all("id" in token for token in content) else None
        logprobs = [token["logprob"] for token in content]
    else:
        tokens, logprobs = scored.get("tokens") or (), scored.get("token_logprobs") or ()
        spelled = [token.removeprefix("token_id:") for token in tokens if token.startswith("token_id:")]
        ids = [int(token) for token in spelled] if tokens and len(spelled) == len(tokens) else None
    if isinstance(choice.get("token_ids"), list):
        ids = choice["token_ids"]
    if ids is not None and not all(type(token) is int and token >= 0 for token in ids):
        raise TypeError("token_ids holds something else than token ids")
    return ids, logprobs


def _usage(reply: dict[str, Any], request: Request) -> tuple[int, int]:
    """Returns tokens of prompt and reply by the server's count; what is no count is the most that they can be."""
    usage = reply.get("usage")
    counts = usage if isinstance(usage, dict) else {}

    def count(name: str, most: int) -> int:
        tokens = counts.get(name)
        return tokens if type(tokens) is int and tokens >= 0 else most

    return count("prompt_tokens", bound(request.prompt)), count("completion_tokens", request.max_tokens)
