"""What must hold inside any one run, whatever the recording says: the order of a channel's and a bridge's life.

In: the ordinary events of a run in order of arrival (normalised; list events and responses apart). Out: one line for
each breach. A channel or bridge that existed before the client connected is only held to what can be known of it.
"""

from collections.abc import Iterator, Sequence

from fake_asterisk.replay.roles import is_channel_id_header
from fake_asterisk.replay.wire import Message

DIAL_TYPES = frozenset({"DialState", "DialEnd"})
ALLOWED_AFTER_HANGUP = frozenset(
    {
        "DialEnd",
        "OriginateResponse",
        "DeviceStateChange",
        "AsyncAGIEnd",
        "AsyncAGIExec",
        "AGIExecEnd",
        "BridgeLeave",
        "VarSet",
        "UserEvent",
    }
)
AFTER_HANGUP_OF_LOCAL_HALF = frozenset({"NewCallerid", "NewConnectedLine"})
APPLICATION_ENDS = ("Stop", "Leave", "End")


def breaches(events: Sequence[Message]) -> list[str]:
    """Every breach of the laws, in order of the event that shows it."""
    return [*_channel_breaches(events), *_dial_breaches(events), *_bridge_breaches(events)]


def channel_ids(event: Message) -> list[str]:
    """The channels an event names by unique id, each once, in order."""
    return list(dict.fromkeys(value for name, value in event.headers if is_channel_id_header(name) and value))


def _channel_breaches(events: Sequence[Message]) -> Iterator[str]:
    made = {event.get("Uniqueid") or "" for event in events if event.event == "Newchannel"}
    seen: set[str] = set()
    hung_up: set[str] = set()
    for event in events:
        kind = event.event or ""
        for channel in channel_ids(event):
            if kind == "Newchannel" and channel == event.get("Uniqueid"):
                if channel in seen:
                    yield f"{channel}: a second Newchannel"
                seen.add(channel)
            elif channel in made and channel not in seen and kind != "OriginateResponse":
                yield f"{channel}: {kind} before its Newchannel"
            if channel in hung_up and not _allowed_after_hangup(event):
                yield f"{channel}: {kind} after its Hangup"
        if kind == "Hangup":
            hung_up.add(event.get("Uniqueid") or "")


def _allowed_after_hangup(event: Message) -> bool:
    kind = event.event or ""
    if kind in AFTER_HANGUP_OF_LOCAL_HALF:
        return (event.get("Channel") or "").startswith("Local/")
    return kind in ALLOWED_AFTER_HANGUP or kind.endswith(APPLICATION_ENDS)


def _dial_breaches(events: Sequence[Message]) -> Iterator[str]:
    dialled = {event.get("DestUniqueid") for event in events if event.event == "DialBegin"}
    begun: set[str | None] = set()
    for event in events:
        kind = event.event
        if kind == "DialBegin":
            begun.add(event.get("DestUniqueid"))
        elif kind in DIAL_TYPES or kind == "AsyncAGIStart":
            channel = event.get("DestUniqueid") if kind in DIAL_TYPES else event.get("Uniqueid")
            if channel in dialled and channel not in begun:
                yield f"{channel}: {kind} before DialBegin"


def _bridge_breaches(events: Sequence[Message]) -> Iterator[str]:
    created: set[str] = set()
    members: dict[str, list[str]] = {}
    for event in events:
        kind, bridge, channel = event.event, event.get("BridgeUniqueid") or "", event.get("Uniqueid") or ""
        if kind == "BridgeCreate":
            created.add(bridge)
        elif kind == "BridgeEnter":
            members.setdefault(bridge, []).append(channel)
        elif kind == "BridgeLeave":
            if channel in members.get(bridge, []):
                members[bridge].remove(channel)
            elif bridge in created:
                yield f"{channel}: leaves {bridge}, which it never entered"
        elif kind == "BridgeDestroy" and members.get(bridge):
            yield f"{bridge}: destroyed with {', '.join(members[bridge])} inside"
