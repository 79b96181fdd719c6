"""AMI events about rooms, supervision, recording and calls coming in → typed events. Part of ModernTranslator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from daemon.ami.channels import Channels
from daemon.ami.codec import Message
from daemon.calls import events as ev
from daemon.calls.events import PbxEvent
from daemon.calls.ids import site_of

INCLUDE_CONTEXT: Final = "cadran-inbound"
OWN_CONTEXTS: Final = ("cadran-rt",)
"""AsyncAGI that begins there is a leg of ours coming back, even if we no longer know it."""
ROOMS: Final = "ConfBridge"
NO_NUMBER: Final = ("s", "", "unknown")
"""What stands where a number dialled would, if there is none."""


def waits_by(mode: str) -> Callable[[Message], bool] | None:
    """How a `Status` item shows a stranger's channel that stands where our line of the dialplan leads in this control
    mode, and waits for somebody to say what becomes of it; None where no calls come in."""
    if mode == "asyncagi":
        return lambda item: (
            item.get("Application") == "AGI"
            and item.get("Data").startswith("agi:async")
            and item.get("Context") not in OWN_CONTEXTS
        )
    if mode == "dialplan":
        return lambda item: item.get("Application") == "Wait" and item.get("Context") == INCLUDE_CONTEXT
    return None


class VoiceEvents:
    """`channels`, `_deliver` are those of the translator this is mixed into."""

    channels: Channels
    _deliver: Callable[[PbxEvent], None]

    def voice_handlers(self) -> dict[str, Callable[[Message, float], None]]:
        return {
            "ConfbridgeJoin": self._room_joined,
            "ConfbridgeLeave": self._room_left,
            "ChanSpyStart": self._spy_started,
            "MixMonitorStart": self._recording_started,
            "MixMonitorStop": self._recording_stopped,
            "RTCPReceived": self._rtcp,
            "RTCPSent": self._rtcp,
        }

    # -- rooms ----------------------------------------------------------------------------------------------------
    def _room_joined(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is not None:
            leg.room, leg.parked, leg.name = message.get("Conference"), False, message.get("Channel")
            self._deliver(ev.LegJoined(at=at, leg=leg.id, room=leg.room))

    def _room_left(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is not None and leg.room:
            room, leg.room = leg.room, ""
            self._deliver(ev.LegLeft(at=at, leg=leg.id, room=room))

    # -- supervision, recording -----------------------------------------------------------------------------------
    def _spy_started(self, message: Message, at: float) -> None:
        spy = self.channels.by_channel.get(message.get("SpyerUniqueid"))
        target = self.channels.by_channel.get(message.get("SpyeeUniqueid"))
        if spy is not None and target is not None:
            self._deliver(ev.SpyStarted(at=at, leg=spy.id, target=target.id))

    def _recording_started(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is not None:
            self._deliver(ev.RecordingStarted(at=at, leg=leg.id))

    def _recording_stopped(self, message: Message, at: float) -> None:
        leg = self.channels.by_channel.get(message.get("Uniqueid"))
        if leg is not None:
            self._deliver(ev.RecordingStopped(at=at, leg=leg.id))

    # -- calls coming in ------------------------------------------------------------------------------------------
    def _arrived_by_agi(self, message: Message, at: float) -> None:
        """AsyncAGI on a channel that is no Cadran's: our line in the dialplan, `AGI(agi:async)`, was reached."""
        channel = message.get("Uniqueid")
        if message.get("Context") in OWN_CONTEXTS or channel in self.channels.children or site_of(channel):
            return
        env = dict(line.partition(": ")[::2] for line in unquote(message.get("Env")).splitlines())
        did = env.get("agi_extension", "")
        if did in NO_NUMBER:
            did = env.get("agi_dnid", "")
        self._arrived(channel, message, did, at)

    def _arrived_by_include(self, message: Message, at: float) -> None:
        """`[cadran-inbound]` of our include says so itself."""
        self._arrived(message.get("Uniqueid"), message, message.get("Did"), at)

    def found_waiting(self, item: Message, at: float) -> None:
        """A listing shows a caller whose arrival was told while nobody listened (see `waits_by`)."""
        did = item.get("Exten")
        self._arrived(item.get("Uniqueid"), item, item.get("DNID") if did in NO_NUMBER else did, at)

    def _arrived(self, channel: str, message: Message, did: str, at: float) -> None:
        if channel in self.channels.arrivals:
            return  # told of by a listing, and by its event behind it
        caller = message.get("CallerIDNum")
        name = message.get("CallerIDName")
        self.channels.arrivals[channel] = message.get("Channel"), message.get("ChannelState") == "6"
        self._deliver(
            ev.InboundArrived(
                at=at,
                channel=channel,
                did="" if did == "unknown" else did,
                caller="" if caller == "<unknown>" else caller,
                caller_name="" if name == "<unknown>" else name,
            )
        )

    # -- quality --------------------------------------------------------------------------------------------------
    def _rtcp(self, message: Message, at: float) -> None:
        """A report block, of what the far end got (Received) or of what Asterisk got (Sent). Fractions are of 256 (RFC
        3550 §6.4.1); jitter in units of the sampling rate, 8 kHz for telephone codecs; RTT in seconds."""
        channels = self.channels
        unique_id = message.get("Uniqueid")
        leg = channels.by_channel.get(unique_id) or channels.legs.get(channels.children.get(unique_id, ""))
        if leg is None or leg.is_agent:
            return
        lost = message.get("Report0FractionLost")
        jitter = message.get("Report0IAJitter")
        rtt = message.get("RTT")
        self._deliver(
            ev.MediaQuality(
                at=at,
                leg=leg.id,
                trunk=message.get("Channel").partition("/")[2].rpartition("-")[0],
                loss=int(lost) / 256.0 if lost.isdecimal() else None,
                jitter_s=int(jitter) / 8000.0 if jitter.isdecimal() else None,
                round_trip_s=_seconds(rtt),
            )
        )


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
