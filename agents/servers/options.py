"""Options of a player behind a server, and the checks that need no server."""

import json
import os
import re
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from clarify_env.options import option

# Longest reply that may be asked for, in tokens: a sampler draws random numbers for all of its tokens in advance.
MOST_TOKENS = 100_000
# Variables are written in capitals, so that a key given by mistake is told from the name of a variable.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
# Fields of a request that are set here, or whose tokens a budget would not count.
_SET = set(
    "messages prompt stream n best_of echo max_tokens max_completion_tokens stop_token_ids return_token_ids "
    "return_tokens_as_token_ids".split()
)
# Options by which a run reaches its server; they do not change what is played.
OPERATIONAL = (
    "base_url",
    "key_env",
    "adapters_at",
    "concurrency",
    "timeout",
    "retries",
    "backoff",
    "longest_wait",
    "requests_per_minute",
    "tokens_per_minute",
    "input_price",
    "output_price",
    "max_cost",
    "max_total_tokens",
    "refused",
)


@dataclass(frozen=True)
class Api:
    """A model behind a server with OpenAI's interface."""

    model: str
    """Name of the model at the server."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Address of the server's interface, mostly ending in /v1."""
    key_env: str | None = None
    """Name of the environment variable that holds the key; null: the server needs none."""
    endpoint: str = option("chat", choices=("chat", "ids"))
    """chat: chat completions; ids: completions by token ids, which a method can learn from (vLLM has them)."""
    weights: str | None = None
    """For ids: folder or hub id of the same model here, whose tokenizer renders prompts, and which learns."""
    revision: str | None = None
    """Revision of the hub id of weights; null: the newest."""
    trust_remote_code: bool = False
    """Whether to run code that comes with the model of weights."""
    device: str | None = None
    """Where the model of weights learns, such as cpu or cuda:0; null: a GPU if there is one."""
    adapters: str = option("none", choices=("none", "vllm", "sglang"))
    """How the server loads low-rank adapters while it runs, so that it plays with what is learned here."""
    adapters_at: str | None = None
    """Folder under which the server sees the run directory; null: the same path as here."""
    max_new_tokens: int = option(128, least=1, most=MOST_TOKENS)
    """Longest reply in tokens, from 1 to 100,000."""
    template: dict[str, Any] = option({})
    """For ids: options of the chat template: variables that it reads; chat_template; date."""
    style: str | None = None
    """How views are rendered as chat, a style that the game offers; null: the game's default."""
    temperature: float = option(1.0, least=0)
    """Sampling temperature, at least 0; 0 is greedy. A policy has its own."""
    body: dict[str, Any] = option({})
    """Further fields of each request, as {chat_template_kwargs: {enable_thinking: false}}."""
    omit: list[str] | None = option(None, choices=("seed", "temperature", "logprobs"))
    """Fields that the server refuses, and that are left out; null: none."""
    length_field: str = option("max_tokens", choices=("max_tokens", "max_completion_tokens"))
    """Field that holds the longest reply; OpenAI's newer models want max_completion_tokens."""
    concurrency: int = option(64, least=1, most=10_000)
    """Most requests in flight; at least 1."""
    timeout: float = option(120.0, above=0)
    """Seconds after which a request without a whole reply is tried again."""
    retries: int = option(8, least=0)
    """Times that a request is tried again before its game is set aside; at least 0."""
    backoff: float = option(0.5, least=0)
    """Seconds before a request is first tried again; doubled each time, with jitter; Retry-After is honoured."""
    longest_wait: float = option(60.0, least=0)
    """Most seconds before a request is tried again, unless Retry-After is longer."""
    requests_per_minute: int | None = option(None, least=1)
    """Most requests within any 60 seconds; null: no limit."""
    tokens_per_minute: int | None = option(None, least=1)
    """Most tokens, of prompts and longest replies, within any 60 seconds; null: no limit."""
    input_price: float | None = option(None, least=0)
    """Money per million tokens of prompts; null: costs are not counted."""
    output_price: float | None = option(None, least=0)
    """Money per million tokens of replies; null: costs are not counted."""
    max_cost: float | None = option(None, above=0)
    """Most money that the run may cost by the two prices; it stops before it would cost more. null: no limit."""
    max_total_tokens: int | None = option(None, least=1)
    """Most tokens of prompts and replies that the run may use; it stops before it would use more. null: no limit."""
    refused: str = option("stop", choices=("stop", "invalid"))
    """A message that the server refuses to write (400, 422): the run ends without its game, or it is invalid."""
    name: str | None = None
    """Recorded with results; null: the model's name."""
    kind: str = "api"
    """Name of the kind."""


def identity(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a player's options without those that do not change what is played; all of those of any other kind."""
    if values.get("kind") != "api":
        return values
    return {name: value for name, value in values.items() if name not in OPERATIONAL}


def check_api(options: Api, section: str) -> None:
    """Checks that the options of a server fit together.

    Raises:
        ValueError: They do not; the message names the option, and never a key.
    """
    if any(mark in options.base_url for mark in "@?#"):
        raise ValueError(
            f"{section}.base_url must hold neither user, password, query nor fragment: a key is read from the "
            f"environment variable that {section}.key_env names"
        )
    if not _is_address(options.base_url):
        raise ValueError(
            f"{section}.base_url must be the address of a server, as http://127.0.0.1:8000/v1, not {options.base_url!r}"
        )
    for name, value in (("model", options.model), ("body", options.body)):
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{section}.{name} cannot be sent as JSON: {error}") from error
    key_of(options, section)
    if options.endpoint == "ids" and options.weights is None:
        raise ValueError(
            f"{section}.weights must name the folder or hub id of the model that the server holds: "
            f"{section}.endpoint=ids renders prompts with its tokenizer"
        )
    if options.endpoint == "chat" and options.template:
        raise ValueError(f"{section}.template is for {section}.endpoint=ids: with chat, the server renders the prompts")
    if options.adapters != "none" and options.endpoint == "chat":
        raise ValueError(f"{section}.adapters is for {section}.endpoint=ids, whose replies can be learned from")
    if options.max_cost is not None and (options.input_price is None or options.output_price is None):
        raise ValueError(f"{section}.max_cost needs {section}.input_price and {section}.output_price")
    known = {field.name for field in fields(options)} | _SET
    if strange := sorted(set(options.body) & (known - {"body", "weights", "name"})):
        raise ValueError(f"{section}.body must not hold {strange[0]}, which has an option of its own or is set here")
    limit = options.tokens_per_minute
    if limit is not None and limit < options.max_new_tokens:
        raise ValueError(f"{section}.tokens_per_minute must hold one reply of {section}.max_new_tokens at least")


def _is_address(text: str) -> bool:
    """Returns whether a text is an address by http, with a host and, if it names one, a port."""
    if not text.isprintable() or " " in text:
        return False
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # brackets without an address between them, or a port that is no number
        return False


def key_of(options: Api, section: str) -> str | None:
    """Returns the key; ``None``: the server needs none.

    Raises:
        ValueError: The variable is not set or holds what no header can, or its name cannot be that of a variable (it is
            not repeated: it may be the key itself).
    """
    if options.key_env is None:
        return None
    if _VARIABLE.fullmatch(options.key_env) is None:
        raise ValueError(
            f"{section}.key_env must be the name of an environment variable, in capitals as OPENAI_API_KEY, not a key"
        )
    if not (key := os.environ.get(options.key_env, "").strip()):
        raise ValueError(f"{section}.key_env: the environment variable {options.key_env} is not set")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ValueError(
            f"{section}.key_env: the environment variable {options.key_env} holds no key: a key is one word of ASCII"
        )
    return key


def weights_of(options: Api) -> str:
    """Returns the folder or hub id of the model that a server holds, for prompts by token ids."""
    assert options.weights is not None, "checked by check_api"
    return options.weights
