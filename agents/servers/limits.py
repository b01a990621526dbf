"""What a run may spend on a server: tokens, money, and requests or tokens a minute."""

import asyncio
import time
from collections import deque

from agents.servers.journal import Journal
from agents.servers.options import Api
from clarify_env.games.agents import StoppedError

_MINUTE = 60.0


class BudgetError(StoppedError):
    """The next request could exceed the budget."""


class Budget:
    """Tokens and money: a request is sent only if it fits in the worst case, beside all others in flight.

    Args:
        options: Prices and limits.
        section: Config section, for errors.
        journal: Answers that have been paid for, and requests that may have been.
    """

    def __init__(self, options: Api, section: str, journal: Journal):
        self._options, self._section, self._journal = options, section, journal
        self._reserved = (0, 0)
        self._in_flight = 0
        self._freed = asyncio.Event()

    def cost(self, prompt: int, reply: int) -> float:
        """Returns the price of some tokens; 0 without prices."""
        return (prompt * (self._options.input_price or 0) + reply * (self._options.output_price or 0)) / 1e6

    async def reserve(self, prompt: int, reply: int) -> None:
        """Waits until the budget has room for a request with the largest number of tokens it can use.

        Raises:
            BudgetError: It does not fit although nothing else is in flight.
        """
        while reason := self._beyond(prompt, reply):
            if not self._in_flight:
                raise BudgetError(reason)
            self._freed.clear()
            await self._freed.wait()
        self._reserved = (self._reserved[0] + prompt, self._reserved[1] + reply)
        self._in_flight += 1

    def settle(self, prompt: int, reply: int) -> None:
        """Ends a reservation, once the journal holds what was spent."""
        self._reserved = (self._reserved[0] - prompt, self._reserved[1] - reply)
        self._in_flight -= 1
        self._freed.set()

    def _beyond(self, prompt: int, reply: int) -> str:
        """Returns why a request does not fit; empty if it does."""
        options, section = self._options, self._section
        used, lost = self._journal.used, self._journal.lost
        before = (used[0] + lost[0], used[1] + lost[1])
        after = (before[0] + self._reserved[0] + prompt, before[1] + self._reserved[1] + reply)
        if options.max_cost is not None and self.cost(*after) > options.max_cost:
            return (
                f"{section}.max_cost={options.max_cost:g}: the budget is spent ({self.cost(*before):.4g} so far, and "
                f"the next request may cost {self.cost(prompt, reply):.4g})"
            )
        if options.max_total_tokens is not None and sum(after) > options.max_total_tokens:
            return (
                f"{section}.max_total_tokens={options.max_total_tokens}: the budget is spent ({sum(before):,} tokens "
                f"so far, and the next request may take {prompt + reply:,})"
            )
        return ""


class Rate:
    """Units taken within the last 60 seconds.

    Args:
        most: The limit; ``None``: there is none.
    """

    def __init__(self, most: int | None):
        self._most = most
        self._taken: deque[tuple[float, int]] = deque()
        self._total = 0

    def wait(self, units: int, now: float) -> float:
        """Returns the seconds until it is worth asking again whether the units may be taken; 0: they may."""
        while self._taken and self._taken[0][0] + _MINUTE - now <= 0:
            self._total -= self._taken.popleft()[1]
        if self._most is None or self._total + self._bounded(units) <= self._most:
            return 0.0
        return self._taken[0][0] + _MINUTE - now

    def take(self, units: int, now: float) -> None:
        """Takes units."""
        if self._most is not None:
            self._taken.append((now, self._bounded(units)))
            self._total += self._bounded(units)

    def _bounded(self, units: int) -> int:
        """A request that is larger than the limit alone has a minute for itself."""
        return units if self._most is None else min(units, self._most)


class Rates:
    """When requests may be sent: within limits on requests and tokens in any 60 seconds, and in no pause.

    Args:
        requests: Most requests; ``None``: there is no limit.
        tokens: Most tokens; ``None``: there is no limit.
    """

    def __init__(self, requests: int | None = None, tokens: int | None = None):
        self._requests, self._tokens = Rate(requests), Rate(tokens)
        self._paused_until = 0.0
        self._lock = asyncio.Lock()

    def pause(self, seconds: float) -> None:
        """Lets nothing be sent for some seconds."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    async def unpaused(self) -> None:
        """Waits until no pause is left."""
        while (left := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def take(self, tokens: int) -> None:
        """Waits until a request may be sent, in the order of the calls, and takes what it needs.

        The request must be sent at once: it is counted from now on.
        """
        async with self._lock:
            while (wait := self._wait(tokens, now := time.monotonic())) > 0:
                await asyncio.sleep(wait)
            self._requests.take(1, now)
            self._tokens.take(tokens, now)

    def _wait(self, tokens: int, now: float) -> float:
        return max(self._paused_until - now, self._requests.wait(1, now), self._tokens.wait(tokens, now))
