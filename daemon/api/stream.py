"""Live state as server-sent events: one encoder a scope, one frame of last states an interval, the same bytes to all.

In: the engine's batches of changed views. Out, per reader: `snapshot` (everything, and a `seq`), `delta` (of each id
the fields that moved), `beat` every 2 s with our time and the links, `bye` with a reason. A reader more than
BEHIND_BYTES_MAX behind loses its queue and gets a snapshot; the engine never waits for any of them (DESIGN 7, pages.md
section 3).
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from daemon.api.auth import Auth
from daemon.api.guard import Guard
from daemon.api.live_scope import TABLES, Scope, snapshot_for
from daemon.api.metrics import Metrics
from daemon.api.routes import Ask, Permission, Principal, Reply, Routes
from daemon.bounds import Bound
from daemon.clock import Clock
from daemon.engine.views import AnyView, Changes, EngineDoor, LinkView, SystemView
from daemon.errors import CommandError, StoreUnavailable
from daemon.works import Works

BEAT_S = 2.0
BEHIND_BYTES_MAX = 256 * 1024
RESUME_FRAMES_MAX = 64
"""About 13 s of frames: a page that lost its network for a moment resumes; a longer absence gets a snapshot."""
READERS_MAX = 2000
WRITE_TIMEOUT_S = 30.0
"""A reader whose socket takes nothing for this long is gone."""
CHECK_WAIT_S = 0.2
"""What a frame waits at most for the store to say that its reader's token still stands."""
DESK_INTERVAL_S = 0.02
"""An agent's own desk is never batched in a way a person could feel."""

_SEQ = re.compile(r"[0-9]{1,18}")

routes = Routes("/api/v1", "live")
encode = msgspec.json.Encoder().encode


def frame(event: str, data: object, id: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {event}\n" + (f"id: {id}\n" if id else "")
    return head.encode() + b"data: " + encode(data) + b"\n\n"


@dataclass(slots=True, eq=False)
class Reader:
    """One open stream: what is queued for it, and whether it must be reset first."""

    who: Principal
    queue: deque[bytes] = field(default_factory=deque)
    queued_bytes: int = 0
    reset: bool = False
    bye: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, data: bytes) -> bool:
        """Queue a frame; False if the reader is too far behind: its queue is gone, a snapshot comes next."""
        if self.reset:
            return True
        if self.queued_bytes + len(data) > BEHIND_BYTES_MAX:
            self.queue.clear()
            self.queued_bytes = 0
            self.reset = True
            self.wake.set()
            return False
        self.queue.append(data)
        self.queued_bytes += len(data)
        self.wake.set()
        return True


class Channel:
    """The encoder of one scope: last states waiting to be sent, rows as last sent, recent frames for resumption."""

    def __init__(self, scope: Scope, streams: Streams, name: str) -> None:
        self.scope, self._streams, self._name = scope, streams, name
        self.readers: list[Reader] = []
        self.seq = 0
        self._sent: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in TABLES}
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=RESUME_FRAMES_MAX)
        self._timer: asyncio.TimerHandle | None = None
        self._last_flush = float("-inf")
        self._interval = DESK_INTERVAL_S if scope.agent_id else streams.interval_s
        self._snapshot: bytes | None = None
        self._pending: dict[str, dict[str, AnyView | None]] = {}
        for table, rows in streams.door.view().items():
            shown = {id: scope.fields(view) for id, view in rows.items() if scope.shows(view)}
            self._sent.setdefault(table, {}).update(shown)

    def take(self, changes: Changes) -> None:
        """Note what changed; send at once if the interval has passed, else when it will have."""
        for table, rows in changes.items():
            self._pending.setdefault(table, {}).update(rows)
        if self._timer is None:
            wait = self._last_flush + self._interval - self._streams.clock.now()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, wait), self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._last_flush = self._streams.clock.now()
        delta: dict[str, dict[str, Any]] = {}
        for table, rows in self._pending.items():
            for id, view in rows.items():
                change = self._change(table, id, view)
                if change is not False:
                    delta.setdefault(table, {})[id] = change
        self._pending.clear()
        if not delta:
            return
        self.seq += 1
        self._snapshot = None
        data = frame("delta", {"seq": self.seq, **delta}, self.event_id())
        self._recent.append((self.seq, data))
        self.send(data)

    def _change(self, table: str, id: str, view: AnyView | None) -> Any:
        """The changed fields of a row; None when it is gone; False when this scope need not hear of it."""
        known = self._sent.setdefault(table, {})
        if view is None or not self.scope.shows(view):
            return None if known.pop(id, None) is not None else False
        now = self.scope.fields(view)
        before = known.get(id)
        known[id] = now
        if before is None:
            return now
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        return changed or False

    def send(self, data: bytes) -> None:
        self._streams.metrics.stream_bytes.inc(len(data) * len(self.readers))
        for reader in self.readers:
            if not reader.push(data):
                self._streams.metrics.stream_resets.inc()

    def event_id(self) -> str:
        return f"{self._name}-{self.seq}"

    def snapshot(self, reset: bool = False) -> bytes:
        """The whole state as last sent, so that the next delta fits on it. Encoded once for all who ask for it."""
        if reset or self._snapshot is None:
            data = frame("snapshot", {"seq": self.seq, "reset": reset, **self._sent}, self.event_id())
            if reset:
                return data
            self._snapshot = data
        return self._snapshot

    def since(self, last_event_id: str) -> list[bytes] | None:
        """The frames after an event id of ours; None if it is unknown or too old."""
        name, _, seq = last_event_id.rpartition("-")
        if name != self._name or not _SEQ.fullmatch(seq):
            return None
        wanted = int(seq)
        if wanted > self.seq or (wanted < self.seq and (not self._recent or self._recent[0][0] > wanted + 1)):
            return None
        return [data for number, data in self._recent if number > wanted]

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Streams:
    """All channels of the app. `start` and `close` are called with the app's life."""

    def __init__(self, door: EngineDoor, clock: Clock, rng: random.Random, interval_s: float, metrics: Metrics) -> None:
        self.door, self.clock, self.interval_s, self.metrics = door, clock, interval_s, metrics
        self.rng = rng
        self.boot = f"{rng.getrandbits(32):08x}"
        self.closing = False
        self.followers: list[asyncio.Event] = []
        """Woken when the daemon stops: streams of single calls, which end then."""
        self._made = 0
        self._channels: dict[Scope, Channel] = {}
        self._stop_listening: Any = None
        self._beat: asyncio.Task[None] | None = None

    def start(self, works: Works) -> None:
        beating = works.keep("stream beats", self._beats)
        self._beat = asyncio.get_running_loop().create_task(beating, name="stream beats")

    async def close(self) -> None:
        """Say good-bye (restart) to every reader."""
        self.closing = True
        for wake in self.followers:
            wake.set()
        if self._beat is None:
            return
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        self._beat.cancel()
        with suppress(asyncio.CancelledError):
            await self._beat
        for channel in list(self._channels.values()):
            channel.close()
            for reader in channel.readers:
                reader.bye = "restart"
                reader.wake.set()

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        yield Bound("streams", self.readers_count(), READERS_MAX)
        behind = [reader.queued_bytes for channel in self._channels.values() for reader in channel.readers]
        yield Bound("stream_behind_bytes", max(behind, default=0), BEHIND_BYTES_MAX)

    def readers_count(self) -> int:
        return sum(len(channel.readers) for channel in self._channels.values())

    def _on_changes(self, changes: Changes) -> None:
        for channel in self._channels.values():
            channel.take(changes)

    async def _beats(self) -> None:
        while True:
            data = frame("beat", self.beat()) if self._channels else b""
            for channel in list(self._channels.values()):
                channel.send(data)
            await asyncio.sleep(BEAT_S)

    def beat(self) -> dict[str, Any]:
        """Server time, version, and each link's state with its since: what the pages' age rules need."""
        view = self.door.view()
        system = next(iter(view.get("system", {}).values()), None)
        links = [
            {"site": link.site, "up": link.up, "since": link.since, "code": link.code, "next_try_at": link.next_try_at}
            for link in view.get("links", {}).values()
            if isinstance(link, LinkView)
        ]
        beat: dict[str, Any] = {"now": self.clock.utcnow(), "links": links}
        if isinstance(system, SystemView):
            beat |= {
                "version": system.version,
                "store_ok": system.store_ok,
                "store_since": system.store_since,
                "journal_pending": system.journal_pending,
                "leader": dict(system.leader),
                "draining": system.draining,
            }
        return beat

    def tell(self, agent_id: int, event: str, data: object) -> None:
        """An event for one agent's desks alone. It is of the moment: who comes back later does not get it."""
        for channel in self._channels.values():
            if agent_id and channel.scope.agent_id == agent_id:
                channel.send(frame(event, data))

    def join(self, scope: Scope, reader: Reader, last_event_id: str) -> Channel:
        """Add a reader; its first frames (resumed deltas, or a snapshot) are queued."""
        if self.readers_count() >= READERS_MAX:
            raise CommandError("too_busy")
        if self._stop_listening is None:  # the engine makes views for those who look
            self._stop_listening = self.door.listen(self._on_changes)
        channel = self._channels.get(scope)
        if channel is None:
            # Its own name: a channel ends with its last reader, and the next one of the scope counts from 0 again. What
            # happened in between is in neither, so an event id of the one must mean nothing to the other.
            self._made += 1
            channel = self._channels[scope] = Channel(scope, self, f"{self.boot}.{self._made}")
        missed = channel.since(last_event_id) if last_event_id else None
        first = missed if missed is not None else [channel.snapshot(reset=bool(last_event_id))]
        for data in [*first, frame("beat", self.beat())]:
            reader.queue.append(data)
            reader.queued_bytes += len(data)
        reader.wake.set()
        channel.readers.append(reader)
        self.metrics.streams.inc()
        return channel

    def leave(self, channel: Channel, reader: Reader) -> None:
        channel.readers.remove(reader)
        self.metrics.streams.dec()
        if not channel.readers:
            channel.close()
            self._channels.pop(channel.scope, None)


async def serve(request: web.Request, streams: Streams, auth: Auth, guard: Guard, who: Principal) -> web.StreamResponse:
    """Write frames to one reader until it leaves, its token dies or the daemon stops."""
    reader = Reader(who)
    channel = streams.join(Scope.of(who), reader, request.headers.get("Last-Event-ID", ""))
    watch = _revocation(reader, auth)
    auth.listeners.append(watch)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    guard.add_headers(request, response)
    try:
        await response.prepare(request)
        await response.write(b"retry: %d\n\n" % streams.rng.randint(800, 3000))
        await _pump(response, reader, channel, auth)
    except (TimeoutError, ConnectionError):
        pass  # the reader is gone: its place is given back below
    finally:
        auth.listeners.remove(watch)
        streams.leave(channel, reader)
    return response


def _revocation(reader: Reader, auth: Auth) -> Any:
    """Wakes the reader when token rows changed here, so that a revocation closes the stream at once."""

    def look() -> None:
        reader.wake.set()

    return look


async def _pump(response: web.StreamResponse, reader: Reader, channel: Channel, auth: Auth) -> None:
    check = _Check(auth, reader)
    try:
        await _pass_on(response, reader, channel, check)
    finally:
        check.close()


async def _pass_on(response: web.StreamResponse, reader: Reader, channel: Channel, check: _Check) -> None:
    while True:
        await reader.wake.wait()
        reader.wake.clear()
        if not await check.valid():
            reader.bye = "revoked"
        if reader.bye:
            await _write(response, frame("bye", {"reason": reader.bye}))
            return
        if reader.reset:
            reader.reset = False
            await _write(response, channel.snapshot(reset=True))
        while reader.queue:
            data = reader.queue.popleft()
            await _write(response, data)
            reader.queued_bytes = max(0, reader.queued_bytes - len(data))


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


class _Check:
    """Whether the reader's token still stands, asked at each wake. Beats wake every reader: one revoked elsewhere is
    noticed within a beat; a lost database revokes nobody, and one that is slow to answer holds no frame up."""

    def __init__(self, auth: Auth, reader: Reader) -> None:
        self._auth, self._reader = auth, reader
        self._asked: asyncio.Task[bool] | None = None

    async def valid(self) -> bool:
        """As far as is known within CHECK_WAIT_S; a later no wakes the reader again."""
        if (known := self._auth.known_alive(self._reader.who)) is not None:
            return known
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_task(self._ask(), name="stream token")
            await asyncio.wait({self._asked}, timeout=CHECK_WAIT_S)
            if not self._asked.done():
                self._asked.add_done_callback(lambda _: self._reader.wake.set())
        if not self._asked.done():
            return True
        stands, self._asked = self._asked.result(), None
        return stands

    async def _ask(self) -> bool:
        try:
            return await self._auth.still_valid(self._reader.who)
        except StoreUnavailable:
            return True

    def close(self) -> None:
        if self._asked is not None:
            self._asked.cancel()


@routes.get("/stream", permission=Permission.LIVE, raw_body="text/event-stream")
async def stream(ask: Ask) -> web.StreamResponse:
    """Live state as server-sent events: snapshot, delta, beat, bye. Resumes by Last-Event-ID."""
    return await serve(ask.request, ask.deps.streams, ask.deps.auth, ask.deps.guard, ask.who)


@routes.get("/snapshot", permission=Permission.LIVE, reply=dict[str, dict[str, Any]])
async def snapshot(ask: Ask) -> Reply:
    """The whole live state this token may see, once."""
    return Reply(snapshot_for(ask.deps.door, ask.who))
