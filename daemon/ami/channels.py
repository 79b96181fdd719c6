"""What the driver remembers of the PBX: our legs, the channel that carries each, and who shares a bridge with whom.

Everything is keyed on Uniqueid: names start again from zero with each Asterisk (FIELD-NOTES 1.9) and Linkedid changes
at the first bridge. A leg's channel normally has the leg's own id, since we chose it; when Asterisk optimises a Local
channel away, the call goes on on a server-made channel, and the leg moves to it.
"""

from __future__ import annotations

from daemon.calls.ids import is_ours, rank_of


def far_half(leg_id: str) -> str:
    """OtherChannelId for the `;2` half of a leg originated through a Local channel.

    Not the leg's id with something behind it: Bridge, the action and the application, takes the first channel whose
    Uniqueid *begins* with what it is given (seen on 22.10), and would join the agent with the wrong half.
    """
    return f"b-{leg_id}"


class Leg:
    """One leg of ours. Mutable: it is touched by each event of a call."""

    __slots__ = (
        "amd",
        "amd_arguments",
        "amd_cause",
        "amd_done_at",
        "answered",
        "channel",
        "closing",
        "connecting",
        "connects",
        "created",
        "dial_status",
        "direct",
        "failed_at",
        "failed_reason",
        "hangup_cause",
        "hold_s",
        "id",
        "is_agent",
        "listed_bridge",
        "moving_to",
        "music",
        "name",
        "parked",
        "peer",
        "playing",
        "probing",
        "rank",
        "ringing",
        "room",
        "seconds",
        "spies",
        "tech_cause",
    )

    def __init__(self, leg: str) -> None:
        self.id = leg
        self.rank = rank_of(leg)
        """Who is told of as the leg, who as the peer: the lower connects."""
        self.is_agent = self.rank == 0
        self.connects = self.rank < 3
        """It waits as an agent's leg does, and can be told to connect."""
        self.room = ""
        """The conference room it is in."""
        self.music = False
        """It hears music whenever it waits (an agent's leg always does)."""
        self.spies = False
        self.channel = leg
        """Uniqueid of the channel that carries the leg now; commands go there."""
        self.name = ""
        """The channel's name, where it is not the one we gave an id to."""
        self.created = self.ringing = self.answered = self.parked = False
        self.amd = False
        """Machine detection was asked for and has not decided yet."""
        self.amd_arguments = ""
        self.amd_cause = ""
        self.amd_done_at = 0.0
        self.peer: Leg | None = None
        """The leg it shares a bridge of two with."""
        self.connecting = ""
        """The customer leg of the one Connect outstanding on this agent."""
        self.closing = False
        """Its Hangup was asked for. Joined at that moment it would live on: Bridge makes Asterisk forget the request
        (seen on 22.10, one time in six)."""
        self.direct = False
        """Its answer joins it with an agent; it never waits."""
        self.playing = self.probing = False
        self.hold_s = 0.0
        self.listed_bridge = ""
        self.seconds = 0.0
        """The bridge it was in and how long the PBX had had it, as listed at the last resync."""
        self.dial_status: str | None = None
        self.tech_cause: int | None = None
        self.failed_at: float | None = None
        self.failed_reason = 0
        self.moving_to = ""
        """Uniqueid of the channel that is about to take over (LocalOptimizationBegin)."""
        self.hangup_cause: int | None = None
        """A Hangup was asked for before the channel existed: to be sent as soon as it does."""

    @property
    def bridge_name(self) -> str:
        """What to call the channel in Bridge, which takes the first whose id or name *begins* so: ids of ours and names
        are of one length, but the server's `1795302905.5` would also be taken for `1795302905.51`."""
        return self.name if self.name and self.channel != self.id else self.channel


class Channels:
    """All legs of one site, by carrying channel."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.prefix = f"{site}-"
        self.legs: dict[str, Leg] = {}
        self.by_channel: dict[str, Leg] = {}
        self.children: dict[str, str] = {}
        """Uniqueid of a server-made channel, or of a far half, → id of the leg it works for."""
        self.names: dict[str, str] = {}
        """Names of the children."""
        self.bridges: dict[str, list[str]] = {}
        """Bridge → Uniqueids of the channels of ours in it, children too."""
        self.bridge_of: dict[str, str] = {}
        self.arrivals: dict[str, tuple[str, bool]] = {}
        """Inbound channels that wait to be adopted: Uniqueid → name, whether answered."""

    def add(self, leg_id: str) -> Leg:
        """The leg's entry, made if new."""
        leg = self.legs.get(leg_id)
        if leg is None:
            leg = self.legs[leg_id] = self.by_channel[leg_id] = Leg(leg_id)
        return leg

    def adopt(self, leg_id: str, unique_id: str) -> Leg | None:
        """An inbound channel becomes a leg of ours; None if it is gone."""
        found = self.arrivals.pop(unique_id, None)
        if found is None:
            return None
        leg = self.legs[leg_id] = self.by_channel[unique_id] = Leg(leg_id)
        leg.channel, (leg.name, leg.answered) = unique_id, found
        leg.created = leg.music = True
        return leg

    def recognise(self, unique_id: str) -> Leg | None:
        """The leg whose channel this is, known or not; None for channels that carry no leg of ours."""
        leg = self.by_channel.get(unique_id)
        if leg is None and unique_id.startswith(self.prefix) and is_ours(unique_id, self.site):
            leg = self.add(unique_id)
        return leg

    def channel_of(self, leg_id: str) -> str:
        """Where commands about this leg go; an id we never heard of may still be one the PBX knows."""
        leg = self.legs.get(leg_id)
        return leg.channel if leg else leg_id

    def adopt_child(self, unique_id: str, linked_id: str, name: str) -> None:
        """Note a channel that is not ours but works for a leg of ours (Linkedid, until the first bridge)."""
        owner = linked_id if linked_id in self.legs else self.children.get(linked_id)
        if owner is not None and unique_id not in self.by_channel:
            self.children[unique_id] = owner
            self.names[unique_id] = name

    def survivor(self, leg: Leg, source: str) -> str:
        """Where a leg goes on when its Local channel is optimised away: on the channel behind the far half.

        Asterisk joins the two bridges either way round (both seen): the trunk's channel may come over to the leg's
        bridge (it is the `source` then), or the one the leg talks to goes over to the trunk's.
        """
        if self.children.get(source) == leg.id:
            return source
        behind = self.bridges.get(self.bridge_of.get(far_half(leg.id), ""), [])
        candidates = [uid for uid, owner in self.children.items() if owner == leg.id and uid != far_half(leg.id)]
        return next((uid for uid in candidates if uid in behind), candidates[0] if len(candidates) == 1 else "")

    def move(self, leg: Leg, unique_id: str) -> None:
        """The leg goes on on another channel."""
        if leg.channel != unique_id:
            self.leave(leg.channel)
            self.by_channel.pop(leg.channel, None)
            self.children.pop(unique_id, None)
            leg.channel, leg.name = unique_id, self.names.pop(unique_id, "")
            self.by_channel[unique_id] = leg
        leg.moving_to = ""

    def enter(self, unique_id: str, bridge: str) -> None:
        """A channel of ours is in `bridge`, and in no other."""
        if self.bridge_of.get(unique_id) != bridge:
            self.leave(unique_id)
            self.bridge_of[unique_id] = bridge
            self.bridges.setdefault(bridge, []).append(unique_id)

    def leave(self, unique_id: str) -> None:
        """A channel is in no bridge any more."""
        bridge = self.bridge_of.pop(unique_id, None)
        if bridge is not None:
            members = self.bridges[bridge]
            members.remove(unique_id)
            if not members:
                del self.bridges[bridge]

    def pair(self, leg: Leg) -> Leg | None:
        """The other leg, if `leg` is now in a bridge with exactly one other and both were without a peer."""
        members = self.bridges.get(self.bridge_of.get(leg.channel, ""), [])
        legs = [other for uid in members if (other := self.by_channel.get(uid)) is not None]
        if len(legs) != 2 or legs[0].peer is not None or legs[1].peer is not None:
            return None
        legs[0].peer, legs[1].peer = legs[1], legs[0]
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
        self.legs.pop(leg.id, None)
        self.forget(leg.channel)
        for child in [child for child, owner in self.children.items() if owner == leg.id]:
            self.forget(child)

    def forget(self, unique_id: str) -> None:
        """The channel is gone."""
        self.leave(unique_id)
        self.by_channel.pop(unique_id, None)
        self.children.pop(unique_id, None)
        self.names.pop(unique_id, None)

    def replace(self, listed: list[Leg]) -> None:
        """Forget everything but `listed`, found by a resync with peers set; keep what no listing tells."""
        known, children = self.legs, self.children
        self.legs = {leg.id: leg for leg in listed}
        self.by_channel = {leg.channel: leg for leg in listed}
        self.children = {child: owner for child, owner in children.items() if owner in self.legs}
        self.names = {child: name for child, name in self.names.items() if child in self.children}
        self.bridges, self.bridge_of = {}, {}
        for leg in listed:
            if leg.listed_bridge:
                self.enter(leg.channel, leg.listed_bridge)
            if (before := known.get(leg.id)) is not None:
                leg.hold_s, leg.playing, leg.amd_cause = before.hold_s, before.playing, before.amd_cause
                leg.music = before.music
                leg.amd = before.amd and not leg.listed_bridge
                leg.parked = leg.parked and not leg.amd

    def as_known(self) -> list[Leg]:
        """All legs as they were last heard of, in the form of a listing."""
        for leg in self.legs.values():
            leg.listed_bridge = self.bridge_of.get(leg.channel, "")
        return list(self.legs.values())
