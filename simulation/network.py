"""A network in memory, with seeded latency: connections between the parts of a simulation, on its loop's time.

Bytes arrive in the order in which they were written. A killed process's connections are reset.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from aiohttp.client_proto import ResponseHandler

from simulation.life import LIFE, Life

if TYPE_CHECKING:
    from simulation.loop import VirtualLoop

_NOBODY = Context()


class _Pipe(asyncio.Transport):
    """One end of an in-memory connection; bytes arrive at the peer in order after the network's latency."""

    def __init__(self, network: Network, loop: VirtualLoop) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 5038)})
        self._network, self._loop = network, loop
        self.protocol: Any = None
        self.peer: _Pipe | None = None
        self._closing = False
        self._reading = True
        self._held: list[bytes] = []
        self._clear_at = 0.0
        self._under_way: list[bytes] = []
        self._written_at = -1.0
        self.taps: list[Callable[[bytes], None]] = []
        self.life: Life | None = LIFE.get()

    def write(self, data: Any) -> None:
        if self._closing or self.peer is None:
            return
        payload = data if type(data) is bytes else bytes(data)
        for tap in self.taps:
            tap(payload)
        now = self._loop._virtual_s
        if self._under_way and now == self._written_at:
            self._under_way.append(payload)  # what is written in one instant travels as one
            return
        self._under_way, self._written_at = [payload], now
        self._later(self.peer._arrive, self._under_way)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def _later(self, what: Callable[..., None], *args: Any) -> None:
        at = max(self._clear_at, self._loop._virtual_s + self._network.latency())
        self._clear_at = at
        # In nobody's life: what was written before a kill arrives all the same.
        self._loop.call_at(at, what, *args, context=_NOBODY)

    def die(self) -> None:
        """The process behind this end was killed: the other end sees a reset."""
        if not self._closing:
            self._closing = True
            if self.peer is not None:
                self._later(self.peer._peer_ended, ConnectionResetError("connection reset"))

    def _arrive(self, pieces: list[bytes]) -> None:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._closing or (self.life is not None and self.life.dead):
            return
        if self._reading:
            self.protocol.data_received(data)
        else:
            self._held.append(data)

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        held, self._held = self._held, []
        for data in held:
            self._arrive([data])

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol  # type: ignore[no-any-return]

    def close(self) -> None:
        self._end(None)

    def abort(self) -> None:
        self._end(ConnectionResetError("connection reset"))

    def _end(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self.protocol.connection_lost, None)
        if self.peer is not None:
            self._later(self.peer._peer_ended, error)

    def _peer_ended(self, error: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        if self.life is not None and self.life.dead:
            return
        if error is None:
            self.protocol.eof_received()
        self.protocol.connection_lost(error)


class Network:
    """In-memory servers by port. `latency_s`: mean one-way delay, drawn from the seeded RNG."""

    def __init__(self, rng: random.Random, latency_s: float = 0.0004) -> None:
        self._rng, self._latency_s = rng, latency_s
        self._servers: dict[int, Callable[[], asyncio.BaseProtocol]] = {}
        self.pipes: list[_Pipe] = []
        self.to_server: list[Callable[[bytes], None]] = []
        self.to_client: list[Callable[[bytes], None]] = []
        self.http_seen = self.killed = False
        """An HTTP client has connected; a life was ended."""

    def latency(self) -> float:
        return self._latency_s * (0.5 + self._rng.random())

    def serve(self, port: int, factory: Callable[[], asyncio.BaseProtocol]) -> None:
        """Answer connections to `port`."""
        self._servers[port] = factory

    def stop(self, port: int) -> None:
        """Refuse connections to `port`."""
        self._servers.pop(port, None)

    def kill(self, life: Life) -> None:
        """Every connection of this life is reset."""
        for pipe in self.pipes:
            if pipe.life is life:
                pipe.die()
        self.killed = True

    async def connect(
        self, client_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """A connection to the server on `port`; ConnectionRefusedError if there is none."""
        await asyncio.sleep(self.latency())
        server_factory = self._servers.get(port)
        if server_factory is None:
            raise ConnectionRefusedError(111, f"nothing listens on {host}:{port}")
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        near, far = _Pipe(self, loop), _NOBODY.run(_Pipe, self, loop)
        near.peer, far.peer = far, near
        near.protocol, far.protocol = client_factory(), _NOBODY.run(server_factory)
        near.taps, far.taps = self.to_server, self.to_client
        self.http_seen |= isinstance(near.protocol, ResponseHandler)
        self.pipes = [pipe for pipe in self.pipes if not pipe.is_closing()] + [near]
        _NOBODY.run(far.protocol.connection_made, far)
        near.protocol.connection_made(near)
        return near, near.protocol
