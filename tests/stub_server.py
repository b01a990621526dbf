"""A server with OpenAI's interface for tests: replies follow from prompt and seed alone; faults are injected.

As a script it serves until it is killed: ``python tests/stub_server.py PORT '{"latency": 0.05, "log": "FILE"}'``.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

REPLIES = (
    "#CLARIFY Which kind?",
    "#ANSWER Ada Brandt",
    "#MULTI_ANS film: Ada Brandt; bridge: Jon Vale",
    "#ANSWER I do not know",
    "nothing of the kind",
)


def number(*parts):
    """A number that follows from the parts."""
    return int.from_bytes(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()[:6], "big")


def chat_reply(body):
    """The reply of a chat completion."""
    last = body["messages"][-1]["content"]
    if "#" not in body["messages"][0]["content"]:
        return f"I mean number {number(body.get('seed'), last) % 3}"
    return REPLIES[number(body.get("seed", 0) if body["temperature"] else 0, body["messages"]) % len(REPLIES)]


@dataclass
class Stub:
    """What the server does.

    Attributes:
        latency: Seconds before each reply.
        spread: Further seconds, times a number in [0, 1) that follows from the request.
        faults: Kinds of faults at the first attempts of requests: refuse, 429, 500, half, stall, garbage, 400, filter.
        share: Share of requests whose first attempts have faults.
        key: Key that is wanted; empty: none.
        log: File of all requests; empty: they are kept in `requests` alone.
        die_after: Replies after which the process ends; 0: never.
        answer: Answers a completion of token ids: a function of the body.
        adapters: Loads and unloads adapters: a function of path and body.
        upstream: Address of a real server that answers in its place.
    """

    latency: float = 0.0
    spread: float = 0.0
    faults: tuple = ()
    share: float = 0.3
    stall: float = 60.0
    retry_after: str = "0.05"
    key: str = ""
    log: str = ""
    die_after: int = 0
    usage: bool = True
    answer: object = None
    adapters: object = None
    upstream: str = ""
    requests: list = field(default_factory=list)
    most: int = 0
    port: int = 0

    def __post_init__(self):
        self.attempts, self.in_flight, self.served = Counter(), 0, 0
        self.pool = ThreadPoolExecutor(1)

    async def handle(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                verb, path, _ = head[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                await self.reply(writer, verb, path, headers, json.loads(body) if body else {})
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def reply(self, writer, verb, path, headers, body):
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await self.answered(writer, path, headers, body)
        finally:
            self.in_flight -= 1

    async def answered(self, writer, path, headers, body):
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            message = f"Incorrect key: {headers.get('authorization')}"
            return self.send(writer, 401, {"error": {"message": message, "code": "invalid_api_key"}})
        if "lora_adapter" in path:
            self.note(path, body, 200)
            return self.send(writer, *(self.adapters(path, body) if self.adapters else (404, {"detail": "Not Found"})))
        name = number(path, body)
        self.attempts[name] += 1
        fault = self.fault(name)
        if fault == "refuse":
            writer.transport.abort()
            raise ConnectionResetError
        if fault == "stall":
            await asyncio.sleep(self.stall)
        elif self.latency or self.spread:
            await asyncio.sleep(self.latency + self.spread * (name % 1000) / 1000)
        self.note(path, body, fault or 200)
        if fault == "429":
            return self.send(writer, 429, {"error": {"message": "slow down"}}, {"Retry-After": self.retry_after})
        if fault == "500":
            return self.send(
                writer, 500, {"error": {"message": f"out of luck {headers['authorization'] if self.key else ''}"}}
            )
        if fault == "400":
            return self.send(writer, 400, {"error": {"message": "not this one"}})
        if self.upstream:
            reply = await asyncio.to_thread(self.forward, path, body)
        elif path.endswith("/chat/completions"):
            reply = self.chat(body)
        elif path.endswith("/completions") and self.answer is not None:
            status, reply = await asyncio.get_running_loop().run_in_executor(self.pool, self.answer, body)
            if status != 200:
                return self.send(writer, status, reply)
        else:
            return self.send(writer, 404, {"detail": "Not Found"})
        if fault == "filter":
            reply["choices"][0] |= {"message": {"content": ""}, "finish_reason": "content_filter"}
        if fault == "garbage":
            return self.send(writer, 200, {"choices": []})
        self.send(writer, 200, reply, half=fault == "half")
        if fault == "half":
            raise ConnectionResetError
        self.served += 1
        if self.served == self.die_after:
            await writer.drain()
            os._exit(9)

    def fault(self, name):
        kinds = [kind for kind in self.faults if kind]
        if not kinds or name % 1000 >= 1000 * self.share:
            return ""
        if kinds in (["400"], ["filter"]):
            return kinds[0]  # for good
        attempt = self.attempts[name] - 1
        first = name // 1000 % len(kinds)
        # One fault for most, two for some.
        return kinds[(first + attempt) % len(kinds)] if attempt < 1 + name // 7 % 2 else ""

    def chat(self, body):
        text = chat_reply(body)
        prompt = sum(len(message["content"]) // 4 + 4 for message in body["messages"])
        reply = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"},
            ],
        }
        if self.usage:
            tokens = len(text) // 4 + 1
            reply["usage"] = {
                "prompt_tokens": prompt,
                "completion_tokens": tokens,
                "total_tokens": prompt + tokens,
            }
        return reply

    def forward(self, path, body):
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self.upstream + path.removeprefix("/v1"), data, headers)
        with urllib.request.urlopen(request, timeout=300) as reply:
            return json.loads(reply.read())

    def note(self, path, body, status):
        record = {"path": path, "name": number(path, body), "status": status, "seed": body.get("seed")}
        self.requests.append(record | {"body": body})
        if self.log:
            with open(self.log, "a") as file:
                file.write(json.dumps(record) + "\n")

    @staticmethod
    def send(writer, status, body, headers=None, half=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + data[: len(data) // 2 if half else None])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, port=0, ready=lambda: None):
        server = await asyncio.start_server(self.handle, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        async with server:
            await server.serve_forever()

    def __enter__(self):
        self.loop, started = asyncio.new_event_loop(), threading.Event()

        def work():
            asyncio.set_event_loop(self.loop)
            self.task = self.loop.create_task(self.serve(self.port, started.set))
            with contextlib.suppress(asyncio.CancelledError):
                self.loop.run_until_complete(self.task)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_):
        def end():
            for task in asyncio.all_tasks(self.loop):
                task.cancel()

        self.loop.call_soon_threadsafe(end)
        self.thread.join(10)


if __name__ == "__main__":
    options = json.loads(sys.argv[2])
    stub = Stub(**options)
    asyncio.run(stub.serve(int(sys.argv[1]), lambda: print(stub.port, time.time(), flush=True)))
