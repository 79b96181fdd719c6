"""REST requests over a few HTTP/1.1 connections that are kept open: bytes out, one answer back, for `client`.

A general HTTP client makes an address, a request, a response and a stream of objects of each question, which costs
the daemon more than everything else it does about it; a call by ARI takes about a dozen. What Asterisk (and a proxy in
front of it) sends is understood: a length, chunks, or an end. Names, addresses and TLS are the event loop's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

BODY_BYTES_MAX: Final = 64 << 20
"""A listing of 50,000 channels; more is not an answer."""
HEAD_BYTES_MAX: Final = 64 << 10
REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE"})
"""What may be asked once more when a connection, kept open, turns out to have been closed by the other side."""
_END: Final = b"\r\n\r\n"
_NO_BODY: Final = (204, 304)


class Answer(NamedTuple):
    """`date`: the header as it came, "" if there was none."""

    status: int
    content: bytes
    date: str


def authority(host: str, tcp_port: int) -> str:
    """Host and port as addresses have them."""
    return f"[{host}]:{tcp_port}" if ":" in host else f"{host}:{tcp_port}"


class NotConnected(Exception):
    """No connection could be made, so nothing was written. Its cause is the loop's error."""


class Closed(ConnectionError):
    """`Connections.close` was called before anything was written."""


class Malformed(ConnectionError):
    """What came is not an answer in HTTP/1.1."""


class Connections:
    """At most `limit` connections to one server. Close it once; after that nothing is asked any more."""

    def __init__(
        self,
        host: str,
        tcp_port: int,
        *,
        headers: Mapping[str, str],
        limit: int,
        keep_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`headers` go with each request. A connection idle for `keep_s` is not used again."""
        self._host, self._port, self._tls = host, tcp_port, tls
        self._limit, self._keep_s = limit, keep_s
        named = {"Host": authority(host, tcp_port), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._head = f" HTTP/1.1\r\n{lines}".encode("latin-1")
        self._idle: deque[tuple[_Connection, float]] = deque()
        self._open: dict[_Connection, None] = {}
        self._places = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        deadline_s: float,
    ) -> Answer:
        """One request and its answer. Raises NotConnected and Closed (nothing was written), TimeoutError after
        `deadline_s`, OSError if the connection went before the answer."""
        request = self._bytes_of(method, path, query, body)
        async with asyncio.timeout(deadline_s):
            if self._places >= self._limit or self._waiting:
                await self._place()
            else:
                self._places += 1
            try:
                return await self._ask(request, repeatable=method in REPEATABLE)
            finally:
                self._leave()

    def close(self) -> None:
        """End every connection; who waits for an answer gets ConnectionResetError."""
        self._closed = True
        self._idle.clear()
        for connection in list(self._open):
            connection.end(ConnectionResetError("the link was given up"))
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(Closed("the link was given up"))

    # -- one at a time --------------------------------------------------------------------------------------------
    async def _place(self) -> None:
        """Wait for one of the `limit` places, first come, first served."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._leave()  # given in the instant in which it was given up
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def _leave(self) -> None:
        """The place is the next one's."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._places -= 1

    async def _ask(self, request: bytes, *, repeatable: bool) -> Answer:
        connection = self._kept()
        if connection is not None:
            try:
                return await self._over(connection, request)
            except ConnectionError:
                if not repeatable or connection.spoke or self._closed:
                    raise
        return await self._over(await self._connect(), request)

    async def _over(self, connection: _Connection, request: bytes) -> Answer:
        try:
            self._check_open()
            answer = await connection.ask(request)
        except BaseException:
            connection.end()  # whatever comes by it now would be taken for the next one's answer
            raise
        if connection.stays and not self._closed:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        else:
            connection.end()
        return answer

    def _kept(self) -> _Connection | None:
        """The open connection used last; those idle for too long are closed."""
        if self._idle:
            oldest_at = asyncio.get_running_loop().time() - self._keep_s
            while self._idle and self._idle[0][1] < oldest_at:
                self._idle.popleft()[0].end()
            while self._idle:
                connection, _ = self._idle.pop()
                if connection in self._open:
                    return connection
        return None

    async def _connect(self) -> _Connection:
        self._check_open()
        names: dict[str, Any] = {"ssl": self._tls, "server_hostname": self._host} if self._tls is not None else {}
        connection = _Connection(self._open)
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, self._host, self._port, **names)
        except OSError as error:
            raise NotConnected(str(error)) from error
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the link was given up")

    def _bytes_of(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None
    ) -> bytes:
        target = quote(path, safe="/%")
        if query:
            target += "?" + urlencode(query)
        start = f"{method} {target}".encode("ascii") + self._head
        if body is None:
            return start + (b"\r\n" if method == "GET" else b"Content-Length: 0\r\n\r\n")
        data = msgspec.json.encode(body)
        return start + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data


class _Connection(asyncio.Protocol):
    """One connection: one question at a time. It is in `open_` from its beginning to its end."""

    def __init__(self, open_: dict[_Connection, None]) -> None:
        self._everyone = open_
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._received = b""
        self._head: _Head | None = None
        self.spoke = False
        """Something came in answer to the latest question."""
        self.stays = True
        """May be asked again after this answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._everyone[self] = None

    async def ask(self, request: bytes) -> Answer:
        """Write, and wait for the answer. Raises ConnectionError if the connection goes first."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        self._received, self._head, self.spoke, self.stays = b"", None, False, True
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def end(self, why: Exception | None = None) -> None:
        """Close without waiting; whoever still waits for an answer gets `why`."""
        self._everyone.pop(self, None)
        if why is not None:
            self._fail(why)
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.spoke = True
        if self._answer is None or self._answer.done():
            self.end()  # nobody asked
            return
        self._received = self._received + data if self._received else data
        try:
            self._read(at_end=False)
        except ValueError as error:
            self.end(Malformed(f"not an answer in HTTP: {error}"))

    def eof_received(self) -> None:
        self._everyone.pop(self, None)
        self.stays = False
        if self._answer is not None and not self._answer.done() and self._head is not None:
            try:
                self._read(at_end=True)
            except ValueError as error:
                self._fail(Malformed(f"not an answer in HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._everyone.pop(self, None)
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("the server closed the connection"))

    def _fail(self, why: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(why)

    def _read(self, *, at_end: bool) -> None:
        """Take from what came as much as is there. Raises ValueError for what is no answer."""
        while self._head is None:
            head, found, rest = self._received.partition(_END)
            if not found:
                if len(head) > HEAD_BYTES_MAX:
                    raise ValueError(f"a head of more than {HEAD_BYTES_MAX} bytes")
                return
            self._received = rest
            read = _Head.of(head)
            if read.status >= 200:  # below: something on the way to the answer
                self._head = read
        head_, body = self._head, self._received
        if head_.chunked:
            content = _joined(body)
        elif head_.length is not None:
            content = body[: head_.length] if len(body) >= head_.length else None
        else:
            content = body if at_end else None
            self.stays = False
        if content is None:
            if len(body) > BODY_BYTES_MAX:
                raise ValueError(f"a body of more than {BODY_BYTES_MAX} bytes")
            return
        self.stays = self.stays and not head_.closes
        assert self._answer is not None
        self._answer.set_result(Answer(head_.status, content, head_.date))


class _Head(NamedTuple):
    """Status line and headers, as far as they matter."""

    status: int
    length: int | None
    chunked: bool
    closes: bool
    date: str

    @classmethod
    def of(cls, head: bytes) -> _Head:
        """Raises ValueError."""
        line, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = line.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"{line[:40]!r}")
        status = int(rest[:3])
        length, chunked, closes, date = None, False, version == "HTTP/1.0", ""
        for line in lines:
            name, _, value = line.partition(":")
            match name.lower():
                case "content-length":
                    length = int(value)
                case "transfer-encoding":
                    chunked = "chunked" in value.lower()
                case "connection":
                    closes = "close" in value.lower()
                case "date":
                    date = value.strip()
        if status in _NO_BODY:
            length, chunked = 0, False
        return cls(status, length, chunked, closes, date)


def _joined(body: bytes) -> bytes | None:
    """The content that came in chunks; None if the last one is not there yet. Raises ValueError."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(body[at:line_end].partition(b";")[0], 16)
        at = line_end + 2
        if not size:
            return b"".join(parts) if body.startswith(b"\r\n", at) or body.find(_END, at) >= 0 else None
        if len(body) < at + size + 2:
            return None
        parts.append(body[at : at + size])
        at += size + 2
