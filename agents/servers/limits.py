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
    """Most units within any 60 seconds.

    Args:
        most: The limit; ``None``: there is none.
    """

    def __init__(self, most: int | None):
        self._most = most
        self._taken: deque[tuple[float, int]] = deque()
        self._total = 0
        self._lock = asyncio.Lock()

    async def take(self, units: int) -> None:
        """Waits until the units may be taken, in the order of the calls, and takes them."""
        if self._most is None:
            return
        units = min(units, self._most)  # a request that is larger than the limit alone has a minute for itself
        async with self._lock:
            while self._total + units > self._most:
                now = time.monotonic()
                while self._taken and self._taken[0][0] <= now - _MINUTE:
                    self._total -= self._taken.popleft()[1]
                if self._total + units > self._most:
                    await asyncio.sleep(self._taken[0][0] + _MINUTE - now)
            self._taken.append((time.monotonic(), units))
            self._total += units
