"""ARI events → typed events of ours.

Any order is accepted, REST answers included: each event says what it says once, whoever comes first. What has to be
done next about a leg goes to `react`; everything the engine needs goes to `deliver`. Events of channels that are not
ours, and kinds not listed here, mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

from daemon.ari.legs import ROOM, SNOOP, TAP, Leg, Legs, host_of
from daemon.calls import events as ev
from daemon.calls.events import PbxEvent
from daemon.calls.ids import is_ours, is_supervisor

Event = Mapping[str, Any]


class Step(Enum):
    """What the driver may have to act upon."""

    CREATED = auto()
    """The channel exists."""
    ENTERED = auto()
    """An answered leg that does the connecting is in the application, and in no bridge."""
    PARKED = auto()
    BRIDGED = auto()
    PLAYED = auto()
    """A PlayMessage is over, one way or the other."""
    GONE = auto()
    TALKS = auto()
    """Whether the far end says something changed; the detail is `started` or `finished`."""
    ROOM_EMPTY = auto()
    """Nobody is left in the room that is the detail."""
    SNOOP_READY = auto()
    """The channel that listens for a supervisor, or for a recording, takes commands; the detail says which."""
    SNOOP_GONE = auto()
    SAID = auto()
    """What was played to a leg that waits is over."""


class Translator:
    """One per link; `legs` is shared with the driver."""

    def __init__(
        self,
        legs: Legs,
        *,
        deliver: Callable[[PbxEvent], None],
        react: Callable[[Leg, Step, str], None],
    ) -> None:
        self.legs = legs
        self._deliver, self._react = deliver, react
        self._handlers: dict[str, Callable[[Event, float], None]] = {
            "Dial": self._dial,
            "ChannelStateChange": self._state_change,
            "StasisStart": self._stasis_start,
            "StasisEnd": self._stasis_end,
            "ChannelEnteredBridge": self._entered_bridge,
            "ChannelLeftBridge": self._left_bridge,
            "ChannelHangupRequest": self._hangup_request,
            "PlaybackFinished": self._playback_finished,
            "RecordingStarted": self._recording_started,
            "RecordingFinished": self._recording_over,
            "RecordingFailed": self._recording_over,
            "ChannelDestroyed": self._destroyed,
            "ChannelTalkingStarted": self._talking,
            "ChannelTalkingFinished": self._talking,
        }
        self.kinds: Final = tuple(self._handlers)
        """Types of the events that mean something; others need not be sent."""

    def handle(self, event: Event, at: float) -> None:
        """Take one event; deliver what it means."""
        handler = self._handlers.get(event.get("type", ""))
        if handler is not None:
            handler(event, at)

    # -- the life of a channel ------------------------------------------------------------------------------------
    def _leg(self, channel: Event, at: float) -> Leg | None:
        """The leg of a channel that is alive, noted if it is the first we hear of it."""
        leg = self.legs.recognise(channel.get("id", ""))
        if leg is not None:
            self.created(leg, at)
        return leg

    def created(self, leg: Leg, at: float) -> None:
        """The channel exists: an event names it, or the originate was answered."""
        if not leg.created:
            leg.created = True
            self._deliver(ev.LegCreated(at=at, leg=leg.id))
            self._react(leg, Step.CREATED, "")

    def _dial(self, event: Event, at: float) -> None:
        leg = self._leg(event["peer"], at)
        if leg is None:
            return
        status = event["dialstatus"]
        if status == "RINGING":
            self._ringing(leg, at)
        elif status == "ANSWER":
            self.answered(leg, at)
        elif status == "PROGRESS":
            if not leg.answered:
                self._deliver(ev.LegProgress(at=at, leg=leg.id))
        elif status:
            leg.dial_status = status

    def _state_change(self, event: Event, at: float) -> None:
        leg = self._leg(event["channel"], at)
        if leg is not None:
            if event["channel"]["state"] == "Up":
                self.answered(leg, at)
            elif event["channel"]["state"] == "Ringing":
                self._ringing(leg, at)

    def _ringing(self, leg: Leg, at: float) -> None:
        if not leg.ringing and not leg.answered:
            leg.ringing = True
            self._deliver(ev.LegRinging(at=at, leg=leg.id))

    def answered(self, leg: Leg, at: float) -> None:
        """The leg was picked up: an event says so, or the answer to a request."""
        if not leg.answered:
            leg.answered = True
            self._deliver(ev.LegAnswered(at=at, leg=leg.id))

    def _stasis_start(self, event: Event, at: float) -> None:
        """The channel takes commands from now on."""
        channel = event["channel"]
        if (owner := self._owner(channel["id"])) is not None:
            self._react(owner, Step.SNOOP_READY, channel["id"].partition("-")[0])
            return
        leg = self._leg(channel, at)
        if leg is None:
            self.arrived(channel, event.get("args", []), at)
        elif not leg.in_stasis:
            self.answered(leg, at)
            leg.in_stasis = True
            if leg.connects:
                self._react(leg, Step.ENTERED, "")
            else:
                self.parked(leg, at)

    def arrived(self, channel: Event, arguments: Sequence[str], at: float) -> None:
        """A call came in: a channel that is not ours is in our application, sent there by the dialplan. The number
        dialled is the application's argument, or the extension where there is none."""
        if channel["name"].startswith("Snoop/") or channel["id"] in self.legs.arrivals:
            return
        self.legs.arrivals[channel["id"]] = channel["state"] == "Up"
        caller = channel["caller"]
        self._deliver(
            ev.InboundArrived(
                at=at,
                channel=channel["id"],
                did=arguments[0] if arguments else channel["dialplan"]["exten"],
                caller=caller["number"],
                caller_name=caller["name"],
            )
        )

    def _hangup_request(self, event: Event, at: float) -> None:
        leg = self.legs.of_channel(event["channel"]["id"])
        if leg is not None:
            leg.closing = True

    def _destroyed(self, event: Event, at: float) -> None:
        channel = event["channel"]
        self.legs.arrivals.pop(channel["id"], None)
        leg = self.legs.of_channel(channel["id"])
        if leg is None and not is_ours(channel["id"], self.legs.site):
            return
        status = None
        if leg is not None:
            status = leg.dial_status
            if leg.playing:
                leg.playing = ""
                self._deliver(ev.MessagePlayed(at=at, leg=leg.id, heard=False))
            self._leave(leg, at)
            self.legs.remove(leg)
        self._deliver(
            ev.LegHungUp(
                at=at,
                leg=leg.id if leg is not None else channel["id"],
                cause=event.get("cause", 0),
                cause_text=event.get("cause_txt", ""),
                tech_cause=event.get("tech_cause") or None,
                dial_status=status,
                # Its answer may have come while nobody listened: how the channel was at its end tells it too.
                was_up=channel["state"] == "Up" or (leg is not None and leg.answered),
            )
        )
        if leg is not None:
            self._react(leg, Step.GONE, "")

    def _stasis_end(self, event: Event, at: float) -> None:
        """Of a listening channel nothing more is told, not even its end (seen)."""
        channel_id = event["channel"]["id"]
        self.legs.arrivals.pop(channel_id, None)
        if (owner := self._owner(channel_id)) is not None:
            self._react(owner, Step.SNOOP_GONE, channel_id.partition("-")[0])

    def _owner(self, channel_id: str) -> Leg | None:
        """The leg that a listening channel works for; None for any other channel."""
        for prefix in (SNOOP, TAP):
            if channel_id.startswith(prefix):
                return self.legs.by_id.get(channel_id.removeprefix(prefix).partition(".")[0])
        return None

    # -- bridges --------------------------------------------------------------------------------------------------
    def _entered_bridge(self, event: Event, at: float) -> None:
        channel_id, bridge = event["channel"]["id"], event["bridge"]["id"]
        if (owner := self._owner(channel_id)) is not None:
            if not owner.spying:
                owner.spying = True
                self._deliver(ev.SpyStarted(at=at, leg=owner.id, target=owner.spies_on))
            return
        leg = self._leg(event["channel"], at)
        if leg is not None:
            self.entered(leg, bridge, at)

    def entered(self, leg: Leg, bridge: str, at: float) -> None:
        """The leg is in that bridge: an event says so, or the answer to a request."""
        if leg.bridge and leg.bridge != bridge:
            self._leave(leg, at)  # taken over before we heard of its leaving
        if leg.bridge != bridge:
            leg.parking_s = 0.0  # told a second time, a Park asked for since is still to come
        self.legs.enter(leg, bridge)
        if bridge.startswith(ROOM):
            leg.room, leg.parked = bridge.removeprefix(f"{ROOM}{self.legs.site}-"), False
            self._deliver(ev.LegJoined(at=at, leg=leg.id, room=leg.room))
        elif (peer := self.legs.pair(leg)) is not None:
            self._bridged(*host_of(leg, peer), at)
        elif bridge == leg.own_bridge and not is_supervisor(leg.id):
            self.parked(leg, at)

    def _bridged(self, host: Leg, guest: Leg, at: float) -> None:
        host.parked = guest.parked = False
        host.connecting = ""
        self._deliver(ev.LegBridged(at=at, leg=host.id, peer=guest.id))
        self._react(host, Step.BRIDGED, guest.id)

    def _left_bridge(self, event: Event, at: float) -> None:
        leg = self.legs.of_channel(event["channel"]["id"])
        if leg is not None and leg.bridge == event["bridge"]["id"]:
            self._leave(leg, at)
            if leg.parking_s and not leg.closing:
                if leg.connects:
                    self._react(leg, Step.ENTERED, "")
                else:
                    self.parked(leg, at)

    def _leave(self, leg: Leg, at: float) -> None:
        """It is in no bridge any more; who is left alone in a bridge of its own waits again."""
        bridge = leg.bridge
        self.legs.leave(leg)
        if leg.room:
            room, leg.room = leg.room, ""
            self._deliver(ev.LegLeft(at=at, leg=leg.id, room=room))
            if bridge not in self.legs.bridges:
                self._react(leg, Step.ROOM_EMPTY, bridge)
        peer = self.legs.part(leg)
        if peer is not None:
            host, guest = host_of(leg, peer)
            self._deliver(ev.LegUnbridged(at=at, leg=host.id, peer=guest.id))
            if peer.bridge == peer.own_bridge and not peer.closing:
                self.parked(peer, at)

    def parked(self, leg: Leg, at: float) -> None:
        """The leg waits for commands."""
        if not leg.parked and not leg.closing:
            leg.parked = True
            self._deliver(ev.LegParked(at=at, leg=leg.id))
            self._react(leg, Step.PARKED, "")
            leg.parking_s = 0.0

    # -- sound ----------------------------------------------------------------------------------------------------
    def _playback_finished(self, event: Event, at: float) -> None:
        """`done`: to its end. `failed`: no such file, or the person hung up (seen for both sides' hang-ups)."""
        playback = event["playback"]
        target = playback["target_uri"].removeprefix("channel:")
        leg = self.legs.of_channel(target)
        if leg is not None and leg.announcing == playback["id"]:
            leg.announcing = ""
            self._react(leg, Step.SAID, "")
        elif leg is not None and leg.playing == playback["id"]:
            leg.playing = ""
            self._deliver(ev.MessagePlayed(at=at, leg=leg.id, heard=playback["state"] == "done"))
            self._react(leg, Step.PLAYED, "")

    def _recording_started(self, event: Event, at: float) -> None:
        if (leg := self._recorded(event)) is not None:
            self._deliver(ev.RecordingStarted(at=at, leg=leg.id))

    def _recording_over(self, event: Event, at: float) -> None:
        if (leg := self._recorded(event)) is not None:
            leg.recording = ""
            self._deliver(ev.RecordingStopped(at=at, leg=leg.id))

    def _recorded(self, event: Event) -> Leg | None:
        target = event["recording"]["target_uri"].removeprefix("channel:")
        return self._owner(target) if target.startswith(TAP) else None

    def _talking(self, event: Event, at: float) -> None:
        """Only where TALK_DETECT was set on the channel."""
        if (leg := self.legs.of_channel(event["channel"]["id"])) is not None:
            self._react(leg, Step.TALKS, event["type"].removeprefix("ChannelTalking").lower())
