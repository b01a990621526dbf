"""Kinds of players: one registry; players made from a block of options per role (`agents.options`).

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

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.models import Models
from agents.options import HF, Options, Scripted, Self
from agents.pocket import is_pocket
from agents.servers.options import Api
from clarify_env.games.agents import Agent
from clarify_env.games.description import Description

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from agents.hf import HFAgent
    from agents.sample import LocalSampler
    from agents.servers.agent import ServerAgent


NO_POLICY = "kind=self needs a language model in the role that is measured or learns"


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
        raise ValueError(f"{context.section(role)}.{NO_POLICY}")
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
            adapter = server.adapters.name_of(policy.adapter)
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
        reply_limit=context.game.reply_limit,
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
