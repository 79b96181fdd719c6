"""A channel: what Asterisk keeps about one leg, and the events that tell of its changes.

`publish` compares with what was told last and sends the difference, in the order Asterisk's snapshot monitors
have: a new state (or the end), a new place in the dialplan, caller id, account, connected line. That is why a
NewCallerid may come after a Hangup: the last snapshot of a Local half may carry a change nobody was told of.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from fake_asterisk import causes, rights
from fake_asterisk.fiber import Fiber
from fake_asterisk.render import escape, snapshot

if TYPE_CHECKING:
    import asyncio

    from fake_asterisk.bridge import Bridge
    from fake_asterisk.pbx import FakeAsterisk

DOWN, RING, RINGING, UP = 0, 4, 5, 6
SOFTHANGUP_SHUTDOWN, SOFTHANGUP_APPUNLOAD, SOFTHANGUP_EXPLICIT = 4, 16, 32  # what SoftHangupRequest calls its Cause

Party = tuple[str, str]
NOBODY: Party = ("", "")

_SPREAD = ("min", "max", "avg", "stdev")


def _summary(indent: str, *measures: str) -> str:
    return "".join(f"{indent}{spread}{measure}=000.000000;" for measure in measures for spread in _SPREAD)


RTP_VARIABLES = {
    "RTPAUDIOQOS": "ssrc={};themssrc=0;lp=0;rxjitter=0.000000;rxcount=0;txjitter=0.000000;txcount=0;"
    "rlp=0;rtt=0.000000;rxmes=0.000000;txmes=0.000000",
    "RTPAUDIOQOSJITTER": _summary("", "rxjitter", "txjitter"),
    "RTPAUDIOQOSLOSS": _summary("  ", "rxlost", "txlost"),
    "RTPAUDIOQOSRTT": _summary("     ", "rtt"),
    "RTPAUDIOQOSMES": _summary("   ", "rxmes", "txmes"),
}


class Hungup(Exception):
    """The channel a fiber runs on was hung up."""


class Diverted(Exception):
    """The channel was sent elsewhere in the dialplan while an application ran on it."""


class FarEnd(Protocol):
    """What stands behind a channel: a telephone, or the other half of a Local pair."""

    def hung_up(self, cause: int) -> None:
        """Our side ended the leg."""

    def indicate(self, what: str) -> None:
        """The channel is told `ringing`, `progress` or `answer` by what runs on it."""


class Channel:
    """One leg. All its fields may be read freely; changes that others must see are followed by `publish`."""

    def __init__(
        self, pbx: "FakeAsterisk", name: str, uniqueid: str, *, linkedid: str = "", state: int = DOWN,
        context: str = "default", exten: str = "s", caller: Party = NOBODY,
    ) -> None:  # fmt: skip
        self.pbx = pbx
        self.name = name
        self.uniqueid = uniqueid
        self.linkedid = linkedid or uniqueid
        self.tech = name.partition("/")[0]
        self.device = name.rpartition("-")[0]
        self.number = self.linked_born = pbx.next_channel_number()
        self.state = state
        self.caller = caller
        self.connected: Party = NOBODY
        self.language = "en"
        self.account = ""
        self.peer_account = ""  # what those it dials are accounted to
        self.displaced = False  # AMI Bridge moved it out of the bridge its own application made
        self.userfield = ""
        self.context, self.exten, self.priority = context, exten, 1
        self.application, self.data = "", ""
        self.outermost = ("", "")  # application and data under the dialplan's; lost when the channel is pulled
        self.variables: dict[str, tuple[str, int]] = {}  # name -> value, generations it is inherited (-1: for ever)
        self.cause = 0
        self.tech_cause = 0
        self.hung = False
        self.dead = False
        self.diverted = False
        self.jumped = False
        self.runs_dialplan = False
        self.made_by_dial = False
        self.dialled_by: Channel | None = None
        self.created_at = pbx.now()
        self.answered_at: float | None = None
        self.far_end: FarEnd | None = None
        self.has_rtp = False
        self.bridge: Bridge | None = None
        self.music: str | None = None
        self.agi_queue: deque[tuple[str, str]] | None = None
        self.agi_loop: object | None = None
        self.after_bridge: tuple[str, str, int] | None = None
        self.after_bridge_if_exists = False
        self.hangup_handlers: list[str] = []
        self.recordings: dict[str, str] = {}
        self.frame_hooks: list[Any] = []
        self.functions: dict[str, str] = {}
        self.absolute_deadline: float | None = None
        self._absolute_timer: asyncio.TimerHandle | None = None
        self.on_pulled: Callable[[], None] | None = None  # whoever dials it learns that it was taken away
        self.fiber: Fiber | None = None
        self.watcher: Fiber | None = None  # the fiber that dials this channel, until it has one of its own
        self.pvt_call_id = pbx.new_uuid() if self.tech == "PJSIP" else ""
        self._told_state: int | None = None
        self._told_place: tuple[str, str, int, bool] | None = None
        self._told_caller: Party = caller
        self._told_connected: Party = NOBODY
        self._told_account = ""
        pbx.add_channel(self)
        self.publish()

    # ---- telling

    def publish(self) -> None:
        """Send the events that the changes since the last call amount to."""
        pbx = self.pbx
        if self._told_state is None:
            pbx.channel_event(rights.CALL, "Newchannel", self)
        elif self.dead:
            if self._told_state != -1:
                tech = f"TechCause: {self.tech_cause}\r\n" if self.tech_cause else ""
                self.event(
                    rights.CALL, "Hangup", f"Cause: {self.cause}\r\nCause-txt: {causes.text(self.cause)}\r\n{tech}"
                )
        elif self._told_state != self.state:
            pbx.channel_event(rights.CALL, "Newstate", self)
        place = (self.context, self.exten, self.priority, bool(self.application))
        if self.application and not self.dead and place != self._told_place:
            extra = f"Extension: {self.exten}\r\nApplication: {self.application}\r\nAppData: {self.data}\r\n"
            self.event(rights.DIALPLAN, "Newexten", extra)
        if self.caller != self._told_caller:
            self.event(rights.CALL, "NewCallerid", "CID-CallingPres: 0 (Presentation Allowed, Not Screened)\r\n")
        if self.account != self._told_account:
            self.event(rights.CALL, "NewAccountCode", f"OldAccountCode: {self._told_account}\r\n")
        if self.connected != self._told_connected:
            self.event(rights.CALL, "NewConnectedLine")
        self._told_state = -1 if self.dead else self.state
        self._told_place, self._told_caller = place, self.caller
        self._told_connected, self._told_account = self.connected, self.account

    def event(self, mask: int, name: str, extra: str = "") -> None:
        """An event that carries this channel's snapshot and then `extra` (whole lines)."""
        self.pbx.channel_event(mask, name, self, extra)

    def snapshot(self, prefix: str = "") -> str:
        """The snapshot's lines, each header with `prefix` before it."""
        return snapshot(self, prefix)

    # ---- state

    def set_state(self, state: int) -> None:
        """Ringing, answered: Newstate, and the device's state with it."""
        if state == self.state or self.dead:
            return
        before, self.state = self.state, state
        if state == UP:
            self.answered_at = self.pbx.now()
            self.pbx.ledger.answered(self.uniqueid, self.answered_at)
        self.publish()
        self.pbx.devices.channel_changed(self.tech, self.device, before, state)

    def run(self, application: str, data: str) -> None:
        """Note which application runs; a Newexten follows only from `publish` at a new place."""
        self.application, self.data = application, data

    def set_connected(self, party: Party) -> None:
        """The party at the other side changed; a Local half passes it on as the caller id of its other half."""
        if party != self.connected:
            self.connected = party
            self.pbx.locals.passed_on(self)
            self.publish()

    # ---- variables

    def set_variable(self, name: str, value: str | None) -> None:
        """Set (None: remove) a variable or write a function, with the VarSet that follows."""
        if name.endswith(")"):
            self.pbx.functions.write(self, name, value or "")
            return
        bare = name.lstrip("_")
        if value is None and bare not in self.variables:
            return
        self.variables.pop(bare, None)
        if value is not None:
            generations = {0: 0, 1: 1}.get(len(name) - len(bare), -1)
            self.variables[bare] = (value, generations)
        if self.pbx.wanted & rights.DIALPLAN:
            self.event(rights.DIALPLAN, "VarSet", f"Variable: {name}\r\nValue: {escape(value or '')}\r\n")

    def get_variable(self, name: str) -> str | None:
        """Value of a variable or function; None if unset."""
        bare = name.lstrip("_") or name
        found = self.variables.get(bare)
        if found is not None:
            return found[0]
        return self.pbx.functions.read(self, name)

    def inherit_variables(self, parent: "Channel") -> None:
        """Take over what `parent` marked for inheritance: `_` once, `__` for ever."""
        for name, (value, generations) in list(parent.variables.items()):
            if generations:
                self.set_variable(("__" if generations < 0 else "") + name, value)

    def inherit_all(self, owner: "Channel") -> None:
        """The second half of a Local pair gets every variable of the first."""
        for name, (value, generations) in list(owner.variables.items()):
            self.set_variable("_" * (2 if generations < 0 else generations) + name, value)

    # ---- music

    def start_music(self, name: str) -> None:
        """Music on hold starts (a second start changes nothing but the class)."""
        self.music = name
        self.event(rights.CALL, "MusicOnHoldStart", f"Class: {name}\r\n")

    def stop_music(self) -> None:
        """Music on hold stops, if it plays."""
        if self.music is not None:
            self.music = None
            self.event(rights.CALL, "MusicOnHoldStop")

    # ---- waiting and ending

    async def pause(self, seconds: float | None = None) -> Any:
        """Wait, as the application running on this channel. Raises Hungup or Diverted."""
        if self.hung:
            raise Hungup
        if self.diverted:
            self.diverted = False
            raise Diverted
        assert self.fiber is not None
        try:
            return await self.fiber.pause(seconds)
        except Diverted:
            self.diverted = False
            raise

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass, whatever else is put into the mailbox meanwhile."""
        end = self.pbx.now() + seconds
        while (left := end - self.pbx.now()) > 1e-6:
            await self.pause(left)
        if self.hung:
            raise Hungup

    def soft_hangup(self, cause: int | None = None) -> None:
        """Ask the channel to end: what runs on it is interrupted and ends it."""
        if self.dead:
            return
        if cause is not None:
            self.cause = cause
        if not self.hung:
            self.hung = True
            if self.fiber is not None and not self.fiber.done:
                self.fiber.interrupt(Hungup())
            elif self.watcher is not None:
                self.watcher.wake("hung up")

    def divert(self, context: str, exten: str, priority: int) -> None:
        """Continue elsewhere in the dialplan, as Redirect does with a channel that runs dialplan or is bridged."""
        self.context, self.exten, self.priority = context, exten, priority
        self.diverted = True
        if self.fiber is not None and not self.fiber.done:
            self.fiber.interrupt(Diverted())

    def rtp_statistics(self, suffix: str = "") -> None:
        """The five RTPAUDIO variables that chan_pjsip leaves at the end of a leg."""
        if not self.pbx.wanted & rights.DIALPLAN:
            return
        for name, text in RTP_VARIABLES.items():
            self.set_variable(name + suffix, text.format(self.number * 7919 + 1) if "{}" in text else text)

    def clear_absolute_timeout(self) -> None:
        """Lift it."""
        if self._absolute_timer is not None:
            self._absolute_timer.cancel()
        self._absolute_timer = self.absolute_deadline = None

    def set_absolute_timeout(self, seconds: int) -> None:
        """Hang up after so many seconds from now, parked or bridged."""
        self.clear_absolute_timeout()
        self.absolute_deadline = self.pbx.now() + seconds
        self._absolute_timer = self.pbx.loop.call_later(seconds, self._absolute_over)

    def _absolute_over(self) -> None:
        if self.on_pulled is not None and self.fiber is not None:
            self.fiber.wake("time is over")  # to an originate that still rings it is its own timeout (seen)
        else:
            self.soft_hangup()

    def destroy(self) -> None:
        """The end: statistics, Hangup, device state; the channel is no longer on the PBX."""
        if self.dead:
            return
        if self._absolute_timer is not None:
            self._absolute_timer.cancel()
        self.stop_music()
        if self.has_rtp:
            self.has_rtp = False
            self.rtp_statistics()
        self.hung = self.dead = True
        if self.tech == "PJSIP" and not self.tech_cause:
            self.tech_cause = causes.to_sip(self.cause)
        far_end, self.far_end = self.far_end, None
        if far_end is not None:
            far_end.hung_up(self.cause)
        self.pbx.remove_channel(self)
        self.pbx.locals.gone(self)
        self.publish()
        if self.tech != "Local":
            self.pbx.devices.channel_gone(self.tech, self.device, self.state)
        self.pbx.ledger.ended(self.uniqueid, self.pbx.now(), self.cause, self.tech_cause)
