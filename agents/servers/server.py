"""One server: requests in flight, answered once each, tried again after faults, within limits and budget."""

import asyncio
import heapq
import itertools
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from agents.servers import faults, protocol
from agents.servers.adapters import Adapters
from agents.servers.journal import Answer, Journal
from agents.servers.limits import Budget, Rates
from agents.servers.options import Api, key_of
from agents.servers.protocol import Request
from clarify_env.games.agents import PlayerError

# Below the log of a run, which writes it to ``run.log``.
_LOG = logging.getLogger("clarify_env.run.servers")
# Seconds between two lines of progress in the log.
_REPORT = 30.0
# Most seconds that a server may ask to wait; if it asks for more, the game is set aside.
_PATIENCE = 600.0


class Server:
    """Answers requests, up to ``concurrency`` at a time, in a thread of its own.

    Equal requests are sent once. Answers are stored as they arrive (`open`), and stored ones are not asked for again.

    Args:
        options: Options of the player.
        section: Config section of the options, for errors.

    Attributes:
        faults: Number of faults of each kind, of this process.
    """

    def __init__(self, options: Api, section: str):
        self.options, self.section, self._key = options, section, key_of(options, section)
        self.faults: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pending: dict[str, Future[Answer]] = {}
        self._journal = Journal(None)
        self._budget = Budget(options, section, self._journal)
        self._client = protocol.client(options, section, self._key)
        self.adapters = Adapters(self._client, options, section, self._key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"server of {section}", daemon=True)
        self._thread.start()
        self._tried = asyncio.Lock()
        self._untried = False
        self._queue: list[tuple[int, int, Request, str]] = []  # a heap
        self._number = itertools.count()
        self._workers: set[asyncio.Task] = set()
        self._rates = Rates(options.requests_per_minute, options.tokens_per_minute)
        self._answered = 0.0
        self._down: PlayerError | None = None
        self._draw = random.Random()  # of waiting times alone
        self._reported = time.monotonic()

    def open(self, folder: Path) -> None:
        """Reads the answers that a run has stored under its folder, and stores further ones there."""
        self._journal.close()
        self._journal = Journal(folder / "servers" / f"{self.section}.jsonl")
        self._budget = Budget(self.options, self.section, self._journal)
        self.adapters.run_dir = folder

    def check(self, later: bool = False) -> None:
        """Asks for one token, so that a server that cannot be asked is known before any game.

        Args:
            later: Asks only before the first request whose answer is not stored: a run that is over needs no server.

        Raises:
            ValueError: It cannot be asked as the options say; the message names the option.
        """
        self._untried = True
        if not later:
            self._run(self._try())

    async def _try(self) -> None:
        async with self._tried:
            if not self._untried:
                return
            ids = self.options.endpoint == "ids"
            prompt: Any = (1, 2, 3) if ids else ({"role": "user", "content": "Hello"},)
            await self._ask(Request(prompt, 1, 1.0, 1), "", trial=True)
            self._untried = False

    def _run(self, coroutine: Any) -> Any:
        """Runs a coroutine in the server's thread, and returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def submit(self, request: Request) -> "Future[Answer]":
        """Returns the answer to a request, once it is there; see `clarify_env.games.agents.RemoteAgent`."""
        key = request.key(self.options)
        with self._lock:
            if (pending := self._pending.get(key)) is not None:
                return pending
            future: Future[Answer] = Future()
            if (answer := self._journal.answers.get(key)) is not None:
                future.set_result(answer)
                return future
            self._pending[key] = future
        item = (-request.turn, next(self._number), request, key)
        self._loop.call_soon_threadsafe(self._enqueue, item)
        return future

    def stop(self) -> None:
        """Drops all requests, those in flight included."""
        self._run(self._stop())

    def close(self) -> None:
        """Ends the thread; stored answers are synchronised with the disk."""
        if self._loop.is_closed():
            return
        self._run(self._stop())
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._report(last=True)
        self._journal.close()

    def usage(self) -> dict[str, Any]:
        """Returns what the run has used so far: replies, tokens by the server's count, and their cost."""
        answers = list(self._journal.answers.values())
        used: dict[str, Any] = {
            "model": self.options.model,
            "replies": len(answers),
            "prompt_tokens": self._journal.used[0],
            "completion_tokens": self._journal.used[1],
        }
        if self.options.input_price is not None or self.options.output_price is not None:
            used["cost"] = round(self._budget.cost(used["prompt_tokens"], used["completion_tokens"]), 6)
        if refused := Counter(answer.refused for answer in answers if answer.refused):
            used["refused"] = dict(refused)
        if any(self._journal.lost):
            used["unanswered_tokens"] = sum(self._journal.lost)  # of requests that may have been paid for
        return used

    def _enqueue(self, item: tuple[int, int, Request, str]) -> None:
        heapq.heappush(self._queue, item)
        if len(self._workers) < self.options.concurrency:
            worker = self._loop.create_task(self._work())
            self._workers.add(worker)

    async def _stop(self) -> None:
        self._queue.clear()
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self._workers.clear()
        with self._lock:
            self._pending.clear()

    async def _work(self) -> None:
        while self._queue:
            _, _, request, key = heapq.heappop(self._queue)
            answer: Answer | Exception
            try:
                await self._try()
                answer = await self._ask(request, key)
            except Exception as error:  # passed on to the game
                answer = error
            with self._lock:
                future = self._pending.pop(key, None)
                if not self._pending:
                    self._down = None  # whoever asks again finds out anew
            if future is not None and isinstance(answer, Exception):
                future.set_exception(answer)
            elif future is not None:
                future.set_result(cast(Answer, answer))
            self._report()
        # No await lies between the empty queue and this, so whoever enqueues next knows that a worker is missing.
        self._workers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _ask(self, request: Request, key: str, trial: bool = False) -> Answer:
        """Asks until there is an answer.

        Args:
            request: The request.
            key: Its key.
            trial: Whether it is no game's: it is not stored, no server is waited for, and a refusal is final.

        Raises:
            PlayerError: There is none now, although it was tried ``retries`` times, or the server refuses this request.
            ValueError: There will be none.
        """
        started, reloaded = time.monotonic(), False
        prompt, reply = protocol.bound(request.prompt), request.max_tokens
        for attempt in itertools.count():
            if self._down is not None:
                raise self._down
            await self._budget.reserve(prompt, reply)
            answer, fault, loads, sent = None, None, -1, False
            try:
                await self._rates.unpaused()
                await self.adapters.ensure(request.adapter)
                loads = self.adapters.loads
                await self._rates.take(prompt + reply)  # last, since it is dated then
                sent = True
                received = await asyncio.wait_for(self._post(request), self.options.timeout)
                if trial:
                    await self.adapters.check()
                answer = received
            except asyncio.CancelledError:
                if sent:
                    self._journal.lose(prompt, reply)
                raise
            except Exception as error:  # of the client, or of what it was sent
                fault = self._fault(error, request.adapter)
            finally:
                self._budget.settle(prompt, reply)
            if answer is not None:
                self._answered = time.monotonic()
                if answer.refused and self.options.refused == "stop" and not trial:
                    self._journal.lose(answer.prompt_tokens, answer.tokens)
                    raise PlayerError(f"{self.section}: the server refuses a message: {answer.refused}")
                if not trial:
                    self._journal.store(key, answer)
                return answer
            assert fault is not None, "there is an answer or a fault"
            if fault.lost and sent:
                self._journal.lose(prompt, reply)
            if fault.missing and request.adapter and not reloaded:
                self.adapters.lost(loads)  # the server was started anew
                reloaded = True
                continue
            if fault.refused and self.options.refused == "invalid" and not trial:
                answer = Answer(None, refused=fault.reason)
                self._journal.store(key, answer)
                return answer
            if not fault.again or (trial and not fault.connects):
                raise (PlayerError if fault.refused and not trial else ValueError)(fault.reason)
            if attempt >= self.options.retries or (fault.wait or 0) > _PATIENCE:
                raise ValueError(fault.reason) if trial else self._given_up(fault, started)
            await self._wait(fault, attempt)
        raise AssertionError("the loop ends by return or raise")

    def _fault(self, error: Exception, adapter: str) -> faults.Fault:
        fault = faults.fault_of(error, self.options, self.section, self._key, adapter)
        self.faults[fault.kind] += 1
        if self.faults[fault.kind] == 1 and fault.again:
            _LOG.info("%s (tried again, up to %d times)", fault.reason, self.options.retries)
        return fault

    def _given_up(self, fault: faults.Fault, started: float) -> PlayerError:
        error = PlayerError(fault.reason)
        if self._answered < started and not fault.connects:
            self._down = error  # requests that wait would wait in vain
        return error

    async def _wait(self, fault: faults.Fault, attempt: int) -> None:
        """Waits min(longest_wait, backoff 2^attempt) seconds, less up to half at random, or what the server asks."""
        options = self.options
        longest = min(options.longest_wait, options.backoff * 2.0 ** min(attempt, 60))
        wait = longest * self._draw.uniform(0.5, 1.0)
        if fault.wait is not None:
            wait = fault.wait + 0.1 * wait
            self._rates.pause(fault.wait)
        await asyncio.sleep(wait)

    async def _post(self, request: Request) -> Answer:
        model, body = self.adapters.named(request.adapter)
        if self.options.endpoint == "chat":
            return await protocol.chat(self._client, self.options, model, request, body)
        return await protocol.by_ids(self._client, self.options, model, request, body, self.section)

    def _report(self, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._reported > _REPORT:
            self._reported = now
            used = self.usage()
            cost = f", cost {used['cost']:.4g}" if "cost" in used else ""
            counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(self.faults.items()))
            _LOG.info(
                "%s: %d replies, %d tokens read, %d written%s%s",
                self.section,
                used["replies"],
                used["prompt_tokens"],
                used["completion_tokens"],
                cost,
                f"; faults: {counts}" if counts else "",
            )


class Servers:
    """The servers of a run, one for each section of the config that names one."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._folder: Path | None = None

    def server(self, options: Api, section: str) -> Server:
        """Returns the server of a section; it is made at the first call."""
        if section not in self._servers:
            self._servers[section] = Server(options, section)
            if self._folder is not None:
                self._servers[section].open(self._folder)
        return self._servers[section]

    def open(self, folder: Path) -> None:
        """Stores the answers of all servers under the folder of a run; see `Server.open`."""
        self._folder = folder
        for server in self._servers.values():
            server.open(folder)

    def usage(self) -> Mapping[str, dict[str, Any]]:
        """Returns what each server has been used for; see `Server.usage`."""
        return {section: server.usage() for section, server in self._servers.items()}

    def each(self, call: Callable[[Server], None]) -> None:
        """Calls a function with each server."""
        for server in self._servers.values():
            call(server)

    def close(self) -> None:
        """Closes all servers."""
        self.each(Server.close)
        self._servers.clear()
