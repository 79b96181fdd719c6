"""Channels, bridges and stamps as ARI's JSON has them."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fake_asterisk.render import STATE_TEXT

if TYPE_CHECKING:
    from fake_asterisk.bridge import Bridge
    from fake_asterisk.channel import Channel, Party

ENTITY_ID = "02:00:00:00:00:01"


def stamp(epoch: float) -> str:
    """Milliseconds and a numeric zone without a colon."""
    return _stamp(round(epoch * 1_000_000) // 1000)


@lru_cache(maxsize=4096)
def _stamp(epoch_ms: int) -> str:
    text = datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "+0000")


def party(who: "Party") -> dict[str, str]:
    """A caller: (number, name)."""
    return {"name": who[1], "number": who[0]}


def channel(it: "Channel") -> dict[str, Any]:
    """A channel's snapshot."""
    return {
        "id": it.uniqueid,
        "name": it.name,
        "state": STATE_TEXT[it.state],
        "protocol_id": it.pvt_call_id,
        "caller": party(it.caller),
        "connected": party(it.connected),
        "accountcode": it.account,
        "dialplan": {
            "context": it.context,
            "exten": it.exten,
            "priority": it.priority,
            "app_name": it.application,
            "app_data": it.data,
        },
        "creationtime": stamp(it.pbx.wall() - (it.pbx.now() - it.created_at)),
        "language": it.language,
    }


def bridge(it: "Bridge") -> dict[str, Any]:
    """A bridge's snapshot; its channels in the order of their ids."""
    return {
        "id": it.uniqueid,
        "technology": it.technology,
        "bridge_type": "mixing",
        "bridge_class": it.type,
        "creator": it.creator,
        "name": it.name,
        "channels": sorted(c.uniqueid for c in it.channels),
        "creationtime": stamp(it.pbx.wall()),
        "video_mode": "talker",
    }
