"""Deliberate defects of the fake: each is something a client would stumble over, and a replay must notice.

Most change what leaves the fake's sockets, message by message; some change what the fake is made of. Which recordings
show a defect is not written here: it is seen by doing the same to the recorded bytes (`shows_in`).
"""

import asyncio
import random
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fake_asterisk import FakeAsterisk, FakeConfig, ManagerUser
from fake_asterisk.replay.folder import Recording

Lines = list[str]
Change = Callable[[Lines], list[Lines]]
"""One message as lines, to the messages sent instead of it."""


@dataclass(frozen=True, slots=True)
class Defect:
    name: str
    change: Change | None = None
    configure: Callable[[FakeConfig], FakeConfig] | None = None
    seen_by: Callable[[Recording], bool] | None = None
    line_end: bytes = b"\r\n"

    def shows_in(self, recording: Recording) -> bool:
        if self.seen_by is not None:
            return self.seen_by(recording)
        changed = _Changer(self).feed(recording.data)
        return changed != recording.data

    def make(self, config: FakeConfig) -> FakeAsterisk:
        """A lab fake with this defect."""
        fake = FakeAsterisk(self.configure(config) if self.configure else config, rng=random.Random(1))
        healthy = fake.protocol_factory
        fake.protocol_factory = lambda: _Defective(healthy(), self)  # type: ignore[method-assign]
        return fake


class _Changer:
    """Cuts a stream into messages and changes each."""

    def __init__(self, defect: Defect) -> None:
        self._defect = defect
        self._buffer = b""
        self._greeted = False

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        out = b""
        if not self._greeted and b"\r\n" in self._buffer:
            greeting, self._buffer = self._buffer.split(b"\r\n", 1)
            out, self._greeted = greeting + b"\r\n", True
        *blocks, self._buffer = self._buffer.split(b"\r\n\r\n") if self._greeted else [self._buffer]
        end = self._defect.line_end
        for block in blocks:
            lines = block.decode("utf-8", "surrogateescape").split("\r\n")
            for message in self._defect.change(lines) if self._defect.change else [lines]:
                out += b"".join(line.encode("utf-8", "surrogateescape") + end for line in message) + b"\r\n"
        return out


class _ChangingTransport(asyncio.Transport):
    """The transport a session believes to write to."""

    def __init__(self, transport: asyncio.Transport, defect: Defect) -> None:
        super().__init__()
        self._transport, self._changer = transport, _Changer(defect)

    def write(self, data: Any) -> None:
        self._transport.write(self._changer.feed(bytes(data)))

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class _Defective(asyncio.Protocol):
    def __init__(self, healthy: asyncio.Protocol, defect: Defect) -> None:
        self._healthy, self._defect = healthy, defect

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._healthy.connection_made(_ChangingTransport(transport, self._defect))

    def connection_lost(self, error: Exception | None) -> None:
        self._healthy.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._healthy.data_received(data)


def is_event(lines: Lines, *types: str) -> bool:
    return lines[0].removeprefix("Event: ") in types if lines[0].startswith("Event: ") else False


def without(*types: str) -> Change:
    """These events never come."""
    return lambda lines: [] if is_event(lines, *types) else [lines]


def twice(*types: str) -> Change:
    return lambda lines: [lines, lines] if is_event(lines, *types) else [lines]


def lines_changed(old: str, new: str | None, *types: str) -> Change:
    """In these events (all messages if none is named) a line that begins with `old` begins with `new`, or is lost."""

    def change(lines: Lines) -> list[Lines]:
        if types and not is_event(lines, *types):
            return [lines]
        if new is None:
            return [[line for line in lines if not line.startswith(old)]]
        return [[new + line.removeprefix(old) if line.startswith(old) else line for line in lines]]

    return change


def counted(name: str, step: int, *types: str) -> Change:
    """A number in these events is too large."""

    def change(lines: Lines) -> list[Lines]:
        if not is_event(lines, *types):
            return [lines]
        return [[f"{name}{int(line.removeprefix(name)) + step}" if line.startswith(name) else line for line in lines]]

    return change


def plain_env(lines: Lines) -> list[Lines]:
    """AsyncAGI's environment without URL encoding, each line of it a header line of its own."""
    if not is_event(lines, "AsyncAGIStart"):
        return [lines]
    out: Lines = []
    for line in lines:
        out += urllib.parse.unquote(line).split("\n") if line.startswith("Env: ") else [line]
    return [[line for line in out if line]]


def linkedid_own(lines: Lines) -> list[Lines]:
    """A channel made for another one does not say so."""
    if not is_event(lines, "Newchannel"):
        return [lines]
    own = next(line.removeprefix("Uniqueid: ") for line in lines if line.startswith("Uniqueid: "))
    return [[f"Linkedid: {own}" if line.startswith("Linkedid: ") else line for line in lines]]


def list_without_end(lines: Lines) -> list[Lines]:
    return [] if "EventList: Complete" in lines else [lines]


def agi_starts_before_it_is_dialled() -> Change:
    """AsyncAGIStart comes as soon as the channel is there. (Held back here: everything up to it, per stream.)"""
    held: list[Lines] = []

    def change(lines: Lines) -> list[Lines]:
        if is_event(lines, "DialBegin"):
            held.append(lines)
            return []
        if is_event(lines, "AsyncAGIStart") and held:
            out = [lines, *held]
            held.clear()
            return out
        return [lines]

    return change


def other_numbers(config: FakeConfig) -> FakeConfig:
    """A busy far end says 600 where the recorded one said 486."""
    healthy = config.behaviour_of

    def behaviour_of(endpoint: str, number: str, rng: random.Random) -> Any:
        behaviour = healthy(endpoint, number, rng)
        return replace(behaviour, fail_sip=600) if behaviour.fail_sip == 486 else behaviour

    return replace(config, behaviour_of=behaviour_of)


def generous(config: FakeConfig) -> FakeConfig:
    """Everybody may do everything."""
    users = {name: ManagerUser.of(name, user.secret, "all", "all") for name, user in config.users.items()}
    return replace(config, users=users)


def says(text: bytes) -> Callable[[Recording], bool]:
    return lambda recording: text in recording.data


DEFECTS = (
    Defect("404 hangs up with cause 3", lines_changed("Cause: 1", "Cause: 3", "Hangup")),
    Defect("the SIP status is missing", lines_changed("TechCause: ", None, "Hangup", "HangupRequest")),
    Defect("CommandID in AsyncAGIExec", lines_changed("CommandId: ", "CommandID: ", "AsyncAGIExec")),
    Defect("Reason 5 for failures", lines_changed("Reason: 0", "Reason: 5", "OriginateResponse")),
    Defect("404 and the like are CONGESTION", lines_changed("DialStatus: NOANSWER", "DialStatus: CONGESTION")),
    Defect("DialEnd is missing", without("DialEnd")),
    Defect("Hangup comes twice", twice("Hangup")),
    Defect("state names in lower case", lines_changed("ChannelStateDesc: R", "ChannelStateDesc: r", "Newstate")),
    Defect("no Privilege", lines_changed("Privilege: ", None)),
    Defect("the wrong class", lines_changed("Privilege: agi", "Privilege: call")),
    Defect("OriginateResponse without ActionID", lines_changed("ActionID: ", None, "OriginateResponse")),
    Defect("OriginateResponse with another id", lines_changed("Uniqueid: ", "Uniqueid: x", "OriginateResponse")),
    Defect("BridgeLeave is missing", without("BridgeLeave")),
    Defect("one too many in the bridge", counted("BridgeNumChannels: ", 1, "BridgeEnter")),
    Defect("bridges are left standing", without("BridgeDestroy")),
    Defect("FullyBooted is missing", without("FullyBooted")),
    Defect("lists have no end", list_without_end),
    Defect("lists count too many", lines_changed("ListItems: ", "ListItems: 1")),
    Defect("another error text", lines_changed("Message: Permission denied", "Message: Permission Denied")),
    Defect("Newexten is missing", without("Newexten")),
    Defect("no AsyncAGIEnd", without("AsyncAGIEnd")),
    Defect("AsyncAGIStart before DialBegin", agi_starts_before_it_is_dialled()),
    Defect("the AGI environment is not encoded", plain_env),
    Defect("Linkedid is the channel's own", linkedid_own),
    Defect("inherited variables lose their underscores", lines_changed("Variable: __", "Variable: ", "VarSet")),
    Defect("no music ends", without("MusicOnHoldStop")),
    Defect("devices are never idle again", lines_changed("State: NOT_INUSE", "State: INUSE", "DeviceStateChange")),
    Defect("times in milliseconds", lines_changed("Timestamp: 1", "Timestamp: 1000")),
    Defect("an unknown caller is an empty one", lines_changed("CallerIDNum: <unknown>", "CallerIDNum: ")),
    Defect("no Shutdown", without("Shutdown")),
    Defect("lines end with LF", line_end=b"\n", seen_by=says(b"FullyBooted")),
    Defect("an older server", configure=lambda c: replace(c, ami_version="9.0.0"), seen_by=says(b"Manager/11.0.0")),
    Defect("no time stamps", configure=lambda c: replace(c, timestamp_events=False), seen_by=says(b"Timestamp: ")),
    Defect("everybody may do everything", configure=generous, seen_by=says(b"Permission denied")),
    Defect("busy is 600", configure=other_numbers, seen_by=says(b"TechCause: 486")),
)
