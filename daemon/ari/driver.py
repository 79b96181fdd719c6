"""The Pbx port on ARI: keeps one link, performs actions, delivers events, resyncs after each connection.

One instance a site; nothing is shared between sites, so that one site's trouble never delays another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import structlog

from daemon.ari.client import AriClient, AriOptions, AriRefused
from daemon.ari.hearing import ECHO_KIND, Hearing
from daemon.ari.legs import Leg, Legs
from daemon.ari.perform import Performer
from daemon.ari.snapshot import Listing, arguments_of, read_snapshot
from daemon.ari.translate import Step, Translator
from daemon.calls import events as ev
from daemon.calls.events import PbxEvent
from daemon.clock import Clock
from daemon.errors import InvariantViolated, PbxError, PbxRejected, PbxUnavailable
from daemon.ports import PbxStatus
from daemon.ports.driver import HELD_MAX, IN_DOUBT_WAIT_S, Driver, SiteOptions, denials, seen
from daemon.ports.errands import overrun

log = structlog.get_logger(__name__)

MODE: Final = "ari"
CAPABILITIES: Final = (
    "originate", "hangup", "connect", "nailed_agents", "play_message", "hold_limit", "record", "record_on_demand",
    "hold", "conference", "mute", "dtmf", "spy", "inbound",
)  # fmt: skip
MISSING: Final = ("amd: not in mode ari", "fax: not in mode ari")
"""ARI has no machine detection of its own."""
REGISTERED_WAITS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0)
NOT_FOUND: Final = 404
DEVICES_S: Final = 2.0
"""How often phones and trunks are looked at, in one request of a few milliseconds."""
ODD: Final = (ValueError, KeyError, IndexError, TypeError, AttributeError)
"""What comes of a message or an answer whose form nobody foresaw."""
ENDPOINT_STATES: Final = {"online": "NOT_INUSE", "offline": "UNAVAILABLE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AriDriverOptions(SiteOptions):
    """A site as the driver needs it."""

    ari: AriOptions


class AriDriver(Driver):
    """`daemon.ports.Pbx` over ARI."""

    name = MODE
    _performer: Performer | None

    def __init__(self, options: AriDriverOptions, *, clock: Clock, rng: random.Random) -> None:
        super().__init__(options, clock)
        self._options = options
        self._client = AriClient(options.ari, rng=rng, on_event=self._received, on_down=self._went_down)
        self._legs = Legs(options.site)
        self._hearing = Hearing(self._client)
        self._translator = Translator(self._legs, deliver=self._emit, react=self._react)
        self._held: list[dict[str, Any]] | None = []
        """Events since the connection was made, until the resync is done; None while up."""
        self._may_act = True
        self._started_at = ""
        """When the PBX began, in its own words; another value = another life of it."""

    # -- the port -------------------------------------------------------------------------------------------------
    async def run(self, deliver: Callable[[PbxEvent], None]) -> None:
        self._deliver = deliver
        try:
            await self._client.run(self._connected, self._watch)
        finally:
            self._stopped()
            self._hearing.end()

    @property
    def _ready(self) -> bool:
        return self._up and self._client.connected

    def status(self) -> PbxStatus:
        client, known = self._client, self._since is not None
        return self._status(
            mode=MODE if known else "",
            mode_reason="driver = ari in the settings" if known else "",
            capabilities=self._capabilities() if known else (),
            missing=self._missing() if known else (),
            figures={
                "messages_in": client.messages_in,
                "requests_out": client.requests,
                "legs": len(self._legs.by_id),
                "requests_pending": client.pending,
                "request_s": client.request_s,
            },
        )

    async def audit(self) -> tuple[ev.LegSeen, ...] | None:
        """The listings once more, while events go on; the driver's own state is not touched."""
        if not self._up:
            return None
        try:
            listing = await self._listing()
        except PbxError:
            return None
        except ODD:
            log.exception("ari.odd_answer", site=self.site)
            return None
        found = tuple(seen(leg) for leg in listing.legs)
        for leg in listing.legs:
            leg.peer = None  # two that hold each other stay in memory until the garbage collector's next whole look
        return found

    async def probe_sound(self, sound: str) -> bool | None:
        """Whether the PBX has this sound file; None while the link is down."""
        try:
            await self._client.ask("GET", f"/sounds/{sound}")
        except AriRefused as error:
            return False if error.status == NOT_FOUND else None
        except PbxError:
            return None
        return True

    # -- link -----------------------------------------------------------------------------------------------------
    def _went_down(self, why: PbxUnavailable, next_try_in_s: float) -> None:
        self._hearing.end()
        self._held = []
        super()._went_down(why, next_try_in_s)

    async def _connected(self) -> None:
        """The resync. An answer of another form than ARI's (a proxy's own, say) is trouble with the link: nothing of it
        may end the engine."""
        try:
            await self._resync()
        except ODD as error:
            log.exception("ari.odd_answer", site=self.site)
            raise PbxUnavailable(f"an answer that is not of ARI's form: {error!r}", "protocol") from error
        except InvariantViolated as error:  # the engine takes no more
            raise overrun(error) from error

    async def _resync(self) -> None:
        """Probe, subscribe, list, and tell: LinkUp, the devices, one snapshot, then what happened meanwhile."""
        client = self._client
        info = await client.ask("GET", "/asterisk/info")
        started, before = info["status"]["startup_time"], self._started_at
        self._started_at = started
        self._version = f"Asterisk {info['system']['version']}"
        await self._subscribe()
        devices = await self._device_list()
        listing = await self._list_legs()
        now = self._clock.now()
        if self._performer is not None:
            self._performer.close()
        self._performer = Performer(
            self.site,
            self._options.ari.app,
            self._options.templates,
            client,
            self._legs,
            self._clock,
            self._emit,
            self._translator,
            self._hearing,
        )
        held, self._held = self._held, None
        link_up = ev.LinkUp(
            at=now,
            mode=MODE,
            capabilities=self._capabilities(),
            missing=self._missing(),
            version=self._version,
            restarted=bool(before) and before != started,
        )
        self._went_up(link_up, devices)
        self._take_up(listing, held or [], now)
        log.info("ari.up", site=self.site, app=self._options.ari.app, legs=len(listing.legs))

    async def _subscribe(self) -> None:
        """Only the kinds of events that mean something: two of three would be ChannelVarset. A user who may only read
        is refused here, which shows it. No subscription to device states: a WebSocket that ends while one is told to it
        never gets to its end, and with it ARI stands still until Asterisk is restarted (seen on 22.10: the end waits,
        with the session locked, for the thread that tells, and that one for the session)."""
        path = f"/applications/{self._options.ari.app}"
        await self._registered(path)
        try:
            kinds = [{"type": kind} for kind in (*self._translator.kinds, "ApplicationReplaced", ECHO_KIND)]
            await self._client.ask("PUT", f"{path}/eventFilter", body={"allowed": kinds})
        except PbxRejected as error:
            log.info("ari.no_event_filter", site=self.site, reason=str(error))  # before Asterisk 16: all events come
        self._may_act = await self._hearing.begin()

    async def _registered(self, path: str) -> None:
        """Wait until the application exists: Asterisk answers the WebSocket's handshake some milliseconds before (seen:
        calls originated meanwhile told nothing of themselves, and were hung up as they were answered)."""
        for pause_s in REGISTERED_WAITS_S:
            try:
                await self._client.ask("GET", path)
                return
            except AriRefused as error:
                if error.status != NOT_FOUND:
                    raise
            await asyncio.sleep(pause_s)
        raise PbxUnavailable(f"application {self._options.ari.app!r} was not registered", "timeout")

    async def _watch(self) -> NoReturn:
        """While the link is up: that it hears, and what devices do."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hearing.watch())
            group.create_task(self._follow_devices())
        raise AssertionError("both go on until cancelled")

    async def _follow_devices(self) -> NoReturn:
        while True:
            await asyncio.sleep(DEVICES_S)
            try:
                states = await self._device_states()
            except (PbxError, *ODD):
                continue  # trouble with the link is the client's to judge
            try:
                for name, state in states:
                    if (event := self._devices.changed(name, state, self._clock.now())) is not None:
                        self._emit(event)
            except InvariantViolated as error:
                self._client.drop(overrun(error))

    async def _device_states(self) -> list[tuple[str, str]]:
        """Name and state of each phone and trunk. Raises what requests raise."""
        technology = self._options.device.partition("/")[0]
        endpoints = await self._client.ask("GET", f"/endpoints/{technology}")
        states = []
        for endpoint in endpoints:
            state = "INUSE" if endpoint["channel_ids"] else ENDPOINT_STATES.get(endpoint["state"], "UNKNOWN")
            states.append((f"{technology}/{endpoint['resource']}", state))
        return states

    async def _device_list(self) -> list[PbxEvent]:
        try:
            states = await self._device_states()
        except PbxRejected:
            return []
        return self._devices.listed(states, self._clock.now())

    async def _listing(self) -> Listing:
        came_in = {channel: leg.id for channel, leg in self._legs.came_in.items()}
        return await read_snapshot(self._client, self.site, self._options.ari.app, came_in)

    async def _list_legs(self) -> Listing:
        listing = await self._listing()
        known = {leg.id for leg in listing.legs}
        if self._performer is not None and self._performer.in_doubt - known:
            await asyncio.sleep(IN_DOUBT_WAIT_S)
            listing = await self._listing()
        return listing

    def _take_up(self, listing: Listing, held: list[dict[str, Any]], now: float) -> None:
        """Ends of legs not listed first (their cause is better than "gone"), the snapshot, callers who came meanwhile,
        then all the rest; what else was told of legs that are not there any more comes too late to mean anything."""
        legs = listing.legs
        listed = {leg.channel for leg in legs} | {caller["id"] for caller in listing.callers}
        ends = [event for event in held if event.get("type") == "ChannelDestroyed" and _channel_of(event) not in listed]
        gone = {_channel_of(event) for event in ends}
        for event in ends:
            self._translate(event, now)
        self._legs.replace(legs)
        self._emit(ev.PbxSnapshot(at=now, legs=tuple(seen(leg) for leg in legs)))
        for leg in legs:
            self._mend(leg)
        if self._performer is not None:
            self._performer.remove_bridges(listing.bridges)
        self._legs.arrivals.clear()
        for caller in listing.callers:
            self._translator.arrived(caller, arguments_of(caller), now)
        for event in held:
            if _channel_of(event) not in gone:
                self._translate(event, now)

    def _mend(self, leg: Leg) -> None:
        """What the end of the link left half done."""
        if self._performer is not None:
            self._performer.take_up(leg)
        if leg.connects and leg.in_stasis and not leg.bridge:
            leg.parked = False
            self._react(leg, Step.ENTERED, "")
        elif leg.in_stasis and not leg.connects and leg.bridge and leg.peer is None and not leg.room:
            self._react(leg, Step.PLAYED, "")  # its conversation is over: the one it talked with is gone
        elif leg.parking_s:
            self._react(leg, Step.PARKED, "")  # on hold, though nobody heard of it
            leg.parking_s = 0.0

    def _capabilities(self) -> frozenset[str]:
        return frozenset(CAPABILITIES) if self._may_act else frozenset()

    def _missing(self) -> tuple[str, ...]:
        denied = self._denied()
        if not self._may_act:
            denied |= {"originate", "hangup", "connect"}
        return (*denials(denied), *MISSING)

    # -- events ---------------------------------------------------------------------------------------------------
    def _received(self, event: dict[str, Any]) -> None:
        self._hearing.heard()
        if self._held is None:
            try:
                self._translate(event, self._clock.now())
            except InvariantViolated as error:  # the engine takes no more
                self._client.drop(overrun(error))
            return
        self._held.append(event)
        if len(self._held) > HELD_MAX:
            self._client.drop(PbxUnavailable(f"over {HELD_MAX} events during a resync", "overrun"))

    def _translate(self, event: dict[str, Any], at: float) -> None:
        """One event; a message nobody foresaw costs itself only, never the link nor the events behind it."""
        try:
            self._translator.handle(event, at)
        except ODD:
            log.exception("ari.event_failed", site=self.site, event_name=str(event.get("type")))

    def _react(self, leg: Leg, step: Step, detail: str) -> None:
        if self._performer is not None:
            self._performer.react(leg, step, detail)


def _channel_of(event: dict[str, Any]) -> str:
    channel = event.get("channel") or event.get("peer") or {}
    return str(channel.get("id", ""))
