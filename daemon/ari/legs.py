"""What the driver remembers of the PBX: our legs, and which bridge each is in.

A leg's channel has the leg's id: Local channels are dialled with `/n`, so that Asterisk never replaces them. Only a
call that came in keeps the id that the PBX gave its channel. A leg that does the connecting (an agent's, a third
party's, a supervisor's) has a bridge of its own, named after it.
"""

from __future__ import annotations

from typing import Final

from daemon.calls.ids import is_ours, rank_of

BRIDGE: Final = "br-"
"""Before a leg's id in the id of its own bridge: a bridge with the very id of a channel gets no events (seen on 22.10:
the application is subscribed to that id already, as a channel's)."""
ROOM: Final = "room-"
SNOOP: Final = "sn-"
TAP: Final = "rec-"
CUSTOMER_RANK: Final = 3


class Leg:
    """One leg of ours. Mutable: it is touched by each event of a call."""

    __slots__ = (
        "announcing",
        "answered",
        "bridge",
        "channel",
        "closing",
        "connecting",
        "created",
        "dial_status",
        "hold_s",
        "id",
        "in_stasis",
        "parked",
        "parking_s",
        "peer",
        "playing",
        "recording",
        "ringing",
        "room",
        "seconds",
        "spies_on",
        "spy_mode",
        "spying",
    )

    def __init__(self, leg: str) -> None:
        self.id = self.channel = leg
        self.announcing = ""
        """Id of the playback that it hears while it waits."""
        self.created = self.answered = self.ringing = self.in_stasis = self.parked = self.closing = False
        self.hold_s = 0.0
        self.parking_s = 0.0
        """A Park was asked for, with this limit; it ends when the leg waits."""
        self.bridge = ""
        """Id of the bridge it is in."""
        self.peer: Leg | None = None
        self.connecting = ""
        """The leg that a Connect, not over yet, is to bring."""
        self.playing = ""
        """Id of the playback of a PlayMessage."""
        self.recording = ""
        """Name of its live recording."""
        self.room = ""
        self.spies_on = self.spy_mode = ""
        self.spying = False
        self.dial_status: str | None = None
        self.seconds = 0.0

    @property
    def connects(self) -> bool:
        """Whether it has a bridge of its own that others are brought into."""
        return rank_of(self.id) < CUSTOMER_RANK

    @property
    def own_bridge(self) -> str:
        return BRIDGE + self.id


class Legs:
    """All legs of one site, and who is in which bridge."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.by_id: dict[str, Leg] = {}
        self.came_in: dict[str, Leg] = {}
        """Legs whose channel the PBX has named, by that name."""
        self.arrivals: dict[str, bool] = {}
        """Channels of calls that came in and wait to be adopted; whether each is answered."""
        self.bridges: dict[str, list[Leg]] = {}

    def add(self, leg_id: str) -> Leg:
        """The leg's entry, made if new."""
        leg = self.by_id.get(leg_id)
        if leg is None:
            leg = self.by_id[leg_id] = Leg(leg_id)
        return leg

    def adopt(self, leg_id: str, channel_id: str) -> Leg | None:
        """A call that came in becomes a leg of ours; None if it is gone."""
        answered = self.arrivals.pop(channel_id, None)
        if answered is None:
            return None
        leg = self.by_id[leg_id] = self.came_in[channel_id] = Leg(leg_id)
        leg.channel, leg.answered = channel_id, answered
        leg.created = leg.in_stasis = True
        return leg

    def of_channel(self, channel_id: str) -> Leg | None:
        """The known leg whose channel this is."""
        return self.came_in.get(channel_id) or self.by_id.get(channel_id)

    def channel_of(self, leg_id: str) -> str:
        """Where requests about this leg go; an id we never heard of may still be one the PBX knows."""
        leg = self.by_id.get(leg_id)
        return leg.channel if leg is not None else leg_id

    def recognise(self, channel_id: str) -> Leg | None:
        """The leg whose channel this is, known or not; None for channels that are not ours."""
        leg = self.of_channel(channel_id)
        if leg is None and is_ours(channel_id, self.site):
            leg = self.add(channel_id)
        return leg

    def enter(self, leg: Leg, bridge: str) -> None:
        """The leg is in `bridge`, and in no other."""
        if leg.bridge != bridge:
            self.leave(leg)
            leg.bridge = bridge
            self.bridges.setdefault(bridge, []).append(leg)

    def leave(self, leg: Leg) -> None:
        """The leg is in no bridge any more."""
        members = self.bridges.get(leg.bridge, [])
        if leg in members:
            members.remove(leg)
            if not members:
                del self.bridges[leg.bridge]
        leg.bridge = ""

    def pair(self, leg: Leg) -> Leg | None:
        """The other leg, if `leg` is now in a bridge with exactly one other and both were without a peer."""
        members = self.bridges.get(leg.bridge, [])
        if leg.bridge.startswith(ROOM) or len(members) != 2 or any(member.peer is not None for member in members):
            return None
        members[0].peer, members[1].peer = members[1], members[0]
        return leg.peer

    def part(self, leg: Leg) -> Leg | None:
        """The end of a pair; the other leg, None if there was none."""
        peer, leg.peer = leg.peer, None
        if peer is not None:
            peer.peer = None
        return peer

    def remove(self, leg: Leg) -> None:
        """The leg is gone."""
        self.part(leg)
        self.leave(leg)
        self.by_id.pop(leg.id, None)
        self.came_in.pop(leg.channel, None)

    def replace(self, listed: list[Leg]) -> None:
        """Forget everything but `listed`, found by a resync; keep what no listing tells."""
        known, self.by_id, self.bridges = self.by_id, {leg.id: leg for leg in listed}, {}
        self.came_in = {leg.channel: leg for leg in listed if leg.channel != leg.id}
        for leg in listed:
            bridge, leg.bridge = leg.bridge, ""
            if bridge:
                self.enter(leg, bridge)
            if (before := known.get(leg.id)) is not None:
                leg.hold_s, leg.playing, leg.recording = before.hold_s, before.playing, before.recording
                leg.spies_on, leg.spy_mode, leg.spying = before.spies_on, before.spy_mode, before.spying
                leg.announcing = before.announcing
                leg.parked = leg.parked and not leg.playing
                leg.parking_s = before.parking_s if leg.parked and not leg.connects else 0.0


def host_of(one: Leg, other: Leg) -> tuple[Leg, Leg]:
    """Of two legs, the one that does the connecting first."""
    return (one, other) if rank_of(one.id) <= rank_of(other.id) else (other, one)
