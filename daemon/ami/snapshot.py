"""What is on the PBX right now, by `Status`: allowed in every control mode (FIELD-NOTES 8.3).

One listing, not two: a bridge that ends between a `Status` and a `BridgeList` would make two people who just talked
look like people who were never joined. What happens behind the listing comes as events, which are applied after it.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.ami.channels import Leg
from daemon.ami.client import AmiClient
from daemon.ami.codec import Message
from daemon.calls.ids import is_ours

WAITING_APPLICATIONS = ("AGI", "MusicOnHold")


async def read_snapshot(client: AmiClient, site: str) -> list[Leg]:
    """Our legs as they are, with peers set. Raises PbxUnavailable, PbxInDoubt (the link went), PbxRejected."""
    channels = await client.collect({"Action": "Status", "Variables": "DIALER_CALL,DIALER_AGENT"})
    return legs_of(channels, site)


_OWNER = "\r\nVariable: DIALER_CALL="


def legs_of(channels: list[Message], site: str) -> list[Leg]:
    """Our legs among `Status` items. A leg whose own channel was optimised away is found by the variable its channel
    inherited; the Linkedid would not do, since a bridge changes it."""
    legs: dict[str, Leg] = {}
    rooms = {_room(item): item.get("BridgeID") for item in channels if _room(item) and item.get("BridgeID")}
    for item in channels:
        unique_id = item.get("Uniqueid")
        if is_ours(unique_id, site):
            legs[unique_id] = _leg(unique_id, item, rooms)
    for item in channels:
        owner = item.text.rpartition(_OWNER)[2].partition("\r\n")[0] if _OWNER in item.text else ""
        if owner not in legs and is_ours(owner, site) and not item.get("Channel").startswith("Local/"):
            legs[owner] = _leg(owner, item, rooms)
    _pair(list(legs.values()))
    return list(legs.values())


def _room(item: Message) -> str:
    return item.get("Data").partition(",")[0] if item.get("Application") == "ConfBridge" else ""


def _leg(leg_id: str, item: Message, rooms: Mapping[str, str]) -> Leg:
    """Who has come into a room but not into its bridge yet (seen for seconds on 22.10) is in it all the same."""
    leg = Leg(leg_id)
    leg.channel, leg.name = item.get("Uniqueid"), item.get("Channel")
    leg.created = True
    leg.answered = item.get("ChannelState") == "6"
    leg.ringing = item.get("ChannelState") == "5"
    leg.listed_bridge = item.get("BridgeID") or rooms.get(_room(item), "")
    leg.parked = leg.answered and not leg.listed_bridge and item.get("Application") in WAITING_APPLICATIONS
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
