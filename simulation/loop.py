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
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any, TypeVar

import msgspec
from aiohttp import BaseConnector
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

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


@dataclass(slots=True, eq=False)
class Life:
    """One life of a daemon. Everything scheduled in its context stops for good when `dead` is set: a kill leaves no
    callback, `finally` or destructor of it to run."""

    name: str
    dead: bool = False
    kept: list[Any] = field(default_factory=list)
    """What must not be collected before the end, since collecting it would run its code."""

    def end(self, loop: VirtualLoop) -> None:
        """Nothing of it runs any more."""
        self.dead = True
        loop.deaths += 1
        tasks = [task for task in asyncio.all_tasks(loop) if getattr(task, "life", None) is self]
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant to be left pending
            coroutine = task.get_coro()
            if isinstance(coroutine, CoroutineType) and getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()  # not begun: nothing of it runs
        self.kept.extend(tasks)


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


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


_NOBODY = Context()


class _Pipe(asyncio.Transport):
    """One end of an in-memory connection; bytes arrive at the peer in order after the network's latency."""

    def __init__(self, network: Network, loop: VirtualLoop) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 5038)})
        self._network, self._loop = network, loop
        self.protocol: Any = None
        self.peer: _Pipe | None = None
        self._closing = False
        self._reading = True
        self._held: list[bytes] = []
        self._clear_at = 0.0
        self._under_way: list[bytes] = []
        self._written_at = -1.0
        self.taps: list[Callable[[bytes], None]] = []
        self.life: Life | None = LIFE.get()

    def write(self, data: Any) -> None:
        if self._closing or self.peer is None:
            return
        payload = data if type(data) is bytes else bytes(data)
        for tap in self.taps:
            tap(payload)
        now = self._loop._virtual_s
        if self._under_way and now == self._written_at:
            self._under_way.append(payload)  # what is written in one instant travels as one
            return
        self._under_way, self._written_at = [payload], now
        self._later(self.peer._arrive, self._under_way)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def _later(self, what: Callable[..., None], *args: Any) -> None:
        at = max(self._clear_at, self._loop._virtual_s + self._network.latency())
        self._clear_at = at
        # In nobody's life: what was written before a kill arrives all the same.
        self._loop.call_at(at, what, *args, context=_NOBODY)

    def die(self) -> None:
        """The process behind this end was killed: the other end sees a reset."""
        if not self._closing:
            self._closing = True
            if self.peer is not None:
                self._later(self.peer._peer_ended, ConnectionResetError("connection reset"))

    def _arrive(self, pieces: list[bytes]) -> None:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._closing or (self.life is not None and self.life.dead):
            return
        if self._reading:
            self.protocol.data_received(data)
        else:
            self._held.append(data)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        held, self._held = self._held, []
        for data in held:
            self._arrive([data])

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(ConnectionResetError("connection reset"))

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self.protocol.connection_lost, None)
        if self.peer is not None:
            self._later(self.peer._peer_ended, error)

    def _peer_ended(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        if self.life is not None and self.life.dead:
            return
        if error is None:
            self.protocol.eof_received()
        self.protocol.connection_lost(error)


class Network:
    """In-memory servers by port. `latency_s`: mean one-way delay, drawn from the seeded RNG."""

    def __init__(self, rng: random.Random, latency_s: float = 0.0004) -> None:
        self._rng, self._latency_s = rng, latency_s
        self._servers: dict[int, Callable[[], asyncio.BaseProtocol]] = {}
        self.pipes: list[_Pipe] = []
        self.to_server: list[Callable[[bytes], None]] = []
        self.to_client: list[Callable[[bytes], None]] = []
        self.http_seen = self.killed = False
        """An HTTP client has connected; a life was ended."""

    def latency(self) -> float:
        return self._latency_s * (0.5 + self._rng.random())

    def serve(self, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Answer connections to `port`."""
        self._servers[port] = factory

    def stop(self, port: int) -> None:
        """Refuse connections to `port`."""
        self._servers.pop(port, None)

    def kill(self, life: Life) -> None:
        """Every connection of this life is reset."""
        for pipe in self.pipes:
            if pipe.life is life:
                pipe.die()
        self.killed = True

    async def connect(
        self, client_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """A connection to the server on `port`; ConnectionRefusedError if there is none."""
        await asyncio.sleep(self.latency())
        server_factory = self._servers.get(port)
        if server_factory is None:
            raise ConnectionRefusedError(111, f"nothing listens on {host}:{port}")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        near, far = _Pipe(self, loop), _NOBODY.run(_Pipe, self, loop)
        near.peer, far.peer = far, near
        near.protocol, far.protocol = client_factory(), _NOBODY.run(server_factory)
        near.taps, far.taps = self.to_server, self.to_client
        self.http_seen |= isinstance(near.protocol, ResponseHandler)
        self.pipes = [pipe for pipe in self.pipes if not pipe.is_closing()] + [near]
        _NOBODY.run(far.protocol.connection_made, far)
        near.protocol.connection_made(near)
        return near, near.protocol


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


__all__ = ["LIFE", "Life", "Network", "Stalled", "VirtualClock", "VirtualLoop", "run"]
