"""What is on the PBX right now, by `GET /channels` and `GET /bridges`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from daemon.ari.client import AriClient
from daemon.ari.legs import ROOM, Leg
from daemon.calls.ids import is_ours


async def read_snapshot(client: AriClient, site: str) -> list[Leg]:
    """Our legs as they are, with peers set. Raises PbxUnavailable, PbxInDoubt (the link went), PbxRejected."""
    channels = await client.ask("GET", "/channels")
    bridges = await client.ask("GET", "/bridges")
    return legs_of(channels, bridges, site, client.pbx_utc)


def legs_of(
    channels: Sequence[Mapping[str, Any]], bridges: Sequence[Mapping[str, Any]], site: str, now: datetime | None
) -> list[Leg]:
    """Our legs among the listed channels. `now`: the PBX's clock, for their ages; None = they have none."""
    legs = {channel["id"]: _leg(channel, now) for channel in channels if is_ours(channel["id"], site)}
    for bridge in bridges:
        members = [legs[member] for member in bridge["channels"] if member in legs]
        for leg in members:
            leg.bridge = bridge["id"]
            if leg.bridge.startswith(ROOM):
                leg.room = leg.bridge.removeprefix(f"{ROOM}{site}-")
            leg.parked = leg.parked and leg.connects and leg.bridge == leg.own_bridge and len(members) == 1
        if len(members) == 2 and not bridge["id"].startswith(ROOM):
            members[0].peer, members[1].peer = members[1], members[0]
    return list(legs.values())


def _leg(channel: Mapping[str, Any], now: datetime | None) -> Leg:
    leg = Leg(channel["id"])
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
