"""Originate: making a leg, waiting for its answer, and giving it something to run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fake_asterisk import causes, rights
from fake_asterisk.apps.registry import END, execute, exists
from fake_asterisk.channel import Channel, Diverted, Hungup
from fake_asterisk.ledger import Originated
from fake_asterisk.legs import TECHNOLOGIES, Leg, make_leg

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

FAILED, NO_ANSWER, ANSWERED = 0, 3, 4  # OriginateResponse Reason


@dataclass(slots=True)
class Request:
    """What an Originate asks for."""

    tech: str
    resource: str
    timeout_s: float = 30.0
    application: str = ""
    data: str = ""
    context: str = ""
    exten: str = ""
    priority: int = 1
    caller: tuple[str, str] = ("", "")
    account: str = ""
    variables: list[tuple[str, str]] = field(default_factory=list)
    uniqueid: str = ""
    other_uniqueid: str = ""
    early_media: bool = False
    action_id: str = ""
    user: str = ""


class Originate:
    """One originate. `answered` is None until it is known; `finished` is called then (for a synchronous action)."""

    def __init__(
        self, pbx: "FakeAsterisk", request: Request, *, asynchronous: bool,
        on_leg: Callable[[Leg | None], None] = lambda leg: None,
    ) -> None:  # fmt: skip
        """`on_leg`: told the leg as soon as it is made, or None if it can't be."""
        self.pbx = pbx
        self.request = request
        self.asynchronous = asynchronous
        self._on_leg = on_leg
        self.finished: Callable[[bool], None] = lambda success: None
        number = request.resource.partition("@")[0]
        caller = f'"{request.caller[1]}" <{request.caller[0]}>' if any(request.caller) else ""
        self.entry = Originated(
            pbx.now(), request.uniqueid, f"{request.tech}/{request.resource}", number, caller, request.account,
            request.action_id, request.user,
        )  # fmt: skip
        if request.tech.lower() in TECHNOLOGIES:  # another makes no channel, and CEL has no row of it
            pbx.ledger.originated(self.entry)
        self.fiber = pbx.spawn(self._run())

    async def _run(self) -> None:
        await self.fiber.pause(self.pbx.config.setup_delay_s)
        request = self.request
        leg = make_leg(
            self.pbx, request.tech, request.resource, self.fiber, uniqueid=request.uniqueid,
            other_uniqueid=request.other_uniqueid,
        )  # fmt: skip
        if leg is None:
            self._on_leg(None)
            self._respond(FAILED, None)
            return
        channel = leg.channel
        channel.fiber = self.fiber
        self._prepare(channel)
        self._on_leg(leg)
        channel.on_pulled = lambda: self._respond(FAILED, None)  # taken elsewhere while it rings (seen)
        try:
            reason = await self._dial(leg)
        except Hungup:
            self._cancelled(leg)
            return
        except Diverted:
            channel.diverted = False
            self._cancelled(leg)
            return
        finally:
            channel.on_pulled = None
        if reason is None:
            return
        self._respond(reason, channel)
        if reason == ANSWERED:
            await self._answered(channel)

    def _prepare(self, channel: Channel) -> None:
        request = self.request
        channel.outermost = ("AppDial2", "(Outgoing Line)")
        channel.run(*channel.outermost)
        channel.publish()
        for name, value in reversed(request.variables):
            channel.set_variable(name, value)
        if request.account:
            channel.account = channel.peer_account = request.account
            channel.publish()
        if any(request.caller):
            channel.caller = request.caller
            channel.publish()
            number, name = request.caller
            channel.connected = (number or channel.connected[0], name or channel.connected[1])
            channel.publish()

    async def _dial(self, leg: Leg) -> int | None:
        """Reason once the leg is answered or has failed."""
        channel, pbx = leg.channel, self.pbx
        deadline = pbx.now() + self.request.timeout_s
        await channel.pause(pbx.config.invite_delay_s)
        if not leg.call():
            self._respond(FAILED, None)
            leg.give_up()
            return None
        pbx.dial_event("DialBegin", None, channel, f"DialString: {self.request.resource}\r\n")
        leg.go()
        while True:
            if channel.absolute_deadline is not None:
                deadline = min(deadline, channel.absolute_deadline)
            left = deadline - pbx.now()
            what = await channel.pause(left) if left > 0 else None
            if what is None:
                if pbx.now() < deadline - 1e-6:
                    continue
                self._timed_out(leg)
                return None
            if what == "failed":
                self._failed(channel)
                return None
            if what == "ringing":
                pbx.dial_event("DialState", None, channel, "DialStatus: RINGING\r\n")
            elif what == "progress":
                pbx.dial_event("DialState", None, channel, "DialStatus: PROGRESS\r\n")
                if self.request.early_media and not self.request.application:
                    what = "answered"
                    channel.set_state(6)
            if what == "answered":
                pbx.dial_event("DialEnd", None, channel, "DialStatus: ANSWER\r\n")
                return ANSWERED

    def _failed(self, channel: Channel) -> None:
        status = causes.dial_status(channel.cause)
        self.pbx.dial_event("DialEnd", None, channel, f"DialStatus: {status}\r\n")
        channel.destroy()
        self._respond(FAILED, None)

    def _cancelled(self, leg: Leg) -> None:
        """Hung up by someone while it was dialled."""
        channel = leg.channel
        status = causes.dial_status(channel.cause)
        self.pbx.dial_event("DialEnd", None, channel, f"DialStatus: {status}\r\n")
        self._respond(FAILED, None)
        leg.give_up()

    def _timed_out(self, leg: Leg) -> None:
        leg.channel.cause = causes.NO_ANSWER
        self._respond(NO_ANSWER, None)
        leg.give_up()

    def _respond(self, reason: int, channel: Channel | None) -> None:
        """Say what became of it: the event (asynchronous) or the action's response."""
        request, pbx = self.request, self.pbx
        success = reason == ANSWERED
        self.entry.result, self.entry.reason = ("Success" if success else "Failure"), reason
        self.finished(success)
        if not self.asynchronous or not pbx.wanted & rights.CALL:
            return
        name = channel.name if channel is not None else f"{request.tech}/{request.resource}"
        if request.application:
            what = f"Application: {request.application}\r\nData: {request.data}\r\n"
        else:
            what = f"Context: {request.context}\r\nExten: {request.exten}\r\n"
        uniqueid = channel.uniqueid if channel is not None else request.uniqueid or "<unknown>"
        action_id = f"ActionID: {request.action_id}\r\n" if request.action_id else ""
        pbx.emit(
            rights.CALL,
            "OriginateResponse",
            f"{action_id}Response: {self.entry.result}\r\nChannel: {name}\r\n{what}Reason: {reason}\r\n"
            f"Uniqueid: {uniqueid}\r\nCallerIDNum: {request.caller[0] or '<unknown>'}\r\n"
            f"CallerIDName: {request.caller[1] or '<unknown>'}\r\n",
        )

    async def _answered(self, channel: Channel) -> None:
        request = self.request
        if not request.application:
            channel.context, channel.exten, channel.priority = request.context, request.exten, request.priority
            channel.run("", "")
            await self.pbx.dialplan_run(channel)
            return
        await run_application(channel, request.application, request.data)


async def run_application(channel: Channel, application: str, data: str) -> None:
    """An application is all the channel has: when it ends, so does the channel ."""
    channel.run(application, data)
    try:
        if exists(application):
            await execute(channel, application, data)
    except Hungup:
        pass
    except Diverted:
        pass  # sent elsewhere while bridged: without a dialplan of its own the channel has nowhere to go on
    channel.pbx.run_hangup_handlers(channel)
    channel.destroy()


__all__ = ["END", "Originate", "Request", "run_application"]
