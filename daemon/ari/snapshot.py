"""What is on the PBX right now, by `GET /channels` and `GET /bridges`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daemon.ari.client import AriClient, AriRefused
from daemon.ari.legs import BRIDGE, ROOM, Leg
from daemon.ari.reception import VARIABLE
from daemon.calls.ids import is_ours

Channel = Mapping[str, Any]


@dataclass
class Listing:
    """Our legs as they are, with peers set; `callers`: channels of calls that came in and are nobody's yet; `bridges`:
    ours that nobody needs any more, as the leg each was made for has gone while nobody saw it, or the room is empty."""

    legs: list[Leg]
    callers: list[Channel] = field(default_factory=list)
    bridges: list[str] = field(default_factory=list)


async def read_snapshot(client: AriClient, site: str, app: str, came_in: Mapping[str, str]) -> Listing:
    """`came_in`: channel → leg of the calls that came in, as far as known; of others in the application the PBX is
    asked whose they are. Raises PbxUnavailable, PbxInDoubt (the link went), PbxRejected."""
    channels = await client.ask("GET", "/channels")
    bridges = await client.ask("GET", "/bridges")
    owners: dict[str, str] = {}
    callers = []
    for channel in channels:
        if is_ours(channel["id"], site):
            owners[channel["id"]] = channel["id"]
        elif owner := came_in.get(channel["id"]) or await _owner(client, channel, site, app):
            owners[channel["id"]] = owner
        elif _in_application(channel, app):
            callers.append(channel)
    unused = [bridge["id"] for bridge in bridges if _unused(bridge, owners, site)]
    return Listing(legs_of(channels, bridges, owners, client.pbx_utc), callers, unused)


def _unused(bridge: Mapping[str, Any], owners: Mapping[str, str], site: str) -> bool:
    owner = bridge["id"].removeprefix(BRIDGE)
    if bridge["id"].startswith(BRIDGE) and is_ours(owner, site):
        return owner not in owners
    return bridge["id"].startswith(f"{ROOM}{site}-") and not bridge["channels"]


def _in_application(channel: Channel, app: str) -> bool:
    """Whether the dialplan sent it to us; listening channels are in the application too."""
    dialplan = channel.get("dialplan", {})
    here = dialplan.get("app_name") == "Stasis" and dialplan.get("app_data", "").partition(",")[0] == app
    return here and not channel["name"].startswith("Snoop/")


async def _owner(client: AriClient, channel: Channel, site: str, app: str) -> str:
    """The leg that an earlier life of ours made of it; "" for none."""
    if not _in_application(channel, app):
        return ""
    try:
        answer = await client.ask("GET", f"/channels/{channel['id']}/variable", {"variable": VARIABLE})
    except AriRefused:
        return ""
    return answer["value"] if is_ours(answer["value"], site) else ""


def arguments_of(channel: Channel) -> list[str]:
    """What the dialplan gave the application besides its name."""
    data: str = channel["dialplan"]["app_data"]
    return data.split(",")[1:]


def legs_of(
    channels: Sequence[Channel], bridges: Sequence[Mapping[str, Any]], owners: Mapping[str, str], now: datetime | None
) -> list[Leg]:
    """The legs whose channels are listed. `owners`: channel → leg; `now`: the PBX's clock, for their ages; None = they
    have none."""
    legs = {channel["id"]: _leg(owners[channel["id"]], channel, now) for channel in channels if channel["id"] in owners}
    for bridge in bridges:
        members = [legs[member] for member in bridge["channels"] if member in legs]
        for leg in members:
            leg.bridge = bridge["id"]
            if leg.bridge.startswith(ROOM):
                leg.room = leg.bridge.removeprefix(ROOM).partition("-")[2]
            leg.parked = leg.parked and leg.connects and leg.bridge == leg.own_bridge and len(members) == 1
        if len(members) == 2 and not bridge["id"].startswith(ROOM):
            members[0].peer, members[1].peer = members[1], members[0]
    return list(legs.values())


def _leg(leg_id: str, channel: Channel, now: datetime | None) -> Leg:
    leg = Leg(leg_id)
    leg.channel = channel["id"]
    leg.created = True
    leg.answered = channel["state"] == "Up"
    leg.ringing = channel["state"] == "Ringing"
    leg.in_stasis = leg.answered and channel.get("dialplan", {}).get("app_name") == "Stasis"
    leg.parked = leg.in_stasis
    if now is not None:
        leg.seconds = max(0.0, (now - _instant(channel["creationtime"])).total_seconds())
    return leg


def _instant(text: str) -> datetime:
    """Asterisk's stamp, such as 2026-11-21T20:57:00.388+0000."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")
