"""Games a second with a model behind a server: requests one by one, in lock-step, and in flight.

    python benchmarks/servers.py [--games 256] [--latency 0.05] [--spread 0.0] [--concurrency 64]

The server is the stub of the tests, in a process of its own, which replies after a fixed time (and up to ``--spread``
seconds more, by request). All three play the same games, which is checked. ``--url`` names another server, such as that
of ``python benchmarks/verifiers_speed.py --serve``, against which verifiers is measured side by side.
"""

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from agents.selfplay import Start, play
from agents.servers.agent import ServerAgent
from agents.servers.options import Api
from agents.servers.server import Server
from clarify_env import Costs, make_task
from clarify_env.games.clarification.description import GAME
from clarify_env.users import ScriptedUser

STUB = Path(__file__).resolve().parents[1] / "tests" / "stub_server.py"


class LockStep:
    """An agent of the lock-step engine: a batch of views is answered as a whole, before any game goes on."""

    def __init__(self, agent, at_once):
        self.name, self.agent, self.at_once = "stub", agent, at_once

    def act(self, views, seeds, openings=None):
        replies = []
        for first in range(0, len(views), self.at_once):
            part = slice(first, first + self.at_once)
            replies += self.agent.act(views[part], seeds[part])
        return replies


def measure(name, make, options, task, games):
    server = Server(options, name)
    server.check()  # opens a connection
    agent = make(ServerAgent(server, partial(GAME.chat, style="natural"), temperature=1.0, name="stub"))
    episodes = [task.episode("train", i % 50) for i in range(games)]
    starts = [
        Start(episode, intent=i % len(episode.interpretations), costs=Costs(0.3, 0.03), seed=i)
        for i, episode in enumerate(episodes)
    ]
    began, used = time.perf_counter(), time.process_time()
    played = list(play(starts, {"assistant": agent, "user": ScriptedUser(task)}, task=task, chunk=games))
    seconds, used = time.perf_counter() - began, time.process_time() - used
    replies = server.usage()["replies"]
    server.close()
    print(
        f"{name:<28} {games / seconds:8.1f} games/s  {replies / seconds:8.1f} replies/s  {seconds:6.1f} s, "
        f"{1000 * used / replies:.1f} ms of CPU a reply",
        flush=True,
    )
    return games / seconds, [game.to_json() for game in played]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--games", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--spread", type=float, default=0.0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--url", help="base URL of another server")
    arguments = parser.parse_args()
    stub = None
    if arguments.url is None:
        behaviour = json.dumps({"latency": arguments.latency, "spread": arguments.spread})
        stub = subprocess.Popen([sys.executable, str(STUB), "0", behaviour], stdout=subprocess.PIPE, text=True)
        arguments.url = f"http://127.0.0.1:{stub.stdout.readline().split()[0]}/v1"
    try:
        options = Api(model="stub", base_url=arguments.url, concurrency=arguments.concurrency)
        task, games = make_task("almanac"), arguments.games
        few = max(games // 8, 1)
        one, first = measure("lock-step, one by one", lambda agent: LockStep(agent, 1), options, task, few)
        many = f"lock-step, {arguments.concurrency} at once"
        step, second = measure(many, lambda agent: LockStep(agent, arguments.concurrency), options, task, games)
        flight, third = measure("in flight", lambda agent: agent, options, task, games)
    finally:
        if stub is not None:
            stub.kill()
            stub.wait()
    assert first == third[:few] and second == third, "the games differ"
    print(f"in flight: {flight / one:.1f} times the games/s of requests one by one, {flight / step:.1f} of batches")


if __name__ == "__main__":
    main()
