"""AMI 1.1, as Asterisk 1.8 to 11 and the appliances built on them speak it: one session's events and requests reworded.

What these know of: Newchannel, Newstate, NewCallerid, Dial, Bridge (Link) and Unlink, MusicOnHold, Hangup,
OriginateResponse, VarSet. Ids of channels are the server's own; channels are named by their names alone.
"""

import re
from typing import TYPE_CHECKING

from fake_asterisk import rights
from fake_asterisk.message import Message
from fake_asterisk.render import ENCODING, ENCODING_ERRORS

if TYPE_CHECKING:
    from fake_asterisk.pbx import FakeAsterisk

UNKNOWN = frozenset({"bridgelist", "bridgeinfo", "bridgekick", "bridgedestroy", "devicestatelist", "muteaudio"})
"""Actions that came later."""
KEPT = frozenset({
    "Newchannel", "Newstate", "NewCallerid", "Hangup", "OriginateResponse", "VarSet", "Shutdown", "Reload",
    "FullyBooted", "UserEvent", "ExtensionStatus", "PeerStatus",
})  # fmt: skip
SNAPSHOT = re.compile(rb"(Linkedid|Language|ConnectedLine\w+|TechCause|Timestamp): [^\r]*\r\n")
"""Headers that came later."""


class OldSpeech:
    """One session's view of the server: who is bridged with whom, since Link names both."""

    def __init__(self, pbx: "FakeAsterisk") -> None:
        self._pbx = pbx
        self._bridges: dict[str, list[tuple[str, str]]] = {}

    # ---- towards the client

    def events(self, name: str, data: bytes) -> list[bytes]:
        """What this event was in those days: itself with fewer headers, another, or nothing."""
        if name in KEPT:
            return [SNAPSHOT.sub(b"", data)]
        fields = _fields(data)
        if name in ("BridgeEnter", "BridgeLeave"):
            return self._bridge(name, fields)
        if name in ("MusicOnHoldStart", "MusicOnHoldStop"):
            state = name.removeprefix("MusicOnHold")
            return [_event("MusicOnHold", State=state, Channel=fields["Channel"], UniqueID=fields["Uniqueid"])]
        if name == "DialBegin" and "Channel" in fields:
            return [_event(
                "Dial", SubEvent="Begin", Channel=fields["Channel"], Destination=fields["DestChannel"],
                UniqueID=fields["Uniqueid"], DestUniqueID=fields["DestUniqueid"], Dialstring=fields["DialString"],
            )]  # fmt: skip
        if name == "DialEnd" and "Channel" in fields:
            status = fields["DialStatus"]
            ids = {"Channel": fields["Channel"], "UniqueID": fields["Uniqueid"]}
            return [_event("Dial", SubEvent="End", **ids, DialStatus=status)]
        return []

    def _bridge(self, name: str, fields: dict[str, str]) -> list[bytes]:
        members = self._bridges.setdefault(fields["BridgeUniqueid"], [])
        who = (fields["Channel"], fields["Uniqueid"])
        if name == "BridgeEnter":
            members.append(who)
            return [self._pair("Bridge", members, Bridgestate="Link", Bridgetype="core")] if len(members) == 2 else []
        told = [self._pair("Unlink", members)] if len(members) == 2 else []
        if who in members:
            members.remove(who)
        if not members:
            self._bridges.pop(fields["BridgeUniqueid"], None)
        return told

    def _pair(self, event: str, members: list[tuple[str, str]], **more: str) -> bytes:
        (one, one_id), (other, other_id) = members
        return _event(event, **more, Channel1=one, Channel2=other, Uniqueid1=one_id, Uniqueid2=other_id)

    def status(self, body: str) -> str:
        """An item of `Status`: no bridges, but the channel one talks with."""
        fields = dict(line.split(": ", 1) for line in body.split("\r\n") if ": " in line)
        channel = self._pbx.channel(fields["Uniqueid"])
        peers = [c for c in channel.bridge.channels if c is not channel] if channel and channel.bridge else []
        partner = f"BridgedChannel: {peers[0].name}\r\nBridgedUniqueid: {peers[0].uniqueid}\r\n" if peers else ""
        variables = "".join(f"{line}\r\n" for line in body.split("\r\n") if line.startswith("Variable: "))
        return (
            f"Privilege: Call\r\nChannel: {fields['Channel']}\r\nCallerIDNum: {fields['CallerIDNum']}\r\n"
            f"CallerIDName: {fields['CallerIDName']}\r\nState: {fields['ChannelStateDesc']}\r\n"
            f"Seconds: {fields['Seconds']}\r\n{partner}{variables}Uniqueid: {fields['Uniqueid']}\r\n"
        )

    # ---- towards the server

    def request(self, message: Message) -> Message:
        """Without the headers that such a server does not know: it passes over them."""
        lines = [line for line in message.lines if not line.lower().startswith(("channelid:", "otherchannelid:"))]
        return Message(lines) if len(lines) < len(message.lines) else message

    def command(self, message: Message, lines: list[str]) -> bytes:
        """A console command's output, as it was before `Output` headers: raw lines and an end of their own."""
        action_id = f"ActionID: {message.action_id}\r\n" if message.action_id else ""
        output = "".join(f"{line}\n" for line in lines)
        text = f"Response: Follows\r\nPrivilege: Command\r\n{action_id}{output}--END COMMAND--\r\n\r\n"
        return text.encode(ENCODING, ENCODING_ERRORS)


def _fields(data: bytes) -> dict[str, str]:
    lines = data.decode(ENCODING, ENCODING_ERRORS).split("\r\n")
    return {name: value.removeprefix(" ") for name, colon, value in (line.partition(":") for line in lines) if colon}


def _event(name: str, **fields: str) -> bytes:
    privilege = rights.class_text(rights.CALL)
    lines = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
    return f"Event: {name}\r\nPrivilege: {privilege}\r\n{lines}\r\n".encode(ENCODING, ENCODING_ERRORS)
