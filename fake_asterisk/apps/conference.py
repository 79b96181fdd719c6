"""ConfBridge: a room with an announcer, music for whoever is alone, and the events of rooms."""

from fake_asterisk import rights
from fake_asterisk.apps.registry import application, arguments
from fake_asterisk.bridge import DIVERTED, HANGUP, KICKED, Bridge
from fake_asterisk.channel import Channel, Diverted, Hungup
from fake_asterisk.render import bridge_snapshot, snapshot

_ANNOUNCER = 1


class Conference:
    """One room."""

    def __init__(self, name: str, bridge: Bridge) -> None:
        self.name = name
        self.bridge = bridge
        self.muted: set[str] = set()
        self.entered_at: dict[str, float] = {}
        self.locked = False

    def event(self, event: str, channel: Channel | None = None, extra: str = "", count: int | None = None) -> None:
        """Conference, bridge, channel, extra; `count` overrides the number of channels told."""
        pbx = self.bridge.pbx
        if not pbx.wanted & rights.CALL:
            return
        text = bridge_snapshot(self.bridge)
        if count is not None:
            text = text.replace(f"BridgeNumChannels: {self.bridge.count}\r\n", f"BridgeNumChannels: {count}\r\n")
        who = snapshot(channel) if channel is not None else ""
        pbx.emit(rights.CALL, event, f"Conference: {self.name}\r\n{text}{who}{extra}")


def _chosen(channel: Channel, option: str) -> bool:
    return channel.functions.get(f"CONFBRIDGE(user,{option})", "").lower() in ("yes", "true", "1")


def admin_line(channel: Channel) -> str:
    """Whether the member is an administrator of the room, as every event about it says."""
    return f"Admin: {'Yes' if _chosen(channel, 'admin') else 'No'}\r\n"


@application("ConfBridge")
async def confbridge(channel: Channel, data: str) -> int:
    """Stay in a room until hung up or kicked."""
    name = arguments(data, 2)[0]
    pbx = channel.pbx
    pbx.answer(channel)
    channel.stop_music()
    room = pbx.conferences.get(name) or _open(channel, name)
    bridge = room.bridge
    for member in bridge.channels:
        member.stop_music()
    wants_music = _chosen(channel, "music_on_hold_when_empty")
    alone = not bridge.channels
    bridge.push(channel)
    room.entered_at[channel.uniqueid] = pbx.now()
    if alone and wants_music:
        channel.start_music("default")
    if _chosen(channel, "startmuted"):
        room.muted.add(channel.uniqueid)
    muted = "Yes" if channel.uniqueid in room.muted else "No"
    room.event("ConfbridgeJoin", channel, f"{admin_line(channel)}Muted: {muted}\r\n")
    reason = await bridge.stay(channel)
    _leave(room, channel, reason)
    if channel.hung:
        raise Hungup
    if reason == DIVERTED:
        raise Diverted
    return 0


def _open(channel: Channel, name: str) -> Conference:
    pbx = channel.pbx
    bridge = Bridge(
        pbx, type="base", technology="softmix", creator="ConfBridge", name=name, dissolves=False,
        counted_besides=_ANNOUNCER,
    )  # fmt: skip
    bridge.announcer = f"CBAnn/{name}-{pbx.locals.next_number():08x};2"
    room = Conference(name, bridge)
    pbx.conferences[name] = room
    room.event("ConfbridgeStart")
    pbx.devices.set(f"confbridge:{name}", "INUSE")
    return room


def _leave(room: Conference, channel: Channel, reason: str) -> None:
    bridge, pbx = room.bridge, channel.pbx
    channel.stop_music()
    room.entered_at.pop(channel.uniqueid, None)
    room.event("ConfbridgeLeave", channel, admin_line(channel), count=bridge.count + 1)
    result = {HANGUP: "HANGUP", KICKED: "KICKED"}.get(reason, "HANGUP")
    channel.set_variable("CONFBRIDGE_RESULT", result)
    if len(bridge.channels) == 1:
        last = bridge.channels[0]
        if _chosen(last, "music_on_hold_when_empty"):
            last.start_music("default")
    if not bridge.channels:
        pbx.conferences.pop(room.name, None)
        pbx.devices.set(f"confbridge:{room.name}", "NOT_INUSE")
        room.event("ConfbridgeEnd")
        bridge.counted_besides = 0
        bridge.destroy()
