"""Works beside the calls (pages, mail, webhooks, CRMs, retention): none of them ends an engine or the daemon.

One that fails unexpectedly is told (log with traceback, count, alert) and begun again, after pauses that grow. What
calls depend on is not run this way: it ends its site's engine (`daemon.sites`) or the process, which come up again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

import structlog

from daemon.clock import Clock

log = structlog.get_logger("cadran.works")

PAUSE_FIRST_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
"""The first bounds how often one failure is written out, too: a listener is called many times a second. The other is
long enough that a work which fails at once, for ever, costs nothing and doesn't fill the log."""
WELL_S: Final = 120.0
"""A work counts as mended after so long without a failure; longer than any pause, lest the alert come and go."""

T = TypeVar("T")


class Works:
    """One a daemon. `failures`: by work, since the start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed_at: dict[str, float] = {}
        self._silent_until: dict[str, float] = {}
        self.failures: Counter[str] = Counter()

    async def keep(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Run it until cancelled."""
        pause_s = PAUSE_FIRST_S
        try:
            while True:
                began_at = self._clock.now()
                await self.attempt(name, run())
                if self._clock.now() - began_at >= WELL_S:
                    pause_s = PAUSE_FIRST_S
                await asyncio.sleep(pause_s)
                pause_s = min(PAUSE_MAX_S, 2.0 * pause_s)
        finally:
            for known in (self._failed_at, self._silent_until):
                known.pop(name, None)  # nobody wants it any more

    async def attempt(self, name: str, work: Awaitable[T]) -> T | None:
        """Its result; None if it failed unexpectedly, which is told."""
        try:
            return await work
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this is not None and this.cancelling():
                raise
            self._failed(name)  # nobody asked for this end: something that it waited for was cancelled
        except Exception:
            self._failed(name)
        return None

    def call(self, name: str, function: Callable[..., object], *arguments: Any) -> None:
        """As `attempt`, for what awaits nothing."""
        try:
            function(*arguments)
        except Exception:
            self._failed(name)

    def _failed(self, name: str) -> None:
        now = self._clock.now()
        if now >= self._silent_until.get(name, now):
            log.exception("work.failed", work=name)
            self._silent_until[name] = now + PAUSE_FIRST_S
        self.failures[name] += 1
        self._failed_at[name] = now

    def alerts(self) -> Iterator[str]:
        """Works that have failed a short while ago, each as "code: what"."""
        now = self._clock.now()
        for name, at in self._failed_at.items():
            if now - at < WELL_S:
                yield f"work_failed: {name}"
