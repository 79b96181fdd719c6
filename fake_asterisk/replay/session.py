"""One AMI connection of a replay: it keeps every byte received and when each message came.

In: a way to connect. Out: `received` (bytes), `entries` (messages in order with their time). It understands nothing.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fake_asterisk.replay.roles import Roles
from fake_asterisk.replay.wire import LINE_END, MESSAGE_END, Message, parse_header

BYTES_MAX = 16 << 20  # the longest recording seen is 93 kB; a server that floods is stopped here
CONNECT_RETRY_S = 0.02

Opener = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass(slots=True)
class Entry:
    """A message and the loop's time at which it was complete; `used` by an `after` of the scenario."""

    message: Message
    at: float
    used: bool = False


class Session:
    """Reads until the connection ends, is dropped, or BYTES_MAX is passed. `roles` learns from each message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, roles: Roles) -> None:
        self.received = bytearray()
        self.entries: list[Entry] = []
        self.roles = roles
        self.closed = False
        self.last_byte_at = asyncio.get_running_loop().time()
        self._reader, self._writer = reader, writer
        self._parsed = 0
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, open_connection: Opener, roles: Roles, wait_s: float) -> "Session":
        """Connects as soon as the server listens, within `wait_s`; raises OSError if it does not."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + wait_s
        while True:
            try:
                return cls(*await open_connection(), roles)
            except OSError:
                if loop.time() >= give_up_at:
                    raise
                await asyncio.sleep(CONNECT_RETRY_S)

    @property
    def challenge(self) -> str | None:
        """The latest challenge the server gave, for an MD5 login."""
        for entry in reversed(self.entries):
            if (value := entry.message.get("Challenge")) is not None:
                return value
        return None

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError if the server has closed."""
        if self.closed:
            raise ConnectionError("the server has closed the connection")
        self._writer.write(data)
        await self._writer.drain()

    async def changed(self, until: float) -> None:
        """Returns when something was received or the connection ended, at the loop's time `until` at the latest."""
        left = until - asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(left, 0.0)), self._news:
                await self._news.wait()

    def take(self, headers: Mapping[str, str]) -> Entry | None:
        """The first message with these headers that was not taken before."""
        for entry in self.entries:
            if not entry.used and all(entry.message.get(name) == value for name, value in headers.items()):
                entry.used = True
                return entry
        return None

    async def drop(self, how: str) -> None:
        """`abort` resets the connection, `close` ends it in order."""
        if how == "abort":
            with contextlib.suppress(OSError):
                sock: socket.socket = self._writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._writer.transport.abort()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while len(self.received) < BYTES_MAX and (data := await self._reader.read(1 << 16)):
                self.received += data
                self.last_byte_at = asyncio.get_running_loop().time()
                self._parse()
                async with self._news:
                    self._news.notify_all()
        except OSError:
            pass  # a reset is an end like any other; what was received before it counts
        finally:
            self.closed = True
        async with self._news:
            self._news.notify_all()

    def _parse(self) -> None:
        if self._parsed == 0:  # the greeting is one line without an empty line behind it
            end = self.received.find(LINE_END)
            if end < 0:
                return
            self._parsed = end + len(LINE_END)
        while (end := self.received.find(MESSAGE_END, self._parsed)) >= 0:
            lines = bytes(self.received[self._parsed : end]).split(LINE_END)
            self._parsed = end + len(MESSAGE_END)
            message = Message(tuple(parse_header(line) for line in lines if line))
            self.roles.observe(message)
            self.entries.append(Entry(message, self.last_byte_at))
