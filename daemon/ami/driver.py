"""The Pbx port on an AMI: keeps one link, performs actions, delivers events, resyncs after each login.

One instance a site; nothing is shared between sites, so that one site's trouble never delays another. What a mode or a
dialect knows is in `modes` and `translate`; here is only who is told what, in which order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import structlog

from daemon.ami.channels import Channels, Leg
from daemon.ami.client import AmiClient, AmiOptions
from daemon.ami.codec import Message
from daemon.ami.dialects import Dialect, dialect_for
from daemon.ami.hearing import Hearing
from daemon.ami.modes import Choice, choose_mode
from daemon.ami.perform import Performer
from daemon.ami.steps import Step
from daemon.ami.translate import Translator
from daemon.ami.translate_voice import waits_by
from daemon.ami.voice import FAX_EXTENSION, preparation
from daemon.bounds import Bound
from daemon.calls import events as ev
from daemon.calls.actions import ORIGINATES, AnyAction
from daemon.calls.events import PbxEvent
from daemon.clock import Clock
from daemon.errors import InvariantViolated, PbxError, PbxRejected, PbxUnavailable
from daemon.ports import PbxStatus
from daemon.ports.driver import HELD_MAX, IN_DOUBT_WAIT_S, Driver, SiteOptions, denials, seen
from daemon.ports.errands import Errands, overrun

log = structlog.get_logger(__name__)

START_SLACK_S: Final = 1.5
"""The PBX tells its uptime in whole seconds, so two reckonings of its start differ by up to one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverOptions(SiteOptions):
    """A site as the driver needs it. `wanted_mode`: auto, asyncagi, dialplan or basic."""

    ami: AmiOptions
    wanted_mode: str = "auto"


class AmiDriver(Driver):
    """`daemon.ports.Pbx` over AMI."""

    name = "ami"
    _performer: Performer | None

    def __init__(self, options: DriverOptions, *, clock: Clock, rng: random.Random) -> None:
        super().__init__(options, clock)
        self._options = options
        self._client = AmiClient(options.ami, rng=rng, on_messages=self._received, on_down=self._went_down)
        self._hearing = Hearing(self._client, rng, self._listed, Errands(options.site, self._client.drop))
        self._channels = Channels(options.site)
        self._choice: Choice | None = None
        self._dialect: Dialect = dialect_for(())
        self._translator: Translator | None = None
        self._held: list[Message] | None = []
        """Events since the connection was made, until the resync is done; None while up."""
        self._timer: asyncio.TimerHandle | None = None
        self._pbx_started_at: float | None = None

    # -- the port -------------------------------------------------------------------------------------------------
    async def run(self, deliver: Callable[[PbxEvent], None]) -> None:
        self._deliver = deliver
        try:
            await self._client.run(self._resync)
        finally:
            self._stopped()
            self._hearing.end()
            if self._timer is not None:
                self._timer.cancel()

    def perform(self, action: AnyAction) -> None:
        if self._up and isinstance(action, ORIGINATES):
            if self._hearing.lacking:  # the PBX would place it, and nobody would know what becomes of it
                why = f"the PBX tells this user no event of class {self._hearing.lacking}"
                self._emit(ev.LegFailed(at=self._clock.now(), leg=action.leg, message=why, sent=False))
                return
            self._hearing.expects(action.leg)
        super().perform(action)

    def bounds(self) -> Iterable[Bound]:
        """See daemon.bounds."""
        return self._client.bounds()

    def status(self) -> PbxStatus:
        choice = self._choice
        denied, missing = denials(self._denied()), choice.missing if choice else ()
        return self._status(
            mode=choice.mode.name if choice else "",
            mode_reason=choice.reason if choice else "",
            capabilities=choice.capabilities if choice else (),
            missing=(*(entry for entry in denied if entry not in missing), *missing),
            figures={
                "messages_in": self._client.messages_in,
                "legs": len(self._channels.legs),
                "ping_s": self._client.ping_s,
            },
        )

    async def audit(self) -> tuple[ev.LegSeen, ...] | None:
        """Status once more, while events go on; the driver's own state is not touched."""
        if not self._up:
            return None
        try:
            legs = await self._listed()
        except PbxError:
            return None
        if self._choice is not None and self._choice.mode.fax:
            with suppress(PbxError):
                for action in preparation((FAX_EXTENSION,)):  # somebody may have reloaded the dialplan
                    await self._client.send(action)
        found = tuple(seen(leg) for leg in legs)
        for leg in legs:
            leg.peer = None  # two that hold each other stay in memory until the garbage collector's next whole look
        return found

    async def _listed(self) -> list[Leg]:
        return (await self._dialect.snapshot(self._client, self.site))[0]

    async def probe_sound(self, sound: str) -> bool | None:
        """Whether the PBX has this sound: None, for no manager action tells without rights to the file system."""
        return None

    # -- link -----------------------------------------------------------------------------------------------------
    def _went_down(self, why: PbxUnavailable, next_try_in_s: float) -> None:
        self._held = []
        self._hearing.end()
        super()._went_down(why, next_try_in_s)

    async def _resync(self) -> None:
        try:
            await self._logged_in()
        except InvariantViolated as error:  # the engine takes no more
            raise overrun(error) from error

    async def _logged_in(self) -> None:
        """Probe, list, and tell: LinkUp, the devices, one snapshot, then what happened meanwhile."""
        self._dialect = dialect_for(self._client.link.version)
        restarted = self._restarted()
        commands = await self._allowed_commands()
        self._version = await self._ask_version(commands)
        include = await self._include_present()
        options = self._options
        self._choice = choice = choose_mode(
            options.wanted_mode, options.templates, commands, include, self._dialect.modes
        )
        if choice.mode.name == "asyncagi" and "hold" in choice.capabilities:
            self._choice = choice = await self._prepare(choice)
        if unheard := await self._hearing.begin(
            choice.mode.reads, asks=choice.mode.may("Originate") and self._dialect.answers
        ):
            left = choice.capabilities & {"hangup"}
            self._choice = choice = replace(choice, capabilities=left, missing=(unheard, *choice.missing))
        devices = await self._device_list()
        legs, callers = await self._list_legs(waits_by(choice.mode.name))
        now = self._clock.now()
        self._start_mode(choice)
        held, self._held = self._held, None
        link_up = ev.LinkUp(
            at=now,
            mode=choice.mode.name,
            capabilities=choice.capabilities,
            missing=choice.missing,
            unheard=self._hearing.lacking,
            version=self._version,
            restarted=restarted,
        )
        self._went_up(link_up, devices)
        self._take_up(legs, callers, held or [], now)
        log.info("ami.up", site=self.site, mode=choice.mode.name, legs=len(legs), missing=len(choice.missing))

    def _start_mode(self, choice: Choice) -> None:
        if self._performer is not None:
            self._performer.close()
        self._performer = Performer(self.site, self._client, self._channels, choice.mode, self._clock, self._emit)
        self._translator = self._dialect.translator(
            self._channels,
            deliver=self._emit,
            react=self._performer.react,
            device=self._devices.changed,
            parks_on_music=choice.mode.name == "basic",
        )

    def _take_up(self, legs: list[Leg], callers: list[Message], held: list[Message], now: float) -> None:
        """Ends of legs not listed first (their cause is better than "gone"), the snapshot, callers who came meanwhile,
        then all the rest."""
        listed = {leg.channel for leg in legs} | {caller.get("Uniqueid") for caller in callers}
        ends = {m.get("Uniqueid"): m for m in held if m.event == "Hangup" and m.get("Uniqueid") not in listed}
        for message in ends.values():
            self._translate(message, now)
        waited = {leg.id for leg in self._channels.legs.values() if leg.parked}
        self._channels.replace(legs)
        self._emit(ev.PbxSnapshot(at=now, legs=tuple(seen(leg) for leg in legs)))
        assert self._performer is not None and self._translator is not None
        for leg in legs:
            if leg.amd:
                self._performer.react(leg, Step.AMD_MISSED, "")
            elif leg.parked and not leg.connects and not leg.playing and leg.id not in waited:
                self._performer.react(leg, Step.PARKED, "")  # an agent's leg is probed, and tells it itself
        self._channels.arrivals.clear()
        for caller in callers:
            self._translator.found_waiting(caller, now)
        for message in held:
            if message.get("Uniqueid") not in ends:
                self._translate(message, now)
        self._arm()

    async def _allowed_commands(self) -> tuple[str, ...]:
        """Names of the AMI actions this user may run; () if the PBX does not say."""
        try:
            answer = await self._client.send({"Action": "ListCommands"})
        except PbxRejected:
            return ()
        commands = tuple(name for name in answer.headers() if name not in ("Response", "ActionID", "Message"))
        self._client.link.commands = commands
        return commands

    async def _ask_version(self, commands: tuple[str, ...]) -> str:
        """The greeting, and which Asterisk where that may be asked. Too old a version is warned of, not refused."""
        link = self._client.link
        if link.version and link.version < self._dialect.version_min:
            log.warning("ami.unsupported_version", site=self.site, greeting=link.banner)
        if "CoreSettings" not in commands:
            return link.banner
        try:
            asterisk = (await self._client.send({"Action": "CoreSettings"})).get("AsteriskVersion")
        except PbxRejected:
            return link.banner
        return f"{link.banner}, Asterisk {asterisk}" if asterisk else link.banner

    async def _include_present(self) -> bool | None:
        templates = self._options.templates
        for context in (templates.customer_context, templates.agent_context):
            try:
                answer = await self._client.send({"Action": "Getvar", "Variable": f"DIALPLAN_EXISTS({context},s,1)"})
            except PbxRejected:
                return None
            if answer.get("Value") != "1":
                return False if answer.get("Value") == "0" else None
        return True

    async def _prepare(self, choice: Choice) -> Choice:
        """Lay down the step where legs wait again; a PBX that refuses it loses the capabilities that need it."""
        try:
            for action in preparation():
                await self._client.send(action)
        except PbxRejected as error:
            log.warning("ami.no_park", site=self.site, reason=str(error))
            missing = (*choice.missing, f"hold: {error}")
            return replace(choice, capabilities=choice.capabilities - {"hold", "conference", "fax"}, missing=missing)
        try:
            await self._client.send({"Action": "ModuleCheck", "Module": "res_fax"})
        except PbxRejected as error:
            missing = (*choice.missing, f"fax: res_fax: {error}")
            return replace(choice, capabilities=choice.capabilities - {"fax"}, missing=missing)
        choice.mode.fax = True
        return choice

    async def _device_list(self) -> list[PbxEvent]:
        try:
            items = await self._client.collect({"Action": "DeviceStateList"})
        except PbxRejected:
            return []
        return self._devices.listed([(item.get("Device"), item.get("State")) for item in items], self._clock.now())

    async def _list_legs(self, waits: Callable[[Message], bool] | None) -> tuple[list[Leg], list[Message]]:
        """All our legs there are, and callers that wait; where the rights forbid to list, the legs known before."""
        try:
            legs, callers = await self._dialect.snapshot(self._client, self.site, waits)
            known = {leg.id for leg in legs}
            if self._performer is not None and self._performer.in_doubt - known:
                await asyncio.sleep(IN_DOUBT_WAIT_S)
                legs, callers = await self._dialect.snapshot(self._client, self.site, waits)
        except PbxRejected as error:
            log.warning("ami.no_snapshot", site=self.site, reason=str(error))
            return self._channels.as_known(), []
        return legs, callers

    def _restarted(self) -> bool:
        """Whether the PBX began anew since we last asked; False too where its rights hide its uptime."""
        uptime_s, before = self._client.link.uptime_s, self._pbx_started_at
        if uptime_s is None:
            return False
        self._pbx_started_at = self._clock.now() - uptime_s
        return before is not None and self._pbx_started_at > before + START_SLACK_S

    # -- events ---------------------------------------------------------------------------------------------------
    def _received(self, messages: list[Message]) -> None:
        self._hearing.heard(messages)
        if self._held is not None:
            self._held += messages
            if len(self._held) > HELD_MAX:
                self._client.drop(PbxUnavailable(f"over {HELD_MAX} events during a resync", "overrun"))
            return
        at = self._clock.now()
        try:
            for message in messages:
                self._translate(message, at)
        except InvariantViolated as error:  # the engine takes no more
            self._client.drop(overrun(error))
        self._arm()

    def _translate(self, message: Message, at: float) -> None:
        """One event; a message nobody foresaw costs itself only, never the link nor the events behind it."""
        assert self._translator is not None
        try:
            self._translator.handle(message, at)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            log.exception("ami.event_failed", site=self.site, event_name=message.event)

    def _arm(self) -> None:
        """One timer for the earliest originate that waits to be final."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._translator.next_deadline() if self._translator is not None else None
        if deadline is not None:
            delay = max(0.0, deadline - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._translator is not None:
            try:
                self._translator.on_deadline(self._clock.now())
            except InvariantViolated as error:
                self._client.drop(overrun(error))
            self._arm()
