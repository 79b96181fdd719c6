"""AMI framing: bytes of one connection in, messages out; any split of the bytes gives the same messages.

Messages keep their text and look headers up on demand: an Asterisk at work sends six times more headers than anyone
reads (37 of the 90 messages of a routed call are VarSet), so building a dict for each would be most of the cost.

Outgoing actions are checked here (`check_action`) and formatted by panoramisk (`daemon.ami.transport`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from daemon.errors import FieldRefused, PbxProtocolError

MESSAGE_BYTES_MAX: Final = 1 << 20
"""A request can't pass 130 kB, an event is smaller still; a long `Command` output is the only large message."""
BANNER_BYTES_MAX: Final = 512
LINE_BYTES_MAX: Final = 1022
"""Asterisk fails the whole action from 1023 bytes before the CRLF on."""
LINES_MAX: Final = 128
"""Asterisk fails the whole action from the 129th header line on."""

_END: Final = b"\r\n\r\n"
_END_COMMAND: Final = "--END COMMAND--"
_HEADER_NAMES_SEEN: Final[set[str]] = set()
"""Names found good: actions have a few dozen, always the same."""
_NAME_SEEN_MAX: Final = 60
_VALUE_AT_EASE: Final = LINE_BYTES_MAX - _NAME_SEEN_MAX - 2
"""Behind any name that is remembered, a value of so many ASCII characters fits its line."""
_HEADER_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_FORBIDDEN: Final = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}
_FORBIDDEN_ONES: Final = re.compile(r"[\r\n\0]")
_CHANNEL_FIELDS: Final = frozenset(
    {"channel", "channel1", "channel2", "extrachannel", "channelid", "otherchannelid", "actionid", "commandid"}
)

HeaderValue = str | Sequence[str]
"""One value, or several for a header that is to be repeated (`Variable`)."""


class _Needles(dict[str, str]):
    """Header name → what to search for; made once a name."""

    def __missing__(self, name: str) -> str:
        self[name] = needle = f"\r\n{name}: "
        return needle


_NEEDLES: Final = _Needles()


class Message(msgspec.Struct, gc=False, frozen=True):
    """One event or response.

    `event` is the event's name ("" for a response), `response` the response's word ("" for an event; the `Response`
    header *inside* an OriginateResponse is read with `get`). The first occurrence of a header is the one that counts:
    a value that smuggles in CR LF can add headers after its own, never replace one before it.
    """

    event: str
    response: str
    text: str

    def get(self, name: str, default: str = "") -> str:
        """Value of the header written exactly `name`; `default` if absent. Not for `Event` and `Response` in front."""
        _, found, rest = self.text.partition(_NEEDLES[name])
        return rest.partition("\r\n")[0] if found else default

    def values(self, name: str) -> list[str]:
        """All values of a repeated header (`Output`, `Variable`), in order."""
        return [rest.partition("\r\n")[0] for rest in self.text.split(_NEEDLES[name])[1:]]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Every header line, in order; lines that are no header are left out."""
        for line in self.text.split("\r\n"):
            name, colon, value = line.partition(": ")
            if colon:
                yield name, value

    def headers(self) -> dict[str, str]:
        """All headers, first occurrence of each. For logs and tests; the hot path uses `get`."""
        found: dict[str, str] = {}
        for name, value in self.pairs():
            found.setdefault(name, value)
        return found

    def __repr__(self) -> str:
        return f"<{self.event or 'Response ' + self.response} {self.headers()}>"


class AmiCodec:
    """Framing of one connection, from its greeting on. Call `receive_data` with whatever the socket gave."""

    __slots__ = ("_buffer", "_follows", "banner")

    def __init__(self) -> None:
        self.banner: str | None = None
        """The greeting line once it is complete, such as `Asterisk Call Manager/11.0.0`."""
        self._buffer = bytearray()
        self._follows = ""

    @property
    def held(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> list[Message]:
        """Messages completed by `data`, in order. Raises PbxProtocolError: not an AMI, or no end in sight; drop the
        link then. Bytes that are no UTF-8 become U+FFFD; a character split between two calls is not lost, since only
        whole messages are decoded and their ends are ASCII."""
        buffer = self._buffer
        searched = max(len(buffer) - 3, 0)
        buffer += data
        if self.banner is None:
            if not self._take_banner():
                return []
            searched = 0
        cut = buffer.rfind(_END, searched)
        if cut < 0:
            if len(buffer) > MESSAGE_BYTES_MAX:
                raise PbxProtocolError(f"no empty line within {MESSAGE_BYTES_MAX} bytes: this is not AMI")
            return []
        cut = _aligned(buffer, cut)
        complete = buffer[:cut]
        del buffer[: cut + 4]
        if cut > MESSAGE_BYTES_MAX and max(map(len, complete.split(_END))) > MESSAGE_BYTES_MAX:
            raise PbxProtocolError(f"a message of more than {MESSAGE_BYTES_MAX} bytes")
        return self._messages(complete.decode("utf-8", "replace"))

    def _take_banner(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n")
        if end < 0 and len(buffer) <= BANNER_BYTES_MAX:
            return False
        line = bytes(buffer[: end if end >= 0 else 60]).decode("utf-8", "replace")
        if end < 0 or "Call Manager/" not in line:
            raise PbxProtocolError(f"not an Asterisk manager port: it greets with {line[:60]!r}")
        self.banner = line.strip()
        del buffer[: end + 2]
        return True

    def _messages(self, text: str) -> list[Message]:
        messages: list[Message] = []
        append = messages.append
        for block in text.split("\r\n\r\n"):
            if block[:7] == "Event: " and not self._follows:
                append(Message(block.partition("\r\n")[0][7:], "", block))
            else:
                message = self._other(block)
                if message is not None:
                    append(message)
        return messages

    def _other(self, block: str) -> Message | None:
        """Everything rare: responses, output of old boxes, stray empty lines, headers in an unusual order."""
        if self._follows:
            self._follows = block = f"{self._follows}\r\n\r\n{block}"
            if len(block) > MESSAGE_BYTES_MAX:
                raise PbxProtocolError(f"AMI command output over {MESSAGE_BYTES_MAX} bytes without an end")
        block = block.lstrip("\r\n")
        if block.startswith("Response: Follows"):
            if _END_COMMAND not in block:
                self._follows = block
                return None
            self._follows = ""
            return Message("", "Success", _old_output(block))
        if block.startswith("Response: "):
            return Message("", block[10:].partition("\r\n")[0], block)
        return _reordered(block)


def _aligned(buffer: bytearray, cut: int) -> int:
    """`cut`, or 2 less: in a run of CRLFs of odd length the last one belongs to what comes next, as it would have if
    the run had come in pieces."""
    start = cut
    while buffer[start - 2 : start] == b"\r\n":
        start -= 2
    return cut - (cut - start) % 4


def _old_output(block: str) -> str:
    """`Response: Follows` of Asterisk before 14 (free text up to --END COMMAND--), put in the form of today."""
    lines = block.partition(_END_COMMAND)[0].replace("\r\n", "\n").split("\n")[1:]
    head = ["Response: Success", "Message: Command output follows"]
    while lines and lines[0].startswith(("Privilege: ", "ActionID: ")):
        head.append(lines.pop(0))
    if lines and not lines[-1]:
        lines.pop()
    return "\r\n".join([*head, *(f"Output: {line}" for line in lines)])


def _reordered(block: str) -> Message | None:
    """A block whose first line is neither Event nor Response: bring that line to the front. None: no message."""
    lines = block.split("\r\n")
    for index, line in enumerate(lines):
        name, colon, value = line.partition(": ")
        if colon and name.lower() in ("event", "response"):
            canonical = name.capitalize()
            rest = [lines[other] for other in range(len(lines)) if other != index]
            text = "\r\n".join([f"{canonical}: {value}", *rest])
            return Message(value, "", text) if canonical == "Event" else Message("", value, text)
    return None


def check_action(headers: Mapping[str, HeaderValue]) -> None:
    """Refuse (FieldRefused) an action that Asterisk would misread: CR, LF or NUL in a name or value (they would become
    headers or actions of their own), a channel given as a regular expression (`/^…/` hits many channels), a line over
    LINE_BYTES_MAX, more than LINES_MAX lines, text that can't be UTF-8."""
    if not str(headers.get("Action", "")):
        raise FieldRefused("Action", "an action needs a name")
    if _HEADER_NAMES_SEEN.issuperset(headers) and _harmless(headers):
        return
    count = 0
    for name, value in headers.items():
        if name not in _HEADER_NAMES_SEEN:
            _check_name(name)
        for text in (value,) if isinstance(value, str) else value:
            _check_value(name, text)
            count += 1
    if count > LINES_MAX:
        raise FieldRefused(str(headers["Action"]), f"{count} header lines, Asterisk takes {LINES_MAX}")


def _harmless(headers: Mapping[str, HeaderValue]) -> bool:
    """Whether nothing in the values needs a closer look, as in nearly all actions: one look at all of them together."""
    values: list[str] = []
    for value in headers.values():
        if isinstance(value, str):
            values.append(value)
        else:
            values.extend(value)
    if len(values) > LINES_MAX or max(map(len, values)) > _VALUE_AT_EASE:
        return False
    together = "".join(values)
    return together.isascii() and "/" not in {value[:1] for value in values} and not _FORBIDDEN_ONES.search(together)


def _check_name(name: str) -> None:
    if not _HEADER_NAME.match(name):
        raise FieldRefused(repr(name), "is not a header name")
    if len(_HEADER_NAMES_SEEN) < 1000 and len(name) <= _NAME_SEEN_MAX:
        _HEADER_NAMES_SEEN.add(name)


def _check_value(name: str, value: str) -> None:
    if (found := _FORBIDDEN_ONES.search(value)) is not None:
        raise FieldRefused(name, f"{_FORBIDDEN[found[0]]} is not allowed in a value")
    if value.isascii() and len(name) + 2 + len(value) <= LINE_BYTES_MAX and value[:1] != "/":
        return
    if value.startswith("/") and name.lower() in _CHANNEL_FIELDS:
        raise FieldRefused(name, "a channel beginning with / would be taken as a regular expression")
    try:
        size = len(name) + 2 + len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise FieldRefused(name, "is not valid Unicode text") from error
    if size > LINE_BYTES_MAX:
        raise FieldRefused(name, f"the line is {size} bytes long, Asterisk takes {LINE_BYTES_MAX}")
