"""The fake PBX itself: channels, bridges, devices, sessions; everything else is done to or through it."""

import asyncio
import logging
import random
import time
import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fake_asterisk import render, rights
from fake_asterisk.apps import dialplan_thread, hangup_handlers
from fake_asterisk.ari.face import Ari
from fake_asterisk.ari.server import Server
from fake_asterisk.bridge import Bridge
from fake_asterisk.channel import UP, Channel
from fake_asterisk.config import Behaviour, FakeConfig
from fake_asterisk.devices import Devices
from fake_asterisk.dialplan import Dialplan
from fake_asterisk.faults import Faults
from fake_asterisk.fiber import Fiber
from fake_asterisk.functions import Functions
from fake_asterisk.inbound import call_in
from fake_asterisk.ledger import Ledger, Leg
from fake_asterisk.local import Locals
from fake_asterisk.power import Power
from fake_asterisk.session import Session

if TYPE_CHECKING:
    from fake_asterisk.apps.conference import Conference

log = logging.getLogger(__name__)


class FakeAsterisk:
    """One fake PBX on an event loop.

    `config` says what it is; `loop` (default: the running one) gives time and timers, and nothing else does but
    `wall`, epoch seconds for the Timestamp of events; `rng` decides all that is left to chance, so that one seed on
    one virtual-time loop is one run. Connect clients with `protocol_factory` (any transport) or `listen` (TCP).
    """

    def __init__(
        self, config: FakeConfig, *, loop: asyncio.AbstractEventLoop | None = None, rng: random.Random | None = None,
        wall: Callable[[], float] | None = None, booted: bool = True,
    ) -> None:  # fmt: skip
        self.config = config
        self.loop = loop or asyncio.get_running_loop()
        self.rng = rng or random.Random(1)
        self.wall = wall or time.time  # noqa: TID251 - the stamp of events, unless a clock is handed in
        self.dialplan = Dialplan(config.dialplan)
        self.channels: dict[str, Channel] = {}  # by Uniqueid
        self.ids: list[str] = []  # Uniqueids, sorted
        self.by_name: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.conferences: dict[str, Conference] = {}
        self.sessions: list[Session] = []
        self.wanted = 0  # classes that any session reads: events of others are not even put together
        self.ledger = Ledger()
        self.devices = Devices(self)
        self.functions = Functions(self)
        self.locals = Locals(self)
        self.ari = Ari(self)
        self.faults = Faults(self)
        self.power = Power(self, booted=booted)
        self.global_variables: dict[str, str] = dict(self.dialplan.globals)
        self.processed_calls = 0
        self.started_at = self.now() - config.uptime_s
        self.started_wall = self.wall() - config.uptime_s
        self.servers: list[asyncio.Server] = []
        self._fibers: dict[int, Fiber] = {}
        self._channel_count = 0
        self._pjsip_count = 0
        self._stamped_at, self._stamp = -1.0, ""

    # ---- time, chance and names

    def now(self) -> float:
        """Seconds of the loop's clock."""
        return self.loop.time()

    def new_uuid(self) -> str:
        """A random UUID, of the seed."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def next_channel_number(self) -> int:
        """Counts channels since the start."""
        self._channel_count += 1
        return self._channel_count

    def next_uniqueid(self) -> str:
        """Server-made Uniqueid: start of the second and a counter."""
        return f"{int(self.wall())}.{self._channel_count}"

    def next_pjsip_name(self, endpoint: str) -> str:
        """Channel name; the counter is common to all endpoints and starts anew with the server."""
        name = f"PJSIP/{endpoint}-{self._pjsip_count:08x}"
        self._pjsip_count += 1
        return name

    def forget_everything(self) -> None:
        """A process that starts anew: counters, bridges and variables are gone."""
        for fiber in list(self._fibers.values()):
            fiber.drop()
        self._fibers.clear()
        for channel in list(self.channels.values()):
            self.ledger.ended(channel.uniqueid, self.now(), 0, 0)
        self.channels.clear()
        self.ids.clear()
        self.by_name.clear()
        self.bridges.clear()
        self.conferences.clear()
        self.ari.forget()
        self.devices = Devices(self)
        self.locals = Locals(self)
        self.global_variables = dict(self.dialplan.globals)
        self._channel_count = self._pjsip_count = self.processed_calls = 0
        self.started_at, self.started_wall = self.now(), self.wall()

    # ---- channels

    def add_channel(self, channel: Channel) -> None:
        """Called by a channel that comes to be."""
        if channel.uniqueid not in self.channels:
            insort(self.ids, channel.uniqueid)
        self.channels[channel.uniqueid] = channel
        self.by_name[channel.name] = channel
        self.processed_calls += 1
        self.ledger.made(Leg(channel.uniqueid, channel.name, channel.linkedid, "", self.now()))

    def remove_channel(self, channel: Channel) -> None:
        """Called by a channel that ends."""
        if self.channels.pop(channel.uniqueid, None) is not None:
            del self.ids[bisect_left(self.ids, channel.uniqueid)]
        self.by_name.pop(channel.name, None)

    def channel(self, name_or_id: str) -> Channel | None:
        """By name (case does not matter) or by Uniqueid."""
        found = self.by_name.get(name_or_id) or self.channels.get(name_or_id)
        if found is None and name_or_id:
            lower = name_or_id.lower()
            if lower[:6] in ("pjsip/", "local/"):
                return next((c for n, c in self.by_name.items() if n.lower() == lower), None)
        return found

    def call_in(self, endpoint: str, did: str, caller: str = "", behaviour: Behaviour | None = None) -> Channel:
        """Somebody calls `did` on this endpoint."""
        return call_in(self, endpoint, did, caller, behaviour)

    def start(self, channel: Channel, coroutine: Coroutine[Any, Any, None]) -> None:
        """Give a channel its thread."""
        channel.fiber = self.spawn(coroutine)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Fiber:
        """A fiber that is kept until it ends."""
        fiber = Fiber(self.loop)

        def forget() -> None:
            self._fibers.pop(id(fiber), None)

        fiber.on_done = forget
        self._fibers[id(fiber)] = fiber
        fiber.start(coroutine)
        return fiber

    def answer(self, channel: Channel) -> None:
        """Answer a channel from our side: Answer(), or something that needs it up."""
        if channel.state != UP:
            channel.set_state(UP)
            if channel.far_end is not None:
                channel.far_end.indicate("answer")

    def dialplan_run(self, channel: Channel) -> Coroutine[Any, Any, None]:
        """The dialplan from the channel's place on, to the channel's end."""
        return dialplan_thread.run(channel)

    def run_hangup_handlers(self, channel: Channel) -> None:
        """Run what CHANNEL(hangup_handler_push) left."""
        hangup_handlers.run(channel)

    # ---- events

    def refresh_wanted(self) -> None:
        """After a login, a mask or a departure."""
        self.wanted = self.ari.wanted()
        for session in self.sessions:
            self.wanted |= session.read_mask()

    def channel_event(self, mask: int, name: str, channel: Channel, extra: str = "") -> None:
        """An event about one channel."""
        if self.ari.apps:
            self.ari.channel_event(name, channel, extra)
        if self.wanted & mask:
            self.emit(mask, name, render.snapshot(channel) + extra)

    def dial_event(self, name: str, caller: Channel | None, dialled: Channel, extra: str) -> None:
        """DialBegin, DialState or DialEnd: an Originate has no caller, so only Dest headers."""
        if self.ari.apps and caller is None:
            self.ari.dial_event(name, dialled, extra)
        if self.wanted & rights.CALL:
            first = render.snapshot(caller) if caller is not None else ""
            self.emit(rights.CALL, name, first + render.snapshot(dialled, "Dest") + extra)

    def timestamp(self) -> str:
        """As events carry it, or nothing."""
        if not self.config.timestamp_events:
            return ""
        now = self.loop.time()
        if now != self._stamped_at:
            self._stamped_at, self._stamp = now, f"{self.wall():.6f}"
        return self._stamp

    def emit(self, mask: int, name: str, body: str, *, stamped: bool = True) -> None:
        """Send an event to every session that reads its class. `body` is whole lines."""
        if not self.wanted & mask:
            return
        data = render.event(name, mask, self.timestamp() if stamped else "", body)
        for session in self.sessions:
            if session.read_mask() & mask == mask:
                session.send_event(name, data)

    # ---- connections

    def protocol_factory(self) -> asyncio.Protocol:
        """A protocol for one AMI connection, for any transport (TCP or in memory)."""
        return Session(self)

    async def listen(self, port: int, host: str = "127.0.0.1") -> int:
        """Serve AMI on TCP; the port in use (0 chooses one)."""
        return await self.power.listen(host, port)

    def ari_protocol_factory(self) -> asyncio.BaseProtocol:
        """A protocol for one HTTP connection to ARI, for any transport."""
        if self.ari.server is None:
            self.ari.server = Server(self)
        return self.ari.server()

    async def listen_ari(self, port: int, host: str = "127.0.0.1") -> int:
        """Serve ARI on TCP; the port in use (0 chooses one)."""
        return await self.power.listen(host, port, self.ari_protocol_factory)

    async def close(self) -> None:
        """End all: sessions, fibers, servers."""
        for session in list(self.sessions):
            session.abort()
        for fiber in list(self._fibers.values()):
            fiber.drop()
        self._fibers.clear()
        if self.ari.server is not None:
            await self.ari.server.close()
        await self.power.close()

    def hangup_all(self, cause_event: int) -> None:
        """Hang up every channel with SoftHangupRequest, as a stop does."""
        for channel in sorted(self.channels.values(), key=lambda c: -c.number):
            channel.event(rights.CALL, "SoftHangupRequest", f"Cause: {cause_event}\r\n")
            channel.soft_hangup()
