"""The games behind verifiers: a taskset of deals, and an environment in which every role can be a trainable seat.

Run with verifiers 0.4.0, whose module `verifiers.v1` plays several agents in one episode (`Env`, `Agents`,
`Interaction`); releases before it are refused. The extra is ``[verifiers]``. `clarify_verifiers` is the plugin: the
module that verifiers finds by the id ``clarify-verifiers`` (docs/adapters.md).
"""

from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any

from gymnasium.utils import seeding

from clarify_env.dealing import Dealer
from clarify_env.extras import extra
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Reply, View
from clarify_env.games.setup import Setup
from clarify_env.selfplay import MOST_MOVES, trajectory, turn_seed

with extra("clarify_env.adapters.verifiers", "verifiers"):
    import verifiers.v1 as vf

if not hasattr(vf, "Interaction"):  # several agents in one episode
    raise ImportError(
        f"clarify_env.adapters.verifiers needs verifiers 0.4, not {version('verifiers')}: install the extra "
        "[verifiers], as pip install 'clarify-env[verifiers]'",
        name="clarify_env.adapters.verifiers",
    )

# Packages that verifiers needs.
import httpx
import openai
from pydantic import Field, SerializeAsAny

__all__ = ["ClarifyEnv", "ClarifyHarness", "ClarifyTaskset"]

# The id by which verifiers finds the plugin.
PLUGIN = "clarify-verifiers"


class DealData(vf.TaskData):
    """One deal: what is needed to play the game again.

    It is recorded with each trace and never sent to a model, which sees its view alone.

    Attributes:
        episode_id: The episode.
        hidden: Index of the hidden possibility; in the clarification game, of the reading that the user means.
        costs: The prices.
        seed: Seed of all moves; move t has the seed `clarify_env.selfplay.turn_seed` (seed, t).
    """

    episode_id: str
    hidden: int
    costs: tuple[float, ...]
    seed: int


class DealState(vf.State):
    """What the environment tells a seat's harness about the move to make.

    Attributes:
        seed: Seed to send with the request; ``None``: none.
    """

    seed: int | None = None


class Deal(vf.Task[DealData, DealState, vf.TaskConfig]):
    """A deal as verifiers' task. The environment scores it, since a result belongs to all seats."""


class ClarifyTasksetConfig(vf.TasksetConfig):
    """Options of the taskset, under ``--env.taskset``.

    Attributes:
        id: The plugin.
        game: The game, by name.
        game_options: The game's own options.
        source: Our task, where episodes come from: its name, or where its class is, as in `make_task`. (`task` is
            verifiers' own option of its tasks, and not used.)
        source_options: Options of our task.
        split: Split to draw episodes from; ``None``: the task's training split, or its first.
        costs: Fixed prices; ``None``: drawn from the training prices of the game's default plane.
        games: Number of deals.
        seed: Deal i is what `clarify_env.gym.RoleEnv` deals at ``reset(seed=seed + i)``.
    """

    id: vf.ID = PLUGIN
    game: str = "clarification"
    game_options: dict[str, Any] = {}
    source: str = "almanac"
    source_options: dict[str, Any] = {}
    split: str | None = None
    costs: list[float] | None = None
    games: int = Field(1000, ge=1)
    seed: int = Field(0, ge=0)


class ClarifyTaskset(vf.Taskset[Deal, ClarifyTasksetConfig]):
    """Deals of a game: episode, hidden possibility, prices and seed.

    Raises:
        ValueError: There is no such task, game, option or split.
    """

    def __init__(self, config: ClarifyTasksetConfig):
        super().__init__(config)
        costs = None if config.costs is None else tuple(config.costs)
        self.dealer = Dealer(config.source, costs, config.game, config.source_options or None, **config.game_options)
        self.table = Setup(self.dealer.game, self.dealer.task, config.game_options)

    def load(self) -> Iterable[Deal]:
        """Yields the deals."""
        config = self.config
        options = None if config.split is None else {"split": config.split}
        for seed in range(config.seed, config.seed + config.games):
            game = self.dealer.deal(seeding.np_random(seed)[0], options)
            data = DealData(
                name=game.episode.id,
                episode_id=game.episode.id,
                hidden=game.hidden,
                costs=tuple(map(float, game.prices)),
                seed=seed,
            )
            yield Deal(data, config.task)

    def deal(self, data: DealData) -> Game:
        """Starts the game of a deal."""
        episode = self.dealer.task.lookup(data.episode_id)
        return self.table.deal(episode, data.hidden, self.dealer.game.check_prices(data.costs))


class ClarifyHarnessConfig(vf.HarnessConfig):
    """Options of the harness, under ``--env.ROLE.harness``.

    Attributes:
        id: The plugin.
        max_retries: Most retries of a request after a connection error or the status 408, 409, 429 or 5xx, with the
            backoff of the `openai` client, which waits as long as Retry-After says.
    """

    id: vf.ID = PLUGIN
    max_retries: int = Field(2, ge=0)


class ClarifyHarness(vf.Harness[ClarifyHarnessConfig]):
    """Sends a role's view as one chat completion a turn, from this process: no program, no container.

    The messages of a turn are the whole chat, not an addition to the last one: where a role's chat continues the last
    one, verifiers merges the two into one branch of the trace.
    """

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
    ) -> vf.ProgramResult:
        """Sends the messages of the task."""
        # A connection of its own: a client may not outlive the event loop, and verifiers keeps harnesses longer.
        transport = httpx.AsyncClient(verify=endpoint.startswith("https"), timeout=None)
        client = openai.AsyncOpenAI(
            base_url=endpoint, api_key=secret, max_retries=self.config.max_retries, http_client=transport
        )
        seed = {} if trace.state.seed is None else {"seed": trace.state.seed}
        async with client:
            await client.chat.completions.create(
                model=ctx.model, messages=[message.model_dump(exclude_none=True) for message in data.prompt], **seed
            )
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")

    async def resume(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
        messages: vf.Messages,
        tool_interception_url: str | None = None,
    ) -> vf.ProgramResult:
        """Sends the messages of a turn, which are the whole chat."""
        prompt = data.model_copy(update={"prompt": messages})
        return await self.launch(ctx, trace, runtime, endpoint, secret, mcp_urls, prompt)


def seat() -> vf.AgentConfig:
    """A seat played by the run's model, unless a model, client or sampling of its own is set (``--env.ROLE.model``)."""
    # By a copy: the harness's id cannot be resolved while this module is being imported.
    return vf.AgentConfig(runtime=vf.SubprocessConfig()).model_copy(update={"harness": ClarifyHarnessConfig()})


class GameEnvConfig(vf.EnvConfig):
    """Options of a game's environment, under ``--env``; a subclass has one field `seat()` for each role of its game.

    Attributes:
        taskset: What is played.
        scripted: Roles that the game's default scripted players play, within the environment. They have no trace.
        trainable: Seats whose traces are marked as trainable; ``None``: the game's learning roles.
        style: Style of the chat messages, one of `Description.styles`; ``None``: the game's default.
        seeded: Whether each request carries the seed of its move. Then one task gives one game, and more than one
            rollout a task is refused. A training client of verifiers 0.4.0 sends no seeds.
    """

    taskset: SerializeAsAny[vf.TasksetConfig] = ClarifyTasksetConfig()
    scripted: list[str] = []
    trainable: list[str] | None = None
    style: str | None = None
    seeded: bool = True


class GameEnv(vf.Env[GameEnvConfig]):
    """Plays one deal with a seat for each role that is not scripted.

    When the game is over, the trace of each seat gets the reward ``game``, which is that of its role, and the game's
    measures as metrics; ``trace.info["game"]`` is the game as `Trajectory.to_json` writes it. A seat that was never to
    move has no trace. If a model gives no reply the game is not scored: the episode has an error, and is played again
    as ``--env.retries`` says.

    Raises:
        ValueError: A role has neither a seat nor a scripted player, there is no such role or style, or no seat is left.
    """

    def __init__(self, config: GameEnvConfig):
        super().__init__(config)
        if not isinstance(self.taskset, ClarifyTaskset):
            raise ValueError(f"env.taskset.id must name a ClarifyTaskset, as {PLUGIN} does, not {config.taskset.id!r}")
        table = self.table = self.taskset.table
        game = table.game
        fields = [name for name, value in config if isinstance(value, vf.AgentConfig)]
        self.seats = tuple(role for role in game.roles if role in fields and role not in config.scripted)
        self.trainable = tuple(game.learns if config.trainable is None else config.trainable)
        for option, roles in (("scripted", config.scripted), ("trainable", self.trainable)):
            for role in roles:
                if role not in game.roles:
                    raise ValueError(
                        f"env.{option}: game {game.name} has no role {role!r}, only {', '.join(game.roles)}"
                    )
        if not self.seats:
            raise ValueError(f"env.scripted leaves no seat to a model: game {game.name} has {', '.join(game.roles)}")
        self.agents: Mapping[str, Agent] = {**game.tools(table.task), **table.others(self.seats, {})}
        self.style = game.check_style(config.style)

    def slots(self, task: Deal, n: int = 1) -> list:
        """Plans the rollouts of a task.

        Raises:
            ValueError: They would be the same game: their requests have the same seeds.
        """
        if n > 1 and self.config.seeded:
            raise ValueError(f"{n} rollouts of a task with the same seeds: set env.seeded to false, or use more tasks")
        return super().slots(task, n)

    async def setup(self, agents: vf.Agents) -> None:
        """Marks which seats are trained."""
        for role in self.seats:
            getattr(agents, role).trainable = role in self.trainable

    async def run(self, task: Deal, agents: vf.Agents) -> None:
        """Plays the game of a task and scores it."""
        data, game = task.data, self.taskset.deal(task.data)
        interactions: dict[str, vf.Interaction] = {}
        async with AsyncExitStack() as stack:
            while (role := game.to_move) is not None:
                if len(game.turns) > MOST_MOVES:
                    raise ValueError(f"game {game.name}: {data.episode_id} is not over after {MOST_MOVES} moves")
                view, seed = game.view(role), turn_seed(data.seed, len(game.turns))
                if role in self.agents:
                    game.apply(self.agents[role].act([view], [seed])[0])
                    continue
                if role not in interactions:
                    interaction = getattr(agents, role).interaction(task)
                    interactions[role] = await stack.enter_async_context(interaction)
                game.apply(await self._reply(interactions[role], view, seed))
            # Before the seats close, which writes their rewards into verifiers' log.
            self._score(data, game, {role: interaction.trace for role, interaction in interactions.items()})

    async def _reply(self, interaction: vf.Interaction, view: View, seed: int) -> Reply:
        trace = interaction.trace
        trace.state.seed = seed if self.config.seeded else None
        segment = await interaction.turn(self.table.game.chat(view, self.style))
        if segment.terminated:
            reason = trace.errors[-1].message if trace.errors else trace.stop_condition
            raise vf.EnvError(f"the {view.role} gave no reply at move {view.turn}: {reason}")
        return Reply(segment.messages[-1].content or "")  # verifiers reads an empty reply as none

    def _score(self, data: DealData, game: Game, traces: Mapping[str, vf.Trace]) -> None:
        assert game.result is not None, "the game is over"
        names = {role: agent.name for role, agent in self.agents.items()}
        names |= {role: trace.agent.config.model for role, trace in traces.items()}
        record = trajectory(data.seed, data.seed, game, names).to_json()
        measures = self.table.measures(game)
        for role, trace in traces.items():
            trace.record_reward("game", game.result.reward(game.prices, role))
            trace.record_metrics(measures)
            trace.info["game"] = record


class ClarifyEnvConfig(GameEnvConfig):
    """Options of the clarification game's environment, under ``--env``.

    Attributes:
        assistant: Who plays the assistant.
        user: Who plays the user if ``scripted`` does not name it (as ``--env.scripted '[]'``).
        scripted: See `GameEnvConfig`.
    """

    assistant: vf.AgentConfig = seat()
    user: vf.AgentConfig = seat()
    scripted: list[str] = ["user"]


class ClarifyEnv(GameEnv, vf.Env[ClarifyEnvConfig]):
    """The clarification game; the user is the scripted user, or a model behind the same or another endpoint."""
