"""TRL: `GRPOTrainer` on our games, by tool calls (``environment_factory``) or by our engine (``rollout_func``).

Run with trl 1.16.0, transformers 5.23 and datasets 5.2 (extra ``[train]``). `Games` holds a game's settings and makes
the data set and both functions. A row of the data set is a group: all its members share episode and prices, and differ
in what is hidden and in the seed of the other roles.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from clarify_env.completions import check_prompts, completion
from clarify_env.costs import Plane
from clarify_env.dealing import ENDLESS, Dealer
from clarify_env.extras import extra
from clarify_env.games.agents import Agent
from clarify_env.games.base import Game, Trajectory
from clarify_env.games.description import Description, Messages
from clarify_env.games.setup import Setup
from clarify_env.gym import MOST_DEALS, RoleEnv
from clarify_env.options import whole_number
from clarify_env.selfplay import Start, play
from clarify_env.streams import whole_characters
from clarify_env.tasks.base import Task

with extra("clarify_env.adapters.trl", "train"):
    from datasets import Dataset

if TYPE_CHECKING:
    from trl import GRPOTrainer

# Chat messages; the last of a row for `Games.rollout` holds its key as ``start``.
Prompt = list[dict[str, Any]]

_RULES = """\
You answer questions that may be ambiguous, by one of three tools:
ask, to ask the user which reading is meant;
answer, to give one short answer, to the likeliest reading;
list_answers, to answer several readings, one line a reading, "label: answer".
Right answers earn 1. Your costs: {costs}. Words are those of your answer or list, which ends the conversation. \
Earn as much as you can."""


class Games:
    """A game on a task, for TRL.

    Args:
        task: A task, its name, or where its class is, as in `make_task`.
        costs: Fixed prices, or a plane from whose training prices each row draws; ``None``: the game's default plane.
        role: The role that learns.
        agents: Who plays the other roles; a role that is not named is played by the game's default scripted player.
        game: A game or its name.
        task_options: Options of a task given by name.
        scrub: Applied to each text of the data and of the others that enters a chat with tool calls, such as
            `agents.render.Renderer.scrub`, which removes control tokens: TRL would tokenize them as such. By `rollout`
            the agent's renderer does this itself.
        **game_options: The game's own options.

    Raises:
        ValueError: There is no such task, game, role or option, a value is wrong, or nobody plays one of the others.
    """

    def __init__(
        self,
        task: Task | str = "almanac",
        costs: Plane | tuple[float, ...] | None = None,
        role: str = "assistant",
        agents: Mapping[str, Agent] | None = None,
        game: str | Description = "clarification",
        task_options: Mapping[str, Any] | None = None,
        scrub: Callable[[str], str] = str,
        **game_options: Any,
    ):
        self.role = role
        self._dealer = Dealer(task, costs, game, task_options, **game_options)
        self.setup = Setup(self._dealer.game, self._dealer.task, game_options)
        self.agents = self.setup.others((role,), agents or {})
        self._costs, self._scrub, self._instances = costs, scrub, count()

    def rows(self, groups: int, split: str = "train", seed: int = 0, tools: bool = True) -> Dataset:
        """Makes the data set, a row a group: permutations of a split's episodes, one after another, at drawn prices.

        Args:
            groups: Number of rows.
            split: Split of the episodes.
            seed: Seed of the order and of the prices; of each group's games too.
            tools: Rows for `environment`: the prompt states the rules and the tools, and ``split``, ``index``,
                ``costs`` and ``seed`` are columns. Otherwise rows for `rollout`, whose prompts hold them in their
                message, since TRL hands on nothing else.

        Raises:
            ValueError: There is no such split, or the tools are of no use to the role.
        """
        groups, seed = whole_number("groups", groups, least=1), whole_number("seed", seed, least=0)
        if tools:
            self._check_tools()
        rng = np.random.default_rng(seed)
        size = self.setup.task.split_size(split)
        if size == 0:
            raise ValueError(f"split {split} of task {self.setup.task.name} is empty")
        order: list[int] = []
        while len(order) < groups:
            order += rng.permutation(size).tolist() if size else rng.integers(ENDLESS, size=groups).tolist()
        rows: list[dict[str, Any]] = []
        for index in order[:groups]:
            game = self._dealer.deal(rng, {"split": split, "index": index, self.setup.game.hidden_name: 0})
            key = {"split": split, "index": index, "costs": list(game.prices), "seed": int(rng.integers(2**62))}
            if tools:
                rows.append({"prompt": _prompt(game, self._scrub)} | key)
            else:
                query = getattr(game.episode, "query", game.episode.id)
                rows.append({"prompt": [{"role": "user", "content": query, "start": key}]})
        return Dataset.from_list(rows)

    def environment(self) -> "AssistantTools":
        """Makes one environment: TRL's ``environment_factory``.

        Raises:
            ValueError: The tools are of no use to the role.
        """
        self._check_tools()
        setup = self.setup
        env = RoleEnv(setup.task, self.role, self._costs, self.agents, setup.game, **setup.options)
        return AssistantTools(env, next(self._instances), self._scrub)

    def _check_tools(self) -> None:
        if (self.setup.game.name, self.role) != ("clarification", "assistant"):
            raise ValueError(
                f"the tools ask, answer and list_answers are those of the assistant of the clarification game; the "
                f"{self.role} of {self.setup.game.name} learns by rollout_func"
            )

    def rollout(self, player: "Callable[[GRPOTrainer], Agent]") -> "Callable[[list[Prompt], GRPOTrainer], dict]":
        """Returns TRL's ``rollout_func``, for rows with ``tools=False`` and the reward function `earned`.

        Games are played by `clarify_env.selfplay.play`. A game is one completion, in which the tokens of other roles
        and of the template are masked (``env_mask`` 0).

        Args:
            player: Makes the agent of the role from the trainer, once: ``lambda trainer: HFAgent(trainer.model,
                trainer.processing_class)``. It samples from the model of this process, not from vLLM.
        """
        agent: Any = None
        rounds = count()

        def rollout(prompts: list[Prompt], trainer: "GRPOTrainer") -> dict[str, list]:
            nonlocal agent
            if not all("start" in prompt[-1] for prompt in prompts):
                raise ValueError("rollout_func is for the rows of Games.rows(…, tools=False)")
            if agent is None:
                agent = player(trainer)
                prices = self.setup.game.check_prices(prompts[0][-1]["start"]["costs"])
                check_prompts(self.setup, self.role, prices, agent.renderer)
            number = next(rounds)
            starts = [self.start(prompt[-1]["start"], member, number) for member, prompt in enumerate(prompts)]
            training = trainer.model.training
            trainer.model.eval()
            games = self._played(starts, agent)
            trainer.model.train(training)
            completions = [completion(game, self.role, agent.renderer.turn_end_ids) for game in games]
            return {
                "prompt_ids": [one.prompt_ids for one in completions],
                "completion_ids": [one.ids for one in completions],
                "logprobs": [one.logprobs for one in completions],
                "env_mask": [one.own for one in completions],
                "reward": [game.reward(self.role) for game in games],
            }

        return rollout

    def start(self, key: Mapping[str, Any], member: int, number: int) -> Start:
        """Returns the start of a game.

        Args:
            key: ``split``, ``index``, ``costs`` and ``seed`` of a row.
            member: Position of the game in the batch of this process.
            number: Number of the batch.
        """
        seed = game_seed(key["seed"], member, number)
        episode = self.setup.task.episode(key["split"], key["index"])
        hidden = self.setup.game.draw(episode, np.random.default_rng(seed))
        return Start(episode, hidden, self.setup.game.check_prices(key["costs"]), seed)

    def _played(self, starts: Sequence[Start], agent: Agent) -> list[Trajectory]:
        """Plays games; one that the others end before the role has moved is played again with the next seed."""
        games: list[Trajectory | None] = [None] * len(starts)
        starts, unfinished = list(starts), list(range(len(starts)))
        players = {**self.agents, self.role: agent}
        for _ in range(MOST_DEALS):
            batch = play(
                [starts[i] for i in unfinished],
                players,
                task=self.setup.task,
                game=self.setup.game,
                options=self.setup.options,
                chunk=len(unfinished),
            )
            for i, game in zip(unfinished, batch, strict=True):
                if game.moves((self.role,)):
                    games[i] = game
                else:
                    starts[i] = starts[i]._replace(seed=starts[i].seed + 1)
            unfinished = [i for i, game in enumerate(games) if game is None]
            if not unfinished:
                return [game for game in games if game is not None]
        raise ValueError(f"the other roles ended {MOST_DEALS} games before {self.role} was to move")


def game_seed(seed: int, member: int, number: int) -> int:
    """Returns the seed of a game, different for each member of a group, each process and each batch.

    Args:
        seed: Seed of the row.
        member: Position of the game in the batch of its process.
        number: Number of the batch.
    """
    words = [seed, int(os.environ.get("RANK", 0)), member, number]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def earned(reward: list[float], **_: Any) -> list[float]:
    """Returns the rewards of the games that `Games.rollout` played: TRL's ``reward_funcs``."""
    return reward


class AssistantTools:
    """One game at a time as the assistant plays it by tool calls; `Games.environment` makes it.

    TRL offers all public methods but `reset` and `get_reward` to the model as tools, with their docstrings.

    Args:
        env: The environment that steps the game.
        member: Number of this instance, which is its position in TRL's batches.
        scrub: Applied to each reply; see `Games`.
    """

    def __init__(self, env: RoleEnv, member: int = 0, scrub: Callable[[str], str] = str):
        self._env, self._member, self._scrub = env, member, scrub
        self._rounds, self._reward = count(), 0.0

    def reset(self, **row: Any) -> None:
        """Starts the game of a row, by its columns ``split``, ``index``, ``costs`` and ``seed``.

        Raises:
            ValueError: It is no row of `Games.rows` for tools.
        """
        if missing := [name for name in ("split", "index", "costs", "seed") if name not in row]:
            raise ValueError(f"environment_factory is for the rows of Games.rows: this one has no {missing[0]}")
        deal = {name: row[name] for name in ("split", "index", "costs")}
        self._env.reset(seed=game_seed(row["seed"], self._member, next(self._rounds)), options=deal)

    def ask(self, question: str) -> str:
        """Ask the user one clarifying question about which reading is meant. Each question costs something.

        Args:
            question: The question.

        Returns:
            The user's reply.
        """
        return self._play(f"#CLARIFY {question}")

    def list_answers(self, text: str) -> str:
        """Answer several readings at once. This ends the conversation; each word costs something.

        Args:
            text: One line a reading, as "label: answer".

        Returns:
            The answer that the user takes.
        """
        return self._play(f"#MULTI_ANS {text}")

    def answer(self, text: str) -> str:
        """Give one short answer. This ends the conversation; each word costs something.

        Args:
            text: The answer.

        Returns:
            The answer that the user takes.
        """
        return self._play(f"#ANSWER {text}")

    def get_reward(self) -> float:
        """Returns the reward. A game that the model left unfinished is ended by a message that is none."""
        if self._env.game.result is None:
            self._play(None)
        return self._reward

    def _play(self, message: str | None) -> str:
        # A tool call is JSON, which may spell half a character; no tokenizer takes it back.
        _, self._reward, over, _, _ = self._env.step(None if message is None else whole_characters(message))
        last = self._env.game.heard(self._env.role)[-1]
        reply = "" if last.sender == self._env.role else self._scrub(last.text)
        return f"{reply}\nThe conversation is over.".lstrip() if over else reply


def _prompt(game: Game, scrub: Callable[[str], str]) -> Messages:
    facts: Any = game.view("assistant").facts
    system = _RULES.format(costs=facts.costs)
    if facts.context:
        system = f"{system}\n{scrub(facts.context)}"
    return [{"role": "system", "content": system}, {"role": "user", "content": scrub(facts.query)}]
