"""What is on the PBX right now, by `Status`: allowed in every control mode (FIELD-NOTES 8.3).

One listing, not two: a bridge that ends between a `Status` and a `BridgeList` would make two people who just talked
look like people who were never joined. What happens behind the listing comes as events, which are applied after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from daemon.ami.channels import Leg
from daemon.ami.client import AmiClient
from daemon.ami.codec import Message
from daemon.calls.ids import is_ours, site_of

WAITING_APPLICATIONS = ("AGI", "MusicOnHold")
READ_AT_ONCE = 200
"""Channels read without letting anything else run: three milliseconds. A busy PBX lists thousands at each audit."""
_OWNER = "\r\nVariable: DIALER_CALL="


async def read_snapshot(
    client: AmiClient, site: str, waits: Callable[[Message], bool] | None = None
) -> tuple[list[Leg], list[Message]]:
    """Our legs as they are, with peers set; and the channels of strangers of which `waits` says that they wait for us,
    as listed. Raises PbxUnavailable, PbxInDoubt (the link went), PbxRejected."""
    channels = await client.collect({"Action": "Status", "Variables": "DIALER_CALL,DIALER_AGENT"})
    reading = _Reading(site, waits)
    for start in range(0, len(channels), READ_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        reading.take(channels[start : start + READ_AT_ONCE])
    return reading.legs(), reading.callers


class _Reading:
    """`Status` items taken piece by piece. A leg whose own channel was optimised away is found by the variable its
    channel inherited; the Linkedid would not do, since a bridge changes it."""

    def __init__(self, site: str, waits: Callable[[Message], bool] | None) -> None:
        self._site, self._waits = site, waits
        self.callers: list[Message] = []
        self._legs: dict[str, Leg] = {}
        self._rooms: dict[str, str] = {}
        self._in_room: list[tuple[Leg, str]] = []
        self._heirs: list[tuple[str, Message]] = []

    def take(self, channels: Sequence[Message]) -> None:
        """Some more items."""
        for item in channels:
            application = item.get("Application")
            room = item.get("Data").partition(",")[0] if application == "ConfBridge" else ""
            if room and (bridge := item.get("BridgeID")):
                self._rooms[room] = bridge
            unique_id = item.get("Uniqueid")
            if is_ours(unique_id, self._site):
                self._add(unique_id, item, application, room)
            owner = item.text.rpartition(_OWNER)[2].partition("\r\n")[0] if _OWNER in item.text else ""
            if owner != unique_id and is_ours(owner, self._site) and not item.get("Channel").startswith("Local/"):
                self._heirs.append((owner, item))
            elif self._waits is not None and self._waits(item) and not (site_of(unique_id) or site_of(owner)):
                self.callers.append(item)

    def _add(self, leg_id: str, item: Message, application: str, room: str) -> None:
        leg = self._legs[leg_id] = _leg(leg_id, item, application)
        if room and not leg.listed_bridge:
            self._in_room.append((leg, room))

    def legs(self) -> list[Leg]:
        """What was found. Who has come into a room but not into its bridge yet (seen for seconds on 22.10) is in it all
        the same."""
        for owner, item in self._heirs:
            if owner not in self._legs:
                application = item.get("Application")
                room = item.get("Data").partition(",")[0] if application == "ConfBridge" else ""
                self._add(owner, item, application, room)
        for leg, room in self._in_room:
            if bridge := self._rooms.get(room, ""):
                leg.listed_bridge, leg.parked = bridge, False
        legs = list(self._legs.values())
        _pair(legs)
        return legs


def _leg(leg_id: str, item: Message, application: str) -> Leg:
    leg = Leg(leg_id)
    leg.channel, leg.name = item.get("Uniqueid"), item.get("Channel")
    leg.created = True
    state = item.get("ChannelState")
    leg.answered, leg.ringing = state == "6", state == "5"
    leg.listed_bridge = item.get("BridgeID")
    leg.parked = leg.answered and not leg.listed_bridge and application in WAITING_APPLICATIONS
    seconds = item.get("Seconds")
    leg.seconds = float(seconds) if seconds.isdecimal() else 0.0
    return leg


def _pair(legs: list[Leg]) -> None:
    by_bridge: dict[str, list[Leg]] = {}
    for leg in legs:
        if leg.listed_bridge:
            by_bridge.setdefault(leg.listed_bridge, []).append(leg)
    for members in by_bridge.values():
        if len(members) == 2:
            members[0].peer, members[1].peer = members[1], members[0]
