"""Actions that list: channels, bridges, devices, endpoints, queues."""

from fake_asterisk import rights
from fake_asterisk.actions.registry import action
from fake_asterisk.bridge import Bridge
from fake_asterisk.channel import Channel
from fake_asterisk.message import Message
from fake_asterisk.render import bridge_snapshot, snapshot
from fake_asterisk.session import Session

SYSTEM, CALL, REPORTING = rights.SYSTEM, rights.CALL, rights.REPORTING
LISTED_AT_ONCE = 200
"""Channels of one piece of a listing: Asterisk lists thousands in a thread of its own, and calls go on meanwhile."""
_TECHNOLOGIES = (
    ("native_rtp", "Native", 90),
    ("holding_bridge", "Holding", 50),
    ("simple_bridge", "1to1Mix", 50),
    ("softmix", "MultiMix", 10),
)


@action("CoreShowChannels", SYSTEM | REPORTING)
def core_show_channels(session: Session, message: Message) -> None:
    """One event a channel."""
    session.start_list(message, "Channels will follow")
    channels = list(session.pbx.channels.values())
    for c in channels:
        seconds = int(session.pbx.now() - c.created_at)
        duration = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        bridge = c.bridge.uniqueid if c.bridge is not None else ""
        session.list_item(
            message,
            "CoreShowChannel",
            f"{snapshot(c)}Application: {c.application}\r\nApplicationData: {c.data}\r\nDuration: {duration}\r\n"
            f"BridgeId: {bridge}\r\n",
        )
    session.end_list(message, "CoreShowChannelsComplete", len(channels))


@action("Status", SYSTEM | CALL | REPORTING)
def status(session: Session, message: Message) -> None:
    """All channels or one; with `Variables` or `AllVariables`."""
    pbx = session.pbx
    channels = list(pbx.channels.values())
    if name := message.get("Channel"):
        channel = pbx.channel(name)
        if channel is None:
            session.error(message, "No such channel")
            return
        channels = [channel]
    wanted = [v.strip() for v in message.get("Variables").split(",") if v.strip()]
    every = message.true("AllVariables")
    session.start_list(message, "Channel status will follow")

    def some(start: int) -> None:
        for channel in channels[start : start + LISTED_AT_ONCE]:
            text = _status(channel, _variables(channel, wanted, every))
            session.direct_event(message, "Status", text, action_id_last=True)
        if start + LISTED_AT_ONCE < len(channels):
            pbx.loop.call_soon(some, start + LISTED_AT_ONCE)
        else:
            session.end_list(message, "StatusComplete", len(channels), f"Items: {len(channels)}")

    some(0)


def _variables(channel: Channel, wanted: list[str], every: bool) -> str:
    lines = []
    for name in wanted:
        value = channel.get_variable(name)
        lines.append(f"Variable: {name}={'(null)' if value is None else value}\r\n")
    if every:
        lines.extend(f"Variable: {name}={value}\r\n" for name, (value, _) in reversed(channel.variables.items()))
    return "".join(lines)


def _status(c: Channel, variables: str) -> str:
    native = "ulaw" if c.tech == "PJSIP" else "slin"
    written = "slin" if c.music is not None else native  # music comes from files
    translated = "" if written == native else f"({written}@8000)->({native}@8000)"
    now = c.pbx.now()
    left = 0 if c.absolute_deadline is None else max(0, int(c.absolute_deadline - now))
    bridge = c.bridge.uniqueid if c.bridge is not None else ""
    return (
        f"Privilege: Call\r\n{snapshot(c)}Type: {c.tech}\r\nDNID: \r\nEffectiveConnectedLineNum: "
        f"{c.connected[0] or '<unknown>'}\r\nEffectiveConnectedLineName: {c.connected[1] or '<unknown>'}\r\n"
        f"TimeToHangup: {left}\r\nBridgeID: {bridge}\r\nApplication: {c.application or '(null)'}\r\n"
        f"Data: {c.data or ('' if c.application else '(null)')}\r\nNativeformats: ({native})\r\n"
        f"Readformat: {native}\r\nReadtrans: \r\nWriteformat: {written}\r\nWritetrans: {translated}\r\n"
        f"Callgroup: 0\r\nPickupgroup: 0\r\n"
        f"Seconds: {int(now - c.created_at)}\r\n{variables}"
    )


@action("BridgeList", 0)
def bridge_list(session: Session, message: Message) -> None:
    """One event a bridge; `BridgeType` narrows."""
    kind = message.get("BridgeType")
    bridges = [b for b in session.pbx.bridges.values() if not kind or b.type == kind]
    session.start_list(message, "Bridge listing will follow")
    for bridge in bridges:
        session.list_item(message, "BridgeListItem", bridge_snapshot(bridge))
    session.end_list(message, "BridgeListComplete", len(bridges))


def _bridge(session: Session, message: Message) -> Bridge | None:
    uniqueid = message.get("BridgeUniqueid")
    if not uniqueid:
        session.error(message, "BridgeUniqueid must be provided")
        return None
    bridge = session.pbx.bridges.get(uniqueid)
    if bridge is None:
        session.error(message, "Specified BridgeUniqueid not found")
    return bridge


@action("BridgeInfo", 0)
def bridge_info(session: Session, message: Message) -> None:
    """The channels inside."""
    bridge = _bridge(session, message)
    if bridge is None:
        return
    session.start_list(message, "Bridge channel listing will follow")
    for channel in bridge.channels:
        session.list_item(message, "BridgeInfoChannel", snapshot(channel))
    session.end_list(message, "BridgeInfoComplete", len(bridge.channels), *bridge_snapshot(bridge).split("\r\n")[:-1])


@action("BridgeDestroy", 0)
def bridge_destroy(session: Session, message: Message) -> None:
    """Everyone inside leaves."""
    bridge = _bridge(session, message)
    if bridge is not None:
        session.success(message, "Bridge has been destroyed")
        bridge.dissolve()


@action("BridgeKick", 0)
def bridge_kick(session: Session, message: Message) -> None:
    """One channel leaves its bridge."""
    name = message.get("Channel")
    if not name:
        session.error(message, "Channel must be provided")
        return
    channel = session.pbx.channel(name)
    if channel is None:
        session.error(message, "Channel does not exist")
        return
    if channel.bridge is None:
        session.error(message, "Channel is not in a bridge")
        return
    wanted = message.get("BridgeUniqueid")
    if wanted and wanted != channel.bridge.uniqueid:
        session.error(
            message, "Channel kick from bridge failed" if wanted in session.pbx.bridges else "Bridge not found"
        )
        return
    session.success(message, "Channel has been kicked")
    channel.bridge.kick(channel)


@action("DeviceStateList", CALL | REPORTING)
def device_state_list(session: Session, message: Message) -> None:
    """Devices whose state was told, and every endpoint's."""
    pbx = session.pbx
    states = {f"PJSIP/{name}": pbx.devices.state(f"PJSIP/{name}") for name in pbx.config.endpoints}
    states.update(pbx.config.other_devices)
    states.update({d: s for d, s in pbx.devices.told.items() if d not in states and not d.startswith("Local/")})
    session.start_list(message, "Device State Changes will follow")
    for device, state in states.items():
        session.list_item(message, "DeviceStateChange", f"Device: {device}\r\nState: {state}\r\n")
    session.end_list(message, "DeviceStateListComplete", len(states))


@action("PJSIPShowEndpoints", SYSTEM)
def show_endpoints(session: Session, message: Message) -> None:
    """One event an endpoint."""
    pbx = session.pbx
    session.start_list(message, "A listing of Endpoints follows, presented as EndpointList events")
    for name, endpoint in pbx.config.endpoints.items():
        contact = endpoint.contact or f"sip:{name}@127.0.0.1:5071"
        active = sum(c.device == f"PJSIP/{name}" for c in pbx.channels.values())
        state = pbx.devices.state(f"PJSIP/{name}")
        text = {"NOT_INUSE": "Not in use", "INUSE": "In use", "RINGING": "Ringing", "RINGINUSE": "Ring+Inuse"}
        session.list_item(
            message,
            "EndpointList",
            f"ObjectType: endpoint\r\nObjectName: {name}\r\nTransport: transport-udp\r\nAor: {name}\r\nAuths: \r\n"
            f"OutboundAuths: \r\nContacts: {f'{name}/{contact},' if endpoint.registered else ''}\r\n"
            f"DeviceState: {text.get(state, 'Unavailable')}\r\nActiveChannels: {active}\r\n",
        )
    session.end_list(message, "EndpointListComplete", len(pbx.config.endpoints))


@action("BridgeTechnologyList", 0)
def bridge_technologies(session: Session, message: Message) -> None:
    """What bridges may be made of."""
    session.start_list(message, "Bridge technology listing will follow")
    for name, kind, priority in _TECHNOLOGIES:
        body = (
            f"BridgeTechnology: {name}\r\nBridgeType: {kind}\r\nBridgePriority: {priority}\r\nBridgeSuspended: No\r\n"
        )
        session.direct_event(message, "BridgeTechnologyListItem", body, action_id_last=True)
    session.end_list(message, "BridgeTechnologyListComplete", len(_TECHNOLOGIES))


@action("QueueStatus", 0)
def queue_status(session: Session, message: Message) -> None:
    """No queues here."""
    session.start_list(message, "Queue status will follow")
    session.end_list(message, "QueueStatusComplete", 0)


@action("QueueSummary", 0)
def queue_summary(session: Session, message: Message) -> None:
    """No queues here."""
    session.start_list(message, "Queue summary will follow")
    session.end_list(message, "QueueSummaryComplete", 0)
