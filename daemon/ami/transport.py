"""One AMI connection by panoramisk 1.4: its Manager connects, its protocol holds the transport, its Action formats.

Everything it does above that is replaced, since it can't be relied on: it matches responses by prefix and `KeyError`s
on a queued Originate without Async, lets a failing callback drop the link, decodes chunk by chunk, sends unanswered
actions again after a reconnect, and never checks a Ping (DESIGN 2 lists them; tests/ami/test_panoramisk_defects.py
shows each). Here bytes go to our codec, messages to one callable, and the end of the connection to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager

from daemon.ami.codec import AmiCodec, HeaderValue, Message, check_action
from daemon.errors import PbxProtocolError

RECEIVE_BUFFER_BYTES: Final = 1 << 20


def format_action(headers: Mapping[str, HeaderValue]) -> bytes:
    """The bytes of a checked action, by panoramisk's formatter. Raises FieldRefused; then nothing is sent.

    Needs an ActionID in `headers`. The formatter is called without an Action around the headers: that would bring a
    future and an id of its own, and cost three times the text.
    """
    check_action(headers)
    shown = {name: value if isinstance(value, str) else list(value) for name, value in headers.items()}
    text: str = Action.__str__(shown)
    return text.encode("utf-8")


class AmiProtocol(AMIProtocol):  # type: ignore[misc]
    """Reads and hands over; waits on nothing and calls nothing that could fail an event behind."""

    def __init__(
        self, on_messages: Callable[[list[Message]], None], on_lost: Callable[[Exception | None], None]
    ) -> None:
        self.codec = AmiCodec()
        self.bytes_in = 0
        self._on_messages = on_messages
        self._on_lost = on_lost
        self.closed = True

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            # A reader that falls behind is cut off by Asterisk once the kernel's buffers are full (FIELD-NOTES 7.6).
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self.bytes_in += len(data)
        greeted = self.codec.banner is not None
        try:
            messages = self.codec.receive_data(data)
        except PbxProtocolError as error:
            self._end(error)
            self.transport.abort()
            return
        if messages or (not greeted and self.codec.banner is not None):
            self._on_messages(messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def write(self, data: bytes) -> None:
        """Queue bytes on the transport, in order."""
        self.transport.write(data)

    def close(self) -> None:
        """Drop the connection at once; whatever was not yet written is gone."""
        if not self.closed:
            self._end(None)
            self.transport.abort()

    def _end(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self._on_lost(exc)


class AmiManager(Manager):  # type: ignore[misc]
    """panoramisk's connector and nothing else of it: no login, no ping, no reconnect, no dispatch of its own."""

    def connection_made(self, f: asyncio.Future[Any]) -> None:
        if not f.cancelled() and f.exception() is None:
            self.protocol = f.result()[1]

    def connection_lost(self, exc: Exception | None) -> None:
        """Never called by AmiProtocol; here so that nothing of panoramisk's could reconnect."""

    async def send_awaiting_actions(self, *_: Any) -> None:
        """The replay of unanswered actions: a second originate for one lead. Never."""


async def open_connection(
    host: str,
    tcp_port: int,
    tls: ssl.SSLContext | None,
    on_messages: Callable[[list[Message]], None],
    on_lost: Callable[[Exception | None], None],
) -> AmiProtocol:
    """A connected protocol. Raises OSError (refused, unreachable, unknown host) or ssl.SSLError."""
    manager = AmiManager(
        host=host,
        port=tcp_port,
        ssl=tls or False,
        loop=asyncio.get_running_loop(),
        protocol_factory=lambda: AmiProtocol(on_messages, on_lost),
    )
    connecting = manager.connect()
    try:
        _, protocol = await connecting
    except asyncio.CancelledError:
        connecting.cancel()
        if manager.protocol is not None:
            manager.protocol.close()
        raise
    assert isinstance(protocol, AmiProtocol)
    return protocol
