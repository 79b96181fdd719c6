"""What waits for the engine of a site, in the order in which it came, and the sleep until something does.

An item is a call without arguments; drivers' events, commands of the doors and answers of the store all become one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from daemon.clock import Clock

INBOX_MAX = 100_000
"""Items waiting for the engine; past it the link is dropped and resynced rather than memory filled."""

BATCH_MAX = 256
"""Items handled before timers and placing run: bounds what one burst can delay."""

BATCH_S = 0.01
"""And no item is begun so long after the first: what a batch decided leaves at its end, so whoever answered at the head
of a burst is not to wait for all of it."""

TIMER_GRAIN_S = 1e-6
"""A loop may fire a timer a hair early; a deadline this near has come, or the engine would spin on it."""


class Inbox:
    """One an engine; never blocks whoever puts. `doing`: what is being done, for the log of slow batches."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.items: deque[Callable[[], None]] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self.doing = ""

    def put(self, item: Callable[[], None]) -> None:
        """Behind all that waits."""
        self.items.append(item)
        self._wake()

    def take(self, at: float) -> tuple[float, str]:
        """What lies in the inbox, up to a batch; how long the slowest took, and what it was."""
        slowest, culprit, until = 0.0, "", at + BATCH_S
        for _ in range(min(BATCH_MAX, len(self.items))):
            item = self.items.popleft()
            self.doing = item.__qualname__
            item()
            now = self._clock.now()
            if now - at > slowest:
                slowest, culprit = now - at, self.doing
            at = now
            if now >= until:
                break
        return slowest, culprit

    async def rest(self, deadline: float) -> None:
        """Until something is put into the inbox, or the deadline of our clock has come."""
        loop, clock_now = asyncio.get_running_loop(), self._clock.now
        while not self.items and (left := deadline - clock_now()) > TIMER_GRAIN_S:
            until = loop.time() + left
            if self._alarm is None or self._alarm.when() > until:  # one that rings too early costs less than a new one
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = loop.call_at(until, self._ring)
            self._waiting = loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
