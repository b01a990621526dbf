"""Turns a second of the environment: ``python benchmarks/env_speed.py``.

A turn is one ``step()`` that plays a message, with the ``last()`` before it; the closing ``step(None)`` of each agent
is timed but not counted. Beside the environment stand bare AEC loops that only pass strings about, plain and
behind the same order checks, measured in turn with it, in rounds. Of each the median round counts; beside it stands the
fastest, as of a machine that is left alone.
"""

import argparse
import time
from statistics import median

from pettingzoo import AECEnv
from pettingzoo.utils import OrderEnforcingWrapper

import clarify_env
from clarify_env.games.clarification.users import ScriptedUser


class BareEnv(AECEnv):
    """Passes strings between two agents for four turns: what the AEC interface itself costs."""

    metadata = {"name": "bare_v0"}
    possible_agents = ["assistant", "user"]

    def reset(self, seed=None, options=None):
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection, self._text, self._turn, self._skip_agent_selection = "assistant", "", 0, None

    def observe(self, agent):
        return self._text

    def step(self, action):
        if self.terminations[self.agent_selection]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[self.agent_selection] = 0.0
        self._text = action
        self._turn += 1
        self.agent_selection = self.agents[self._turn % 2]
        if self._turn == 4:
            self.rewards = dict.fromkeys(self.agents, 1.0)
            self.terminations = dict.fromkeys(self.agents, True)
            self._accumulate_rewards()
            self.agent_selection = "assistant"


def scripts(task: clarify_env.tasks.Task, episodes: int) -> list[list[str]]:
    """Messages of each episode: question, reply, answer (a list, every other time), closing answer."""
    user, games = ScriptedUser(task), []
    for index in range(episodes):
        env = clarify_env.raw_env(task)
        env.reset(seed=index, options={"index": index})
        readings = env.game.episode.interpretations
        listed = "; ".join(f"{reading.label}: {reading.answers[0]}" for reading in readings)
        assistant_texts = iter(
            [
                f"#CLARIFY {task.questions(env.game.episode)[0]}",
                f"#MULTI_ANS {listed}" if index % 2 else f"#ANSWER {readings[0].answers[0]}",
            ]
        )
        texts = []
        while env.game.to_move:
            texts.append(
                next(assistant_texts) if env.game.to_move == "assistant" else user.say(env.game.view("user"), index)
            )
            env.step(texts[-1])
        games.append(texts)
    return games


def turns_a_second(env: AECEnv, games: list[list[str]], seconds: float) -> float:
    """Plays for at least ``seconds`` and returns turns a second."""
    turns, start = 0, time.perf_counter()
    env.reset(seed=0)
    while (spent := time.perf_counter() - start) < seconds:
        for index, texts in enumerate(games):
            env.reset(options={"index": index})
            assistant_texts = iter(texts)
            for _ in env.agent_iter():
                _observation, _reward, terminated, truncated, _info = env.last()
                env.step(None if terminated or truncated else next(assistant_texts))
            turns += len(texts)
    return turns / spent


def main() -> None:
    """Prints the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="almanac")
    parser.add_argument("--seconds", type=float, default=0.5, help="time given to a round")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    task = clarify_env.make_task(args.task)
    games = scripts(task, 200)
    raw = ("raw_env()", clarify_env.raw_env(task), BareEnv())
    checked = ("env()", clarify_env.env(task), OrderEnforcingWrapper(BareEnv()))
    for name, env, bare in (raw, checked):
        rounds = [[turns_a_second(each, games, args.seconds) for each in (env, bare)] for _ in range(args.rounds)]
        (rate, bare_rate), (fastest, _) = (list(map(of, zip(*rounds, strict=True))) for of in (median, max))
        print(
            f"{name:10} {rate:8,.0f} turns/s (fastest {fastest:,.0f}); "
            f"bare loop {bare_rate:8,.0f} turns/s; ratio {rate / bare_rate:.2f}"
        )


if __name__ == "__main__":
    main()
