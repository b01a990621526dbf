"""Games a second of verifiers against an endpoint of fixed latency, 64 games in flight.

In an environment of its own, since verifiers 0.1.14 installs another package ``agents``::

    python -m venv /tmp/verifiers && /tmp/verifiers/bin/pip install verifiers==0.1.14 gymnasium pettingzoo sqlglot
    PYTHONPATH=. /tmp/verifiers/bin/python benchmarks/verifiers_speed.py

With verifiers 0.1 the game is a `MultiTurnEnv` that steps our `RoleEnv`, without anything of the adapter; with
verifiers 0.4 it is the adapter (docs/adapters.md). A game is two requests: the assistant asks, the scripted user
replies, the assistant answers. The endpoint is a process of its own; ``--url`` names another one. A first run of as
many games as are in flight is not measured. ``cpu_ms_per_game`` is the client's own processor time, which other
processes on the machine change little.
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import time
from importlib.metadata import version

logging.disable(logging.WARNING)


async def answer(reader, writer, latency):
    """Replies to chat completions on one connection: a question first, then an answer."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = (line.partition(b":") for line in head.lower().splitlines())
            length = next(int(value) for name, _, value in fields if name == b"content-length")
            body = json.loads(await reader.readexactly(length))
            await asyncio.sleep(latency)
            text = "#CLARIFY Which kind is it?" if len(body["messages"]) <= 2 else "#ANSWER 1900"
            message = {"role": "assistant", "content": text}
            reply = {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
            content = json.dumps(reply).encode()
            start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content)
            writer.write(start + content)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):  # the client has closed the connection
        writer.close()


async def endpoint(latency):
    """Serves on a free port of loopback, which it prints, until the process ends."""
    server = await asyncio.start_server(lambda r, w: answer(r, w, latency), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def multi_turn(url, in_flight):
    """Player of games in verifiers 0.1."""
    import verifiers as vf
    from datasets import Dataset
    from verifiers.types import ClientConfig

    from clarify_env.gym import RoleEnv

    class Game(vf.MultiTurnEnv):
        async def setup_state(self, state):
            state["role"] = RoleEnv("almanac", "assistant")
            state["role"].reset(seed=state["info"]["seed"])

        async def env_response(self, messages, state, **kwargs):
            _, state["earned"], over, _, info = state["role"].step(messages[-1].content)
            new = [info["messages"][-1]]
            if over:
                state["final_env_response"] = new
            return new

    def reward(state, **kwargs):
        return state.get("earned", 0.0)

    def play(games):
        env = RoleEnv("almanac", "assistant")
        rows = [
            {"prompt": env.reset(seed=seed)[1]["messages"], "info": {"seed": seed}, "answer": ""}
            for seed in range(games)
        ]
        runner = Game(eval_dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[reward]))
        config = ClientConfig(api_base_url=url, api_key_var="NO_KEY")
        begin = time.perf_counter()
        outputs = asyncio.run(runner.evaluate(config, "stub", max_concurrent=in_flight, on_progress=lambda *a: None))
        return time.perf_counter() - begin, [output["reward"] for output in outputs["outputs"]]

    return play


def seats(url, in_flight):
    """Player of games in verifiers 0.4, by the adapter."""
    import verifiers.v1 as vf

    from clarify_env.adapters.verifiers import ClarifyEnv, ClarifyEnvConfig, ClarifyTasksetConfig

    def play(games):
        env = ClarifyEnv(ClarifyEnvConfig(taskset=ClarifyTasksetConfig(games=games)))
        context = vf.ModelContext(
            client=vf.EvalClientConfig(base_url=url, api_key_var="NO_KEY"), model="stub", sampling=vf.SamplingConfig()
        )

        async def run():
            limit = asyncio.Semaphore(in_flight)
            async with env.serving():
                slots = [slot for task in env.taskset for slot in env.slots(task)]
                return await asyncio.gather(*(env.run_slot(slot, context, limit) for slot in slots))

        begin = time.perf_counter()
        episodes = asyncio.run(run())
        return time.perf_counter() - begin, [episode.traces[0].reward for episode in episodes]

    return play


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=512)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds a reply takes")
    parser.add_argument("--url", help="base URL of another endpoint")
    parser.add_argument("--serve", action="store_true", help="be the endpoint")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(endpoint(given.latency))
        return
    stub = None
    if given.url is None:
        command = [sys.executable, __file__, "--serve", "--latency", str(given.latency)]
        stub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        given.url = f"http://127.0.0.1:{int(stub.stdout.readline())}/v1"
    try:
        make = multi_turn if version("verifiers").startswith("0.1.") else seats
        play = make(given.url, given.in_flight)
        play(given.in_flight)
        busy = time.process_time()
        seconds, rewards = play(given.games)
        busy = time.process_time() - busy
    finally:
        if stub is not None:
            stub.kill()
    result = {
        "verifiers": version("verifiers"),
        "games": len(rewards),
        "in_flight": given.in_flight,
        "latency_s": given.latency,
        "games_per_s": round(len(rewards) / seconds, 2),
        "cpu_ms_per_game": round(1000 * busy / len(rewards), 2),
        "mean_reward": round(sum(rewards) / len(rewards), 6),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
