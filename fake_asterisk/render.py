"""Events as the bytes of the wire."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from fake_asterisk.rights import class_text

if TYPE_CHECKING:
    from fake_asterisk.bridge import Bridge
    from fake_asterisk.channel import Channel, Party

STATE_TEXT = {0: "Down", 1: "Rsrvd", 2: "OffHook", 3: "Dialing", 4: "Ring", 5: "Ringing", 6: "Up", 7: "Busy"}
ENCODING, ENCODING_ERRORS = "utf-8", "surrogateescape"  # bytes that are no UTF-8 pass through unchanged

_TO_ESCAPE = re.compile(r'[\x00-\x1f"\\\x7f]')
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_PRIVILEGE: dict[int, str] = {}


def escape(value: str) -> str:
    """C escapes, as snapshots and VarSet values have them."""
    if value.isalnum() or not _TO_ESCAPE.search(value):
        return value
    return _TO_ESCAPE.sub(lambda m: _ESCAPES.get(m[0], "\\" + m[0] if m[0] in '"\\' else ""), value)


def privilege(mask: int) -> str:
    """The `Privilege:` text of a class, remembered."""
    if mask not in _PRIVILEGE:
        _PRIVILEGE[mask] = class_text(mask)
    return _PRIVILEGE[mask]


@lru_cache(8192)
def _common(
    p: str, state: int, caller: "Party", connected: "Party", language: str, account: str, context: str, exten: str,
    priority: int,
) -> str:  # fmt: skip
    """The lines that many channels share."""
    return (
        f"{p}ChannelState: {state}\r\n{p}ChannelStateDesc: {STATE_TEXT[state]}\r\n"
        f"{p}CallerIDNum: {escape(caller[0]) or '<unknown>'}\r\n{p}CallerIDName: {escape(caller[1]) or '<unknown>'}\r\n"
        f"{p}ConnectedLineNum: {escape(connected[0]) or '<unknown>'}\r\n"
        f"{p}ConnectedLineName: {escape(connected[1]) or '<unknown>'}\r\n"
        f"{p}Language: {language}\r\n{p}AccountCode: {escape(account)}\r\n{p}Context: {escape(context)}\r\n"
        f"{p}Exten: {escape(exten)}\r\n{p}Priority: {priority}\r\n"
    )


def snapshot(c: "Channel", p: str = "") -> str:
    """The fourteen lines of a channel, each with `p` before it."""
    common = _common(p, c.state, c.caller, c.connected, c.language, c.account, c.context, c.exten, c.priority)
    return f"{p}Channel: {c.name}\r\n{common}{p}Uniqueid: {c.uniqueid}\r\n{p}Linkedid: {c.linkedid}\r\n"


def bridge_snapshot(b: "Bridge") -> str:
    """The seven lines of a bridge."""
    return (
        f"BridgeUniqueid: {b.uniqueid}\r\nBridgeType: {b.type}\r\nBridgeTechnology: {b.technology}\r\n"
        f"BridgeCreator: {b.creator or '<unknown>'}\r\nBridgeName: {b.name or '<unknown>'}\r\n"
        f"BridgeNumChannels: {b.count}\r\nBridgeVideoSourceMode: none\r\n"
    )


def event(name: str, mask: int, timestamp: str, body: str) -> bytes:
    """A whole event. `timestamp` is empty on servers without timestampevents."""
    stamp = f"Timestamp: {timestamp}\r\n" if timestamp else ""
    text = f"Event: {name}\r\nPrivilege: {privilege(mask)}\r\n{stamp}{body}\r\n"
    return text.encode(ENCODING, ENCODING_ERRORS)
