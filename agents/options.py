"""Options of a player, one dataclass per kind; those of a server's are in `agents.servers.options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.servers.options import MOST_TOKENS, Api, weights_of
from clarify_env.options import option


@dataclass(frozen=True)
class Scripted:
    """A scripted player that the game provides."""

    strategy: str | None = None
    """Name of the scripted player, one that the game has for the role; null: its default."""
    kind: str = "scripted"
    """Name of the kind."""


@dataclass(frozen=True)
class HF:
    """A local language model."""

    model: str
    """Folder, GGUF file or hub id of a chat model; pocket: that shipped for the task; smollm2: SmolLM2-135M."""
    revision: str | None = None
    """Revision of the hub id; null: the newest."""
    trust_remote_code: bool = False
    """Whether to run code that comes with the model."""
    device: str | None = None
    """Where the model runs, such as cpu or cuda:0; null: a GPU if there is one."""
    max_new_tokens: int = option(128, least=1, most=MOST_TOKENS)
    """Longest reply in tokens, from 1 to 100,000."""
    template: dict[str, Any] = option({})
    """Options of the chat template: variables that it reads, such as enable_thinking; chat_template; date."""
    style: str | None = None
    """How views are rendered as chat, a style that the game offers; null: the game's default."""
    temperature: float = option(1.0, least=0)
    """Sampling temperature, at least 0; 0 is greedy. A policy has its own."""
    name: str = "hf"
    """Recorded with results."""
    kind: str = "hf"
    """Name of the kind."""


@dataclass(frozen=True)
class Self:
    """The policy, with the style and reply length of the first role it plays: collaborative self-play."""

    temperature: float = option(1.0, least=0)
    """Sampling temperature, at least 0; 0 is greedy."""
    name: str = "self"
    """Recorded with results."""
    kind: str = "self"
    """Name of the kind."""


Options = Scripted | HF | Self | Api


def local_model(options: Api) -> HF:
    """Returns the options of the model here that a server plays for: the one that learns."""
    return HF(
        model=weights_of(options),
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        device=options.device,
        max_new_tokens=options.max_new_tokens,
        template=options.template,
        style=options.style,
        temperature=options.temperature,
        name=options.name or options.model,
    )
