"""Virtual time: an asyncio loop that never waits. When nothing is ready, the clock jumps to the next timer.

Connections go through `Network`, in memory, with seeded latency. Threads and real sockets are refused: time would jump
past bytes in flight. A program in which nothing can ever happen again ends with `Stalled`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any, TypeVar

import msgspec
from aiohttp import BaseConnector
from aiohttp.connector import Connection

from simulation.life import LIFE
from simulation.network import Network

T = TypeVar("T")


class Stalled(RuntimeError):
    """Every task waits, nothing is scheduled: the program would hang for ever."""


class _NoSelector(selectors.BaseSelector):
    """Nothing to select: asyncio wants one, VirtualLoop never asks it."""

    def __init__(self) -> None:
        self._map: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data)
        self._map[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []

    def get_map(self) -> Any:
        return self._map

    def close(self) -> None:
        self._map.clear()


class _Due(msgspec.Struct):
    """A callback to come: what `call_soon` and `call_at` return. Leaner than asyncio's handles."""

    at: float
    callback: Callable[..., Any] | None
    """None: cancelled."""
    args: tuple[Any, ...]
    context: Context

    def cancel(self) -> None:
        """It will not run, and lets go of what it would have called."""
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.at


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual and starts at `start_s`. Callbacks of a dead `Life` are dropped.

    What is ready runs in the order in which it became so; when nothing is, the clock jumps to the next timer. Timers of
    one instant run in the order in which they were set. asyncio's own turn would spend most of a simulation on a
    selector that never selects.
    """

    def __init__(self, network: Network | None = None, start_s: float = 1000.0) -> None:
        self._virtual_s = start_s
        self._turn: deque[_Due] = deque()
        self._timers: list[tuple[float, int, _Due]] = []
        self._timers_set = 0
        self.deaths = 0
        """Lives that were ended."""
        super().__init__(_NoSelector())
        self.network = network
        self.set_task_factory(_task)

    def time(self) -> float:
        return self._virtual_s

    get_debug = staticmethod(bool)
    """Never: each future asks, and a method of Python would cost more than the rest of its making."""

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> _Due:
        """As asyncio's, but a dead life's callbacks never run."""
        due = _Due(0.0, callback, args, copy_context() if context is None else context)
        self._turn.append(due)
        return due

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> _Due:
        """As asyncio's, but a dead life's callbacks never run."""
        due = _Due(when, callback, args, copy_context() if context is None else context)
        if when > self._virtual_s:
            self._timers_set += 1
            heappush(self._timers, (when, self._timers_set, due))
        else:
            self._turn.append(due)
        return due

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> _Due:
        """As asyncio's, but a dead life's callbacks never run. `call_at` once more, as half of all timers come here."""
        when = self._virtual_s + delay
        due = _Due(when, callback, args, copy_context() if context is None else context)
        if when > self._virtual_s:
            self._timers_set += 1
            heappush(self._timers, (when, self._timers_set, due))
        else:
            self._turn.append(due)
        return due

    def _run_once(self) -> None:
        """Callbacks until the loop is stopped. Raises Stalled if nothing is ready and no timer is set."""
        turn, timers, popped = self._turn, self._timers, self._turn.popleft
        while True:
            if not turn:
                while timers and timers[0][2].callback is None:
                    heappop(timers)
                if not timers:
                    raise Stalled("every task waits and no timer is pending")
                now = timers[0][0]
                if now > self._virtual_s:
                    self._virtual_s = now
                while timers and timers[0][0] <= now:
                    turn.append(heappop(timers)[2])
            due = popped()
            callback = due.callback
            if callback is None:
                continue
            if self.deaths:  # before the first one nobody needs to be asked whose life it is
                life = due.context.get(LIFE)
                if life is not None and life.dead:
                    life.kept.append(due)
                    continue
            try:
                due.context.run(callback, *due.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": f"{callback!r} failed", "exception": error})
            if self._stopping:  # type: ignore[attr-defined]  # asyncio's own
                return

    def close(self) -> None:
        super().close()
        self._turn.clear()
        self._timers.clear()

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Refused: no threads in simulated time."""
        raise RuntimeError(f"no threads in simulated time: {func!r}")

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **_: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """To a server of the in-memory network."""
        if self.network is None:
            raise ConnectionRefusedError(f"no network in this simulation: {host}:{port}")
        return await self.network.connect(protocol_factory, host or "127.0.0.1", port or 0)


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
    """A task that is known by its life."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    task.life = LIFE.get() if context is None else context.get(LIFE)  # type: ignore[attr-defined]
    return task


class VirtualClock:
    """daemon.clock.Clock on a virtual loop. `skew` moves the wall clock (tests of clock steps)."""

    def __init__(self, loop: VirtualLoop, start: datetime = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)) -> None:
        self._loop, self._start, self._at = loop, start, loop.time()
        self.skew = timedelta()
        self._seen: tuple[float, timedelta, datetime] = (-1.0, self.skew, start)
        self._epoch = start.timestamp()

    def now(self) -> float:
        return self._loop._virtual_s

    def utcnow(self) -> datetime:
        at, skew, utc = self._seen
        now = self._loop._virtual_s
        if at != now or skew is not self.skew:
            utc = self._start + timedelta(seconds=now - self._at) + self.skew
            self._seen = (now, self.skew, utc)
        return utc

    def utc_at(self, at: float) -> datetime:
        """The wall clock at that time of the loop, if it has not been stepped since."""
        return self._start + timedelta(seconds=at - self._at) + self.skew

    def epoch(self) -> float:
        """Seconds since 1970, for the fake PBX's timestamps."""
        return self._epoch + (self._loop.time() - self._at) + self.skew.total_seconds()


def _quieten(loop: VirtualLoop) -> None:
    """Whose life was ended could not close its HTTP sessions: their destructors are not to complain of it later."""
    for thing in gc.get_objects():
        if isinstance(thing, Connection) and thing._loop is loop:
            thing._protocol = None
        elif isinstance(thing, BaseConnector) and thing._loop is loop:
            thing._closed = True


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], *, seed: int, latency_s: float = 0.0004) -> T:
    """Run `main(loop)` to its end in virtual time. Raises Stalled if it would hang."""
    network = Network(random.Random(seed), latency_s)
    loop = VirtualLoop(network)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        try:
            _cancel_all(loop)
        finally:
            if network.http_seen and network.killed:
                _quieten(loop)
            asyncio.set_event_loop(None)
            loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    tasks = {task for task in asyncio.all_tasks(loop) if getattr(task, "_log_destroy_pending", True)}
    for task in sorted(tasks, key=lambda task: task.get_name()):
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
