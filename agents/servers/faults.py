"""Faults of a server: which are tried again, after how long, and how they read; a key is never part of a sentence."""

import asyncio
import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx2 as httpx
import openai

from agents.servers.options import Api

# Status codes beside 5xx that are tried again.
_AGAIN = (408, 409, 425, 429)
# Status codes by which a server refuses one request, such as one that a content filter does not let through.
_THIS_ONE = (400, 422)
# What SGLang says, with status 400, of an adapter that it does not hold.
_NO_ADAPTER = re.compile(r"not loaded|never been loaded", re.IGNORECASE)
# Codes of status 429 that do not pass by themselves.
_FOR_GOOD = ("insufficient_quota", "billing_hard_limit_reached")
_LONGEST = 300


class UnusableReplyError(Exception):
    """The server sent something that is no reply."""


class Fault(NamedTuple):
    """A request that brought no reply.

    Attributes:
        kind: What happened, in a word or two, for counts.
        reason: One sentence that names the option.
        again: Whether it is tried again.
        wait: Seconds that the server asks to wait; ``None``: it does not.
        refused: Whether the server refuses this request alone, and may answer others.
        lost: Whether it may have been paid for.
        connects: Whether a server was there.
        missing: Whether the server does not know the model or adapter.
    """

    kind: str
    reason: str
    again: bool = False
    wait: float | None = None
    refused: bool = False
    lost: bool = False
    connects: bool = True
    missing: bool = False


def fault_of(error: Exception, options: Api, section: str, key: str | None, adapter: str = "") -> Fault:
    """Returns what an exception of a request means.

    Args:
        error: The exception.
        options: Options of the player.
        section: Config section of the options.
        key: Key of the server, which is left out.
        adapter: Name of the adapter that the request wants; empty: none.

    Raises:
        Exception: The error itself, if it is no fault of a server.
    """
    url, at = f"{section}.base_url", f"the server at {options.base_url}"
    if isinstance(error, TimeoutError | asyncio.TimeoutError | openai.APITimeoutError):
        reason = f"{section}.timeout: {at} sent no whole reply within {options.timeout:g} s"
        return Fault("timeout", reason, again=True, lost=True)
    if isinstance(error, UnusableReplyError):
        return Fault("unusable reply", f"{url}: {at}: {_short(error, key)}", again=True, lost=True)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__ or error
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
            reason = f"{url}: no server answers at {options.base_url} ({_short(cause, key)})"
            return Fault("no connection", reason, again=True, connects=False)
        if isinstance(cause, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return Fault("address", f"{url}: {options.base_url!r} is no address of a server: {_short(cause, key)}")
        return Fault("lost connection", f"{url}: {at} broke off: {_short(cause, key)}", again=True, lost=True)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, options, section, key, adapter)
    raise error


def _of_status(error: openai.APIStatusError, options: Api, section: str, key: str | None, adapter: str) -> Fault:
    status, at = error.status_code, f"the server at {options.base_url}"
    message, code = _message(error, key)
    if status in _AGAIN or status >= 500:
        again = not (status == 429 and code in _FOR_GOOD)
        wait = retry_after(error.response.headers)
        asks = "" if wait is None else f" (Retry-After: {wait:.0f} s)"
        return Fault(str(status), f"{section}.base_url: {at} replies {status}{asks}: {message}", again=again, wait=wait)
    if status in (401, 403):
        how = f"the key of {options.key_env}" if options.key_env else "requests without a key"
        return Fault(str(status), f"{section}.key_env: {at} refuses {how} ({status})")
    if status == 404:
        reason = f"{section}.model: {at} has no model {options.model!r} for {section}.endpoint={options.endpoint} (404)"
        return Fault("404", f"{reason}: {message}{_needs(options)}", missing=True)
    if status == 400 and adapter and _NO_ADAPTER.search(message):
        reason = f"{section}.adapters={options.adapters}: {at} has no adapter {adapter} (400): {message}"
        return Fault("400", reason, missing=True)
    if status == 402:
        return Fault("402", f"{section}: {at} asks for money before it replies (402): {message}")
    reason = f"{section}: {at} refuses a request ({status}): {message}{_needs(options)}"
    return Fault(str(status), reason, refused=status in _THIS_ONE)


def _needs(options: Api) -> str:
    return "" if options.endpoint == "chat" else "; endpoint=ids needs one that takes and returns token ids, as vLLM"


def _message(error: openai.APIStatusError, key: str | None) -> tuple[str, str]:
    """Returns message and code of an error as the server gives them."""
    body: Any = error.body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        inner = inner if isinstance(inner, Mapping) else {"message": inner}
        message = inner.get("message") or inner.get("detail") or json.dumps(body, default=str)
        return _short(message, key), str(inner.get("code") or inner.get("type") or "")
    return _short(body or error.response.text or "no reason given", key), ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds that a reply asks to wait (Retry-After in seconds or as a date, or retry-after-ms)."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        if (value := headers.get("retry-after")) is None:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _short(text: object, key: str | None) -> str:
    line = " ".join(str(text).split()) or type(text).__name__
    return redacted(line, key)[:_LONGEST]


def redacted(text: str, key: str | None) -> str:
    """Returns a text in which a key, or what a server shows of one, is replaced by stars."""
    for spelled in (key, json.dumps(key)[1:-1], repr(key)[1:-1]) if key else ():
        text = text.replace(spelled, "***")
    return re.sub(r"\b(sk|pk|key)-[\w*.-]{6,}", "***", text)
