"""HTTP/1.1 and WebSockets from the server's side, as much of both as ARI's clients speak, on any transport."""

import asyncio
import base64
import hashlib
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote

log = logging.getLogger(__name__)

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
CONTROL_BYTES_MAX = 125
BUFFER_BYTES_MAX = 64 << 20
"""What a reader of a WebSocket may leave unread."""
REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 409: "Conflict", 412: "Precondition Failed", 422: "Unprocessable Entity",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(slots=True)
class Request:
    """One request; names of headers in small letters."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: "Connection"
    body: bytes = b""


@dataclass(slots=True)
class Response:
    """What is answered. `body` is JSON as bytes; empty: none."""

    status: int
    body: bytes = b""


Handler = Callable[[Request], Awaitable[Response | None]]


@dataclass(slots=True)
class WebSocket:
    """An upgraded connection. `on_end` is called once, when the client says goodbye or is gone."""

    connection: "Connection"
    on_end: Callable[[], None]
    ended: bool = field(default=False)

    def send(self, text: bytes) -> None:
        """One text message; a reader that is too far behind is cut off."""
        transport = self.connection.transport
        if transport is None or transport.is_closing() or self.ended:
            return
        if transport.get_write_buffer_size() > BUFFER_BYTES_MAX:
            transport.abort()
        else:
            transport.write(_frame(TEXT, text))

    def end(self) -> None:
        """It is over."""
        if not self.ended:
            self.ended = True
            self.on_end()


class Connection(asyncio.Protocol):
    """One connection, its requests one after another. `handle` answers a request, or answers None: never.

    A handler under way is cancelled when the connection goes.
    """

    def __init__(self, connections: "dict[Connection, None]", handle: Handler, wall: Callable[[], float]) -> None:
        self._connections, self._handle, self._wall = connections, handle, wall
        self.transport: asyncio.Transport | None = None
        self.socket: WebSocket | None = None
        self._received = b""
        self._working: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.pop(self, None)
        if self._working is not None:
            self._working.cancel()
        if self.socket is not None:
            self.socket.end()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self.socket is not None:
            self._frames()
        elif self._working is None:
            self._next()

    def abort(self) -> None:
        """Cut it."""
        if self.transport is not None:
            self.transport.abort()

    def upgrade(self, request: Request, on_end: Callable[[], None]) -> WebSocket:
        """From now on it is a WebSocket."""
        assert self.transport is not None
        key = request.headers.get("sec-websocket-key", "").encode()
        accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.socket = WebSocket(self, on_end)
        return self.socket

    # ---- requests

    def _next(self) -> None:
        """The request that has come in whole, if there is one."""
        try:
            request = self._whole()
        except ValueError:
            self.abort()
            return
        if request is not None:
            self._working = asyncio.get_running_loop().create_task(self._work(request))

    def _whole(self) -> Request | None:
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self._received = rest[length:]
        path, _, query = target.partition("?")
        fields = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        return Request(method, unquote(path), fields, headers, self, rest[:length])

    async def _work(self, request: Request) -> None:
        try:
            response = await self._handle(request)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = Response(500)
        if response is None or self.transport is None or self.transport.is_closing():
            return
        reason = REASONS.get(response.status, "")
        date = formatdate(self._wall(), usegmt=True)
        kind = "Content-Type: application/json\r\n" if response.body else ""
        head = (
            f"HTTP/1.1 {response.status} {reason}\r\nServer: Asterisk\r\nDate: {date}\r\n"
            f"Cache-Control: no-cache, no-store\r\n{kind}Content-Length: {len(response.body)}\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + response.body)
        self._working = None
        if self._received:
            self._next()

    # ---- frames

    def _frames(self) -> None:
        while (found := _unframed(self._received)) is not None:
            opcode, payload, self._received = found
            if self.transport is None or self.socket is None:
                return
            if opcode == PING:
                self.transport.write(_frame(PONG, payload))
            elif opcode == CLOSE:
                self.socket.end()  # the application is let go of before the client hears so
                self.transport.write(_frame(CLOSE, payload[:2]))
                self.transport.close()


def _frame(opcode: int, payload: bytes) -> bytes:
    """One whole message, not masked, as servers send it."""
    length = len(payload)
    if length <= CONTROL_BYTES_MAX:
        return bytes((0x80 | opcode, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + payload


def _unframed(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Opcode, payload, and what follows; None if the frame is not there in whole."""
    if len(data) < 2:
        return None
    length, at = data[1] & 0x7F, 2
    if length == 126:
        length, at = int.from_bytes(data[2:4]), 4
    elif length == 127:
        length, at = int.from_bytes(data[2:10]), 10
    mask = b""
    if data[1] & 0x80:
        mask, at = data[at : at + 4], at + 4
    if len(data) < at + length:
        return None
    payload = data[at : at + length]
    if mask:
        payload = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    return data[0] & 0xF, payload, data[at + length :]
