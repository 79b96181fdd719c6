"""What stands between an HTTP connection and its transport: the faults of `fake.faults`, silence and delay."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from fake_asterisk.faults import Faults


class Gate(asyncio.Protocol):
    """A connection's protocol, with the faults in front of it."""

    def __init__(self, faults: "Faults", inner: asyncio.Protocol) -> None:
        self.faults, self.inner = faults, inner
        self.wire: _Wire | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire = _Wire(self.faults, cast(asyncio.Transport, transport))
        self.inner.connection_made(self.wire)

    def connection_lost(self, exc: Exception | None) -> None:
        self.inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.faults.silent:
            return  # a half-open connection: nobody reads; what came is lost
        if self.faults.delay_s:
            self.faults.pbx.loop.call_later(self.faults.delay_s, self._late, data)
        else:
            self.inner.data_received(data)

    def _late(self, data: bytes) -> None:
        if self.wire is not None and not self.wire.is_closing():
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()


class _Wire(asyncio.Transport):
    """The transport as the connection sees it."""

    def __init__(self, faults: "Faults", outer: asyncio.Transport) -> None:
        super().__init__()
        self._faults, self._outer = faults, outer
        self._held: list[bytes] = []
        self._busy_until = 0.0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._outer.get_extra_info(name, default)

    def write(self, data: Any) -> None:
        faults, loop = self._faults, self._faults.pbx.loop
        if faults.silent:
            self._held.append(bytes(data))
        elif faults.delay_s or self._busy_until > loop.time():
            self._busy_until = max(loop.time() + faults.delay_s, self._busy_until)
            loop.call_at(self._busy_until, self._out, bytes(data))
        else:
            self.flush()
            self._outer.write(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def _out(self, data: bytes) -> None:
        if not self._outer.is_closing():
            self._outer.write(data)

    def flush(self) -> None:
        """Write what silence held back."""
        held, self._held = self._held, []
        for data in held:
            self._out(data)

    def is_closing(self) -> bool:
        return self._outer.is_closing()

    def close(self) -> None:
        self._outer.close()

    def abort(self) -> None:
        self._outer.abort()

    def pause_reading(self) -> None:
        self._outer.pause_reading()

    def resume_reading(self) -> None:
        self._outer.resume_reading()

    def is_reading(self) -> bool:
        return self._outer.is_reading()

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self._outer.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._outer.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._outer.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._outer.get_protocol()
