"""AMI 1.x: Asterisk 1.4 to 11, MyPBX, Yeastar S. Its events in the words of today's, its listing, its one control mode.

These boxes give a channel's id themselves. A leg is bound to its channel by what the originate carried: a tag in the
caller's name (event NewCallerid), the variable DIALER_CALL (VarSet, where class dialplan is read; Status at a resync),
or at the latest by the ActionID in OriginateResponse. That is weaker than an id of ours: a call that fails before any
of the three is told by its OriginateResponse alone. Bound channels are known by name, which is how these boxes take
commands; a masquerade renames, and gives the name back to the channel that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from daemon.ami.channels import Channels, Leg
from daemon.ami.client import AmiClient
from daemon.ami.codec import HeaderValue, Message
from daemon.ami.modes import AmiAction, BasicMode
from daemon.ami.steps import Step
from daemon.ami.translate import ModernTranslator
from daemon.calls.actions import OriginateAgent, OriginateCustomer
from daemon.calls.dialling import agents_caller
from daemon.calls.events import PbxEvent
from daemon.calls.ids import is_ours

TAG: Final = "c-"
TAG_LENGTH: Final = 12
"""Of the leg's id, from its end: the random part."""
WEAKER: Final = (
    "channel ids of our own: not in AMI 1.x, calls are found by ActionID, caller name and variable",
    "device states: not in AMI 1.x, name the extensions in the settings",
)


def tag_of(leg: str) -> str:
    """What stands in the caller's name of a leg's originate."""
    return TAG + leg[-TAG_LENGTH:]


def message(event: str, **headers: str) -> Message:
    """An event as today's Asterisk would have sent it; `_` in a header's name stands for `-`."""
    lines = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return Message(event, "", f"Event: {event}{lines}\r\n")


class LegacyTranslator(ModernTranslator):
    """Rewrites each event of a bound channel, and leaves its meaning to the translator of today's dialect."""

    def __init__(
        self,
        channels: Channels,
        *,
        deliver: Callable[[PbxEvent], None],
        react: Callable[[Leg, Step, str], None],
        device: Callable[[str, str, float], PbxEvent | None],
        parks_on_music: bool = False,
    ) -> None:
        super().__init__(channels, deliver=deliver, react=react, device=device, parks_on_music=True)
        self._old: Mapping[str, Callable[[Message, float], None]] = {
            "NewCallerid": self._named,
            "VarSet": self._variable,
            "Newstate": self._old_state,
            "Bridge": self._old_bridge,
            "Unlink": self._unlink,
            "Link": self._link,
            "MusicOnHold": self._old_music,
            "OriginateResponse": self._old_response,
            "Hangup": self._old_hangup,
            "Shutdown": super().handle,
        }

    def handle(self, message: Message, at: float) -> None:
        handler = self._old.get(message.event)
        if handler is not None:
            handler(message, at)

    def _said(self, event: str, at: float, **headers: str) -> None:
        super().handle(message(event, **headers), at)

    # -- whose channel it is --------------------------------------------------------------------------------------
    def bind(self, leg: Leg, name: str, at: float) -> None:
        """The leg is carried by the channel of that name; told once."""
        if leg.name or not name or name in self.channels.by_channel:
            return
        self.channels.move(leg, name)
        leg.name = name
        self._said("Newchannel", at, Uniqueid=name, Channel=name)

    def _named(self, message: Message, at: float) -> None:
        tag = message.get("CallerIDName")
        if tag.startswith(TAG):
            leg = next((leg for leg in self.channels.legs.values() if tag_of(leg.id) == tag), None)
            if leg is not None:
                self.bind(leg, message.get("Channel"), at)

    def _variable(self, message: Message, at: float) -> None:
        if message.get("Variable").lstrip("_") == "DIALER_CALL":
            leg = self.channels.legs.get(message.get("Value"))
            if leg is not None:
                self.bind(leg, message.get("Channel"), at)

    # -- its life -------------------------------------------------------------------------------------------------
    def _old_state(self, message: Message, at: float) -> None:
        state = message.get("ChannelState") or {"Up": "6", "Ringing": "5"}.get(message.get("State"), "")
        self._said("Newstate", at, Uniqueid=message.get("Channel"), ChannelState=state)

    def _old_response(self, message: Message, at: float) -> None:
        leg = self.channels.legs.get(message.get("ActionID"))
        if leg is not None and message.get("Response") == "Success":
            self.bind(leg, message.get("Channel"), at)
        super().handle(message, at)

    def _old_music(self, message: Message, at: float) -> None:
        if message.get("State") == "Start":
            self._said("MusicOnHoldStart", at, Uniqueid=message.get("Channel"))

    def _old_hangup(self, message: Message, at: float) -> None:
        name = message.get("Channel")
        if name in self.channels.by_channel:
            text = message.get("Cause-txt")
            self._said("Hangup", at, Uniqueid=name, Channel=name, Cause=message.get("Cause") or "0", Cause_txt=text)

    # -- bridges --------------------------------------------------------------------------------------------------
    def _old_bridge(self, message: Message, at: float) -> None:
        if message.get("Bridgestate") == "Link":
            self._link(message, at)
        elif message.get("Bridgestate") == "Unlink":
            self._unlink(message, at)

    def _link(self, message: Message, at: float) -> None:
        bridge = bridge_of(message.get("Channel1"), message.get("Channel2"))
        for key in ("Channel1", "Channel2"):
            self._said("BridgeEnter", at, Uniqueid=message.get(key), BridgeUniqueid=bridge)

    def _unlink(self, message: Message, at: float) -> None:
        bridge = bridge_of(message.get("Channel1"), message.get("Channel2"))
        for key in ("Channel1", "Channel2"):
            self._said("BridgeLeave", at, Uniqueid=message.get(key), BridgeUniqueid=bridge)


def bridge_of(one: str, other: str) -> str:
    """AMI 1.x has no bridges of their own: the pair of names stands for one."""
    return "&".join(sorted((one, other)))


class LegacyMode(BasicMode):
    """Mode `basic` for AMI 1.x: the originate carries what its channel is to be recognised by."""

    capabilities = frozenset({"originate", "hangup", "connect", "hold_limit"})
    notes = WEAKER

    def originate_customer(self, action: OriginateCustomer) -> AmiAction:
        request = dict(super().originate_customer(action))
        request["CallerID"] = f'"{tag_of(action.leg)}" {request.get("CallerID", "<>")}'
        return _without_ids(request)

    def originate_agent(self, action: OriginateAgent) -> AmiAction:
        request = dict(super().originate_agent(action))
        request["CallerID"] = agents_caller(tag_of(action.leg), action.caller_id or action.extension)
        variables = request.get("Variable", [])
        assert not isinstance(variables, str)
        request["Variable"] = [*variables, f"__DIALER_CALL={action.leg}"]
        return _without_ids(request)


def _without_ids(request: dict[str, HeaderValue]) -> AmiAction:
    return {name: value for name, value in request.items() if name not in ("ChannelId", "OtherChannelId")}


async def read_legacy_snapshot(
    client: AmiClient, site: str, waits: Callable[[Message], bool] | None = None
) -> tuple[list[Leg], list[Message]]:
    """Our legs by `Status`, with peers set; no callers, since these boxes hand none over. Raises PbxUnavailable,
    PbxInDoubt (the link went), PbxRejected."""
    return legs_of(await client.collect({"Action": "Status", "Variables": "DIALER_CALL"}), site), []


def legs_of(items: list[Message], site: str) -> list[Leg]:
    """Our legs among `Status` items: those whose variable names one; of a Local pair the half dialled first."""
    legs: dict[str, Leg] = {}
    partners: dict[str, str] = {}
    for item in items:
        values = dict(value.partition("=")[::2] for value in item.values("Variable"))
        owner, name = values.get("DIALER_CALL", ""), item.get("Channel")
        if not is_ours(owner, site) or owner in legs:
            continue
        legs[owner] = leg = Leg(owner)
        leg.channel = leg.name = name
        state = item.get("State") or item.get("ChannelStateDesc")
        leg.created, leg.answered, leg.ringing = True, state == "Up", state == "Ringing"
        partners[name] = item.get("BridgedChannel")
        seconds = item.get("Seconds")
        leg.seconds = float(seconds) if seconds.isdecimal() else 0.0
    by_name = {leg.name: leg for leg in legs.values()}
    for leg in legs.values():
        partner = partners[leg.name]
        leg.peer = by_name.get(partner)
        leg.listed_bridge = bridge_of(leg.name, partner) if partner else ""
        leg.parked = leg.answered and not partner
    return list(legs.values())
