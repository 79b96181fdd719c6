"""AMI bytes as one client received them, cut into the greeting and messages.

In: raw bytes. Out: `Stream`. Nothing is corrected on the way: whatever is not as the protocol wants it is kept in
`faults`, because a stream that only a forgiving reader understands is not equal to one that is well formed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

LINE_END = b"\r\n"
MESSAGE_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Message:
    """One block of headers in the order received. A name keeps a trailing colon if no blank followed it."""

    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """Value of the first header spelt exactly `name`; AMI clients take the first of repeated headers."""
        for header, value in self.headers:
            if header == name:
                return value
        return None

    @property
    def is_response(self) -> bool:
        return bool(self.headers) and self.headers[0][0] == "Response"

    @property
    def event(self) -> str | None:
        """The event's type, None for a response. (OriginateResponse has a Response header too, but not first.)"""
        return self.headers[0][1] if self.headers and self.headers[0][0] == "Event" else None


@dataclass(frozen=True, slots=True)
class Stream:
    greeting: str
    messages: tuple[Message, ...]
    faults: tuple[str, ...]


def parse_stream(data: bytes) -> Stream:
    """Everything a client received, from the greeting on. Bytes that are not UTF-8 survive as surrogates."""
    greeting, found, rest = data.partition(LINE_END)
    if not found:
        return Stream(decode(greeting), (), ("the greeting has no line end",) if data else ("nothing was received",))
    faults = list(_line_faults(data))
    if rest and not rest.endswith(MESSAGE_END):
        faults.append("the stream ends inside a message")
    *blocks, tail = rest.split(MESSAGE_END)
    if tail:
        blocks.append(tail)
    messages = []
    for block in blocks:
        if not block or block.startswith(LINE_END):
            faults.append("an empty message")
        if lines := [line for line in block.split(LINE_END) if line]:
            messages.append(Message(tuple(parse_header(line) for line in lines)))
    return Stream(decode(greeting), tuple(messages), tuple(faults))


def parse_header(line: bytes) -> tuple[str, str]:
    """`Name: value`. The blank belongs to the form: without it the colon stays in the name, so that it shows."""
    name, colon, value = decode(line).partition(":")
    if colon and value.startswith(" "):
        return name, value[1:]
    return name + colon, value


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _line_faults(data: bytes) -> Iterator[str]:
    without = data.replace(LINE_END, b"")
    if b"\n" in without:
        yield "a line ends with a bare LF"
    if b"\r" in without:
        yield "a CR without LF"
