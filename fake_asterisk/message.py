"""AMI requests as Asterisk reads them: limits of lines, and which header counts."""

from dataclasses import dataclass

from fake_asterisk.render import ENCODING, ENCODING_ERRORS

LINE_BUFFER = 1024  # a line and its line end must fit
LINES_MAX = 128

LINE_TOO_LONG = "Failed to parse message: line too long"
TOO_MANY_LINES = "Too many lines in message or allocation failure"


class _Lower(dict[str, str]):
    """Header name → in small letters; the few dozen names of clients are remembered."""

    def __missing__(self, name: str) -> str:
        lower = name.lower()
        if len(self) < 1000:
            self[name] = lower
        return lower


_LOWER = _Lower()


class Message:
    """The lines of one request. Names match without case; the first line of a name counts."""

    __slots__ = ("_first", "action_id", "lines")

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self._first: dict[str, str] = {}
        first = self._first
        for line in lines:
            name, colon, value = line.partition(":")
            if colon and (key := _LOWER[name]) not in first:
                first[key] = value.lstrip(" \t")
        self.action_id = first.get("actionid", "")

    def get(self, name: str, default: str = "") -> str:
        """Value of a header; `default` if it is absent. Trailing blanks belong to it."""
        return self._first.get(_LOWER[name], default)

    def all(self, name: str) -> list[str]:
        """Values of a header that may be repeated."""
        start = _LOWER[name] + ":"
        size = len(start)
        return [line[size:].lstrip(" \t") for line in self.lines if line[:size].lower() == start]

    def true(self, name: str) -> bool:
        """Whether a header says yes."""
        return self.get(name).strip().lower() in ("yes", "true", "y", "t", "1", "on")


@dataclass(frozen=True, slots=True)
class FramingError:
    """A request that could not be read; it is answered with `text` and its ActionID if that was read."""

    message: Message
    text: str


class Reader:
    """Cuts the stream into requests: CR LF or LF, an empty line ends one, a NUL byte cuts a line."""

    def __init__(self) -> None:
        self._buffer = b""
        self._lines: list[str] = []
        self._count = 0
        self._too_long = False

    def feed(self, data: bytes) -> "list[Message | FramingError]":
        """Requests completed by these bytes."""
        if not (self._buffer or self._lines or self._too_long) and (whole := _whole(data)) is not None:
            return whole
        self._buffer += data
        done: list[Message | FramingError] = []
        start = 0
        buffer = self._buffer
        while True:
            end = buffer.find(b"\n", start)
            length = (end + 1 if end >= 0 else len(buffer)) - start
            while length > LINE_BUFFER or (end < 0 and length >= LINE_BUFFER):
                # Asterisk empties its full buffer but for the last byte, in case that is half a line end.
                self._too_long = True
                start += LINE_BUFFER - 1
                length -= LINE_BUFFER - 1
            if end < 0:
                break
            line = buffer[start:end]
            start = end + 1
            self._take(line[:-1] if line.endswith(b"\r") else line, done)
        self._buffer = buffer[start:]
        return done

    def _take(self, line: bytes, done: "list[Message | FramingError]") -> None:
        line = line.split(b"\0", 1)[0]
        if line:
            self._count += 1
            if self._count <= LINES_MAX:
                self._lines.append(line.decode(ENCODING, ENCODING_ERRORS))
            return
        message = Message(self._lines)
        if self._too_long:
            done.append(FramingError(message, LINE_TOO_LONG))
        elif self._count > LINES_MAX:
            done.append(FramingError(message, TOO_MANY_LINES))
        else:
            done.append(message)
        self._lines, self._count, self._too_long = [], 0, False


def _whole(data: bytes) -> "list[Message | FramingError] | None":
    """The requests of bytes that hold nothing but whole ones, each within every limit, as clients nearly always send
    them; None for all else, which goes line by line."""
    if not data.endswith(b"\r\n\r\n") or b"\0" in data or data.count(b"\n") != data.count(b"\r\n"):
        return None
    blocks = data[:-4].split(b"\r\n\r\n")
    requests: list[Message | FramingError] = []
    for block in blocks:
        lines = block.decode(ENCODING, ENCODING_ERRORS).split("\r\n")
        if len(block) > LINE_BUFFER - 2 or len(lines) > LINES_MAX or "" in lines:
            return None
        requests.append(Message(lines))
    return requests
